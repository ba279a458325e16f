"""Ask for variations at POST /images/edits, as OpenAI and most compatible servers serve it today.

Multipart, one picture in the field `image`. `response_format` is never sent: OpenAI refuses it here and every
other server answers base64 by default (openai-python 3.54.0 and apache/camel #25489, read 2026-11-22).
"""

import re

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall
from .prompts import write_prompt
from .sizes import on_the_grid, smallest_covering

NAME = "edits"
SQUARE_PNG = False

GPT_IMAGE = re.compile(r"(^|/)(gpt-image|chatgpt-image)")
OLD_GPT_IMAGE = re.compile(r"(^|/)(gpt-image-1|chatgpt-image)")
FIXED_SIZES = ("1024x1024", "1536x1024", "1024x1536")  # of the old ones: openai-python 3.54.0 image_edit_params.py
QUALITY = {"hd": "high", "standard": "medium"}  # LiteLLM OPENAI_QUALITY_ALIASES, read 2026-11-22


def build(request: VariationRequest, picture: Picture, n: int) -> ProviderCall:
    """Write the call for `n` edits that are variations.

    Raises:
        InvalidRequest: the model makes nothing that covers the size.
    """
    size = size_to_ask(request.model, request.size)
    quality = QUALITY.get(request.quality or "", request.quality)
    prompt = write_prompt(request)
    fields = {"model": request.model, "prompt": prompt.text, "size": size}
    optional = {"n": str(n) if n > 1 else None, "quality": quality, "user": request.user}
    adjustments = list(prompt.adjustments)
    if size != request.size:
        why = f"{request.model} makes no picture of this size; the result is scaled down"
        adjustments.append(Adjustment("size", request.size, size, why))
    if request.quality and quality != request.quality:
        adjustments.append(Adjustment("quality", request.quality, quality, "edits take low, medium, high or auto"))
    return ProviderCall(
        path="images/edits",
        fields=fields | {name: value for name, value in optional.items() if value},
        picture_field="image",
        picture=picture,
        adjustments=tuple(adjustments),
    )


def size_to_ask(model: str, size: str) -> str:
    """Choose the smallest size not below the asked one that the model can make.

    256x256 and 512x512 become 1024x1024 for GPT Image models, which is what they are trained on; models of other
    makers get the size as it was asked for, since nothing is known of them.

    Raises:
        InvalidRequest: the model makes nothing that covers it.
    """
    if not GPT_IMAGE.search(model):
        return size
    if size in {"256x256", "512x512"}:
        return "1024x1024"
    return smallest_covering(size, FIXED_SIZES) if OLD_GPT_IMAGE.search(model) else on_the_grid(size)
