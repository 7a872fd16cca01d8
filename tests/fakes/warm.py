"""`vesalius` and `python` that start at once: every call is a fork of a process in which torch is imported already.

Run as a script, it serves calls on a socket; `Warm` starts it and writes the commands that call it. What a user types is
run as it is typed, in a process of its own; only the seconds of imports are saved.
"""

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from types import TracebackType

CALL = """#!{python} -IS
import json, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({socket!r})
call = json.dumps([os.getcwd(), dict(os.environ), sys.argv]).encode()
socket.send_fds(link, [len(call).to_bytes(4, "big")], [0, 1, 2])
link.sendall(call)
sys.exit(link.recv(1)[0])
"""


class Warm:
    """A context within which `folder` holds the commands."""

    def __enter__(self) -> "Warm":
        self.folder = Path(tempfile.mkdtemp(prefix="warm"))  # short: the name of a socket holds about 100 letters
        name = str(self.folder / "socket")
        for command in ("vesalius", "python"):
            (self.folder / command).write_text(CALL.format(python=sys.executable, socket=name))
            (self.folder / command).chmod(0o755)
        self.process = subprocess.Popen([sys.executable, __file__, name], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.folder)


def serve(name: str) -> None:
    """Until it is terminated: a fork for each call, whose status goes back."""
    for module in ("train.loop", "features.command", "anatomy.locality", "data.doctor", "data.datasets.phantom"):
        import_module(f"vesalius.{module}")
    for module in ("tyro", "sklearn.metrics", "scipy.sparse", "scipy.stats"):
        import_module(module)
    if hasattr(
        os, "sched_setaffinity"
    ):  # one core: threads that wait for each other are most of the time of a tiny run
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    server = socket.socket(socket.AF_UNIX)
    server.bind(name)
    server.listen()
    print("ready", flush=True)
    while True:
        link, _ = server.accept()
        head, files, _, _ = socket.recv_fds(link, 4, 3)
        with link.makefile("rb") as stream:
            call = json.loads(stream.read(int.from_bytes(head, "big")))
        child = os.fork()
        if not child:
            os._exit(_run(files, *call))
        for file in files:
            os.close(file)
        link.sendall(bytes([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255]))
        link.close()


def _run(files: list[int], folder: str, environment: dict[str, str], words: list[str]) -> int:
    """In the child: do what was called, as the user's own process would; the status of exit."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    try:
        if Path(words[0]).name == "vesalius":
            from vesalius.cli import main

            return main()
        sys.argv = words[1:]
        runpy.run_path(words[1], run_name="__main__")
        return 0
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception:  # noqa: BLE001 - as Python itself: a traceback, and status 1
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
