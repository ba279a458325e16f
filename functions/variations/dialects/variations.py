"""Ask for variations at POST /images/variations, the legacy form that OpenAI retired and others still serve.

Multipart, a square PNG below 4 MB in the field `image` (openai-python 3.54.0 image_create_variation_params.py,
read 2026-11-22). It has no prompt, so strength and style cannot be said at all.
"""

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall
from .sizes import smallest_covering

NAME = "variations"
SQUARE_PNG = True

SIZES = ("256x256", "512x512", "1024x1024")


def build(request: VariationRequest, picture: Picture, n: int) -> ProviderCall:
    """Write the call for `n` variations of a square PNG.

    Raises:
        InvalidRequest: a size that none of the three squares covers.
    """
    size = smallest_covering("1024x1024" if request.size == "auto" else request.size, SIZES)
    fields = {
        "model": request.model,
        "n": str(n),
        "size": size,
        # Asked for in any case: a URL of the provider's would expire, and cost a second request.
        "response_format": "b64_json",
    }
    why = "/images/variations has no such parameter"
    said = {"prompt": request.prompt, "quality": request.quality, "style": request.style}
    if request.strength != "balanced":
        said["strength"] = request.strength
    adjustments = [Adjustment(name, asked, None, why) for name, asked in said.items() if asked]
    if size != request.size:
        adjustments.append(Adjustment("size", request.size, size, "the provider makes three squares only"))
    return ProviderCall(
        path="images/variations",
        fields=fields | ({"user": request.user} if request.user else {}),
        picture_field="image",
        picture=picture,
        adjustments=tuple(adjustments),
    )
