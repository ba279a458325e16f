"""Decide how a provider is asked for a model, and say why: the parameter, the host, its list, the model, or usage."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..errors import ConfigurationError
from ..model import MAX_N, Listing, Picture, VariationRequest
from .call import ProviderCall
from .dialect import Dialect
from .edits import EDITS
from .edits_json import EDITS_JSON
from .edits_local import EDITS_LOCAL
from .generations import ARK, LOCALAI, TOGETHER
from .known import KnownProvider, known_by_name
from .openrouter import OPENROUTER
from .variations import VARIATIONS
from .xai import XAI

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (EDITS, EDITS_JSON, EDITS_LOCAL, VARIATIONS, XAI, TOGETHER, LOCALAI, ARK, OPENROUTER)
}
LEGACY_MODELS = re.compile(r"(^|/)dall-e-2$")  # knows /images/variations only, wherever it is still served
ONE_AT_A_TIME = re.compile(r"(^|/)mai-image", re.IGNORECASE)  # BerriAI/litellm #40074, read 2026-11-22
KNOWN_QUIRK = "this provider does not take it"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a provider is asked for one model, as far as it is known by now.

    `fixed` means that the stack says the dialect, so no other one is tried; `turned` that a form was turned into JSON
    or the other way round, which is tried once. `without` says for each field that is
    left out why; `sizes` holds what to ask for instead of a size that was refused, None for no size at all.
    """

    dialect: Dialect
    why: str
    fixed: bool = False
    turned: bool = False
    images_per_call: int = MAX_N
    picture_field: str | None = None
    adds: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    without: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    sizes: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))

    def write(self, request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
        """Write the call for `n` variations of a picture that is in the form of the dialect's `source`.

        Raises:
            InvalidRequest: the model cannot make what is asked.
        """
        call = self.dialect.build(request, picture, n, seed)
        call = replace(
            call, fields={**call.fields, **self.adds}, picture_field=self.picture_field or call.picture_field
        )
        if request.size in self.sizes:
            call = call.sending(
                "size", self.sizes[request.size], "the provider refuses this size; the result is scaled"
            )
        for parameter, why in self.without.items():
            call = call.sending(parameter, None, why)
        return call

    def one_by_one(self) -> "Manner":
        """Return the manner for a provider that makes one picture a call."""
        return replace(self, images_per_call=1)


def resolve(parameter: str, by_host: KnownProvider | None, listing: Listing, model: str) -> Manner:
    """Choose how to ask: by what the stack says, the host, the list of models, the model's name, or else `edits`.

    Args:
        parameter: ProviderDialect, `auto` or a dialect's name.
        by_host: what is known of the base URL's host.
        listing: what the provider lists, empty where that is not known.
        model: that is to be asked for.

    Raises:
        ConfigurationError: no such dialect, or the provider cannot make variations at all.
    """
    known, where = by_host, "its host"
    if known is None:
        known, where = known_by_name(listing.family), "its list of models"
    manner = _choose(parameter, known, where, model)
    if known:
        without = dict.fromkeys(known.without, KNOWN_QUIRK)
        manner = replace(manner, images_per_call=known.images_per_call, adds=known.adds, without=without)
    return replace(manner, images_per_call=1) if ONE_AT_A_TIME.search(model) else manner


def _choose(parameter: str, known: KnownProvider | None, where: str, model: str) -> Manner:
    if parameter != "auto":
        if parameter not in DIALECTS:
            raise ConfigurationError(
                f"ProviderDialect is {parameter!r}; this version speaks auto, {', '.join(sorted(DIALECTS))}."
            )
        return Manner(DIALECTS[parameter], "ProviderDialect says so", fixed=True)
    if known and known.dialect is None:
        raise ConfigurationError(known.hint)
    if LEGACY_MODELS.search(model):
        return Manner(VARIATIONS, f"{model} knows nothing else")
    if known and known.dialect:
        return Manner(known.dialect, f"{known.name}, by {where}")
    return Manner(EDITS, "nothing else is known of this provider")
