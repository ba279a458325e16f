"""Describe one HTTP call to a provider, so that dialects stay pure and `provider` stays ignorant of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..model import Adjustment, Picture

# The part's file name; its content type must be the true one, as OpenAI trusts it over the bytes
# ("unsupported mimetype ('application/octet-stream')": Comfy-Org/ComfyUI #9329, read 2026-11-22).
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """A POST of multipart form fields and one picture to `path` below the provider's base URL."""

    path: str
    fields: Mapping[str, str]
    picture_field: str
    picture: Picture
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def picture_name(self) -> str:
        """Return a file name whose ending fits the picture's type."""
        return f"source.{EXTENSIONS[self.picture.content_type]}"
