"""Kernels that start at once. One process imports the packages that nearly every notebook needs and
forks a kernel for each notebook; what a notebook imports of this library it imports anew. Half of
the time of a short notebook was the import of PyTorch.

The kernel's command is a small program that asks the nursery for a child, lends it its streams and
waits for its end, so to Jupyter it looks like any other kernel.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

# Not matplotlib.pyplot: it looks for the notebook when it is imported.
PRELOADED = ["torch", "numpy", "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image"]
PRELOADED += ["scipy.spatial", "scipy.ndimage", "scipy.optimize", "skimage.measure", "numba"]
PRELOADED += [
    "ipywidgets",
    "jaxtyping",
    "safetensors.torch",
    "tqdm.auto",
    "trimesh",
    "huggingface_hub",
]


def ask(path: str, *arguments: str) -> int:
    """The kernel's command: asks for a child and waits until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the child, who is told to end
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        wish = {"argv": arguments, "where": str(Path.cwd()), "environment": dict(os.environ)}
        socket.send_fds(line, [json.dumps(wish).encode() + b"\n"], [1, 2])
        line.recv(1)  # ends when the child does
    return 0


def serve(path: str) -> None:
    """The nursery: imports, then forks for whoever asks, until its own parent is gone."""
    import importlib

    sys.path.pop(0)  # this folder
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # read when ipykernel is imported
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in ["ipykernel.kernelapp", *PRELOADED]:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    _end_with(sys.stdin.buffer)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        print("ready", flush=True)
        while True:
            line, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _become_kernel(line)
            line.close()


def _end_with(stream: Any) -> None:
    """Ends this process as soon as nobody is at the other end of a stream."""

    def watch() -> None:
        stream.read(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _become_kernel(line: socket.socket) -> None:
    """Turns this process into the kernel that was asked for."""
    from ipykernel.kernelapp import IPKernelApp

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, streams, _, _ = socket.recv_fds(line, 1 << 20, 2)
    while not text.endswith(b"\n"):
        text += line.recv(1 << 20)
    wish = json.loads(text)
    for given, own in zip(streams, (1, 2)):
        os.dup2(given, own)
        os.close(given)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(wish["environment"])
    os.chdir(wish["where"])
    _end_with(line.makefile("rb"))
    IPKernelApp.launch_instance(argv=wish["argv"])
    os._exit(0)


@functools.cache
def nursery() -> str:
    """The address of this process's nursery, started with the first call."""
    path = str(Path(tempfile.mkdtemp(prefix="kernels")) / "door")
    command = [sys.executable, __file__, "serve", path]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes)
    assert process.stdout and process.stdin
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.stdin.close)
    return path


def manager_class() -> type:
    """The kernel manager for nbclient; the usual one where processes cannot be forked."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class NurseryManager(AsyncKernelManager):
        """Asks the nursery."""

        @property
        def kernel_spec(self) -> KernelSpec:
            command = [sys.executable, "-S", __file__, "ask", nursery(), "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="nursery", language="python")

    can_fork = hasattr(os, "fork") and hasattr(socket, "send_fds")
    return NurseryManager if can_fork else AsyncKernelManager


if __name__ == "__main__":
    sys.exit({"ask": ask, "serve": serve}[sys.argv[1]](*sys.argv[2:]))
