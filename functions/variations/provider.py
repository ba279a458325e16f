"""Talk to the provider: list its models, send a dialect's call, and fetch what was answered as a URL.

Nothing is ever sent twice from here but for one case that was surely not billed: a 401, where there is another key.
Whether a failure may be tried again is a property of the error that is raised.
"""

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from . import remote_pictures
from .dialects.answers import UNREADABLE, AnswerReader
from .dialects.call import ProviderCall
from .dialects.known import KnownProvider
from .dialects.refusals import error_for, request_id_in
from .errors import ModelNotFound, ProviderError, ProviderFailed, ProviderTimeout, VariationError
from .exchange import Read, Reply, Request, exchange, trusted
from .keys import ProviderKey
from .model import Answer, Listing, Take
from .models_list import parse_models, says_nothing_but_names
from .request_body import Body, write_body

LISTING_SECONDS = 300.0  # so long a list of models is kept
MAX_PICTURE_BYTES = 64 * 1024**2  # twice a 4K picture as PNG
NOWHERE = {404, 405, 501}
REFUSED_KEY = 401


@dataclass
class Provider:
    """One provider.

    Args:
        base_url: such as https://api.openai.com/v1; Azure's older form has `?api-version=…` behind.
        key: for it.
        known: what is known of it by its host.
        context: makes what its certificate is checked with.
    """

    base_url: str
    key: ProviderKey
    known: KnownProvider | None = None
    context: Callable[[], ssl.SSLContext] = trusted
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

    def send(self, call: ProviderCall, *, deadline: float, take: Take) -> Answer:
        """Send one paid call, and hand on its pictures as they come.

        Args:
            call: what a dialect built.
            deadline: `time.monotonic()` seconds by which the whole answer must be here.
            take: is given each picture as soon as it is whole, with its place in the answer, from 0. What came before
                a failure was given, and is paid for.

        Raises:
            ProviderUnreachable: nothing was sent, for want of a connection or of time.
            ProviderTimeout: sent, no whole answer in time.
            ProviderBusy, ProviderRefused, ProviderDenied, ModelNotFound: the provider says so.
            ProviderFailed: 5xx, a broken connection, an answer that cannot be read.
        """
        came, links = 0, dict[int, str]()

        def arrive(picture: bytes | str) -> None:
            nonlocal came
            if isinstance(picture, str):
                links[came] = picture  # fetched when the answer is over: nobody would listen to it meanwhile
            else:
                take(came, picture)
            came += 1

        reader = AnswerReader(arrive)
        with self._key_hidden():
            url = self._url(call.path, call.fields.get("model"))
            reply = self._request(url, deadline, write_body(call), reader.feed)
            try:
                rest = reader.finish()
                failures = self._fetch_all(links, deadline, take)
                if failures and len(failures) == came:
                    raise failures[-1]
            except VariationError as error:
                error.provider_request_id = request_id_in(reply.headers)
                raise
        warnings = (*rest.warnings, *(f"{UNREADABLE} {failure.message}" for failure in failures))
        return Answer(came + len(rest.warnings), request_id_in(reply.headers), rest.usage, warnings)

    def _fetch_all(self, links: Mapping[int, str], deadline: float, take: Take) -> list[ProviderError]:
        """Get the pictures that were answered as URLs; return why some of them could not be had."""
        failures = []
        for place, link in links.items():
            try:
                take(place, self._fetch(link, deadline))
            except ProviderError as failure:
                failures.append(failure)
        return failures

    def _lists(self, deadline: float) -> Iterator[bytes]:
        """Yield every list of models that the provider is known to have, the most telling first."""
        *special, plain = self.known.lists if self.known else ("models",)
        for path in special:
            reply = self._exchange(self._url(path), deadline)
            if reply.status not in NOWHERE:
                yield self._checked(reply).body
        body = self._request(self._url(plain), deadline).body
        if not self.known and says_nothing_but_names(body):
            reply = self._exchange(self._url("models/capabilities"), deadline)
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
                return self._request(absolute, deadline).body
            left = deadline - time.monotonic()
            return remote_pictures.fetch(absolute, allowed_hosts=None, max_bytes=MAX_PICTURE_BYTES, seconds=left)
        except ProviderTimeout:
            raise
        except (VariationError, ValueError) as error:
            why = error.message if isinstance(error, VariationError) else error
            raise ProviderFailed(f"An image that the provider made could not be fetched: {why}") from error

    def _url(self, path: str, model: Any = None) -> str:
        """Return the URL of a path; with Azure's older form, the model is a deployment's name within it."""
        base, _, query = self.base_url.partition("?")
        base = base.rstrip("/")
        if query and model and "/deployments/" not in base:
            if model in {".", ".."}:  # percents do not hide them: a server would take them for a way up
                raise ModelNotFound(f"There is no model {model!r}.", param="model")
            base += f"/deployments/{quote(str(model), safe='')}"
        elif query and not model:
            base = base.partition("/deployments/")[0]
        return f"{base}/{path}" + (f"?{query}" if query else "")

    def _request(self, url: str, deadline: float, body: Body | None = None, read: Read | None = None) -> Reply:
        return self._checked(self._exchange(url, deadline, body, read))

    def _exchange(self, url: str, deadline: float, body: Body | None = None, read: Read | None = None) -> Reply:
        """Send a request; and again with another key where ours is refused, which costs nothing."""
        for key in self.key.values():
            reply = exchange(self._write(url, key, body), deadline, read=read, context=self.context)
            if reply.status != REFUSED_KEY:
                break
        return reply

    def _checked(self, reply: Reply) -> Reply:
        if not 200 <= reply.status < 300:
            raise error_for(reply.status, reply.headers, reply.body)
        return reply

    def _write(self, url: str, key: str, body: Body | None) -> Request:
        headers = dict(self.known.headers) if self.known else {}
        if key:
            own = self.known.key_header if self.known else None
            headers |= {own: key} if own else {"Authorization": f"Bearer {key}"}
            self._sent_keys.add(key)
        return Request(url, headers, body)

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
