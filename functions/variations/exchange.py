"""Exchange one HTTP request and its answer by a deadline, and translate every failure once.

Timeouts of sockets bound single reads, not the whole: so a second thread ends an exchange that drips, and a large
picture gets more time to go out than a connection to be made.
"""

import contextlib
import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from urllib.parse import quote, urlsplit

import certifi
import urllib3

from .errors import ProviderFailed, ProviderTimeout, ProviderUnreachable
from .request_body import Body

CONNECT_SECONDS = 5.0
SEND_SECONDS = 120.0  # for up to 50 MB, between a short connect timeout and the long wait for an answer
MAX_ANSWER_BYTES = 256 * 1024**2  # ten 4K pictures as base64 are 200 MB; more than this is no answer
PIECE_BYTES = 16 * 1024  # of one TLS record, which is all that one read brings
CHUNK_BYTES = 256 * 1024  # of pieces that are handed on together
SAFE = "!#$%&'()*+,/:;=?@[]~"  # what may stand in a URL as it is: RFC 3986, 2.2 and 2.3
TIMED_OUT = (
    "The provider did not answer in time. The call may have been billed, so it is not repeated; "
    "ask for fewer or smaller pictures, or for a faster model."
)
CUT_OFF = (
    "The provider closed the connection before its answer was complete. The call may have been billed, so it is "
    "not repeated."
)
# A connection that slept with its container is often dead, and a POST that dies on it looks as if it had been billed;
# so none is kept. And what is base64 for the most part is not worth the time to unpack it.
HEADERS = {
    "User-Agent": "image-variations",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
Read = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Request:
    """A POST of a body to an absolute URL, or a GET of it; with an `address`, its host is looked up no more."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: Body | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; the names of its headers are case-insensitive, its body is empty where it went elsewhere."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return what provider certificates are checked with: loading the authorities takes 15 ms, so once is enough."""
    return ssl.create_default_context(cafile=certifi.where())


def exchange(
    request: Request,
    deadline: float,
    *,
    read: Read | None = None,
    context: Callable[[], ssl.SSLContext] = trusted,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> Reply:
    """Send a request on a fresh connection and read its answer.

    Redirects are not followed: a redirected POST loses its body, and the key would go to another host.

    Args:
        request: to send.
        deadline: `time.monotonic()` seconds by which the whole answer must be here.
        read: is given the body of a 2xx answer in pieces, as it comes; without it the reply has it.
        context: makes what certificates are checked with.
        max_bytes: of the body; of a larger one, `read` gets a little more.

    Raises:
        ProviderUnreachable: nothing was sent, for want of a connection or of time.
        ProviderTimeout: sent, no whole answer in time.
        ProviderFailed: a connection cut, or an answer that is no HTTP or too large.
    """
    if deadline <= time.monotonic():
        raise ProviderUnreachable("There was no time left to ask the provider; nothing was sent.")
    with (
        contextlib.closing(_connect(request, context, deadline)) as connection,
        _woken(connection, deadline),
        _translated(deadline),
    ):
        _send(connection, request, deadline)
        with contextlib.closing(connection.getresponse()) as response:
            headers, content = urllib3.HTTPHeaderDict(response.getheaders()), bytearray()
            is_good = 200 <= response.status < 300
            _read(response, headers, read if read and is_good else content.extend, max_bytes)
            _seconds_left(deadline)  # a body without a length just ends
            return Reply(response.status, headers, bytes(content))


def _connect(request: Request, context: Callable[[], ssl.SSLContext], deadline: float) -> HTTPConnection:
    """Connect, and shake hands: whatever fails here, nothing was sent."""
    place, timeout = urlsplit(request.url), min(CONNECT_SECONDS, _seconds_left(deadline))
    host, tls = place.hostname or "", context() if place.scheme == "https" else None
    connection = HTTPSConnection(host, place.port, context=tls) if tls else HTTPConnection(host, place.port)
    try:
        connection.sock = socket.create_connection((request.address or host, connection.port), timeout)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            connection.sock = tls.wrap_socket(connection.sock, server_hostname=host)  # all of it within the timeout
    except (OSError, UnicodeError) as error:
        connection.close()
        raise ProviderUnreachable(
            f"No connection to the provider: {_reason(error)}. Check ProviderBaseUrl.", detail=host
        ) from error
    return connection


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its TLS certificate is not accepted"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS as it should"
    if isinstance(error, TimeoutError):
        return f"it did not pick up within {CONNECT_SECONDS:g} seconds"
    return "its name is not known, or nothing listens there"


@contextlib.contextmanager
def _woken(connection: HTTPConnection, deadline: float) -> Iterator[None]:
    """End whatever is still read or written on a connection when the deadline has come."""
    alarm = threading.Timer(max(0.0, deadline - time.monotonic()), _shut_down, [connection.sock])
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended this very moment
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which would go on reading without decrypting


def _send(connection: HTTPConnection, request: Request, deadline: float) -> None:
    """Send a request; one that the provider stops listening to may be answered all the same."""
    headers, body = {**HEADERS, **request.headers}, request.body
    if body:
        headers |= {"Content-Type": body.content_type, "Content-Length": str(len(body))}
    place = urlsplit(request.url)
    target = quote((place.path or "/") + (f"?{place.query}" if place.query else ""), SAFE, errors="replace")
    connection.sock.settimeout(SEND_SECONDS)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST" if body else "GET", target, body, headers)
    connection.sock.settimeout(_seconds_left(deadline))


def _read(response: HTTPResponse, headers: Mapping[str, str], take: Read, max_bytes: int) -> None:
    """Read a body within a number of bytes, and hand on all that comes of it, whatever happens then."""
    source: HTTPResponse | urllib3.HTTPResponse = response
    if "Content-Encoding" in headers:  # though we did not ask for it
        source = urllib3.HTTPResponse(response, headers, preload_content=False)
    pieces, total = list[bytes](), 0
    try:
        while piece := source.read1(PIECE_BYTES):
            pieces.append(piece)
            total += len(piece)
            if total > max_bytes:
                raise ProviderFailed(f"The provider's answer is larger than {max_bytes >> 20} MiB.")
            if len(pieces) * PIECE_BYTES >= CHUNK_BYTES:
                chunk, pieces = b"".join(pieces), []
                take(chunk)
    finally:
        take(b"".join(pieces))
    if response.length or (response.length is None and "Content-Length" in headers and not response.chunked):
        raise IncompleteRead(b"", response.length)


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ProviderTimeout(TIMED_OUT)
    return left


@contextlib.contextmanager
def _translated(deadline: float) -> Iterator[None]:
    """Turn every exception after the request began to go out into the error tree."""
    try:
        yield
    except (OSError, HTTPException, urllib3.exceptions.HTTPError) as error:
        if isinstance(error, TimeoutError | urllib3.exceptions.ReadTimeoutError) or time.monotonic() >= deadline:
            raise ProviderTimeout(TIMED_OUT) from error
        if isinstance(error, OSError | HTTPException | urllib3.exceptions.ProtocolError | urllib3.exceptions.SSLError):
            raise ProviderFailed(CUT_OFF) from error
        raise ProviderFailed(f"The provider's answer cannot be read ({type(error).__name__}).") from error
