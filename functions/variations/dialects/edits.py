"""Ask for variations at POST /images/edits, as OpenAI and most compatible servers serve it today.

Multipart, one picture in the field `image`. `response_format` is never sent: OpenAI refuses it here and every
other server answers base64 by default (openai-python 3.54.0 and apache/camel #25489, read 2026-11-22).
"""

import re

from ..errors import InvalidRequest
from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall
from .prompts import write_prompt

NAME = "edits"
SQUARE_PNG = False

GPT_IMAGE = re.compile(r"(^|/)(gpt-image|chatgpt-image)")
FIXED_SIZES = re.compile(r"(^|/)(gpt-image-1|chatgpt-image)")  # these three and auto: SDK 3.54.0 image_edit_params
SIZES_OF_OLD_MODELS = ("1024x1024", "1536x1024", "1024x1536", "auto")
QUALITY = {"hd": "high", "standard": "medium"}  # LiteLLM OPENAI_QUALITY_ALIASES, read 2026-11-22
SMALLEST_PIXELS, LARGEST_PIXELS = (
    655_360,
    8_294_400,
)  # gpt-image-2 and later: OpenAI image guide, read 2026-11-22


def build(request: VariationRequest, picture: Picture, n: int) -> ProviderCall:
    """Write the call for `n` edits that are variations.

    Raises:
        InvalidRequest: the size is one that neither the model nor scaling down can make.
    """
    size, size_why = size_to_ask(request.model, request.size)
    quality = QUALITY.get(request.quality or "", request.quality)
    fields = {"model": request.model, "prompt": write_prompt(request), "size": size}
    optional = {"n": str(n) if n > 1 else None, "quality": quality, "user": request.user}
    adjustments = [
        Adjustment("size", request.size, size, size_why) if size != request.size else None,
        Adjustment("quality", request.quality, quality, "edits take low, medium, high or auto")
        if request.quality and quality != request.quality
        else None,
        Adjustment("style", request.style, None, "edits have no style; the prompt asks for it in words")
        if request.style
        else None,
    ]
    return ProviderCall(
        path="images/edits",
        fields=fields | {name: value for name, value in optional.items() if value},
        picture_field="image",
        picture=picture,
        adjustments=tuple(adjustment for adjustment in adjustments if adjustment),
    )


def size_to_ask(model: str, size: str) -> tuple[str, str]:
    """Choose the nearest size not below the asked one that the model can make, and say why.

    256x256 and 512x512 lie below the pixel floor of the GPT Image models: 1024x1024 is asked, and scaled down
    later. Other models get the size as it was asked for.
    """
    if not GPT_IMAGE.search(model) or size == "auto":
        return size, ""
    if size in {"256x256", "512x512"}:
        return "1024x1024", f"{model} makes no picture this small; the result is scaled down"
    if FIXED_SIZES.search(model):
        if size not in SIZES_OF_OLD_MODELS:
            raise InvalidRequest(f"{model} makes {', '.join(SIZES_OF_OLD_MODELS)}, not {size}.", param="size")
        return size, ""
    _check_free_size(model, size)
    return size, ""


def _check_free_size(model: str, size: str) -> None:
    width, height = (int(edge) for edge in size.split("x"))
    if width % 16 or height % 16 or max(width, height) > 3 * min(width, height):
        raise InvalidRequest(
            f"{model} makes sizes whose edges are multiples of 16 and at most 3:1, not {size}.", param="size"
        )
    if not SMALLEST_PIXELS <= width * height <= LARGEST_PIXELS:
        raise InvalidRequest(
            f"{model} makes pictures of {SMALLEST_PIXELS} to {LARGEST_PIXELS} pixels, not {size}.",
            param="size",
        )
