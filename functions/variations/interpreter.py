"""Find out how the provider wants to be asked, ask it so, and remember what its refusals taught.

Each correction follows a refusal that cost nothing, so that whatever is sent here costs at most one call.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from . import images
from .dialects.call import ProviderCall
from .dialects.corrections import NO_ROUTE, correct, is_correctable
from .dialects.dialect import SourceForm
from .dialects.known import IN_FRONT, KnownProvider
from .dialects.manner import Manner, resolve
from .errors import Complaint, ProviderError, VariationError
from .model import Adjustment, Answer, Listing, Picture, Take, VariationRequest
from .models_list import warn_of_end

MAX_CORRECTIONS = 3
LISTING_SECONDS = 5.0  # a list of models is worth no longer wait before a picture is made
FORGETTING_SECONDS = 300.0  # after which a provider that could not be listed is asked for its list again


class Provider(Protocol):
    """Who makes the pictures: `provider.Provider`, or a fake."""

    def list_models(self, *, deadline: float) -> Listing:
        """List the models; raise a ProviderError."""

    def send(self, call: ProviderCall, *, deadline: float, take: Take) -> Answer:
        """Send one paid call, and hand on its pictures as they come; raise a ProviderError or ModelNotFound."""


@dataclass
class Interpreter:
    """Knows how one provider is asked, for as long as its container lives."""

    provider: Provider
    known: KnownProvider | None
    parameter: str
    clock: Callable[[], float] = time.time
    _manners: dict[str, Manner] = field(default_factory=dict)
    _listing: tuple[float, Listing] | None = None

    def open(self, request: VariationRequest, picture: Picture, *, deadline: float) -> "Conversation":
        """Begin to ask for variations of a picture.

        Raises:
            ConfigurationError: the stack names a dialect that does not exist, or a provider that cannot.
        """
        listing = self._listed(deadline)
        manner = self._manners.get(request.model) or resolve(self.parameter, self.known, listing, request.model)
        return Conversation(self, request, picture, manner, self._omens(request.model, listing))

    def remember(self, model: str, manner: Manner) -> None:
        """Keep a manner that the provider accepted."""
        self._manners[model] = manner

    def _listed(self, deadline: float) -> Listing:
        """Return what the provider lists, or nothing where it does not say: that is no reason not to ask it."""
        if self._listing is None or self.clock() - self._listing[0] > FORGETTING_SECONDS:
            try:
                listing = self.provider.list_models(deadline=min(deadline, time.monotonic() + LISTING_SECONDS))
            except VariationError:
                listing = Listing()
            self._listing = (self.clock(), listing)
        return self._listing[1]

    def _omens(self, model: str, listing: Listing) -> tuple[str, ...]:
        dying = next((known.shutdown_date for known in listing.models if known.id == model), None)
        warning = warn_of_end(model, dying, datetime.fromtimestamp(self.clock(), UTC).date())
        return (warning,) if warning else ()


@dataclass
class Conversation:
    """One picture's way to its variations: written in the provider's manner, which its refusals may still change."""

    interpreter: Interpreter
    request: VariationRequest
    picture: Picture
    manner: Manner
    warnings: tuple[str, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    _sources: dict[SourceForm, Picture] = field(default_factory=dict)

    def write(self, n: int, seed: int) -> ProviderCall:
        """Write the call for `n` variations.

        Args:
            n: 1 to 10; no more are asked for than the provider makes in one call.
            seed: what servers start from that would make the same pictures again.

        Raises:
            InvalidRequest: the model cannot make what is asked.
        """
        return self._write(self.manner, n, seed)

    def send(self, call: ProviderCall, *, deadline: float, take: Take) -> Answer:
        """Send a call, corrected up to MAX_CORRECTIONS times where the provider says that it wants it otherwise.

        Raises:
            ProviderError, ModelNotFound: as `Provider.send`.
            InvalidRequest: what the provider wants instead cannot be made.
        """
        tried = [call.path]
        while True:
            try:
                answer = self.interpreter.provider.send(call, deadline=deadline, take=take)
            except ProviderError as error:
                better = self._corrected(call, error.complaint) if len(tried) <= MAX_CORRECTIONS else None
                if better is None:
                    raise _with_routes(error, tried) from error.__cause__
                call = better
                tried.append(call.path)
                continue
            if call.n > 1 and answer.came == 1:
                self.manner = self.manner.one_by_one()  # it ignores n: the others are asked for by themselves
            self.interpreter.remember(self.request.model, self.manner)
            return answer

    def _corrected(self, call: ProviderCall, complaint: Complaint | None) -> ProviderCall | None:
        """Return the call as the provider may want it, or None where it means what it says."""
        if complaint is None or not is_correctable(complaint):
            return None
        manner = self.manner  # once, as calls beside this one learn too
        again = self._write(manner, call.n, call.seed)
        if again != call:  # one of them has learnt it meanwhile
            return again
        better = correct(manner, call, complaint)
        if better is None:
            return None
        self.manner = better
        return self._write(better, call.n, call.seed)

    def _write(self, manner: Manner, n: int, seed: int) -> ProviderCall:
        call = manner.write(self.request, self._source(manner.dialect.source), min(n, manner.images_per_call), seed)
        self.adjustments = call.adjustments
        return call

    def _source(self, form: SourceForm) -> Picture:
        if form not in self._sources:
            self._sources[form] = images.prepare(self.picture, form, self.request.dimensions)
        return self._sources[form]


def _with_routes(error: ProviderError, tried: list[str]) -> ProviderError:
    """Say which routes were tried, where the last one is not served either."""
    if error.complaint and error.complaint.status in NO_ROUTE:
        routes = ", ".join(dict.fromkeys(tried))
        error.args = (f"{error.message.rstrip('.')}. Tried: {routes}. If it cannot make variations at all: {IN_FRONT}",)
    return error
