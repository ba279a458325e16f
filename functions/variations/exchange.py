"""Exchange one HTTP request and its whole answer with a provider by a deadline, and translate every failure once.

requests and urllib3 bound single reads, not the whole: so a second thread ends an exchange that drips, and a large
picture gets more time to go out than a connection to be made.
"""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from .errors import ProviderFailed, ProviderTimeout, ProviderUnreachable

CONNECT_SECONDS = 5.0
SEND_SECONDS = 120.0  # for up to 50 MB, between a short connect timeout and the long wait for an answer
MAX_ANSWER_BYTES = 256 * 1024**2  # ten 4K pictures as base64 are 200 MB; more than this is no answer
CHUNK_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read whole; the names of its headers are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    deadline: float,
    *,
    new_session: Callable[[], requests.Session] = requests.Session,
    **content: Any,
) -> Reply:
    """Send one request on a fresh connection and read its answer.

    A connection that slept with its container is often dead, and a POST that dies on it looks as if it had been
    billed; so none is kept.

    Args:
        method: GET or POST.
        url: absolute.
        headers: to send.
        deadline: `time.monotonic()` seconds by which the whole answer must be here.
        new_session: makes the session of this one exchange.
        content: `files`, `json` or nothing, as requests takes it.

    Raises:
        ProviderUnreachable: nothing was sent, for want of a connection or of time.
        ProviderTimeout: sent, no whole answer in time.
        ProviderFailed: a connection cut, or an answer that is no HTTP or too large.
    """
    if deadline <= time.monotonic():
        raise ProviderUnreachable("There was no time left to ask the provider; nothing was sent.")
    with (
        _translated(urlsplit(url).hostname or ""),
        _patient(new_session()) as session,
        session.request(
            method,
            url,
            headers={"User-Agent": "image-variations", "Connection": "close", **headers},
            timeout=(CONNECT_SECONDS, _seconds_left(deadline)),
            allow_redirects=False,  # a redirected POST loses its body, and the key goes to another host
            stream=True,
            **content,
        ) as response,
    ):
        return Reply(response.status_code, response.headers, _read(response.raw, deadline))


def _patient(session: requests.Session) -> requests.Session:
    # No .netrc that replaces our key, no proxy from a variable somebody left behind.
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, _PatientAdapter())
    return session


def _read(raw: urllib3.HTTPResponse, deadline: float) -> bytes:
    """Read a body whole, but by the deadline however slowly it drips, and within MAX_ANSWER_BYTES."""
    body = bytearray()
    # A read blocks for as long as the whole call might have taken, so a second thread wakes it in time.
    alarm = threading.Timer(_seconds_left(deadline), _wake, [raw])
    alarm.start()
    try:
        while chunk := raw.read1(CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ProviderFailed(f"The provider's answer is larger than {MAX_ANSWER_BYTES >> 20} MiB.")
    except urllib3.exceptions.HTTPError:
        _seconds_left(deadline)  # the alarm looks like a broken connection
        raise
    finally:
        alarm.cancel()
    _seconds_left(deadline)  # a body without a length just ends
    return bytes(body)


def _wake(raw: urllib3.HTTPResponse) -> None:
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # it may have ended this very moment
        raw.shutdown()


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ProviderTimeout(TIMED_OUT)
    return left


TIMED_OUT = (
    "The provider did not answer in time. The call may have been billed, so it is not repeated; "
    "ask for fewer or smaller pictures, or for a faster model."
)
CUT_OFF = (
    "The provider closed the connection before its answer was complete. The call may have been billed, so it is "
    "not repeated."
)


@contextlib.contextmanager
def _translated(host: str) -> Iterator[None]:
    """Turn every exception of requests and urllib3 into the error tree, the most specific first."""
    try:
        yield
    except requests.ConnectionError as error:
        if _was_never_sent(error):
            raise ProviderUnreachable(
                f"No connection to the provider at {host}: {_reason(error)}. Check ProviderBaseUrl."
            ) from error
        raise ProviderFailed(CUT_OFF) from error
    except (requests.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise ProviderTimeout(TIMED_OUT) from error
    except urllib3.exceptions.ProtocolError as error:
        raise ProviderFailed(CUT_OFF) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise ProviderFailed(f"The provider's answer cannot be read ({type(error).__name__}).") from error


def _was_never_sent(error: requests.ConnectionError) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, urllib3.exceptions.SSLError):  # only the handshake surely precedes the request
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _reason(error: requests.ConnectionError) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate is not accepted"
    if isinstance(error, requests.ConnectTimeout):
        return f"it did not pick up within {CONNECT_SECONDS:g} seconds"
    return "its name is not known, or nothing listens there"


class _PatientHTTPConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(SEND_SECONDS)  # urllib3 gives the upload no longer than the connecting


class _PatientHTTPSConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(SEND_SECONDS)


class _PatientHTTPPool(HTTPConnectionPool):
    ConnectionCls = _PatientHTTPConnection


class _PatientHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PatientHTTPSConnection


class _PatientAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PatientHTTPPool, "https": _PatientHTTPSPool}
