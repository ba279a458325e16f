"""Ask servers that take a source picture at POST /images/generations: Together, LocalAI and Volcengine's Ark.

Each has a field of its own for the picture, and none of them says so when it does not know the field: it would
make a picture that has nothing to do with the source, and bill it. So each is asked in its own form only.
"""

import re

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall, data_url, in_base64
from .dialect import JPEG, PNG, Dialect, SourceForm
from .prompts import write_prompt
from .sizes import Free, SizeRule, always, edges

PATH = "images/generations"
WHY_NOT = "this provider has no such parameter"


def _begin(request: VariationRequest, size: str) -> tuple[dict[str, object], list[Adjustment]]:
    """Return the fields that all three have, and what is to tell."""
    prompt = write_prompt(request)
    told = list(prompt.adjustments)
    if size != request.size:
        told.append(Adjustment("size", request.size, size, "the nearest size that it makes; the result is scaled down"))
    told += [
        Adjustment(name, asked, None, WHY_NOT)
        for name, asked in (("quality", request.quality), ("user", request.user))
        if asked
    ]
    return {"model": request.model, "prompt": prompt.text}, told


# Together: docs.together.ai/docs/inference/images and togethercomputer/skills api-reference.md, read 2026-11-25.
TOGETHER_SIZES = Free(step=16, shortest_edge=256, longest_edge=1920)
KONTEXT = re.compile("kontext", re.IGNORECASE)


def build_for_together(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for Together: width and height, and a picture under a name that depends on the model.

    Raises:
        InvalidRequest: larger than it makes.
    """
    size = TOGETHER_SIZES.to_ask(request.size)
    fields, told = _begin(request, size)
    if size != "auto":
        fields["width"], fields["height"] = edges(size)
    if n > 1:
        fields["n"] = n
    fields["response_format"] = "base64"
    url = data_url(picture)
    fields |= {"image_url": url} if KONTEXT.search(request.model) else {"reference_images": [url]}
    return ProviderCall(PATH, fields, n, seed, adjustments=tuple(told))


# LocalAI: core/http/endpoints/openai/image.go and backend/go/stablediffusion-ggml, read 2026-11-25.
LOCALAI_SIZES = Free(step=16)


def build_for_localai(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for LocalAI: raw base64, since it drops a data: URL; no seed, which all n would share."""
    size = LOCALAI_SIZES.to_ask("512x512" if request.size == "auto" else request.size)
    fields, told = _begin(request, size)
    fields |= {"size": size, "n": n, "response_format": "b64_json"}
    # Models for edits look into ref_images, those for image-to-image into files.
    fields |= {"files": [in_base64(picture)], "ref_images": [in_base64(picture)]}
    return ProviderCall(PATH, fields, n, seed, adjustments=tuple(told))


# Ark: byteplus-python-sdk-v2 3.0.63 and CherryHQ/cherry-studio-app #408 (limits), read 2026-11-25.
SEEDREAM_4 = Free(least_pixels=921_600, most_pixels=16_777_216, ratio=16)
SEEDREAM = Free(least_pixels=3_686_400, most_pixels=16_777_216, ratio=16)
SEEDREAM_PRO = Free(least_pixels=3_686_400, most_pixels=4_624_220, ratio=16)


def build_for_ark(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for Ark, which makes one picture at a time and would print a watermark on it.

    Raises:
        InvalidRequest: larger or longer than the model makes.
    """
    size = "2K" if request.size == "auto" else _ark_sizes(request.model).to_ask(request.size)
    fields, told = _begin(request, size)
    fields |= {"size": size, "response_format": "b64_json", "watermark": False}
    fields |= {"sequential_image_generation": "disabled", "image": data_url(picture)}
    return ProviderCall(PATH, fields, n, seed, adjustments=tuple(told))


def _ark_sizes(model: str) -> SizeRule:
    if "seedream-4-0" in model:
        return SEEDREAM_4
    return SEEDREAM_PRO if "-pro" in model else SEEDREAM


MEGABYTES = 1024**2
TOGETHER = Dialect("together", build_for_together, SourceForm(max_bytes=10 * MEGABYTES), always(TOGETHER_SIZES))
LOCALAI = Dialect(
    "localai",
    build_for_localai,
    SourceForm(frozenset({PNG, JPEG}), 10 * MEGABYTES, shape="asked"),
    always(LOCALAI_SIZES),
)
ARK = Dialect("ark", build_for_ark, SourceForm(max_bytes=10 * MEGABYTES - 1), _ark_sizes)
