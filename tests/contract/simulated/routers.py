"""Hosts that route to many models: OpenRouter, NanoGPT and DeepInfra."""

from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Upload
from .parameters import Parameters
from .pictures import from_data_url, inspect, same_shape
from .server import CREATED, Family, answer, listing, made


def read_references(call: Call, status: int = 400) -> list[tuple[int, int]]:
    """Return the sizes of the pictures in `input_references: [{type, image_url: {url}}]`."""
    given = call.fields.get("input_references") or []
    if not isinstance(given, list):
        raise Refusal(status, "input_references: Invalid input: expected array", "input_references")
    return [_read_reference(one, status) for one in given]


def _read_reference(reference: object, status: int) -> tuple[int, int]:
    image = reference.get("image_url") if isinstance(reference, dict) else None
    if not isinstance(reference, dict) or reference.get("type") != "image_url" or not isinstance(image, dict):
        raise Refusal(status, "input_references.0: Invalid input: expected object", "input_references")
    return read_url(image.get("url"), "input_references")


def read_url(url: object, name: str) -> tuple[int, int]:
    """Return the size of the picture in a data URL."""
    decoded = from_data_url(url)
    found = inspect(decoded[1]) if decoded else None
    if not found:
        raise Refusal(400, f"{name}: the image cannot be read", name)
    return found[1]


class OpenRouter(Family):
    """OpenRouter: POST /images alone (its SDK 1.3.84, read 2026-11-25)."""

    NAME = "OpenRouter"
    MODEL = "black-forest-labs/flux.2-pro"
    BASE_PATH = "/api/v1"
    ROUTES: ClassVar = {
        "GET /api/v1/models": "list_models",
        "GET /api/v1/images/models": "list_image_models",
        "POST /api/v1/images": "generate",
    }
    WITHOUT_SOURCES = "recraft/recraft-v4"
    KNOWN = frozenset(
        {"model", "prompt", "input_references", "size", "aspect_ratio", "resolution", "quality", "background"}
    )
    KNOWN |= frozenset(
        {"output_format", "output_compression", "seed", "user", "stream", "n", "session_id", "trace", "provider"}
    )
    TIERS: ClassVar = {"512": 512, "768": 768, "1K": 1024, "1.5K": 1536, "2K": 2048, "4K": 4096}

    def list_models(self, request: Upload) -> Response:
        """Show the models that make text, or those that make pictures if asked for them."""
        if request.args.get("output_modalities") == "image":
            return answer({"data": [self._image_model(name) for name in (self.MODEL, self.WITHOUT_SOURCES)]})
        modalities = {"input_modalities": ["text", "image"], "output_modalities": ["text"]}
        return answer({"data": [{"id": "openai/gpt-5", "created": CREATED, "architecture": modalities}]})

    def list_image_models(self, _request: Upload) -> Response:
        """Show the models that make pictures, and the parameters they take."""
        models = [self._image_model(name) for name in (self.MODEL, self.WITHOUT_SOURCES)]
        for model in models:
            most = 0 if model["id"] == self.WITHOUT_SOURCES else 8
            model["supports_streaming"] = False
            model["supported_parameters"] = {
                "n": {"type": "range", "min": 1, "max": 1 if self.reject_n else 10},
                "input_references": {"type": "range", "min": 0, "max": most},
                "quality": {"type": "enum", "values": ["auto", "low", "medium", "high"]},
                "seed": {"type": "boolean"},
            }
        return answer({"data": models})

    def _image_model(self, name: str) -> dict[str, Any]:
        taken = ["text"] if name == self.WITHOUT_SOURCES else ["text", "image"]
        modalities = {"input_modalities": taken, "output_modalities": ["image"]}
        return {"id": name, "name": name, "created": CREATED, "architecture": modalities, "expiration_date": None}

    def generate(self, call: Call) -> Response:
        """Make pictures of references, or of nothing but the prompt where there are none."""
        if call.kind != "json":
            raise Refusal(400, "Expected application/json")
        wanted = Parameters(call)
        wanted.reject_unknown(self.KNOWN)
        model = wanted.require("model")
        if model not in {self.MODEL, self.WITHOUT_SOURCES}:
            raise Refusal(404, f"No endpoints found for {model}.")
        wanted.require("prompt")
        sources = read_references(call)
        if sources and model == self.WITHOUT_SOURCES:
            raise Refusal(400, f"{model} does not support input_references.")
        wanted.choice("quality", ("auto", "low", "medium", "high", "xhigh", "max"), "auto")
        output_format = wanted.choice("output_format", ("png", "jpeg", "webp"), "png")
        n = wanted.integer("n", range(1, 11), 1)
        if n > 1 and self.reject_n:
            raise Refusal(400, "This provider only supports generating a single image (n=1).")
        size = self.read_size(wanted, sources[0] if sources else (1, 1))
        if not sources:
            self.take_as_text_to_image()
        entries = self.entries(self.make(n, size, output_format, wanted.seed()))
        usage = {"prompt_tokens": 10, "completion_tokens": 4000, "total_tokens": 4010, "cost": 0.04}
        return made([entry | {"media_type": f"image/{output_format}"} for entry in entries], usage=usage)

    def read_size(self, wanted: Parameters, source: tuple[int, int]) -> tuple[int, int]:
        """Return the asked size; a tier takes the shape of the source."""
        text = wanted.text("size", wanted.text("resolution", "1K"))
        if text in self.TIERS:
            return same_shape(source, self.TIERS[text] ** 2, 16)
        size = wanted.size()
        if not size or not all(size):
            raise Refusal(400, f"size: Invalid input '{text}'")
        if {"resolution", "aspect_ratio"} & set(wanted.call.fields):
            raise Refusal(400, "An explicit size cannot be combined with another resolution or aspect_ratio.")
        return size

    def moderation(self) -> Refusal:
        """Refuse with the reasons of the upstream."""
        reasons = {"reasons": ["sexual"], "flagged_input": "...", "provider_name": "Black Forest Labs"}
        return Refusal(403, "Input flagged by moderation.", metadata=reasons)

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Say that there is nothing here."""
        return Refusal(status, "Not Found")

    def error_body(self, refusal: Refusal) -> Any:
        """Return the HTTP status as code."""
        return {"error": {"code": refusal.status, "message": refusal.message} | refusal.more}


class NanoGPT(Family):
    """NanoGPT: edits as a form or as JSON, and OpenRouter's /images (docs.nano-gpt.com, read 2026-11-25)."""

    NAME = "NanoGPT"
    MODEL = "flux-kontext"
    BASE_PATH = "/api/v1"
    ROUTES: ClassVar = {
        "GET /api/v1/models": "list_models",
        "GET /api/v1/images/models": "list_image_models",
        "GET /api/v1/image-models": "list_image_models",
        "POST /api/v1/images/edits": "edit",
        "POST /api/v1/images/edit": "edit",
        "POST /api/v1/images": "refer",
        "POST /api/v1/images/generations": "generate",
    }
    MOST_URL_CHARACTERS = 4 * 1024**2

    def check_key(self, request: Upload) -> None:
        """Take the key from either header."""
        if request.headers.get("x-api-key") != self.key:
            super().check_key(request)

    def list_models(self, _request: Upload) -> Response:
        """Show the models that make text."""
        return listing({"id": "openai/gpt-5"}, owned_by="nano-gpt")

    def list_image_models(self, _request: Upload) -> Response:
        """Show the models that make pictures."""
        modalities = {"input_modalities": ["text", "image"], "output_modalities": ["image"]}
        able = {"image_generation": True, "image_to_image": True, "inpainting": False}
        parameters = {"n": {"type": "range", "min": 1, "max": 4}, "resolution": {"type": "enum", "values": []}}
        about = {"architecture": modalities, "capabilities": able, "supported_parameters": parameters}
        return listing({"id": self.MODEL} | about, owned_by="nano-gpt")

    def edit(self, call: Call) -> Response:
        """Make edits of a file, of a data URL in its place, or of a data URL in JSON."""
        if call.kind not in {"multipart", "json"}:
            raise Refusal(415, "Unsupported content type.", code="unsupported_content_type")
        texts = [call.fields.get("image" if call.kind == "multipart" else "imageDataUrl")]
        files = [sent.content for sent in call.pictures if sent.field in {"image", "image[]"} and sent.filename]
        found = [inspect(content) for content in files] if call.kind == "multipart" else []
        sizes = [one[1] for one in found if one] or [read_url(text, "image") for text in texts if text]
        if not sizes:
            raise Refusal(400, "An image is required.", "image", "missing_image")
        return self._generate(call, "size")

    def refer(self, call: Call) -> Response:
        """Make pictures of references, as OpenRouter does."""
        if {"imageDataUrl", "image_url", "images"} & set(call.fields):
            raise Refusal(400, "Use either input_references or another field.", code="conflicting_image_inputs")
        return self._generate(call, "resolution", seen=bool(read_references(call)))

    def generate(self, call: Call) -> Response:
        """Make pictures of a data URL, or of nothing but the prompt where there is none."""
        url = call.fields.get("imageDataUrl")
        if url and len(url) > self.MOST_URL_CHARACTERS:
            raise Refusal(400, "The image is larger than 4 MB after encoding.", "imageDataUrl", "image_too_large")
        if url:
            read_url(url, "imageDataUrl")
        return self._generate(call, "size", seen=bool(url))

    def _generate(self, call: Call, size_field: str, *, seen: bool = True) -> Response:
        wanted = Parameters(call)
        wanted.require("prompt")
        if wanted.text("model", self.MODEL) != self.MODEL:
            raise Refusal(400, f"Model {wanted.text('model')} is not available.", "model", "model_not_found")
        size = wanted.size(size_field)
        if not size and call.fields.get(size_field, "auto") != "auto":
            raise Refusal(400, "Unsupported resolution.", size_field, "invalid_resolution")
        n = wanted.integer("n", range(1, 5), 1)
        by_url = wanted.choice("response_format", ("b64_json", "url"), "b64_json") == "url" or self.by_url
        if not seen:
            self.take_as_text_to_image()
        entries = self.entries(self.make(n, size or (1024, 1024), "png"), by_url=by_url)
        return made(entries, cost=0.04, paymentSource="USD", remainingBalance=9.96)


class DeepInfra(Family):
    """DeepInfra: a form with `image` and no brackets (deepinfra.com/Qwen/Qwen-Image-Edit/api, read 2026-11-25)."""

    NAME = "DeepInfra"
    MODEL = "Qwen/Qwen-Image-Edit"
    BASE_PATH = "/v1/openai"
    ROUTES: ClassVar = {"GET /v1/openai/models": "list_models", "POST /v1/openai/images/edits": "edit"}

    def list_models(self, _request: Upload) -> Response:
        """Show a plain list."""
        return listing({"id": self.MODEL}, {"id": "deepseek-ai/DeepSeek-V4"}, owned_by="deepinfra")

    def edit(self, call: Call) -> Response:
        """Make edits in JPEG."""
        wanted = Parameters(call)
        pictures = [sent for sent in call.pictures if sent.field == "image"]
        if call.kind != "multipart" or not pictures:
            raise Refusal(422, "Field required", "image")
        wanted.require("prompt")
        if wanted.text("model") != self.MODEL:
            raise Refusal(404, f"Model is not available: {wanted.text('model')}", "model", "model_not_found")
        if not inspect(pictures[0].content):
            raise Refusal(400, "Cannot identify the image file", "image")
        n = wanted.integer("n", range(1, 5), 1)
        if n > 1 and self.reject_n:
            raise Refusal(400, "n must be 1 for this model", "n")
        size = wanted.size() or (1024, 1024)
        entries = self.entries(self.make(n, size, "jpeg"))
        return made([{"revised_prompt": None} | entry for entry in entries])

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Answer as FastAPI does."""
        return Refusal(status, "Not Found")

    def error_body(self, refusal: Refusal) -> Any:
        """Return the three shapes that are about: a validation, a refusal by the router, and one by the model."""
        if refusal.status == 422:
            return {"detail": [{"type": "missing", "loc": ["body", refusal.param], "msg": refusal.message}]}
        if refusal.status in {401, 404, 405}:
            return {"detail": {"error": refusal.message}}
        return {"error": {"message": refusal.message}}
