"""The room: where a student's code runs, and answers what the grader asks of it.

One process loads the library once and goes behind the walls; each submission gets a fork of it.
Nothing here has ever seen a test: only the student's cells, and the values of each call.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import itertools
import json
import linecache
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import types
from pathlib import Path
from socket import recv_fds, socket
from typing import Any, NoReturn

import numpy as np
import torch

from . import walls
from .wire import LONGEST, Packer, WireError, known_error, receive, send


def main(arguments: list[str]) -> None:
    """Loads what is needed, builds the walls, and opens a room for each submission asked for.

    arguments: number of a socket to the grader; {"modules", "readable", "place", "weak"} as JSON.
    """
    walls.die_with_parent()
    asked, setting = socket(fileno=int(arguments[0])), json.loads(arguments[1])
    problem = ""
    torch.set_num_threads(1)
    try:
        for name in setting["modules"]:
            importlib.import_module(name)
    except Exception as error:
        asked.sendall(json.dumps({"missing": f"{name}: {error}"}).encode())
        return
    torch.ones(64, 64).exp().matmul(torch.ones(64, 64))  # looks up the processor: later it cannot
    try:
        walls.build([Path(p) for p in setting["readable"]], Path(setting["place"]))
    except OSError as error:
        problem = str(error)
    asked.sendall(json.dumps({"problem": problem}).encode())
    if problem and not setting["weak"]:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for number in itertools.count():
        message, handles, _, _ = recv_fds(asked, 1 << 16, 3)
        if not message:
            return
        if os.fork() == 0:
            asked.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keep(json.loads(message), handles, number % 4000, weak=bool(problem))
        for handle in handles:
            os.close(handle)


def keep(order: dict, handles: list[int], number: int, weak: bool) -> NoReturn:
    """Opens one room, waits until it is empty, and says how it ended."""
    walls.die_with_parent()
    folder = walls.weak_scratch() if weak else ""
    if not weak:
        walls.fresh_scratch(order["withheld"], order["limits"]["file"] * 4)
    first = os.fork()
    if first == 0:  # process 1 of its namespace: when it ends, every process in it is killed
        walls.die_with_parent()
        os.setsid()
        watch(order, handles, number)
    os.close(handles[0])
    os.write(handles[1], json.dumps({"pid": first}).encode() + b"\n")
    os.close(handles[1])
    os.waitpid(first, 0)
    if weak:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def watch(order: dict, handles: list[int], number: int) -> NoReturn:
    """Starts the student's process, waits for its end, and reports it."""
    channel, status, output = handles
    student = os.fork()
    if student == 0:
        os.close(status)
        enter(order, channel, output, number)
    os.close(channel)
    while True:
        pid, end = os.wait()
        if pid == student:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = {"end": os.waitstatus_to_exitcode(end), "seconds": used.ru_utime + used.ru_stime}
    os.write(status, json.dumps(said).encode() + b"\n")
    os._exit(0)


def enter(order: dict, channel: int, output: int, number: int) -> NoReturn:
    """Gives up every right, and answers until the grader hangs up."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    empty = os.open("/dev/null", os.O_RDONLY)
    os.dup2(empty, 0)
    line = socket(fileno=os.dup2(channel, 3))
    os.closerange(4, 4096)
    sys.stdout = open(1, "w", buffering=1, errors="replace", closefd=False)
    sys.stderr = open(2, "w", buffering=1, errors="replace", closefd=False)
    if walls.SCRATCH.is_mount():
        os.chdir(walls.SCRATCH)
        for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"):
            os.environ[name] = str(walls.SCRATCH)
        tempfile.tempdir = None  # forgets where it was before
    walls.give_up_rights(number)
    walls.limit(order["limits"])
    forget(order["withheld_modules"])
    with contextlib.suppress(EOFError, OSError, WireError):
        Student(line, order["withheld_modules"]).serve()
    os._exit(0)


def forget(withheld: list[str]) -> None:
    """Makes modules unknown to the student's process, and what others took from them."""
    for name in withheld:
        sys.modules.pop(name, None)
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] != "svr_nb":
            continue
        for key, value in list(vars(module).items()):
            home = value.__name__ if isinstance(value, types.ModuleType) else None
            if (home or getattr(value, "__module__", None)) in withheld:
                delattr(module, key)


class Withheld:
    """Refuses to import what an assignment asks to be written."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Called by Python for every import of something new."""
        if name in self.names:
            raise ImportError(f"{name} is what this assignment asks you to write")


class Student:
    """The student's names, and how they are called from outside."""

    def __init__(self, line: socket, withheld: list[str]) -> None:
        sys.meta_path.insert(0, Withheld(withheld))  # type: ignore[arg-type]
        self.line = line
        self.names = types.ModuleType("__main__")
        sys.modules["__main__"] = self.names
        self.handles: dict[int, Any] = {}
        self.graphs: dict[int, tuple[list, list]] = collections.OrderedDict()
        self.count = itertools.count()

    def serve(self) -> None:
        """Answers one request after another."""
        while True:
            request, buffers = receive(self.line)
            packer = Packer(self.keep, self.find)
            try:
                with torch.set_grad_enabled(request.get("grad", True)):
                    answer, extra = getattr(self, "on_" + request["op"])(request, buffers, packer)
                    out: list[bytes] = []
                    packer.tensors = []
                    tree = packer.pack(answer, out)
                    reply = {"ok": tree, **self.extra(packer, extra, out)}
                send(self.line, reply, out)
            except (EOFError, OSError):
                raise
            except BaseException as error:  # also exit() and an interrupt: they end nothing here
                send(self.line, {"error": said(error)}, [])

    def keep(self, value: Any) -> dict:
        """Keeps what cannot travel, and names it."""
        if isinstance(value, Elsewhere):
            return {"callback": value.number}
        number = next(self.count)
        self.handles[number] = value
        return {"handle": number, "kind": type(value).__name__}

    def find(self, tree: dict) -> Any:
        """What a name of the grader stands for: something kept here, or a function of the tests."""
        if "callback" in tree:
            return Elsewhere(self, int(tree["callback"]))
        return self.handles[int(tree["handle"])]

    def on_run(self, request: dict, buffers: list, packer: Packer) -> tuple[Any, Any]:
        """Runs the cells in order; an error in one does not keep the next from running."""
        vars(self.names)["__name__"] = "__main__"
        for number, source in enumerate(request["cells"]):
            if source is None:
                continue
            send(self.line, {"cell": number}, [])
            try:
                run_cell(source, f"cell {number + 1}", vars(self.names))
            except BaseException as error:
                send(self.line, {"cell": number, "error": said(error)}, [])
        return sorted(k for k in vars(self.names) if not k.startswith("__")), None

    def on_get(self, request: dict, buffers: list, packer: Packer) -> tuple[Any, Any]:
        """The value of a name."""
        return vars(self.names)[request["name"]], None

    def on_call(self, request: dict, buffers: list, packer: Packer) -> tuple[Any, Any]:
        """Calls something, and remembers how its results came about."""
        before = [bytes(b) for b in buffers]
        target, args, named = packer.unpack(request["values"], buffers)
        given, inputs = list(packer.seen), list(packer.tensors)
        result = target(*args, **named)
        if isinstance(result, collections.abc.Iterator):
            result = list(itertools.islice(result, LONGEST))
        return result, (inputs, given, before)

    def on_attribute(self, request: dict, buffers: list, packer: Packer) -> tuple[Any, Any]:
        """An attribute, an item, the length or the list of something kept here."""
        target, name = packer.unpack(request["values"], buffers)
        read = {
            "attribute": lambda: getattr(target, name),
            "item": lambda: target[name],
            "length": lambda: len(target),
            "list": lambda: list(itertools.islice(iter(target), LONGEST)),
        }
        return read[request["what"]](), None

    def on_change(self, request: dict, buffers: list, packer: Packer) -> tuple[Any, Any]:
        """Sets an attribute."""
        target, name, value = packer.unpack(request["values"], buffers)
        setattr(target, name, value)
        return None, None

    def on_backward(self, request: dict, buffers: list, packer: Packer) -> tuple[Any, Any]:
        """Gradients of an earlier call; those of parameters gather here as always."""
        inputs, outputs = self.graphs[request["graph"]]
        arrived = packer.unpack(request["values"], buffers)
        with torch.enable_grad():
            for tensor in inputs:
                tensor.grad = None
            torch.autograd.backward(outputs, arrived, retain_graph=True)
            grads = [t.grad for t in inputs]
            for tensor in inputs:
                tensor.grad = None
        return grads, None

    def extra(self, packer: Packer, how: Any, out: list[bytes]) -> dict:
        """What goes back with a result: which tensors carry gradients through this process, and
        which arguments were changed in place.
        """
        if how is None:
            return {}
        inputs, given, before = how
        own = {id(t) for t in inputs}
        through = [i for i, t in enumerate(packer.tensors) if not t.is_leaf or id(t) in own]
        number = next(self.count)
        self.graphs[number] = (inputs, [packer.tensors[i] for i in through])
        while len(self.graphs) > 5000:
            self.graphs.pop(next(iter(self.graphs)))
        changed = [i for i, (v, b) in enumerate(zip(given, before)) if _bytes(v) != b]
        news = [[i, packer.pack(_plain(given[i]), out)] for i in changed]
        return {"graph": number, "through": through, "changed": news}


def _plain(value: Any) -> Any:
    """An argument as it is now, without its gradient."""
    return value.detach() if isinstance(value, torch.Tensor) else value


def _bytes(value: Any) -> bytes:
    """An argument as it is now, as bytes."""
    if isinstance(value, torch.Generator):
        value = value.get_state()
    if isinstance(value, torch.Tensor):
        value = value.detach().contiguous().flatten()
        return value.view(torch.uint8).numpy().tobytes() if value.numel() else b""
    return np.array(value, order="C").tobytes()


class Elsewhere:
    """A function of the tests, as seen from the room."""

    def __init__(self, student: Student, number: int) -> None:
        self.student, self.number = student, number

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Asks the grader."""
        buffers: list[bytes] = []
        packer = Packer(self.student.keep, self.student.find)
        tree = packer.pack((args, named), buffers)
        send(self.student.line, {"callback": self.number, "values": tree}, buffers)
        reply, came = receive(self.student.line)
        if "error" in reply:
            raise known_error(reply["error"]["kinds"])(reply["error"]["message"])
        return Packer(self.student.keep, self.student.find).unpack(reply["ok"], came)


def run_cell(source: str, name: str, names: dict) -> None:
    """Runs one cell as Jupyter would, without its magic lines."""
    source = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M)
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), names)


def said(error: BaseException) -> dict:
    """An error as plain values: its classes, its message, and where in the student's cells it
    happened.
    """
    where = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("cell ")]
    lines = [f"{f.filename}, line {f.lineno}: {f.line}" for f in where[-3:]]
    kinds = [[k.__module__, k.__qualname__] for k in type(error).__mro__][:10]
    try:
        message = str(error)
    except Exception:
        message = ""
    if isinstance(error, SyntaxError):
        lines.append(f"{error.filename}, line {error.lineno}: {error.text or ''}".rstrip())
    stopped = not isinstance(error, Exception)
    return {"kinds": kinds, "message": message[:2000], "lines": lines, "stopped": stopped}
