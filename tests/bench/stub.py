"""Play the provider, S3 and every other AWS service on one port: `python -m tests.bench.stub`.

Prints `{"port": ...}`, and ends when its input does. Runs in a process of its own, on the standard library alone.
Threads and not asyncio, whose TLS copies every byte once more. The bodies of PUTs are kept as they came: unwrapping
and hashing them waits until the runner asks.

Routes of the runner's: `POST /_scenario {"n", "size", "put_latency", "bandwidth"}` answers the SHA-256 of the
pictures; `GET /_stored` answers what was stored since then, and forgets it.
"""

import argparse
import hashlib
import io
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from tests.bench.aws import JsonServices
from tests.bench.pictures import make_answer, make_picture
from tests.bench.wire import BUFFER_BYTES, Request, read_chunks, read_request, send

SOURCE = make_picture(0, 1024**2)
MODELS = {
    "object": "list",
    "data": [
        {"id": name, "object": "model", "created": 1745517030, "owned_by": "system"}
        for name in ("gpt-4.1", "gpt-image-1", "gpt-image-1-mini", "text-embedding-3-small")
    ],
}
JSON_TYPES = {"Content-Type": "application/json"}
S3_TYPES = {"x-amz-request-id": "4442587FB7D0A2F9"}
NO_SUCH_KEY = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>Not here.</Message></Error>"
SWITCH_SECONDS = 0.0005  # a thread that has an answer to write waits no longer for one that computes


@dataclass
class Scenario:
    """What the provider sends, and how slow the network is: seconds for a PUT, bytes a second from the provider."""

    n: int = 1
    size: int = 1_572_864
    put_latency: float = 0.0
    bandwidth: float = 0.0


@dataclass
class Stub:
    """The servers, and what they were told and given."""

    scenario: Scenario = field(default_factory=Scenario)
    services: JsonServices = field(default_factory=JsonServices)
    puts: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes, float]:
        """Answer one request: status, headers, body, and the bandwidth for it."""
        if request.path.startswith("/_"):
            return 200, JSON_TYPES, json.dumps(self._command(request)).encode(), 0
        if target := request.headers.get("x-amz-target"):
            return 200, JSON_TYPES, self.services.answer(target, bytes(request.body)), 0
        if request.path.startswith("/v1/"):
            return self._answer_as_provider(request)
        return *self._answer_as_s3(request), 0

    def _command(self, request: Request) -> Any:
        if request.path == "/_scenario":
            self.scenario = Scenario(**json.loads(request.body))
            n, size = self.scenario.n, self.scenario.size
            make_answer(n, size)
            self._take_puts()
            return [hashlib.sha256(make_picture(seed, size)).hexdigest() for seed in range(1, n + 1)]
        return [_describe(put) for put in self._take_puts()]

    def _take_puts(self) -> list[Request]:
        puts, self.puts, self.services = self.puts, [], JsonServices()
        return puts

    def _answer_as_provider(self, request: Request) -> tuple[int, dict[str, str], bytes, float]:
        if request.path == "/v1/models":
            return 200, JSON_TYPES, json.dumps(MODELS).encode(), 0
        if request.path != "/v1/images/edits":
            return 404, JSON_TYPES, b'{"error":{"message":"No such route."}}', 0
        body = make_answer(self.scenario.n, self.scenario.size)
        return 200, {**JSON_TYPES, "x-request-id": "req_bench"}, body, self.scenario.bandwidth

    def _answer_as_s3(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if request.method == "PUT":
            self.puts.append(request)
            time.sleep(self.scenario.put_latency)
            return 200, {**S3_TYPES, "ETag": '"00000000000000000000000000000000"'}, b""
        if request.method == "GET" and request.path.partition("?")[0].endswith(".png"):
            types = {"Content-Type": "image/png", "ETag": '"8c304ea31ca2e9102ca0c602e1f467d7"'}
            return 200, {**S3_TYPES, **types, "Last-Modified": "Sun, 22 Nov 2026 18:05:11 GMT"}, SOURCE
        return 404, {**S3_TYPES, "Content-Type": "application/xml"}, NO_SUCH_KEY  # such as the presets of a folder


def _describe(put: Request) -> dict[str, Any]:
    """Say what a PUT has stored, without the frames and the checksum that the SDKs wrap it in."""
    body = put.body
    if "aws-chunked" in put.headers.get("content-encoding", ""):
        body = read_chunks(io.BytesIO(body))
    return {
        "key": unquote(urlsplit(put.path).path),
        "type": put.headers.get("content-type"),
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def _converse(connection: socket.socket, stub: Stub, context: ssl.SSLContext | None) -> None:
    """Answer the requests of one connection until its peer goes away."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        with connection, cast("BinaryIO", connection.makefile("rb", BUFFER_BYTES)) as reader:
            while request := read_request(reader, connection):
                status, headers, body, bandwidth = stub.answer(request)
                send(connection, status, headers, body, bandwidth)
                if request.headers.get("connection") == "close":
                    return
    except OSError:
        return  # a worker ends with its connections open


def serve(listener: socket.socket, converse: Callable[[socket.socket], None]) -> None:
    """Give every connection a thread of its own."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=converse, args=[connection], daemon=True).start()


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", help="PEM with key and certificate; without it, plain HTTP is spoken")
    parser.add_argument("--put-latency", type=float, default=0, metavar="MS")
    parser.add_argument("--provider-bandwidth", type=float, default=0, metavar="MB/S")
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    context = None
    if arguments.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate)
    slow = Scenario(put_latency=arguments.put_latency / 1000, bandwidth=arguments.provider_bandwidth * 1e6)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    converse = partial(_converse, stub=Stub(slow), context=context)
    threading.Thread(target=serve, args=[listener, converse], daemon=True).start()
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
