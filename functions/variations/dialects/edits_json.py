"""Ask for edits with the picture inside a JSON body, as gateways do that do not read forms.

`images: [{"image_url": "data:…"}]`, OpenAI's own second form of POST /images/edits: at most 20,971,520 characters
a picture (openai-openapi EditImageBodyJsonParam, read 2026-11-22).
"""

from ..model import Picture, VariationRequest
from .call import ProviderCall, data_url
from .dialect import Dialect, SourceForm
from .edits import write_fields

MAX_PICTURE_BYTES = (20_971_520 - 64) // 4 * 3  # as base64, behind the head of a data: URL


def build(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for `n` edits that are variations.

    Raises:
        InvalidRequest: the model makes nothing that covers the size.
    """
    fields, adjustments = write_fields(request)
    if n > 1:
        fields["n"] = n
    fields["images"] = [{"image_url": data_url(picture)}]
    return ProviderCall("images/edits", fields, n, seed, adjustments=adjustments)


EDITS_JSON = Dialect("edits_json", build, SourceForm(max_bytes=MAX_PICTURE_BYTES))
