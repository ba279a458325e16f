"""Find the image models in what a provider lists, in whichever of the forms that are about."""

import json
import re
from datetime import date
from typing import Any

from .dialects.known import known_by_mark
from .errors import ProviderFailed
from .model import ImageModel, Listing

# Plain lists do not say what a model makes, so its name must (names of 2026-11-22, matched on any path segment).
IMAGE_NAMES = re.compile(
    r"(^|/)(gpt-image|chatgpt-image|dall-e|grok-(2-)?imagin|grok-.*image|flux|kontext|sdxl|sd-?turbo|sd3"
    r"|stable-(diffusion|image)|qwen-image|seedream|seededit|hidream|imagen|gemini-.*-image|nano-banana|recraft"
    r"|ideogram|z-image|glm-image|mai-image|wan.*image|bria|fibo|hunyuan-?image|step1x|omnigen|longcat-image"
    r"|photon|krea|playground-v2|sd-cpp-local|local-style-transfer)",
    re.IGNORECASE,
)
OTHER_NAMES = re.compile(r"embed|vision|-vl|caption|moderation|video|upscal|rerank|tts|whisper", re.IGNORECASE)
# Words by which lists say what a model is, where they say it in one word or in several.
KINDS = ("type", "modelType", "model_type", "mode")
IMAGE_KINDS = {"image", "image_generation", "image_edit"}
IMAGE_WORDS = {"image", "edit", "image-generation", "image_to_image", "image2image", "inpainting"}
NO_VARIATIONS = {"upscaling", "ocr"}
DYING_DAYS = 60


def parse_models(*bodies: bytes) -> Listing:
    """Read a provider's lists of models: every entry, in order, once.

    Args:
        bodies: JSON of one or more lists, the most telling first: `{"data": [...]}`, a bare array (Together), or
            `{"models": [...]}` (xAI). An entry is known by `id` or `model_name`.

    Raises:
        ProviderFailed: one of them is no such list.
    """
    entries: dict[str, dict[str, Any]] = {}
    for body in bodies:
        for entry in _entries(body):
            entries.setdefault(str(entry["id"]), entry)
    known = known_by_mark(list(entries.values()))
    return Listing(tuple(_model(name, entry) for name, entry in entries.items()), known.name if known else None)


def warn_of_end(model: str, shutdown_date: str | None, today: date) -> str | None:
    """Return a warning where a model dies within DYING_DAYS, or is dead already."""
    try:
        left = (date.fromisoformat(shutdown_date or "") - today).days
    except ValueError:
        return None
    if left > DYING_DAYS:
        return None
    what = f"shuts {model} down on {shutdown_date}" if left > 0 else f"has shut {model} down on {shutdown_date}"
    return f"The provider {what}. Name another model, or set DefaultModel; GET /v1/models lists them."


def says_nothing_but_names(body: bytes) -> bool:
    """Tell whether a list has nothing but ids, as only LocalAI's has; it says more at models/capabilities."""
    entries = _entries(body)
    return bool(entries) and all(entry.keys() <= {"id", "object"} for entry in entries)


def _entries(body: bytes) -> list[dict[str, Any]]:
    try:
        listed = json.loads(body)
        if isinstance(listed, dict):
            listed = (listed["data"] if "data" in listed else listed["models"]) or []  # Ollama: null for no models
        entries = [dict(entry) for entry in listed]
        return [{"id": entry["model_name"], **entry} if "id" not in entry else entry for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProviderFailed(UNREADABLE) from error


UNREADABLE = "The provider's list of models cannot be read. Check ProviderBaseUrl."


def _model(name: str, entry: dict[str, Any]) -> ImageModel:
    created, shutdown = entry.get("created"), entry.get("shutdown_date") or entry.get("expiration_date")
    return ImageModel(
        id=name,
        created=created if type(created) is int else 0,
        owned_by=str(entry.get("owned_by") or "unknown"),
        image=_makes_variations(name, entry),
        shutdown_date=shutdown if isinstance(shutdown, str) else None,
    )


def _makes_variations(name: str, entry: dict[str, Any]) -> bool | None:
    """Tell by what the entry says, and where it says nothing by its name; None where nobody knows."""
    for tell in (_by_modalities, _by_kind, _by_abilities, _by_tasks):
        if (said := tell(entry)) is not None:
            return said
    return True if IMAGE_NAMES.search(name) and not OTHER_NAMES.search(name) else None


def _by_modalities(entry: dict[str, Any]) -> bool | None:
    place = entry.get("architecture")
    if not isinstance(place, dict):
        place = entry
    taken, made = _words(place.get("input_modalities")), _words(place.get("output_modalities"))
    return "image" in made and (not taken or "image" in taken) if made else None


def _by_kind(entry: dict[str, Any]) -> bool | None:
    kinds = [entry[name] for name in KINDS if isinstance(entry.get(name), str) and entry[name]]
    # Of an image model it is not said whether it takes pictures, unless its abilities tell.
    return kinds[0] in IMAGE_KINDS and _by_abilities(entry) is not False if kinds else None


def _by_abilities(entry: dict[str, Any]) -> bool | None:
    told = _words(entry.get("capabilities")) | _words(entry.get("labels")) | _words(entry.get("model_ability"))
    if not told & (IMAGE_WORDS | NO_VARIATIONS | {"text2image", "image_generation"}):
        return None  # Azure's capabilities have no word for pictures
    return bool(told & IMAGE_WORDS) and not told & NO_VARIATIONS


def _by_tasks(entry: dict[str, Any]) -> bool | None:
    tasks = _words(entry.get("supported_task_types")) | _words([entry.get("task_type")])
    return any("i2i" in task or "ti2i" in task for task in tasks) if tasks else None


def _words(said: Any) -> set[str]:
    """Return the words of a list, or the names of an object whose value is true, in lower case."""
    if isinstance(said, dict):
        said = [name for name, value in said.items() if value is True]
    return {word.lower() for word in said if isinstance(word, str)} if isinstance(said, list) else set()
