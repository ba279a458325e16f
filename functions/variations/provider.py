"""Talk HTTP to the provider: send a dialect's call, read the answer, translate every failure once.

Nothing is ever sent twice from here but for one case that was surely not billed: a 401 right after the key was
rotated. Whether a failure may be tried again is a property of the error that is raised.
"""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from .dialects.answers import parse_answer
from .dialects.call import ProviderCall
from .errors import ProviderFailed, ProviderTimeout, ProviderUnreachable, VariationError
from .keys import ProviderKey
from .model import Answer, ImageModel
from .models_list import parse_models
from .patience import PatientAdapter
from .refusals import error_for

CONNECT_SECONDS = 5.0
MAX_ANSWER_BYTES = 256 * 1024**2  # ten 4K pictures as base64 are 200 MB; more than this is no answer
CHUNK_BYTES = 1024**2


@dataclass
class Provider:
    """One provider: a base URL such as https://api.openai.com/v1, and the key for it."""

    base_url: str
    key: ProviderKey
    session: requests.Session = field(default_factory=requests.Session)
    _sent_keys: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        # No .netrc that replaces our key, no proxy from a variable somebody left behind.
        self.session.trust_env = False
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, PatientAdapter())

    def list_models(self, *, deadline: float) -> list[ImageModel]:
        """List what the provider offers.

        Args:
            deadline: `time.monotonic()` seconds by which the answer must be here.

        Raises:
            ProviderError: as for `send`.
        """
        with self._key_hidden():
            _, body = self._request("GET", self._url("models"), deadline=deadline)
            return parse_models(body)

    def send(self, call: ProviderCall, *, deadline: float) -> Answer:
        """Send one paid call and read its pictures.

        Args:
            call: what a dialect built.
            deadline: `time.monotonic()` seconds by which the whole answer must be here.

        Raises:
            ProviderUnreachable: nothing was sent, for want of a connection or of time.
            ProviderTimeout: sent, no whole answer in time.
            ProviderBusy, ProviderRefused, ProviderDenied, ModelNotFound: the provider says so.
            ProviderFailed: 5xx, a broken connection, an answer that cannot be read.
        """
        part = (call.picture_name, call.picture.content, call.picture.content_type)
        # Everything in `files`, as a request without fields must be multipart too.
        files = [(name, (None, value)) for name, value in call.fields.items()] + [(call.picture_field, part)]
        with self._key_hidden():
            response, body = self._request("POST", self._url(call.path), deadline=deadline, files=files)
            parsed = parse_answer(body)
            images = [image if isinstance(image, bytes) else self._fetch(image, deadline) for image in parsed.images]
        return Answer(tuple(images), response.headers.get("x-request-id"), parsed.usage)

    @contextlib.contextmanager
    def _key_hidden(self) -> Iterator[None]:
        """Keep the key out of errors, should the provider quote it."""
        try:
            yield
        except VariationError as error:
            # Those that were sent, as the secret may hold another by now; and asking it again could fail, and hide
            # that the call may have been billed.
            for key in self._sent_keys:
                error.args = (error.message.replace(key, "[key]"),)
            raise

    def _fetch(self, url: str, deadline: float) -> bytes:
        """Get an image that was answered as a URL, from the provider's own origin and from nowhere else.

        The call that made it is paid for, so however this fails, it must not look as if nothing had been billed.
        """
        try:
            absolute = urljoin(self.base_url, url)
            if urlsplit(absolute)[:2] != urlsplit(self.base_url)[:2]:
                raise ProviderFailed(f"The provider put its image on another host ({urlsplit(absolute).hostname}).")
            return self._request("GET", absolute, deadline=deadline)[1]
        except ProviderTimeout:
            raise
        except (VariationError, ValueError) as error:
            raise ProviderFailed(f"An image that the provider made could not be fetched: {error}") from error

    def _url(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}/{path}"

    def _request(self, method: str, url: str, *, deadline: float, **content: Any) -> tuple[requests.Response, bytes]:
        key = self.key.value()
        response, body = self._once(method, url, key, deadline, content)
        if response.status_code == 401:
            self.key.secret.refresh()
            if self.key.value() != key:
                response, body = self._once(method, url, self.key.value(), deadline, content)
        if response.status_code != 200:
            raise error_for(response.status_code, response.headers, body)
        return response, body

    def _once(
        self, method: str, url: str, key: str, deadline: float, content: dict[str, Any]
    ) -> tuple[requests.Response, bytes]:
        # A connection that slept with its container is often dead, and a POST that dies on it looks as if it had
        # been billed: every call gets a fresh one.
        headers = {"User-Agent": "image-variations", "Connection": "close"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
            self._sent_keys.add(key)
        if deadline <= time.monotonic():
            raise ProviderUnreachable("There was no time left to ask the provider; nothing was sent.")
        with (
            _translated(urlsplit(url).hostname or ""),
            self.session.request(
                method,
                url,
                headers=headers,
                timeout=(CONNECT_SECONDS, _seconds_left(deadline)),
                allow_redirects=False,  # a redirected POST loses its body, and the key goes to another host
                stream=True,
                **content,
            ) as response,
        ):
            body = _read(response.raw, deadline)
        self.session.close()  # requests would keep the connection, whatever the header says
        return response, body


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
