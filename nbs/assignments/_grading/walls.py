"""Walls around the room: a file system of its own, no network, another user, limits.

All of it is Linux, without any tool but the C library: a new root that holds only what Python
needs, read-only; empty network and process tables; then limits, and no right to undo any of it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

NEW_FILES, NEW_HOST, NEW_QUEUES, NEW_USER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
NEW_PROCESSES, NEW_NETWORK = 0x20000000, 0x40000000
READ_ONLY, NO_SUID, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
DEATH_SIGNAL, NO_NEW_RIGHTS = 1, 38
C = ctypes.CDLL(None, use_errno=True)
FIRST_USER = 61_000
SCRATCH = Path("/room")  # not /tmp: Python or the course may be somewhere in it


def check(result: int) -> None:
    """Raises the error of a call into the C library."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(
    source: str, target: Path, kind: str | None = None, flags: int = 0, more: str = ""
) -> None:
    """Mounts a file system, or shows a folder in another place."""
    text = lambda value: None if value is None else os.fsencode(value)
    check(C.mount(text(source), text(str(target)), text(kind), flags, text(more)))


def show(path: Path, root: Path) -> None:
    """Makes a folder or file readable under a new root, in the same place."""
    place = root / path.relative_to("/")
    if place.is_mount() or place.is_symlink() or not path.exists():
        return
    if path.is_symlink() and path.parent == Path("/"):
        place.symlink_to(path.readlink())
        return
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    mount(str(path.resolve()), place, flags=BIND | RECURSIVE)
    kept = os.statvfs(place).f_flag & 0b1110  # no suid, no devices, no programs: may not be undone
    if not str(path).startswith("/dev/"):
        mount("none", place, flags=BIND | REMOUNT | READ_ONLY | NO_SUID | kept)


def needed(extra: list[Path]) -> list[Path]:
    """What Python needs in order to run: programs, libraries, itself, and the folders named."""
    python = [Path(sys.base_prefix), Path(sys.prefix), Path(sys.base_prefix).resolve()]
    sites = [Path(p) for p in sys.path if p.endswith(("-packages", ".zip", "lib-dynload"))]
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/fonts"]
    devices = [f"/dev/{name}" for name in ("null", "zero", "urandom", "random")]
    found = [*map(Path, system), *python, *sites, *map(Path, devices), *extra]
    return [p for i, p in enumerate(found) if p.exists() and not _inside(p, found[:i])]


def _inside(path: Path, others: list[Path]) -> bool:
    return any(path.is_relative_to(other) for other in others)


def build(extra: list[Path], place: Path) -> None:
    """Moves this process behind walls for good: a new root, no network.

    extra: folders that may be read there too.
    place: an empty folder to build the new root in.
    Raises OSError where the system does not allow it.
    """
    apart = NEW_FILES | NEW_HOST | NEW_QUEUES | NEW_NETWORK
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        check(C.unshare(apart))
    else:
        check(C.unshare(apart | NEW_USER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    mount("none", Path("/"), flags=RECURSIVE | PRIVATE)
    mount("tmpfs", place, "tmpfs", NO_SUID, "mode=755,size=1m")
    for path in needed(extra):
        show(path, place)
    place.joinpath(*SCRATCH.parts[1:]).mkdir()
    if not (place / "tmp").exists():
        (place / "tmp").symlink_to(SCRATCH)
    # Where there is only one user, a submission owns this root: it may leave nothing for the next.
    mount("none", place, flags=BIND | REMOUNT | READ_ONLY | NO_SUID)
    os.chroot(place)
    os.chdir("/")


def fresh_scratch(withheld: list[str], megabytes: int) -> None:
    """In a forked process behind the walls: a scratch folder of its own, own process numbers for
    what it starts, and nothing in the place of the files that are withheld.
    """
    check(C.unshare(NEW_FILES | NEW_PROCESSES))
    mount("tmpfs", SCRATCH, "tmpfs", NO_SUID, f"mode=1777,size={megabytes}m")
    for path in withheld:
        if Path(path).exists():
            mount("/dev/null", Path(path), flags=BIND)


def weak_scratch() -> str:
    """Without walls: at least an empty folder to work in."""
    folder = tempfile.mkdtemp(prefix="svr_room_")
    os.chmod(folder, 0o777)  # noqa: PTH101
    os.chdir(folder)
    return folder


def die_with_parent() -> None:
    """No process outlives the grader."""
    C.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def give_up_rights(number: int) -> None:
    """Becomes a user that owns nothing and may do nothing, for good."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setgid(FIRST_USER + number)
            os.setuid(FIRST_USER + number)
        except OSError:
            pass  # inside a user's own namespace there is only one user
    check(C.prctl(NO_NEW_RIGHTS, 1, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    check(C.capset(header, (ctypes.c_uint32 * 6)()))
    C.prctl(4, 0, 0, 0, 0)  # nobody may look into its memory


def limit(limits: dict) -> None:
    """Bounds memory, time, processes, files and open files of this process and its children."""
    megabyte = 1 << 20
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory"] * megabyte),
        (resource.RLIMIT_CPU, limits["processor"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file"] * megabyte),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
