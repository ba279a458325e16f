"""Read options as people write them (object metadata, presets, form fields, JSON) into a VariationRequest.

All doors share this one reading, so `n` means the same on an upload and over HTTP. Values may be strings
("4", "true") or JSON values; a wrong one raises InvalidRequest that names the field.
"""

import json
from collections.abc import Mapping
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import Any

from .errors import InvalidRequest
from .fields import Choice, Field, Flag, Number, Size, Text
from .model import MAX_N, VariationRequest

MAX_PRESETS_BYTES = 256 * 1024  # two of the longest prompts
# Limits of n and prompt: openai-python 3.54.0 image_edit_params.py, read 2026-11-22.
FIELDS: dict[str, Field] = {
    "model": Text("Id of an image model, from GET /models; the stack's default model if not set.", 200),
    "n": Number("How many variations.", 1, MAX_N),
    "size": Size("Size of every variation, honoured to the pixel; auto leaves it to the model."),
    "response_format": Choice("Whether the answer holds URLs or the pictures themselves.", ("url", "b64_json")),
    "quality": Choice("How much work the model puts into it.", ("standard", "hd", "low", "medium", "high", "auto")),
    "style": Choice("How dramatic it may look.", ("vivid", "natural")),
    "user": Text("Your name for your own user, passed on to the provider.", 256),
    "prompt": Text("What to keep and what to change; there is a built-in prompt for each strength.", 32_000),
    "strength": Choice("How far a variation may leave the source.", ("subtle", "balanced", "strong")),
    "output_format": Choice("File format of the variations.", ("png", "jpeg", "webp")),
    "simplify": Flag("Answer the array of pictures alone."),
}


def parse_options(
    options: Mapping[str, Any], *, model: str, n: int, size: str
) -> tuple[VariationRequest, tuple[str, ...]]:
    """Validate options over the stack's defaults.

    Args:
        options: what the user set; names in any case, `-` and `_` alike. Empty strings count as not set.
        model: DefaultModel of the stack.
        n: how many variations when the user does not say, 1 to 10.
        size: DefaultSize of the stack.

    Returns:
        The request, and one warning per option that we do not know (newer clients may send more than we read).

    Raises:
        InvalidRequest: a value is malformed or out of range; `param` is the field.
    """
    named = layered(options)
    warnings = tuple(
        f"The option {name[:60]!r} is not known and was ignored." for name in sorted(named.keys() - FIELDS.keys())
    )
    chosen: dict[str, Any] = {"model": model, "n": n, "size": size}
    for name, field in FIELDS.items():
        if name in named:
            chosen[name] = field.read(name, named[name])
    if not chosen["model"]:
        raise InvalidRequest("Name a model, or set the stack parameter DefaultModel.", param="model")
    return VariationRequest(**chosen), warnings


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over each other, the later ones on top; what is empty is not set.

    Returns:
        The options by their names as `parse_options` knows them: `Output-Format` is `output_format`.
    """
    return {
        name.lower().replace("-", "_"): value
        for layer in layers
        for name, value in layer.items()
        if value not in (None, "")
    }


def parse_presets(content: bytes) -> dict[str, Any]:
    """Read the options that a folder holds for its pictures: a JSON object.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        presets = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("It is no JSON.") from error
    if not isinstance(presets, dict):
        raise InvalidRequest('It is no JSON object such as {"n": 2}.')
    return presets


def decode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Decode S3 user metadata values, which S3 hands back RFC 2047 encoded where they are not ASCII.

    Source: S3 user guide, "Working with object metadata", read 2026-11-22.
    """
    return {name: _decode_header(value) for name, value in metadata.items()}


def _decode_header(value: str) -> str:
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (MessageError, LookupError, ValueError):
        return value
