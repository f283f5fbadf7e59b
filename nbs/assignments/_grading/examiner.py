"""The grader's side: opens rooms, stands in for the student's functions, runs tests, gives marks.

A student's function appears here as a stand-in. Calling it sends the arguments to the room and
waits for the values; gradients flow back the same way. A test reads as if it called the function.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from socket import AF_UNIX, MSG_PEEK, SOCK_STREAM, send_fds, socket, socketpair
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from . import notebooks
from .notebooks import Cell
from .wire import Packer, WireError, known_error, receive, send

LIMITS = {
    "cell": 10,  # seconds of processor time for one cell or one call
    "wait": 60,  # seconds for one cell or one call: more, for a machine that is busy
    "total": 240,  # seconds for one submission
    "processor": 120,  # seconds of processor time of one process
    "memory": 3000,  # MB of addresses of one process; an idle one has 700
    "processes": 4,
    "file": 16,  # MB of one file, and of what is printed
    "starts": 8,  # how often a submission that ended itself is started again
}
NO_ANSWER = "no answer"
COUNTED = 20_000  # characters of printed text that are kept


class GradingError(Exception):
    """Grading cannot begin; the text says why and what to do."""


class Stopped(BaseException):
    """The student's process ended or had to be ended. Not an Exception: no test may swallow it."""


class Building:
    """One process with the library loaded, behind the walls; each submission gets a fork of it.

    book: the assignment's source; its imports are loaded once.
    weak: whether to go on where the system allows no walls.
    Raises GradingError where something cannot be imported, or no walls can be built.
    """

    def __init__(self, book: dict, weak: bool = False) -> None:
        self.withheld = list(notebooks.setting(book, "withheld", []))
        package = package_folder()
        modules = [m for m in notebooks.imported(book) if m not in self.withheld]
        self.place = tempfile.mkdtemp(prefix="svr_walls_")
        readable = [str(package), str(package.parent / "data_samples")]
        setting = {"modules": modules, "readable": readable, "place": self.place, "weak": weak}
        self.line, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        command = "from _grading.door import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, str(theirs.fileno()), json.dumps(setting)],
            pass_fds=[theirs.fileno()],
            env=clean_environment(package),
            stdin=subprocess.DEVNULL,
            cwd="/",  # `-c` imports from where it stands: never from among submissions
        )
        theirs.close()
        self.problem = self._first_word(weak)

    def _first_word(self, weak: bool) -> str:
        """What is missing of the walls; refuses where something cannot be imported."""
        self.line.settimeout(120)
        heard = self.line.recv(1 << 16)
        self.line.settimeout(None)
        said = json.loads(heard) if heard else {"missing": "the process ended while it was loading"}
        if "missing" in said:
            self.close()
            raise GradingError(
                f"the grading environment cannot import {said['missing']}. Nothing was graded: "
                "right answers would have got no marks. Mend the environment (`make setup`)."
            )
        if said["problem"] and not weak:
            self.close()
            raise GradingError(
                f"this system allows no walls around a submission ({said['problem']}): it could "
                "read your files and use the network. Grade as root, or where user namespaces are "
                "allowed; or add WEAK=1 if you trust every student."
            )
        return str(said["problem"])

    def hidden_files(self) -> list[str]:
        """Files of the withheld modules, compiled ones too."""
        found: list[Path] = []
        for name in self.withheld:
            path = package_folder().parent.joinpath(*name.split(".")).with_suffix(".py")
            found += [path, *path.parent.glob(f"__pycache__/{path.stem}.*")]
        return [str(p) for p in found if p.exists()]

    def open(self, limits: dict) -> tuple[socket, int, int]:
        """A new room: a line to it, a pipe that says how it ends, and what it prints."""
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        status, status_in = os.pipe()
        output = os.memfd_create("printed")
        order = {"limits": limits, "withheld": self.hidden_files()}
        order["withheld_modules"] = self.withheld
        send_fds(self.line, [json.dumps(order).encode()], [theirs.fileno(), status_in, output])
        theirs.close()
        os.close(status_in)
        return ours, status, output

    def close(self) -> None:
        """Ends it, and every room with it."""
        self.line.close()
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            Path(self.place).rmdir()

    def __enter__(self) -> Building:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def package_folder() -> Path:
    """Where the library is, without importing it."""
    found = importlib.util.find_spec("svr_nb")
    if found is None or not found.submodule_search_locations:
        raise GradingError("svr_nb is not installed here. Run `make setup`.")
    return Path(list(found.submodule_search_locations)[0]).resolve()


def clean_environment(package: Path) -> dict[str, str]:
    """Nothing of the instructor's environment but where Python finds things."""
    folders = [str(notebooks.HERE), str(package.parent), os.environ.get("GRADING_PATH", "")]
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(filter(None, reversed(folders))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HOME": "/tmp",
        "MPLCONFIGDIR": "/tmp",
        "MPLBACKEND": "agg",
        "LANG": "C.UTF-8",
    }


class Room:
    """One submission: runs its cells, starts them again without the one that ended the process."""

    def __init__(self, building: Building, sources: list[str | None], limits: dict) -> None:
        self.building, self.sources, self.limits = building, list(sources), limits
        self.deadline = time.monotonic() + limits["total"]
        self.problems: dict[int, dict] = {}
        self.names: list[str] = []
        self.functions: dict[int, Callable] = {}
        self.line: socket | None = None
        self.starts, self.life, self.printed = 0, 0, ""
        self.over = ""

    def ready(self) -> None:
        """Makes sure of a process that has run all cells. Raises Stopped if none stays."""
        while self.line is None:
            if self.over or self.starts >= self.limits["starts"]:
                self.over = self.over or f"ended its process {self.starts} times"
                raise Stopped(self.over)
            self.starts += 1
            self.life += 1
            self.line, self.status, self.output = self.building.open(self.limits)
            self.said: dict = {}
            self.cell: int | None = None
            try:
                self.names = self.ask({"op": "run", "cells": self.sources})
                self.cell = None
            except Stopped as error:
                if self.cell is None:
                    raise
                self.problems[self.cell] = {"kinds": [], "message": str(error), "lines": []}
                self.sources[self.cell] = None

    def ask(self, request: dict, values: Any = None, packer: Packer | None = None) -> Any:
        """One request, and its answer; calls of the tests' own functions in between are served."""
        packer = packer or Packer(self.keep, self.find)
        buffers: list[bytes] = []
        request = request | {"values": packer.pack(values, buffers)}
        try:
            assert self.line is not None
            self.line.settimeout(self.limits["wait"])
            send(self.line, request, buffers)
            began, used = time.monotonic(), None
            while True:
                reply, came = self.hear(began, used)
                if "callback" in reply:
                    self.serve(reply, came)
                elif "cell" in reply:
                    self.note(reply)
                    began, used = time.monotonic(), self.computed()
                elif "error" in reply:
                    raise raised(reply["error"])
                else:
                    return self.understand(reply, came, packer)
        except TimeoutError:
            self.end(f"took longer than {self.limits['wait']} s")
        except FromStudent:
            raise
        except (EOFError, OSError):
            self.end("")
        except Exception as error:  # a forged message may be wrong in any way
            wrong = str(error) if isinstance(error, WireError) else "a message that is no answer"
            self.end(f"sent {wrong}")

    def note(self, reply: dict) -> None:
        """The room has begun a cell, or says what went wrong in it."""
        number = int(reply["cell"])
        if not 0 <= number < len(self.sources) or self.sources[number] is None:
            raise WireError("the number of a cell that does not run")
        self.cell = number
        if "error" in reply:
            words(reply["error"])  # raises if it is none
            self.problems.setdefault(number, reply["error"])

    def hear(self, began: float, used: float | None) -> tuple[Any, list[bytearray]]:
        """The next message of the room, unless it takes too long.

        began, used: when the cell or call began, and what the room had computed until then.
        """
        assert self.line is not None
        while True:
            now = time.monotonic()
            if now > self.deadline:
                self.over = f"took longer than {self.limits['total']} s in all"
                self.end(self.over)
            self.line.settimeout(0.5)
            try:
                first = self.line.recv(1, MSG_PEEK)
            except TimeoutError:
                first = None
            if first is not None:
                self.line.settimeout(self.limits["wait"])
                return receive(self.line, min(self.deadline, now + self.limits["wait"]))
            if now - began > self.limits["wait"]:
                self.end(f"took longer than {self.limits['wait']} s")
            used = self.computed() if used is None else used
            if self.computed() - used > self.limits["cell"]:
                self.end(f"used more than {self.limits['cell']} s of processor time")

    def computed(self) -> float:
        """Seconds of processor time of everything in the room."""
        self.said |= hear(self.status, 0.0)
        return processor_seconds(self.said["pid"]) if "pid" in self.said else 0.0

    def understand(self, reply: dict, came: list, packer: Packer) -> Any:
        """An answer as values; tensors that carry gradients are tied to the room's graph."""
        arguments, given = list(packer.tensors), list(packer.seen)
        reader = Packer(self.keep, self.find)
        if reply.get("through"):
            trial = Packer(self.keep, self.find)
            trial.unpack(reply["ok"], [bytearray(b) for b in came])
            numbers = [int(i) for i in reply["through"]]
            outputs = [trial.tensors[i] for i in numbers]
            anchor = torch.zeros((), requires_grad=True)
            with torch.enable_grad():
                tied = Through.apply(self, reply["graph"], outputs, anchor, *arguments)
            reader.swaps = dict(zip(numbers, tied))
        value = reader.unpack(reply["ok"], came)
        for number, tree in reply.get("changed", []):
            change(given[int(number)], Packer(self.keep, self.find).unpack(tree, came))
        return value

    def serve(self, reply: dict, came: list) -> None:
        """Calls a function of the tests for the room."""
        assert self.line is not None
        args, named = Packer(self.keep, self.find).unpack(reply["values"], came)
        out: list[bytes] = []
        try:
            result = self.functions[int(reply["callback"])](*args, **named)
            answer: dict = {"ok": Packer(self.keep, self.find).pack(result, out)}
        except Exception as error:
            kinds = [[k.__module__, k.__qualname__] for k in type(error).__mro__]
            answer, out = {"error": {"kinds": kinds, "message": str(error)}}, []
        send(self.line, answer, out)

    def keep(self, value: Any) -> dict:
        """Names a stand-in, or a function of the tests, for the room."""
        if isinstance(value, StandIn):
            number, life = object.__getattribute__(value, "_at")
            if life != self.life:
                raise Stopped("ended its process, and what it had made was lost")
            return {"handle": number}
        if callable(value):
            self.functions[len(self.functions)] = value
            return {"callback": len(self.functions) - 1}
        raise TypeError(f"a test cannot hand a {type(value).__name__} to the student's code")

    def find(self, tree: dict) -> Any:
        """A stand-in for what stays in the room."""
        return StandIn(self, int(tree["handle"]), str(tree["kind"]))

    def end(self, reason: str) -> None:
        """Kills the room, with everything in it, and raises Stopped with the reason."""
        said = self.clear()
        raise Stopped(reason or how_it_ended(said, self.limits))

    def clear(self) -> dict:
        """Ends the process if it still runs; keeps what it printed; returns how it ended."""
        if self.line is None:
            return {}
        self.line.close()
        self.line = None
        said = self.said | hear(self.status, 0.3)
        if "end" not in said and "pid" in said:
            with contextlib.suppress(ProcessLookupError):
                os.kill(said["pid"], signal.SIGKILL)
            if self.building.problem:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(said["pid"], signal.SIGKILL)
        os.close(self.status)
        self.printed = os.pread(self.output, COUNTED, 0).decode(errors="replace")
        os.close(self.output)
        return said


def change(target: Any, new: Any) -> None:
    """Does to an argument what the student's code did to its copy."""
    if isinstance(target, torch.Generator):
        target.set_state(new.get_state())
    elif isinstance(target, torch.Tensor) and target.shape == new.shape:
        with torch.no_grad():
            target.copy_(new)
    elif hasattr(target, "setflags") and target.shape == new.shape and target.flags.writeable:
        target[...] = new


def hear(pipe: int, patience: float) -> dict:
    """What a room said about its process so far."""
    text, until = b"", time.monotonic() + patience
    os.set_blocking(pipe, False)
    while True:
        try:
            piece = os.read(pipe, 1 << 16)
        except BlockingIOError:
            if time.monotonic() >= until:
                break
            time.sleep(0.005)
            continue
        if not piece:
            break
        text += piece
        if b'"end"' in text:
            break
    said: dict = {}
    for line in text.splitlines():
        said |= json.loads(line)
    return said


def processor_seconds(pid: int) -> float:
    """Processor time of a process and of all that it started, as far as they still run."""
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = sum(int(n) for n in numbers[11:15]) / os.sysconf("SC_CLK_TCK")
    return own + sum(processor_seconds(int(child)) for child in below)


def how_it_ended(said: dict, limits: dict) -> str:
    """The end of a process in words."""
    end = said.get("end")
    if end is None:
        return "ended its process"
    if said.get("seconds", 0) >= limits["processor"] - 1:
        return f"used more than {limits['processor']} s of processor time"
    if end < 0:
        return f"crashed its process ({signal.Signals(-end).name})"
    return f"ended its process (exit code {end})"


class FromStudent(Exception):
    """Mixed into every error that a student's code raised."""

    lines: list[str] = []


def raised(error: dict) -> BaseException:
    """An error of the room, as one of the same class here."""
    message = str(error.get("message", ""))[:2000]
    if error.get("stopped"):
        return Stopped(f"raised {error['kinds'][0][1]}" if error.get("kinds") else "stopped")
    kind = known_error(error.get("kinds", []))
    made: Exception
    bases = (FromStudent,) if kind is Exception else (kind, FromStudent)
    name = str(error["kinds"][0][1])[:60] if error.get("kinds") else "Exception"
    try:
        made = type(name, bases, {})(message)
    except TypeError:
        made = FromStudent(message)
    made.lines = [str(line)[:300] for line in error.get("lines", [])]  # type: ignore[attr-defined]
    return made


class StandIn:
    """Stands for a function, a class or an object that is in the room."""

    def __init__(self, room: Room, number: int, kind: str) -> None:
        object.__setattr__(self, "_room", room)
        object.__setattr__(self, "_at", (number, room.life))
        object.__setattr__(self, "_kind", kind)

    def _ask(self, request: dict, values: Any) -> Any:
        room = object.__getattribute__(self, "_room")
        return room.ask(request | {"grad": torch.is_grad_enabled()}, values)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._ask({"op": "call"}, (self, args, named))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask({"op": "attribute", "what": "attribute"}, (self, name))

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask({"op": "change"}, (self, name, value))

    def __getitem__(self, key: Any) -> Any:
        return self._ask({"op": "attribute", "what": "item"}, (self, key))

    def __len__(self) -> int:
        return int(self._ask({"op": "attribute", "what": "length"}, (self, "")))

    def __iter__(self) -> Iterator:
        return iter(self._ask({"op": "attribute", "what": "list"}, (self, "")))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<the student's {object.__getattribute__(self, '_kind')}>"


class Through(torch.autograd.Function):
    """Lets gradients flow through a call in the room."""

    @staticmethod
    def forward(ctx: Any, room: Room, graph: int, outputs: list, *inputs: Any) -> Any:
        """The outputs, as they came."""
        ctx.room, ctx.graph, ctx.life = room, graph, room.life
        ctx.needed = len(inputs) - 1
        return tuple(o.detach().clone() for o in outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        """Asks the room for the gradients of the inputs."""
        if ctx.life != ctx.room.life or ctx.room.line is None:
            raise Stopped("ended its process, and its gradients were lost")
        found = ctx.room.ask({"op": "backward", "graph": ctx.graph}, list(grads))
        return (None, None, None, None, *found[: ctx.needed])


@dataclass
class Outcome:
    """What one test cell, or one question, came to."""

    name: str
    points: float
    marks: float | None  # None: waits for a person
    reason: str = ""


@dataclass
class Report:
    """What a submission came to."""

    outcomes: list[Outcome] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    seconds: float = 0.0

    @property
    def marks(self) -> float:
        """All that tests gave."""
        return sum(o.marks or 0.0 for o in self.outcomes)

    @property
    def by_test(self) -> dict[str, float]:
        """Marks by grade_id, without what waits for a person."""
        return {o.name: o.marks for o in self.outcomes if o.marks is not None}

    def as_dict(self) -> dict:
        """Plain values, for a file."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict) -> Report:
        """The inverse of `as_dict`."""
        values = values | {"outcomes": [Outcome(**o) for o in values["outcomes"]]}
        return Report(**values)


def examine(building: Building, book: dict, submission: dict, limits: dict | None = None) -> Report:
    """Runs a submission and gives its marks.

    building: made for `book`.
    book: the source with the tests; what the submission says about tests does not count.
    submission: the student's notebook, as `notebooks.read` returns it.
    limits: what differs from LIMITS.
    """
    began = time.monotonic()
    own = notebooks.setting(book, "limits", {})
    room = Room(building, to_run(book, submission), {**LIMITS, **own, **(limits or {})})
    report = Report(answers=answers(book, submission))
    try:
        try:
            room.ready()
        except Stopped as error:
            report.problems.append(str(error))
        names = setup(book)
        for cell in notebooks.cells(book):
            if cell.role == "question":
                report.outcomes.append(hand_mark(cell, report.answers))
            elif cell.role == "test":
                report.outcomes.append(run_test(room, cell, names, book))
    finally:
        room.clear()
    report.problems += [f"cell {i + 1}: {words(p)}" for i, p in sorted(room.problems.items())]
    report.printed = room.printed
    report.seconds = round(time.monotonic() - began, 3)
    return report


def to_run(book: dict, submission: dict) -> list[str | None]:
    """The cells that run in the room: given cells as they were given, the student's as they are.

    Tests and pictures do not run there. Given cells that were deleted come first.
    """
    given = {c.name: c for c in notebooks.cells(book) if c.name}
    found: list[str | None] = []
    present = set()
    for cell in notebooks.cells(submission):
        known = given.get(cell.name)
        present.add(cell.name)
        if cell.kind != "code" or "picture" in cell.tags or (known and known.role == "test"):
            found.append(None)
        else:
            found.append(known.source if known and known.role == "setup" else cell.source)
    code = lambda c: c.role == "setup" and c.kind == "code"
    lost = [c.source for c in given.values() if code(c) and c.name not in present]
    return [*lost, *found]


def answers(book: dict, submission: dict) -> dict[str, str]:
    """What the student wrote where a person gives the marks."""
    wanted = {c.name for c in notebooks.cells(book) if c.role == "question"}
    return {c.name: c.source[:20_000] for c in notebooks.cells(submission) if c.name in wanted}


def hand_mark(cell: Cell, given: dict[str, str]) -> Outcome:
    """A question waits for a person, unless nothing was written."""
    text = given.get(cell.name, "").strip()
    if text in ("", notebooks.ANSWER):
        return Outcome(cell.name, cell.points, 0.0, NO_ANSWER)
    return Outcome(cell.name, cell.points, None, "marked by hand")


def setup(book: dict) -> dict:
    """The given cells, run here for the tests."""
    names: dict[str, Any] = {"__name__": "__tests__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in notebooks.cells(book):
            if cell.role == "setup" and cell.kind == "code" and "picture" not in cell.tags:
                exec(compile(cell.source, f"given {cell.name}", "exec"), names)
    return names


def run_test(room: Room, cell: Cell, names: dict, book: dict) -> Outcome:
    """One test cell: all of its points, or none and a reason."""
    try:
        room.ready()
        for name in notebooks.solution_names(book):
            names.pop(name, None)
            if name in room.names:
                names[name] = room.ask({"op": "get", "name": name})
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(cell.source, f"test {cell.name}", "exec"), names)
    except Stopped as error:
        return Outcome(cell.name, cell.points, 0.0, f"your code {error}")
    except Exception as error:
        return Outcome(cell.name, cell.points, 0.0, reason(cell, error))
    return Outcome(cell.name, cell.points, cell.points)


def reason(cell: Cell, error: Exception) -> str:
    """Why a test gave no marks, without a line of a hidden test."""
    if isinstance(error, FromStudent):
        where = f" ({'; '.join(error.lines)})" if error.lines else ""
        if isinstance(error, NotImplementedError) and not str(error):
            return f"not written yet{where}"[:600]
        return f"your code raised {type(error).__name__}: {error}{where}"[:600]
    text = str(error)
    if isinstance(error, AssertionError):
        text = text or ("a hidden test failed" if failed_hidden(cell, error) else "a test failed")
        return text[:600]
    if failed_hidden(cell, error):
        return f"a hidden test could not use what your code returned ({type(error).__name__})"
    return f"{type(error).__name__}: {text}"[:600]


def failed_hidden(cell: Cell, error: Exception) -> bool:
    """Whether the line of the test cell that failed is one of the hidden lines."""
    lines, inside, hidden = cell.source.splitlines(), False, set()
    for number, line in enumerate(lines, 1):
        inside = (inside or "BEGIN HIDDEN TESTS" in line) and "END HIDDEN TESTS" not in line
        if inside:
            hidden.add(number)
    trace, last = error.__traceback__, 0
    while trace:
        if trace.tb_frame.f_code.co_filename == f"test {cell.name}":
            last = trace.tb_lineno
        trace = trace.tb_next
    return last in hidden


def words(problem: dict) -> str:
    """An error of a student's cell in one line."""
    kind = f"{problem['kinds'][0][1]}: " if problem.get("kinds") else ""
    where = f" ({'; '.join(map(str, problem['lines']))})" if problem.get("lines") else ""
    return f"{kind}{problem.get('message', '')}{where}"[:600]
