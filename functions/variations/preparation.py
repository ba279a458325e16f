"""Prepare a job: fetch its source, and read and check the picture and what is asked of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from . import images
from .errors import InvalidRequest, SourceNotFound, SourceTooLarge
from .manifest import Work
from .model import Picture, SourceLocation, SourceObject, VariationRequest
from .options import MAX_PRESETS_BYTES, decode_metadata, layered, parse_options, parse_presets
from .orders import presets_key
from .settings import Settings


class Fetch(Protocol):
    """How an object is read: `storage.Storage.fetch_source`, or a fake's."""

    def __call__(self, location: SourceLocation, *, max_bytes: int) -> SourceObject:
        """Read an object; raise SourceNotFound or SourceTooLarge."""


def prepare(work: Work, fetch: Fetch, settings: Settings) -> tuple[VariationRequest, Picture]:
    """Return what is asked of the provider, and the picture to ask it of; `work` learns both.

    What was said with the order goes before the object's metadata, that before the presets beside it, and those
    before the stack's defaults.

    Raises:
        InvalidRequest: an option is wrong, or the picture lies where we take none from.
        SourceNotFound, SourceTooLarge, UnsupportedImage: the picture is no good.
    """
    order = work.job.order
    if order.source.bucket not in settings.source_buckets:
        message = f"Pictures are not taken from the bucket {order.source.bucket!r}. See AllowedSourceBuckets."
        raise InvalidRequest(message, param="source")
    work.source = fetch(order.source, max_bytes=settings.max_source_bytes)
    work.source_bytes = len(work.source.content)
    options = order.options
    if not order.complete:
        presets = _read_presets(order.source, fetch, settings)
        options = layered(presets, decode_metadata(work.source.metadata), options)
    work.request, warnings = _parse(options, settings)
    work.warnings.extend(warnings)
    work.picture = images.inspect(
        work.source.content,
        max_megapixels=settings.max_source_megapixels,
        strip=settings.source_metadata != "keep",
    )
    work.source = replace(work.source, content=work.picture.content)  # so that memory has it once
    return work.request, work.picture


def _read_presets(source: SourceLocation, fetch: Fetch, settings: Settings) -> Mapping[str, Any]:
    """Read what the folder of a picture says of all its pictures, if it says anything."""
    beside = SourceLocation(source.bucket, presets_key(source.key))
    try:
        presets = parse_presets(fetch(beside, max_bytes=MAX_PRESETS_BYTES).content)
        _parse(presets, settings)  # for its complaints, while it is known whose they are
    except SourceNotFound:
        return {}
    except (InvalidRequest, SourceTooLarge) as error:
        raise InvalidRequest(f"The presets in {beside.key} are wrong: {error.message}", param=error.param) from error
    return presets


def _parse(options: Mapping[str, Any], settings: Settings) -> tuple[VariationRequest, tuple[str, ...]]:
    return parse_options(
        options, model=settings.default_model, n=settings.upload_variations, size=settings.default_size
    )
