"""Ask xAI for edits: JSON, one picture as `image: {"url", "type"}`, and no size.

The answer has the shape of the source; whether `aspect_ratio` changes that for a single picture is unverified, so
it is not sent. `resolution` 1k is about one megapixel, 2k about four. (@ai-sdk/xai 3.0.138, xai-sdk 1.21.0 and
docs.x.ai, read 2026-11-25.)
"""

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall, data_url
from .dialect import Dialect, SourceForm
from .prompts import write_prompt

PIXELS_OF_1K = 1_000_000
QUALITY = {"low": "low", "medium": "medium"}  # what grok-imagine-image-2.0 takes
MAX_PICTURE_BYTES = 15 * 1024**2  # 20 MB as a data: URL, as at OpenAI; xAI's own limit is unverified


def build(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for `n` edits that are variations."""
    prompt = write_prompt(request)
    adjustments = list(prompt.adjustments)
    fields = {
        "model": request.model,
        "prompt": prompt.text,
        "n": n,
        "response_format": "b64_json",
        "resolution": _resolution(request, picture),
        "image": {"url": data_url(picture), "type": "image_url"},
    }
    if request.dimensions:
        why = "xAI keeps the shape of the source; the result is cropped and scaled"
        adjustments.append(Adjustment("size", request.size, None, why))
    if quality := QUALITY.get(request.quality or ""):
        fields["quality"] = quality
    elif request.quality:
        adjustments.append(Adjustment("quality", request.quality, None, "xAI takes low and medium"))
    if request.user:
        fields["user"] = request.user
    return ProviderCall("images/edits", fields, n, seed, adjustments=tuple(adjustments))


def _resolution(request: VariationRequest, picture: Picture) -> str:
    """Choose 1k where a megapixel of the source's shape covers the wanted size, within a few percent."""
    width, height = request.dimensions or (1, 1)
    scale = (PIXELS_OF_1K / (picture.width * picture.height)) ** 0.5 * 1.03
    covered = picture.width * scale >= width and picture.height * scale >= height
    return "1k" if covered else "2k"


XAI = Dialect("xai", build, SourceForm(max_bytes=MAX_PICTURE_BYTES))
