"""A second device without a second device: tensors that live on the processor but say "meta", and
refuse whatever a graphics card would refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
MIXED = {
    aten.copy_,
    aten._to_copy,
    aten.index,
    aten.index_put,
    aten.index_put_,
    aten._index_put_impl_,
    aten._unsafe_index,
}


class Elsewhere(torch.Tensor):
    """A tensor on the other device; `held` is where its numbers really are."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Elsewhere:
        found = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),  # type: ignore[attr-defined]
            dtype=held.dtype,
            device="meta",
        )
        found.held = held
        return found

    def tolist(self) -> Any:
        """As a graphics card does: the numbers come over."""
        return self.held.tolist()

    def numpy(self, **options: Any) -> Any:
        """Refused, as there."""
        raise TypeError("cannot turn a tensor on the other device into an array; use .cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def check(func: Any, leaves: list[Any], there: bool) -> None:
    """Refuses tensors of two devices, and a generator of the wrong one."""
    theirs = [x for x in leaves if isinstance(x, Elsewhere)]
    ours = [
        x
        for x in leaves
        if isinstance(x, torch.Tensor)
        and not isinstance(x, Elsewhere)
        and (x.dim() or x.device.type == "meta")
    ]
    if any(x.device.type == "meta" for x in ours):
        raise RuntimeError(f"{func}: a tensor that was made past this device")
    first = next((x for x in leaves if isinstance(x, torch.Tensor)), None)
    if (
        theirs
        and ours
        and (
            func.overloadpacket not in MIXED
            or func.overloadpacket is aten.index
            and not isinstance(first, Elsewhere)
        )
    ):
        raise RuntimeError(
            f"{func}: tensors on two devices, {[tuple(x.shape) for x in theirs]} there and {[tuple(x.shape) for x in ours]} here"
        )
    if (theirs or there) and any(isinstance(x, torch.Generator) for x in leaves):
        raise RuntimeError(f"{func}: a generator of the processor for a tensor on the other device")


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, on the processor; its result is on the device on which it would have been."""
    leaves, device = tree_leaves((args, kwargs)), kwargs.get("device")
    there = device is not None and torch.device(device).type == "meta"
    check(func, leaves, there)
    inner_args, inner = tree_map_only(Elsewhere, lambda x: x.held, (args, kwargs))
    if there:
        inner["device"] = torch.device("cpu")
    found = func(*inner_args, **inner)
    if not there and (device is not None or not any(isinstance(x, Elsewhere) for x in leaves)):
        return found
    if func.overloadpacket is aten.copy_:
        return args[0]
    return return_and_correct_aliasing(
        func,
        args,
        kwargs,
        tree_map_only(
            torch.Tensor,
            lambda x: Elsewhere(x if x.layout is torch.strided else x.to_dense()),
            found,
        ),
    )


def along(index: Any) -> Any:
    """An index, whose tensors and lists go over to the tensor they look into."""
    if isinstance(index, tuple):
        return tuple(along(part) for part in index)
    if isinstance(index, list):
        index = torch.tensor(index)
    return (
        index.to("meta")
        if isinstance(index, torch.Tensor) and not isinstance(index, Elsewhere)
        else index
    )


class _Making(TorchFunctionMode):
    """Python numbers become tensors without an operation that could be seen above."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return Elsewhere(args[0].held.new_tensor(*args[1:], **kwargs))
        if (
            func in (torch.tensor, torch.as_tensor)
            and torch.device(kwargs.get("device") or "cpu").type == "meta"
            and not isinstance(args[0], torch.Tensor)
        ):
            return func(*args, **kwargs | {"device": "cpu"}).to("meta")
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(
            args[0], Elsewhere
        ):
            return func(args[0], along(args[1]), *args[2:])
        if func in (torch.sparse.mm, torch.Tensor.coalesce) and isinstance(
            args[0], Elsewhere
        ):  # sparse matrices are dense ones there
            return args[0] if len(args) == 1 else args[0] @ args[1]
        return func(*args, **kwargs)


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


@contextmanager
def other_device() -> Iterator[str]:
    """Inside, the name that it gives is a device that computes."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Making(), _Mode():
            yield "meta"
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
