"""Know how each family of providers wants to be asked for variations of a picture.

A dialect is a module of pure functions: no network, no AWS, no environment. To add one, write a module with the
members of `Dialect` and name it in `DIALECTS`.
"""

import re
from typing import Protocol

from ..errors import ConfigurationError
from ..model import Picture, VariationRequest
from . import edits, variations
from .call import ProviderCall


class Dialect(Protocol):
    """What every dialect module offers."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of a module
        """Name the dialect as the parameter ProviderDialect and the manifest do."""

    @property
    def SQUARE_PNG(self) -> bool:  # noqa: N802
        """Tell whether the source must be a square PNG below 4 MB."""

    def build(self, request: VariationRequest, picture: Picture, n: int) -> ProviderCall:
        """Write the call that asks for `n` variations of a picture that is upright and of a type it takes."""


DIALECTS: dict[str, Dialect] = {edits.NAME: edits, variations.NAME: variations}
LEGACY_MODELS = re.compile(r"(^|/)dall-e-2$")  # knows /images/variations only, wherever it is still served


def resolve(dialect: str, model: str) -> Dialect:
    """Choose the dialect: what the stack says, else what the model's name tells, else `edits`.

    Raises:
        ConfigurationError: the stack names a dialect that does not exist.
    """
    if dialect == "auto":
        return variations if LEGACY_MODELS.search(model) else edits
    if dialect not in DIALECTS:
        raise ConfigurationError(
            f"ProviderDialect is {dialect!r}; this version speaks auto, {', '.join(sorted(DIALECTS))}."
        )
    return DIALECTS[dialect]
