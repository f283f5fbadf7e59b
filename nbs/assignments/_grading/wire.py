"""Values that travel between the grader and the room: numbers, texts, containers, tensors, arrays.

Nothing is ever unpickled. What has no value of its own (a function, a module of a network) stays
where it is and travels as a handle.
"""

from __future__ import annotations

import builtins
import dataclasses
import json
import struct
import sys
import time
from collections.abc import Callable
from socket import socket
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST = 64 << 20
DEEPEST = 20
LONGEST = 100_000
DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}


class WireError(Exception):
    """What came is no message, or is too large."""


def send(channel: socket, tree: object, buffers: list[bytes]) -> None:
    """Sends one message: a tree of plain values, and the bytes of its tensors."""
    head = json.dumps([tree, [len(b) for b in buffers]]).encode()
    size = len(head) + sum(len(b) for b in buffers)
    if size > LARGEST:
        raise WireError(f"a value of {size >> 20} MB; at most {LARGEST >> 20} MB are taken")
    channel.sendall(struct.pack(">QQ", size, len(head)) + head + b"".join(buffers))


def receive(channel: socket, until: float = float("inf")) -> tuple[Any, list[bytearray]]:
    """Waits for one message. Raises WireError, EOFError, or TimeoutError.

    until: when it must be there in full, however slowly it comes; in `time.monotonic` seconds.
    """
    size, head_size = struct.unpack(">QQ", _exactly(channel, 16, until))
    if size > LARGEST or head_size > size:
        raise WireError("a message that is too large")
    body = _exactly(channel, size, until)
    try:
        tree, sizes = json.loads(body[:head_size])
        ends = np.cumsum([head_size, *(int(s) for s in sizes)])
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError("a message that cannot be read") from error
    if min(sizes, default=0) < 0 or ends[-1] != size:
        raise WireError("a message whose sizes do not add up")
    return tree, [body[a:b] for a, b in zip(ends[:-1], ends[1:])]


def _exactly(channel: socket, size: int, until: float) -> bytearray:
    """The next bytes of a channel."""
    got = bytearray()
    while len(got) < size:
        if time.monotonic() > until:
            raise TimeoutError
        piece = channel.recv(min(size - len(got), 1 << 20))
        if not piece:
            raise EOFError
        got += piece
    return got


class Packer:
    """Makes messages out of values, and values out of messages.

    keep: gives a handle to what has no value of its own; returns plain values that name it.
    find: turns those plain values into something to use in its place.
    """

    def __init__(self, keep: Callable[[Any], dict], find: Callable[[dict], Any]) -> None:
        self.keep, self.find = keep, find
        self.tensors: list[Tensor] = []  # those that carry gradients
        self.seen: list[Any] = []  # whatever can be changed in place
        self.swaps: dict[int, Tensor] = {}

    def pack(self, value: Any, buffers: list[bytes], depth: int = 0) -> Any:
        """A value as a tree; the bytes of tensors are appended to `buffers`. Tensors that carry
        gradients are noted in `self.tensors`.
        """
        if depth > DEEPEST:
            raise WireError("a value that is nested too deeply")
        again = lambda v: self.pack(v, buffers, depth + 1)
        for kind in (bool, int, float, str):
            if isinstance(value, kind):
                return kind(value)
        if value is None:
            return None
        if isinstance(value, Tensor):
            return self._tensor(value, buffers)
        if isinstance(value, (np.ndarray, np.generic)) and np.asarray(value).dtype.kind in "biufc":
            array = np.array(value, order="C")
            self.seen.append(value)
            buffers.append(array.tobytes())
            return {"array": [array.dtype.str, list(array.shape), isinstance(value, np.generic)]}
        if isinstance(value, torch.Size):
            return {"size": [int(v) for v in value]}
        for name, group in (("tuple", tuple), ("list", list), ("set", (set, frozenset))):
            if isinstance(value, group):
                return {name: [again(v) for v in value]}
        if isinstance(value, dict):
            return {"dict": [[again(k), again(v)] for k, v in value.items()]}
        return self._other(value, buffers, again)

    def _tensor(self, value: Tensor, buffers: list[bytes]) -> dict:
        data = value.detach()
        self.seen.append(value)
        if data.layout != torch.strided or data.device.type != "cpu":
            data = data.to_dense().cpu()
        data = data.resolve_conj().resolve_neg()
        data = torch.empty(data.shape, dtype=data.dtype).copy_(data)  # plain strides, even of 1
        buffers.append(data.flatten().view(torch.uint8).numpy().tobytes() if data.numel() else b"")
        number = -1
        if value.requires_grad:
            number = len(self.tensors)
            self.tensors.append(value)
        tree = {"tensor": [str(data.dtype), list(data.shape), number]}
        grad = value.grad if value.is_leaf and value.requires_grad else None
        if grad is not None:
            tree["grad"] = self._tensor(grad.detach(), buffers)  # type: ignore[assignment]
        return tree

    def _other(self, value: Any, buffers: list[bytes], again: Callable) -> dict:
        if isinstance(value, torch.Generator):
            tree = {"generator": again(value.get_state())}
            self.seen.append(value)
            return tree
        if isinstance(value, (torch.dtype, torch.device)):
            return {"torch": str(value)}
        if isinstance(value, slice):
            return {"slice": [again(v) for v in (value.start, value.stop, value.step)]}
        if value is Ellipsis:
            return {"ellipsis": 0}
        kind = type(value)
        if dataclasses.is_dataclass(value) and known_class(kind.__module__, kind.__qualname__):
            fields = [f.name for f in dataclasses.fields(value) if f.init]
            named = [[name, again(getattr(value, name))] for name in fields]
            return {"data": [kind.__module__, kind.__qualname__, named]}
        return self.keep(value)

    def unpack(self, tree: Any, buffers: list[bytearray], depth: int = 0) -> Any:
        """The value that a tree stands for."""
        if depth > DEEPEST:
            raise WireError("a value that is nested too deeply")
        if tree is None or isinstance(tree, (bool, int, float, str)):
            return tree
        again = lambda t: self.unpack(t, buffers, depth + 1)
        try:
            (name, inside) = next(iter(tree.items()))
            if name == "tensor":
                return self._to_tensor(tree, buffers)
            if name == "array":
                self.seen.append(_to_array(inside, buffers))
                return self.seen[-1]
            if name in ("tuple", "list", "set"):
                values = [again(t) for t in inside]
                return {"tuple": tuple, "list": list, "set": set}[name](values)
            if name == "dict":
                return {again(k): again(v) for k, v in inside}
            if name == "size":
                return torch.Size(inside)
            if name == "slice":
                return slice(*(again(t) for t in inside))
            if name == "ellipsis":
                return Ellipsis
            if name == "torch":
                return DTYPES[inside] if inside in DTYPES else torch.device(inside)
            if name == "generator":
                made = torch.Generator()
                made.set_state(again(inside))
                self.seen.append(made)
                return made
            if name == "data":
                return _to_data(inside, again)
        except WireError:
            raise
        except Exception as error:
            raise WireError("a value that cannot be read") from error
        return self.find(tree)

    def _to_tensor(self, tree: dict, buffers: list[bytearray]) -> Tensor:
        name, shape, number = tree["tensor"]
        dtype, data = DTYPES[name], buffers.pop(0)
        if not data:
            made = torch.empty(shape, dtype=dtype)
        else:
            made = torch.frombuffer(data, dtype=dtype).reshape(shape)
        if made.numel() * made.element_size() != len(data):
            raise WireError("a tensor whose size is not what it says")
        self.seen.append(made)
        if number >= 0:
            made.requires_grad_()
        if "grad" in tree:
            made.grad = self._to_tensor(tree["grad"], buffers)
        if number >= 0:
            self.tensors.append(made)
        return self.swaps.get(number, made)


def _to_array(inside: list, buffers: list[bytearray]) -> Any:
    kind, shape, single = inside
    dtype = np.dtype(str(kind))
    if dtype.kind not in "biufc":
        raise WireError("an array of a kind that is not taken")
    made = np.frombuffer(buffers.pop(0), dtype=dtype).reshape(shape)
    return made[()] if single else made


def _to_data(inside: list, again: Callable) -> Any:
    module, name, named = inside
    kind = known_class(module, name)
    if kind is None or not dataclasses.is_dataclass(kind):
        raise WireError("a class that is not the library's")
    return kind(**{str(key): again(tree) for key, tree in named})


def known_class(module: str, name: str) -> type | None:
    """A class of the library, or None. Only what is loaded already is looked at."""
    if module == "svr_nb" or module.startswith("svr_nb."):
        kind = getattr(sys.modules.get(module), name, None)
        return kind if isinstance(kind, type) else None
    return None


def known_error(names: list) -> type[Exception]:
    """The first of the classes [module, name] that is an exception of Python or of the library."""
    for module, name in names:
        kind = getattr(builtins, name, None) if module == "builtins" else known_class(module, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
    return Exception
