"""`make` in an empty folder, with a Python that is forked from one that has its imports already."""

from __future__ import annotations

import json
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.helpers.commands import ROOT
from tests.helpers.forked import ForkedCommand

MAKE_READS = ("Makefile", "pyproject.toml", "constraints.txt")
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as link:
    link.connect(sys.argv[1])
    asked = {"words": sys.argv[2:], "environment": dict(os.environ)}
    link.sendall(json.dumps(asked).encode() + b"\\n")
    ended = json.loads(link.makefile().readline())
sys.stderr.write(ended["stderr"])
sys.stdout.write(ended["stdout"])
sys.exit(ended["code"])
"""
"""Says what `python -m MODULE ...` is asked to do, waits, and prints what came of it."""


class ForkedPython:
    """Puts a checkout's Makefile and a `.venv/bin/python` into a folder; `make` installs nothing there.

    What it starts runs in the folder, and dies with whoever has started it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in MAKE_READS:
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv/bin").mkdir(parents=True)
        self.outside = tempfile.TemporaryDirectory()  # a socket's path may be a hundred letters long
        self.address = str(Path(self.outside.name) / "socket")
        client = Path(self.outside.name) / "client.py"
        client.write_text(CLIENT)
        python = folder / ".venv/bin/python"
        python.write_text(
            f'#!/bin/sh\nexec {shlex.join([sys.executable, "-SE", str(client), self.address])} "$@"\n'
        )
        python.chmod(0o755)
        (folder / ".venv/.ready").touch()

    def __enter__(self) -> ForkedPython:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.address)
        self.server.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.server.close()
        self.outside.cleanup()

    def shell(
        self, words: Sequence[str], environment: dict[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder."""
        return subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=seconds
        )

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._run, args=(link,), daemon=True).start()

    def _run(self, link: socket.socket) -> None:
        with link, tempfile.TemporaryDirectory(dir=self.outside.name) as logs:
            asked = json.loads(link.makefile().readline())
            dash_m, module, *arguments = asked["words"]
            assert dash_m == "-m"
            process = ForkedCommand(module, arguments, self.folder, asked["environment"], Path(logs))
            while process.running:
                if select.select([link], [], [], 0.05)[0]:  # it has no more to say: it is gone
                    process.send(signal.SIGKILL)
            ended = process.finished(10)
            answer = {"code": ended.returncode, "stdout": ended.stdout, "stderr": ended.stderr}
            with suppress(BrokenPipeError):
                link.sendall(json.dumps(answer).encode() + b"\n")
