"""Start and stop background processes, remembered on disk so that `make down` finds them another day.

Each runs in a process group of its own, with its output in a log file, and is ended by that group: the emulator
has children of its own, one per busy Lambda function.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OUTLIVING: list[subprocess.Popen[bytes]] = []  # Popen would warn when it forgets a child that still runs
START_SECONDS = 60.0
STOP_SECONDS = 5.0


class StackError(Exception):
    """The local stack cannot do what was asked; the message is one plain sentence for the terminal."""


@dataclass(frozen=True)
class Process:
    """A background process called `name`, whose log and record lie in `folder`."""

    folder: Path
    name: str

    @property
    def log(self) -> Path:
        """Return the file that has everything the process printed."""
        return self.folder / f"{self.name}.log"

    @property
    def _record(self) -> Path:
        return self.folder / f"{self.name}.json"

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it in the background, with exactly this environment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            child = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        OUTLIVING.append(child)
        self._record.write_text(json.dumps([child.pid, _birth(child.pid)]))

    def is_running(self) -> bool:
        """Tell whether it still runs, and not another process that got its number since."""
        pid, born = self._read()
        return bool(born) and _birth(pid) == born

    def wait_until_healthy(self, url: str) -> None:
        """Wait until `url` answers 200.

        Raises:
            StackError: the process ended, or START_SECONDS have passed.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.is_running():
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
            time.sleep(0.05)
        raise StackError(f"The {self.name} did not start. Its log, {self.log}, ends with:\n{self.last_lines()}")

    def last_lines(self, count: int = 8) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self) -> None:
        """End it and all of its children: politely, and after STOP_SECONDS without asking."""
        pid, born = self._read()
        if self.is_running():
            os.killpg(pid, signal.SIGTERM)
            _wait_for_end(pid, born)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # the process if it would not, and children that outlived it
            _wait_for_end(pid, born)
        for child in OUTLIVING:
            child.poll()  # those that have ended need no warning
        self._record.unlink(missing_ok=True)

    def _read(self) -> tuple[int, str]:
        try:
            pid, born = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return 0, ""
        return pid, born


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _birth(pid: int) -> str:
    """Return when a process was started, "" if there is none: with its number, that names it for good."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if it is a child of ours that ended, let it go
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()


def _wait_for_end(pid: int, born: str) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and _birth(pid) == born:
        time.sleep(0.05)
