"""Do what every worker must do, with sockets alone: no HTTP library, no signing, no JSON, no base64.

    python floor.py PORT CA_BUNDLE N SIZE WARM

Reads the source, posts it to the provider, reads the answer, and puts N slices of SIZE bytes of it. What is stored is
not what was sent; it only shows how much of a worker's time is the network's and this machine's.
"""

import json
import socket
import ssl
import sys
import time
from statistics import median

HOST = "127.0.0.1"


class Line:
    """One TLS connection that is kept."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(socket.create_connection((HOST, port)), server_hostname=HOST)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb", 256 * 1024)

    def ask(self, method: str, path: str, body: bytes | memoryview = b"") -> bytes:
        """Send a request and return the body of its answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._socket.sendall(body)
        length = 0
        while (line := self._reader.readline()) not in {b"\r\n", b""}:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer: bytes = self._reader.read(length)
        return answer


def main() -> None:
    """Measure the warm invocations, and print their medians in milliseconds as JSON."""
    port, n, size, warm = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    context = ssl.create_default_context(cafile=sys.argv[2])
    s3, wall, cpu = Line(port, context), [], []
    for number in range(1 + warm):
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        source = s3.ask("GET", f"/uploads-bucket/uploads/floor-{number}.png")
        answer = memoryview(Line(port, context).ask("POST", "/v1/images/edits", source))
        for place in range(n):
            s3.ask("PUT", f"/results-bucket/floor-{number}/{place}.png", answer[place * size : (place + 1) * size])
        s3.ask("PUT", f"/results-bucket/floor-{number}/manifest.json", b"{}")
        wall.append((time.perf_counter() - seconds) * 1000)
        cpu.append((time.process_time() - cpu_seconds) * 1000)
    sys.stdout.write(json.dumps({"warm_ms": median(wall[1:]), "warm_cpu_ms": median(cpu[1:])}) + "\n")


if __name__ == "__main__":
    main()
