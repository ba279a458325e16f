"""Start the stub in a process of its own, and tell it what to play."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunningStub:
    """A stub that is up: on `port`, over TLS where `bundle` names what to trust."""

    port: int
    bundle: Path | None

    @property
    def origin(self) -> str:
        """Return its URL without a path."""
        return f"{'https' if self.bundle else 'http'}://127.0.0.1:{self.port}"

    def play(self, n: int, size: int, *, put_latency: float = 0, bandwidth: float = 0) -> list[str]:
        """Set the scene, and return the SHA-256 of each picture that the provider sends.

        Args:
            n: pictures in an answer.
            size: bytes of each.
            put_latency: seconds that S3 takes for a PUT.
            bandwidth: bytes a second that come from the provider; 0 is no limit.
        """
        scenario = {"n": n, "size": size, "put_latency": put_latency, "bandwidth": bandwidth}
        hashes: list[str] = self._ask("POST", "/_scenario", json.dumps(scenario))
        return hashes

    def take_stored(self) -> list[dict[str, Any]]:
        """Return what was stored since the last time: key, type, bytes and sha256 of each object, in order."""
        stored: list[dict[str, Any]] = self._ask("GET", "/_stored")
        return stored

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if self.bundle:
            context = ssl.create_default_context(cafile=self.bundle)
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        try:
            connection.request(method, path, body)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def running_stub(certificate: Path | None = None, bundle: Path | None = None) -> Iterator[RunningStub]:
    """Start a stub and end it again.

    Args:
        certificate: PEM with its key and certificate; without one it speaks plain HTTP.
        bundle: PEM of the authorities to trust, the stub's own among them.
    """
    command = [sys.executable, "-m", "tests.bench.stub", *(["--certificate", str(certificate)] if certificate else [])]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield RunningStub(json.loads(process.stdout.readline())["port"], bundle)
        process.stdin.close()


def check_stored(stored: list[dict[str, Any]], sent: list[str], invocations: int) -> None:
    """Compare what was stored, byte for byte by its SHA-256, with what the provider has sent.

    Raises:
        ValueError: a picture is missing, changed, out of order or there twice; or a manifest is missing.
    """
    pictures: dict[str, list[tuple[str, str]]] = {}
    for entry in stored:
        folder, _, name = entry["key"].rpartition("/")
        pictures.setdefault(folder, []).append((name, entry["sha256"]))
    wanted = [(f"variation-{number:02}.png", sha256) for number, sha256 in enumerate(sent, 1)]
    if len(pictures) != invocations:
        raise ValueError(f"{invocations} invocations stored {len(pictures)} sets of pictures.")
    for folder, entries in pictures.items():
        *images, (last, _) = entries
        if last != "manifest.json" or sorted(images) != wanted:
            raise ValueError(f"What is stored below {folder} is not what the provider sent.")
