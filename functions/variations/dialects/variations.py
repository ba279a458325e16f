"""Ask for variations at POST /images/variations, the legacy form that OpenAI retired and others still serve.

Multipart, a square PNG below 4 MB in the field `image` (openai-python 3.54.0 image_create_variation_params.py,
read 2026-11-22). It has no prompt, so strength and style cannot be said at all.
"""

from ..errors import InvalidRequest
from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall

NAME = "variations"
SQUARE_PNG = True

SIZES = ("256x256", "512x512", "1024x1024")


def build(request: VariationRequest, picture: Picture, n: int) -> ProviderCall:
    """Write the call for `n` variations of a square PNG.

    Raises:
        InvalidRequest: a size other than the three squares.
    """
    if request.size not in SIZES:
        raise InvalidRequest(f"This provider makes {', '.join(SIZES)}, not {request.size}.", param="size")
    fields = {
        "model": request.model,
        "n": str(n),
        "size": request.size,
        # Asked for in any case: a URL of the provider's would expire, and cost a second request.
        "response_format": "b64_json",
    }
    why = "/images/variations has no such parameter"
    said = {"prompt": request.prompt, "quality": request.quality, "style": request.style}
    if request.strength != "balanced":
        said["strength"] = request.strength
    return ProviderCall(
        path="images/variations",
        fields=fields | ({"user": request.user} if request.user else {}),
        picture_field="image",
        picture=picture,
        adjustments=tuple(Adjustment(name, asked, None, why) for name, asked in said.items() if asked),
    )
