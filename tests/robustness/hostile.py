"""Deterministic damage to files, and the rule that a damaged file gives a result or one clear
error.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from svr_nb.conventions import SvrError

CASES = int(os.environ.get("SVR_HOSTILE", "300"))
NUMBERS = (
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e309",
    b"1000000000",
    b"99999999999999999999",
    b"",
    b"x",
    b"-0.0",
    b"4294967295",
)
WORDS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3B9ACA00, 0x7FC00000, 0x7F800000)


def _bytes(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Some bytes set to anything."""
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        data[place] = rng.integers(0, 256)
    return data


def _header(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A telling 32-bit word somewhere in the first 200 bytes, in either byte order."""
    place = int(rng.integers(0, max(1, min(200, len(data) - 4))))
    data[place : place + 4] = int(rng.choice(WORDS)).to_bytes(4, rng.choice(["little", "big"]))
    return data


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The beginning only."""
    return data[: rng.integers(1, max(2, len(data)))]


def _moved(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A piece taken out, doubled or put elsewhere."""
    start, length, target = (int(rng.integers(0, len(data))) for _ in range(3))
    piece = data[start : start + min(length, 4000)]
    rest = data[:start] + data[start + len(piece) :]
    return [rest, data[:start] + piece + data[start:], rest[:target] + piece + rest[target:]][
        rng.integers(3)
    ]


def _number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """One number of a text replaced by an awkward one."""
    lines = bytes(data).split(b"\n")
    line = int(rng.integers(0, min(len(lines), 12) if rng.random() < 0.5 else len(lines)))
    words = lines[line].split(b" ")
    words[rng.integers(0, len(words))] = NUMBERS[rng.integers(0, len(NUMBERS))]
    lines[line] = b" ".join(words)
    return bytearray(b"\n".join(lines))


def _lines(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A line of a text lost or doubled."""
    lines = bytes(data).split(b"\n")
    line = int(rng.integers(0, len(lines)))
    lines[line : line + 1] = [lines[line]] * int(rng.integers(0, 2) * 2)
    return bytearray(b"\n".join(lines))


def damaged(data: bytes, *seed: int) -> bytes:
    """The same damage for the same numbers: one to three of the ways above, one after the other."""
    rng, broken = np.random.default_rng(seed), bytearray(data)
    ways: list[Callable] = [_bytes, _header, _cut, _moved, _number, _lines]
    for _ in range(int(rng.integers(1, 4))):
        broken = ways[rng.integers(0, len(ways))](broken, rng) or bytearray(b"\0")
    return bytes(broken)


class TooSlow(BaseException):
    """Not an Exception, so that nobody catches it by mistake."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stops what runs longer."""

    def stop(*_: object) -> None:
        raise TooSlow(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(
    action: Callable[..., object], name: str, *given: object, seconds: float = 10.0
) -> object | None:
    """What an action returns, or None if it refused with exactly one clear error; anything else is
    a failure.
    """
    with time_limit(seconds):
        try:
            return action(*given)
        except SvrError as error:
            text = str(error)
            assert name in text, f"does not name {name}: {text}"
            assert (
                "expected" in text
                and "got" in text
                and "\n" not in text
                and "Traceback" not in text
            ), text
            assert len(text) < 700, text
            return None


def peak_memory() -> float:
    """Most memory this process has used so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform != "darwin" else 2**20
    )
