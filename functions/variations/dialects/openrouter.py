"""Ask OpenRouter, or NanoGPT which copied its form: POST /images, JSON, the picture among `input_references`.

Models reject what they do not support, one way or the other; what a refusal names is left out (corrections.py).
(PyPI openrouter 1.3.84 components/imagegenerationrequest.py and docs.nano-gpt.com, read 2026-11-25.)
"""

from dataclasses import replace
from typing import Any

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall, data_url
from .dialect import Dialect, SourceForm
from .edits import QUALITY, ask_size
from .prompts import write_prompt

MAX_PICTURE_BYTES = 15 * 1024**2


def build(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for `n` variations.

    Raises:
        InvalidRequest: the model makes nothing that covers the size.
    """
    prompt = write_prompt(request)
    size, told = ask_size(request)
    fields: dict[str, Any] = {
        "model": request.model,
        "prompt": prompt.text,
        "input_references": [{"type": "image_url", "image_url": {"url": data_url(picture)}}],
        # Or a second host may be asked, and paid, when the first one takes long.
        "provider": {"allow_fallbacks": False},
    }
    if size != "auto":
        fields["size"] = size
    if n > 1:
        fields["n"] = n
    if quality := QUALITY.get(request.quality or "", request.quality):
        fields["quality"] = quality
        if quality != request.quality:
            why = "OpenRouter takes low, medium, high or auto"
            told.append(Adjustment("quality", str(request.quality), quality, why))
    if request.user:
        fields["user"] = request.user
    return ProviderCall("images", fields, n, seed, adjustments=(*prompt.adjustments, *told))


def build_for_nanogpt(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call with NanoGPT's word for the size, `resolution`, and without `provider`, which it refuses."""
    call = build(request, picture, n, seed)
    renamed = {"size": "resolution"}
    fields = {renamed.get(name, name): value for name, value in call.fields.items() if name != "provider"}
    return replace(call, fields=fields)


OPENROUTER = Dialect("openrouter", build, SourceForm(max_bytes=MAX_PICTURE_BYTES))
NANOGPT = Dialect("openrouter", build_for_nanogpt, SourceForm(max_bytes=3 * 1024**2 - 1024))  # 4 MB as base64
