"""Talk to the provider: list its models, send a dialect's call, and fetch what was answered as a URL.

Nothing is ever sent twice from here but for one case that was surely not billed: a 401 right after the key was
rotated. Whether a failure may be tried again is a property of the error that is raised.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests

from . import remote_pictures
from .dialects.answers import UNREADABLE, parse_answer
from .dialects.call import ProviderCall
from .dialects.known import KnownProvider
from .dialects.refusals import error_for, request_id_in
from .errors import ProviderError, ProviderFailed, ProviderTimeout, VariationError
from .exchange import Reply, exchange
from .keys import ProviderKey
from .model import Answer, Listing
from .models_list import parse_models, says_nothing_but_names

LISTING_SECONDS = 300.0  # so long a list of models is kept
MAX_PICTURE_BYTES = 64 * 1024**2  # twice a 4K picture as PNG
NOWHERE = {404, 405, 501}


@dataclass
class Provider:
    """One provider.

    Args:
        base_url: such as https://api.openai.com/v1; Azure's older form has `?api-version=…` behind.
        key: for it.
        known: what is known of it by its host.
        new_session: makes the HTTP session of one exchange.
    """

    base_url: str
    key: ProviderKey
    known: KnownProvider | None = None
    new_session: Callable[[], requests.Session] = requests.Session
    _sent_keys: set[str] = field(default_factory=set, repr=False)
    _listing: tuple[float, Listing] | None = field(default=None, repr=False)

    def list_models(self, *, deadline: float) -> Listing:
        """List what the provider offers, as it was at most LISTING_SECONDS ago.

        Args:
            deadline: `time.monotonic()` seconds by which the answer must be here.

        Raises:
            ProviderError: as for `send`.
        """
        if self._listing and time.monotonic() - self._listing[0] < LISTING_SECONDS:
            return self._listing[1]
        with self._key_hidden():
            listing = parse_models(*self._lists(deadline))
        self._listing = (time.monotonic(), listing)
        return listing

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
        with self._key_hidden():
            reply = self._request("POST", self._url(call.path, call.fields.get("model")), deadline, **_content(call))
            try:
                return self._read_answer(reply, deadline)
            except VariationError as error:
                error.provider_request_id = request_id_in(reply.headers)
                raise

    def _read_answer(self, reply: Reply, deadline: float) -> Answer:
        parsed = parse_answer(reply.body)
        images, warnings = [], list(parsed.warnings)
        failure: VariationError | None = None
        for image in parsed.images:
            try:
                images.append(image if isinstance(image, bytes) else self._fetch(image, deadline))
            except ProviderError as error:
                failure = error
                warnings.append(f"{UNREADABLE} {error.message}")
        if failure and not images:
            raise failure
        return Answer(tuple(images), request_id_in(reply.headers), parsed.usage, tuple(warnings))

    def _lists(self, deadline: float) -> Iterator[bytes]:
        """Yield every list of models that the provider is known to have, the most telling first."""
        *special, plain = self.known.lists if self.known else ("models",)
        for path in special:
            reply = self._exchange("GET", self._url(path), deadline)
            if reply.status not in NOWHERE:
                yield self._checked(reply).body
        body = self._request("GET", self._url(plain), deadline).body
        if not self.known and says_nothing_but_names(body):
            reply = self._exchange("GET", self._url("models/capabilities"), deadline)
            if reply.status == 200:
                yield reply.body
        yield body

    def _fetch(self, url: str, deadline: float) -> bytes:
        """Get a picture that was answered as a URL: with our key from the provider's own origin, else without.

        The call that made it is paid for, so however this fails, it must not look as if nothing had been billed.
        """
        try:
            absolute = urljoin(self.base_url, url)
            if urlsplit(absolute)[:2] == urlsplit(self.base_url)[:2]:
                return self._request("GET", absolute, deadline).body
            left = deadline - time.monotonic()
            return remote_pictures.fetch(absolute, allowed_hosts=None, max_bytes=MAX_PICTURE_BYTES, seconds=left)
        except ProviderTimeout:
            raise
        except (VariationError, ValueError) as error:
            raise ProviderFailed(f"An image that the provider made could not be fetched: {error}") from error

    def _url(self, path: str, model: Any = None) -> str:
        """Return the URL of a path; with Azure's older form, the model is a deployment's name within it."""
        base, _, query = self.base_url.partition("?")
        base = base.rstrip("/")
        if query and model and "/deployments/" not in base:
            base += f"/deployments/{quote(str(model), safe='')}"
        elif query and not model:
            base = base.partition("/deployments/")[0]
        return f"{base}/{path}" + (f"?{query}" if query else "")

    def _request(self, method: str, url: str, deadline: float, **content: Any) -> Reply:
        return self._checked(self._exchange(method, url, deadline, **content))

    def _exchange(self, method: str, url: str, deadline: float, **content: Any) -> Reply:
        key = self.key.value()
        reply = self._once(method, url, key, deadline, content)
        if reply.status == 401:
            self.key.secret.refresh()
            if self.key.value() != key:
                reply = self._once(method, url, self.key.value(), deadline, content)
        return reply

    def _checked(self, reply: Reply) -> Reply:
        if not 200 <= reply.status < 300:
            raise error_for(reply.status, reply.headers, reply.body)
        return reply

    def _once(self, method: str, url: str, key: str, deadline: float, content: dict[str, Any]) -> Reply:
        headers = dict(self.known.headers) if self.known else {}
        if key:
            own = self.known.key_header if self.known else None
            headers |= {own: key} if own else {"Authorization": f"Bearer {key}"}
            self._sent_keys.add(key)
        return exchange(method, url, headers, deadline, new_session=self.new_session, **content)

    @contextlib.contextmanager
    def _key_hidden(self) -> Iterator[None]:
        """Keep the key out of errors, should the provider quote it."""
        try:
            yield
        except VariationError as error:
            # Those that were sent, as the secret may hold another by now; and asking it again could fail, and hide
            # that the call may have been billed.
            for key in set(self._sent_keys):
                error.args = (error.message.replace(key, "[key]"),)
            raise


def _content(call: ProviderCall) -> dict[str, Any]:
    """Return a call's body as requests takes it."""
    if call.picture is None:
        return {"json": call.fields}
    part = (call.picture_name, call.picture.content, call.picture.content_type)
    # Everything in `files`, as a request without fields must be multipart too.
    return {"files": [(name, (None, value)) for name, value in call.fields.items()] + [(call.picture_field, part)]}
