"""Say in words what may change and what must stay, for models that take a prompt."""

from dataclasses import dataclass

from ..model import Adjustment, VariationRequest

# GPT Image models keep their input at high fidelity, so "preserve the composition" yields near copies: a
# variation prompt must say what may change (OpenAI image prompting guide, read 2026-11-22).
BUILT_IN = {
    "subtle": (
        "Create a variation of this image that is close to it. Keep the subject, the composition and the style; "
        "change only small details, the lighting and the texture."
    ),
    "balanced": (
        "Create a new variation of this image. Keep the main subject, the overall style and the colour palette, "
        "but change the composition, pose, viewpoint and secondary details, so that it is clearly another image."
    ),
    "strong": (
        "Create a free variation of this image. Keep only its main idea and its mood; reinterpret composition, "
        "colours and style as you like."
    ),
}
NO_ADDITIONS = "Do not add text, borders or watermarks that are not in the original."
STYLES = {  # what `style` meant for dall-e-3, as no model of today has that parameter
    "vivid": "Use a vivid, hyper-real and dramatic look.",
    "natural": "Use a natural, realistic and understated look.",
}


MAX_CHARACTERS = 32_000  # openai-python 3.54.0 image_edit_params.py, read 2026-11-22


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to tell a model, and what of the request it says in another way or not at all."""

    text: str
    adjustments: tuple[Adjustment, ...]


def write_prompt(request: VariationRequest) -> Prompt:
    """Write the user's own prompt, or the built-in one for the asked strength, with the style in words."""
    text = request.prompt or f"{BUILT_IN[request.strength]} {NO_ADDITIONS}"
    adjustments = []
    if request.prompt and request.strength != "balanced":
        why = "it chooses a built-in prompt, and the request has its own"
        adjustments.append(Adjustment("strength", request.strength, None, why))
    if request.style:
        sentence = f" {STYLES[request.style]}"
        room = len(text) + len(sentence) <= MAX_CHARACTERS
        text += sentence if room else ""
        why = "no model has it any more; the prompt asks for it in words" if room else "the prompt has no room for it"
        adjustments.append(Adjustment("style", request.style, None, why))
    return Prompt(text, tuple(adjustments))
