"""Read the parameters of an image call the way OpenAI reads them, and refuse them in OpenAI's words.

It is kept apart from the server because it knows nothing of routes, keys or answers. Names, ranges and error
codes: OpenAI image guide and openai-python 3.54.0, read 2026-11-22; edges end at 2048 here to spare a laptop.
"""

import io
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from PIL import Image, ImageOps
from werkzeug import Request, Response
from werkzeug.datastructures import FileStorage

IMAGE_MODEL = "local-style-transfer"
TEXT_MODEL = "local-text-only"  # listed like the chat models of a real provider, and refused here
EDIT_PARAMETERS = frozenset(
    {
        "image",
        "image[]",
        "prompt",
        "model",
        "n",
        "size",
        "quality",
        "output_format",
        "background",
        "user",
        "seed",
    }
)
VARIATION_SIZES = ("256x256", "512x512", "1024x1024")
QUALITIES = ("low", "medium", "high", "auto", "standard")
OUTPUT_FORMATS = ("png", "jpeg", "webp")
BACKGROUNDS = ("transparent", "opaque", "auto")
SOURCE_TYPES = ("image/png", "image/jpeg", "image/webp")
MAX_SOURCES = 16
MAX_SOURCE_PIXELS = 50_000_000
MAX_PROMPT_LENGTH = 32_000  # characters
MIN_AUTO_EDGE, MAX_EDGE, EDGE_STEP, MAX_ASPECT = 256, 2048, 16, 3


@dataclass
class ApiError(Exception):
    """Refuse a call with an HTTP status and OpenAI's error envelope."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_response(self) -> Response:
        """Return the envelope, `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return Response(json.dumps({"error": error}), self.status, self.headers, "application/json")


@dataclass(frozen=True)
class ImageRequest:
    """Hold what a valid call asks for; sizes are in pixels."""

    content: bytes  # the first picture, as it was sent
    source: Image.Image  # the same, upright
    n: int
    width: int
    height: int
    prompt: str = ""
    seed: int | None = None
    quality: str = "medium"
    output_format: str = "png"
    background: str = "auto"
    response_format: str = "b64_json"


def parse_variation(request: Request) -> ImageRequest:
    """Read a call of the variations route, which like OpenAI's old one ignores what it does not know.

    Raises:
        ApiError: 400, naming the parameter.

    """
    _check_model(request)
    content, source = _read_sources(request)[0]
    width, height = _choice(request, "size", VARIATION_SIZES, "1024x1024").split("x")
    return ImageRequest(
        content=content,
        source=source,
        n=_integer(request, "n", range(1, 11)) or 1,
        width=int(width),
        height=int(height),
        seed=_integer(request, "seed"),
        response_format=_choice(request, "response_format", ("url", "b64_json"), "url"),
    )


def parse_edit(request: Request) -> ImageRequest:
    """Read a call of the edits route, which like the GPT image models refuses what it does not know.

    Raises:
        ApiError: 400, naming the parameter.

    """
    for name in (*request.form, *request.files):
        if name not in EDIT_PARAMETERS:
            raise ApiError(400, f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    _check_model(request)
    content, source = _read_sources(request)[0]
    width, height = _edit_size(request, source)
    quality = _choice(request, "quality", QUALITIES, "auto")
    return ImageRequest(
        content=content,
        source=source,
        n=_integer(request, "n", range(1, 11)) or 1,
        width=width,
        height=height,
        prompt=_prompt(request),
        seed=_integer(request, "seed"),
        quality=quality if quality in ("low", "high") else "medium",
        output_format=_choice(request, "output_format", OUTPUT_FORMATS, "png"),
        background=_choice(request, "background", BACKGROUNDS, "auto"),
    )


def model_not_found(model: str, status: int) -> ApiError:
    """Return the error for a model that is not listed."""
    return ApiError(status, f"The model '{model}' does not exist.", "model", "model_not_found")


def _check_model(request: Request) -> None:
    model = request.form.get("model", IMAGE_MODEL)
    if model == TEXT_MODEL:
        raise _invalid_value("model", model, [IMAGE_MODEL])
    if model != IMAGE_MODEL:
        raise model_not_found(model, 400)


def _prompt(request: Request) -> str:
    prompt = request.form.get("prompt", "")
    if not prompt:
        raise _missing("prompt")
    if len(prompt) > MAX_PROMPT_LENGTH:
        message = f"Invalid 'prompt': string too long. Expected at most {MAX_PROMPT_LENGTH} characters."
        raise ApiError(400, message, "prompt", "string_above_max_length")
    return prompt


def _choice(request: Request, name: str, allowed: Collection[str], default: str) -> str:
    value = request.form.get(name, default)
    if value not in allowed:
        raise _invalid_value(name, value, allowed)
    return value


def _integer(request: Request, name: str, allowed: range | None = None) -> int | None:
    text = request.form.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        message = f"Invalid type for '{name}': expected an integer, but got '{text[:40]}' instead."
        raise ApiError(400, message, name, "invalid_type")
    number = int(text)
    if allowed and number not in allowed:
        message = f"Invalid '{name}': expected {allowed[0]} to {allowed[-1]}, but got {number} instead."
        code = "integer_below_min_value" if number < allowed[0] else "integer_above_max_value"
        raise ApiError(400, message, name, code)
    return number


def _edit_size(request: Request, source: Image.Image) -> tuple[int, int]:
    size = request.form.get("size", "auto")
    if size == "auto":
        return _nearest_size(source)
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size)
    if not match:
        raise ApiError(400, f"Invalid size '{size}'. Use 'auto' or WIDTHxHEIGHT.", "size", "invalid_value")
    width, height = int(match[1]), int(match[2])
    shorter, longer = sorted((width, height))
    if width % EDGE_STEP or height % EDGE_STEP or not 0 < longer <= min(MAX_EDGE, MAX_ASPECT * shorter):
        message = (
            f"Invalid size '{size}'. Width and height must both be divisible by {EDGE_STEP},"
            f" at most {MAX_EDGE} and in a ratio of at most {MAX_ASPECT}:1."
        )
        raise ApiError(400, message, "size", "invalid_value")
    return width, height


def _nearest_size(source: Image.Image) -> tuple[int, int]:
    longer = max(source.size)
    target = min(max(longer, MIN_AUTO_EDGE), MAX_EDGE)
    # Rounding the shorter edge up keeps the ratio within the limit.
    edges = (max(edge * target / longer, target / MAX_ASPECT) for edge in source.size)
    width, height = (-int(-edge // EDGE_STEP) * EDGE_STEP for edge in edges)
    return width, height


def _read_sources(request: Request) -> list[tuple[bytes, Image.Image]]:
    single, several = request.files.getlist("image"), request.files.getlist("image[]")
    if not single and not several:
        raise _missing("image")
    if len(single) > 1:
        message = "Duplicate parameter: 'image'. To provide a list of values, use the array syntax 'image[]'."
        raise ApiError(400, message, "image", "duplicate_parameter")
    if len(single + several) > MAX_SOURCES:
        message = f"Invalid 'image': array too long. Expected an array with maximum length {MAX_SOURCES}."
        raise ApiError(400, message, "image", "array_above_max_length")
    return [_read_source(part, number) for number, part in enumerate(single + several, 1)]


def _read_source(part: FileStorage, number: int) -> tuple[bytes, Image.Image]:
    if part.mimetype not in SOURCE_TYPES:
        message = f"Invalid file 'image': unsupported mimetype ('{part.mimetype}')."
        raise ApiError(400, message, "image", "unsupported_file_mimetype")
    content = part.read()
    try:
        return content, _decode(content)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        message = f"Invalid image file or mode for image {number}, please check your image file."
        raise ApiError(400, message, "image", "invalid_image_file") from error


def _decode(content: bytes) -> Image.Image:
    # The formats are named because Pillow would try forty others, some of them with interpreters.
    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as picture:
        if picture.width * picture.height > MAX_SOURCE_PIXELS:
            raise ValueError("too many pixels")
        mode = "RGBA" if picture.has_transparency_data else "RGB"
        return ImageOps.exif_transpose(picture).convert(mode)


def _invalid_value(name: str, value: str, allowed: Collection[str]) -> ApiError:
    choices = ", ".join(f"'{choice}'" for choice in allowed)
    message = f"Invalid value: '{value[:40]}'. Supported values are: {choices}."
    return ApiError(400, message, name, "invalid_value")


def _missing(name: str) -> ApiError:
    return ApiError(400, f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
