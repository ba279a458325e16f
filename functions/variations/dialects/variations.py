"""Ask for variations at POST /images/variations, the legacy form that OpenAI retired and others still serve.

Multipart, a square PNG below 4 MB in the field `image` (openai-python 3.54.0 image_create_variation_params.py,
read 2026-11-22). It has no prompt, so strength and style cannot be said at all.
"""

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall
from .dialect import PNG, Dialect, SourceForm
from .sizes import SQUARES, Fixed, always

SIZES = Fixed(SQUARES, chooses=False)
WHY_NOT = "/images/variations has no such parameter"


def build(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for `n` variations of a square PNG.

    Raises:
        InvalidRequest: a size that none of the three squares covers.
    """
    size = SIZES.to_ask(request.size)
    # Base64 in any case: a URL of the provider's would expire, and cost a second request.
    fields = {"model": request.model, "n": str(n), "size": size, "response_format": "b64_json"}
    said = {"prompt": request.prompt, "quality": request.quality, "style": request.style}
    if request.strength != "balanced":
        said["strength"] = request.strength
    adjustments = [Adjustment(name, asked, None, WHY_NOT) for name, asked in said.items() if asked]
    if size != request.size:
        adjustments.append(Adjustment("size", request.size, size, "the provider makes three squares only"))
    if request.user:
        fields["user"] = request.user
    return ProviderCall("images/variations", fields, n, seed, picture, adjustments=tuple(adjustments))


VARIATIONS = Dialect("variations", build, SourceForm(frozenset({PNG}), 4 * 1024**2 - 1, shape="square"), always(SIZES))
