"""Speak HTTP/1.1 as a server: read a request whole, write an answer, as quickly as Python allows.

Bodies go from the socket into their final place without a loop over chunks in between, as the server shares the
machine with what it measures.
"""

import socket
import time
from dataclasses import dataclass
from typing import BinaryIO

BUFFER_BYTES = 256 * 1024
SLICE_BYTES = 64 * 1024
BURST_BYTES = 1024**2  # what lies in the buffers of a network when a reader was away for a moment
REASONS = {200: "OK", 404: "Not Found"}


@dataclass(frozen=True)
class Request:
    """A request, read whole; the names of its headers are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytearray


def read_request(reader: BinaryIO, connection: socket.socket) -> Request | None:
    """Read the next request of a connection, or return None where the peer has closed it."""
    line = reader.readline().split()
    if len(line) != 3:
        return None
    headers = {}
    while b":" in (header := reader.readline()):
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("expect") == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding") == "chunked":
        body = read_chunks(reader)
    else:
        body = bytearray(int(headers.get("content-length", 0)))
        reader.readinto(body)  # type: ignore[attr-defined]
    return Request(line[0].decode(), line[1].decode(), headers, body)


def read_chunks(reader: BinaryIO) -> bytearray:
    """Read a body in chunks, those of HTTP or of aws-chunked, and pass over what trails behind the last one."""
    body = bytearray()
    while size := int(reader.readline().partition(b";")[0], 16):
        body += reader.read(size)
        reader.readline()
    while reader.readline().strip():
        pass
    return body


def send(connection: socket.socket, status: int, headers: dict[str, str], body: bytes, bandwidth: float = 0) -> None:
    """Write an answer, its body at `bandwidth` bytes a second (0: as fast as it goes)."""
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in {"Content-Length": str(len(body)), **headers}.items())
    if len(body) < SLICE_BYTES:
        connection.sendall(head.encode() + b"\r\n" + body)
        return
    connection.sendall(head.encode() + b"\r\n")
    if bandwidth:
        _send_slowly(connection, memoryview(body), bandwidth)
    else:
        connection.sendall(body)


def _send_slowly(connection: socket.socket, body: memoryview, bandwidth: float) -> None:
    due = time.monotonic()
    for start in range(0, len(body), SLICE_BYTES):
        connection.sendall(body[start : start + SLICE_BYTES])
        # Who reads too slowly does not get back later what the line could have carried meanwhile.
        due = max(due, time.monotonic() - BURST_BYTES / bandwidth) + SLICE_BYTES / bandwidth
        time.sleep(max(0.0, due - time.monotonic()))
