"""Ask for variations at POST /images/edits, as OpenAI and most compatible servers serve it today.

Multipart, one picture in the field `image`. `response_format` is never sent: OpenAI refuses it here and every
other server answers base64 by default (openai-python 3.54.0 and apache/camel #25489, read 2026-11-22).
"""

import re
from typing import Any

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall
from .dialect import Dialect
from .prompts import write_prompt
from .sizes import rule_of

GPT_IMAGE = re.compile(r"(^|/)(gpt-image|chatgpt-image)")
QUALITY = {"hd": "high", "standard": "medium"}  # LiteLLM OPENAI_QUALITY_ALIASES, read 2026-11-22


def build(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for `n` edits that are variations.

    Raises:
        InvalidRequest: the model makes nothing that covers the size.
    """
    fields, adjustments = write_fields(request)
    if n > 1:  # some relays stumble over an n that says nothing
        fields["n"] = str(n)
    return ProviderCall("images/edits", fields, n, seed, picture, adjustments=adjustments)


def write_fields(request: VariationRequest) -> tuple[dict[str, Any], tuple[Adjustment, ...]]:
    """Return what an edit says besides its picture and its number, and what it says otherwise than asked.

    Raises:
        InvalidRequest: the model makes nothing that covers the size.
    """
    size, adjustments = ask_size(request)
    quality = QUALITY.get(request.quality or "", request.quality)
    prompt = write_prompt(request)
    adjustments += prompt.adjustments
    if request.quality and quality != request.quality:
        adjustments.append(Adjustment("quality", request.quality, quality, "edits take low, medium, high or auto"))
    fields = {"model": request.model, "prompt": prompt.text, "size": size}
    fields |= {name: value for name, value in (("quality", quality), ("user", request.user)) if value}
    if GPT_IMAGE.search(request.model) and request.output_format != "png":  # others may not know the parameter
        fields["output_format"] = request.output_format
    return fields, tuple(adjustments)


def ask_size(request: VariationRequest) -> tuple[str, list[Adjustment]]:
    """Return the size to ask the model for, and what there is to tell about it.

    Raises:
        InvalidRequest: the model makes nothing that covers the wanted one.
    """
    size = rule_of(request.model).to_ask(request.size)
    why = f"{request.model} makes no picture of this size; the result is scaled down"
    return size, [Adjustment("size", request.size, size, why)] if size != request.size else []


EDITS = Dialect("edits", build)
