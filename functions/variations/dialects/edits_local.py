"""Ask self-hosted servers for edits: vLLM-Omni, SGLang, stable-diffusion.cpp, Lemonade, Xinference, and DeepInfra.

POST /images/edits, multipart, as OpenAI's, but they make small pictures themselves, know no quality, and some
start from the same seed in every call, so that the same call again would give the same pictures. SGLang's
`quality=high` even means faster and worse. (Sources of sglang 0.5.23, vllm-omni 0.30.0, sd.cpp 0137f168,
lemonade 0155fb26, read 2026-11-25.)
"""

from dataclasses import replace

from ..model import Adjustment, Picture, VariationRequest
from .call import ProviderCall
from .dialect import JPEG, PNG, Dialect, SourceForm
from .prompts import write_prompt
from .sizes import Free, always

SIZES = Free(step=16)  # diffusion models round to it, some of them down
SOURCE = SourceForm(frozenset({PNG, JPEG}))  # a WebP that stb_image cannot read is left out without a word
WHY_NOT = "servers of this kind have no such parameter"
EXTRA_ARGUMENTS = "sd_cpp_extra_args"


def build(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call for `n` edits that are variations."""
    prompt, size = write_prompt(request), SIZES.to_ask(request.size)
    adjustments = list(prompt.adjustments)
    if size != request.size:
        why = "edges in steps of 16 are safe; the result is scaled down"
        adjustments.append(Adjustment("size", request.size, size, why))
    fields = {"model": request.model, "prompt": prompt.text, "seed": str(seed)}
    if n > 1:
        fields["n"] = str(n)
    if size != "auto":  # which some refuse, and others take for 512x512; without a size they take the source's
        fields["size"] = size
    for name, asked in (("quality", request.quality), ("user", request.user)):
        if asked:
            adjustments.append(Adjustment(name, asked, None, WHY_NOT))
    return ProviderCall("images/edits", fields, n, seed, picture, adjustments=tuple(adjustments))


def build_for_sd_cpp(request: VariationRequest, picture: Picture, n: int, seed: int) -> ProviderCall:
    """Write the call with the seed where stable-diffusion.cpp reads it: inside the prompt.

    What a user's own prompt says there is taken out, as it could ask for anything.
    """
    call = build(request, picture, n, seed)
    prompt = call.fields["prompt"]
    while EXTRA_ARGUMENTS in prompt:  # what is left may spell it again
        prompt = prompt.replace(EXTRA_ARGUMENTS, "")
    extra = f'<{EXTRA_ARGUMENTS}>{{"seed": {seed}}}</{EXTRA_ARGUMENTS}>'
    fields = {**call.fields, "prompt": f"{prompt} {extra}"}
    del fields["seed"]
    return replace(call, fields=fields, picture_field="image[]")


EDITS_LOCAL = Dialect("edits_local", build, SOURCE, always(SIZES))
SD_CPP = Dialect("edits_local", build_for_sd_cpp, SOURCE, always(SIZES))
