"""Find the image models in what a provider lists at GET /models."""

import json
import re
from typing import Any

from .errors import ProviderFailed
from .model import ImageModel

# Plain lists do not say what a model makes, so its name must (names of 2026-11-22, matched on any path segment).
IMAGE_NAMES = re.compile(
    r"(^|/)(gpt-image|chatgpt-image|dall-e|grok-(2-)?imagin|grok-.*image|flux|kontext|sdxl|sd-?turbo|sd3"
    r"|stable-(diffusion|image)|qwen-image|seedream|seededit|hidream|imagen|gemini-.*-image|nano-banana|recraft"
    r"|ideogram|z-image|glm-image|mai-image|wan.*image|bria|fibo|hunyuan-?image|step1x|omnigen|longcat-image"
    r"|photon|krea|playground-v2|sd-cpp-local|local-style-transfer)",
    re.IGNORECASE,
)
OTHER_NAMES = re.compile(r"embed|vision|-vl|caption|moderation|video|upscal|rerank|tts|whisper", re.IGNORECASE)


def parse_models(body: bytes) -> list[ImageModel]:
    """Read an OpenAI models list `{"data": [{"id", "created", "owned_by", "shutdown_date"?}]}`, in its order.

    Raises:
        ProviderFailed: it is not such a list.
    """
    try:
        listed = json.loads(body)["data"]
        return [_model(entry) for entry in listed]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProviderFailed("The provider's list of models cannot be read. Check ProviderBaseUrl.") from error


def _model(entry: dict[str, Any]) -> ImageModel:
    name = str(entry["id"])
    created, shutdown = entry.get("created"), entry.get("shutdown_date")
    return ImageModel(
        id=name,
        created=created if type(created) is int else 0,
        owned_by=str(entry.get("owned_by") or "unknown"),
        image=True if IMAGE_NAMES.search(name) and not OTHER_NAMES.search(name) else None,
        shutdown_date=shutdown if isinstance(shutdown, str) else None,
    )
