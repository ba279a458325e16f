"""Say what a dialect is: a way in which a family of providers wants to be asked for variations of a picture."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..model import Picture, VariationRequest
from .call import ProviderCall
from .sizes import SizeRule, rule_of

PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"


@dataclass(frozen=True, slots=True)
class SourceForm:
    """What a source picture must be like to be understood; one that is not is converted on our side.

    `max_bytes` is for the file itself; a data: URL is a third longer. 50 MB: OpenAI image guide, read 2026-11-22.
    `shape` is "any", "square", or "asked" for servers that would stretch the source to the asked size.
    """

    types: frozenset[str] = frozenset({PNG, JPEG, WEBP})
    max_bytes: int = 50 * 1024**2 - 1
    shape: Literal["any", "square", "asked"] = "any"


@dataclass(frozen=True, slots=True)
class Dialect:
    """A name for the parameter ProviderDialect and the manifest, and how to write a call.

    `build(request, picture, n, seed)` writes the call that asks for `n` variations of a picture in the form of
    `source`; it raises InvalidRequest where the model cannot make what is asked. It is pure: no network, no AWS.
    `sizes(model)` tells which sizes can be had of a model.
    """

    name: str
    build: Callable[[VariationRequest, Picture, int, int], ProviderCall]
    source: SourceForm = field(default_factory=SourceForm)
    sizes: Callable[[str], SizeRule] = rule_of
