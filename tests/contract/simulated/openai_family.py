"""OpenAI's own Images API, and Microsoft's copy of it."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Sent, Upload
from .gpt_sizes import fixed_size, grid_size
from .parameters import Parameters
from .pictures import from_data_url, inspect
from .server import Family, listing, made

OLD_MODELS = ("gpt-image-1", "chatgpt-image")
SHARED = {"prompt", "model", "n", "size", "quality", "background", "input_fidelity", "output_format"}
SHARED |= {"output_compression", "user", "safety_identifier", "mask", "stream", "partial_images"}
IN_A_FORM = SHARED | {"image", "image[]", "markup", "complexity"}
IN_JSON = SHARED | {"images", "moderation"}
MOST_BYTES, MOST_URL_CHARACTERS, MOST_SOURCES = 50 * 1024**2, 20_971_520, 16


@dataclass(frozen=True)
class Edit:
    """Hold what a valid edit asks for; the size is in pixels."""

    model: str
    n: int
    size: tuple[int, int]
    quality: str
    output_format: str


class OpenAI(Family):
    """OpenAI after /images/variations was retired (sources read 2026-11-22)."""

    NAME = "OpenAI"
    MODEL = "gpt-image-2.6-flare"
    ROUTES: ClassVar = {"GET /v1/models": "list_models", "POST /v1/images/edits": "edit"}
    MODELS: tuple[dict[str, Any], ...] = (
        {"id": "gpt-image-2.6-flare"},
        {"id": "gpt-image-1.5", "shutdown_date": "2026-12-01"},
    )
    OTHER_MODELS: tuple[dict[str, Any], ...] = ({"id": "gpt-5"}, {"id": "text-embedding-3-small"})
    OUTPUT_FORMATS: tuple[str, ...] = ("png", "jpeg", "webp")
    SOURCE_TYPES: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp")
    TRUSTS_PARTS = False  # whatever content type a part claims

    def list_models(self, _request: Upload) -> Response:
        """Show all models, which does not say what they make."""
        return listing(*self.MODELS, *self.OTHER_MODELS, owned_by="system")

    def edit(self, call: Call) -> Response:
        """Make edits of the first picture."""
        edit = self.read_edit(call)
        pictures = self.make(edit.n, edit.size, edit.output_format)
        return self.answer_edit(edit, pictures)

    def answer_edit(self, edit: Edit, pictures: list[bytes]) -> Response:
        """Answer base64 with what was really made."""
        usage = {
            "input_tokens": 300,
            "input_tokens_details": {"text_tokens": 50, "image_tokens": 250},
            "output_tokens": 200 * len(pictures),
            "total_tokens": 300 + 200 * len(pictures),
        }
        return made(
            self.entries(pictures),
            background="opaque",
            output_format=edit.output_format,
            quality=edit.quality,
            size=f"{edit.size[0]}x{edit.size[1]}",
            usage=usage,
        )

    def read_edit(self, call: Call) -> Edit:
        """Validate everything, as it is done before anything is charged for."""
        wanted = Parameters(call)
        self.check_kind(call)
        wanted.reject_unknown(IN_A_FORM if call.kind == "multipart" else IN_JSON)
        model = self.read_model(wanted)
        wanted.prompt(32_000)
        sources = self.read_form_sources(call) if call.kind == "multipart" else read_json_sources(call)
        old = model.startswith(OLD_MODELS)
        if "input_fidelity" in call.fields and not old:
            message = f"The model '{model}' does not support the 'input_fidelity' parameter."
            raise Refusal(400, message, "input_fidelity", "invalid_input_fidelity_model")
        if wanted.text("stream", "false") != "false":
            raise Refusal(400, "Streaming is not simulated.", "stream", "invalid_value")
        quality = wanted.choice("quality", ("low", "medium", "high", "auto"), "auto")
        wanted.choice("background", ("transparent", "opaque", "auto"), "auto")
        return Edit(
            model=model,
            n=wanted.integer("n", range(1, 11), 1),
            size=fixed_size(wanted, sources[0]) if old else grid_size(wanted, sources[0]),
            quality="medium" if quality == "auto" else quality,
            output_format=wanted.choice("output_format", self.OUTPUT_FORMATS, "png"),
        )

    def check_kind(self, call: Call) -> None:
        """Take a form as well as JSON."""
        if call.kind not in {"multipart", "json"}:
            message = f"Invalid Content-Type header ({call.kind}), expected multipart/form-data or application/json."
            raise Refusal(400, message)

    def read_model(self, wanted: Parameters) -> str:
        """Return the model, which must be listed and make pictures."""
        model = wanted.require("model")
        if model in {one["id"] for one in self.OTHER_MODELS}:
            raise Refusal(400, f"Invalid value: '{model}'. Use an image model.", "model", "invalid_value")
        if model not in {one["id"] for one in self.MODELS}:
            raise self.unknown_model(model)
        return model

    def unknown_model(self, model: str) -> Refusal:
        """Say that there is no such model."""
        return Refusal(400, f"The model '{model}' does not exist.", "model", "model_not_found")

    def read_form_sources(self, call: Call) -> list[tuple[int, int]]:
        """Return the sizes of the pictures in a form, at most one of which may be called `image`."""
        parts = [sent for sent in call.pictures if sent.field in {"image", "image[]"}]
        if len([sent for sent in parts if sent.field == "image"]) > 1:
            message = "Duplicate parameter: 'image'. You provided multiple values for this parameter, whereas only "
            message += "one is allowed. If you are trying to provide a list of values, use the array syntax instead "
            raise Refusal(400, message + "e.g. 'image[]=<value>'.", "image", "duplicate_parameter")
        if not parts:
            raise Refusal(400, "Missing required parameter: 'image'.", "image", "missing_required_parameter")
        if len(parts) > MOST_SOURCES:
            message = f"Invalid 'image': array too long. Expected an array with maximum length {MOST_SOURCES}."
            raise Refusal(400, message, "image", "array_above_max_length")
        return [self.read_part(sent, number) for number, sent in enumerate(parts, 1)]

    def read_part(self, sent: Sent, number: int) -> tuple[int, int]:
        """Return the size of a picture that says what it is."""
        if not self.TRUSTS_PARTS and sent.content_type not in self.SOURCE_TYPES:
            message = (
                f"Invalid file 'image': unsupported mimetype ('{sent.content_type or 'application/octet-stream'}'). "
                "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
            )
            raise Refusal(400, message, "image", "unsupported_file_mimetype")
        if len(sent.content) >= MOST_BYTES:
            raise Refusal(400, "Invalid file 'image': too large. Use less than 50 MB.", "image", "file_too_large")
        return true_size(sent.content, None if self.TRUSTS_PARTS else sent.content_type, number)

    def moderation(self) -> Refusal:
        """Refuse in the words of the safety system."""
        message = "Your request was rejected by the safety system. safety_violations=[sexual]."
        details = {"moderation_stage": "input", "categories": ["sexual"]}
        kind = "image_generation_user_error"
        return Refusal(400, message, code="moderation_blocked", type=kind, moderation_details=details)


class AzureOpenAI(OpenAI):
    """Azure OpenAI, both route styles; here the key is taken from `api-key` alone (sources read 2026-11-22)."""

    NAME = "Azure OpenAI"
    MODEL = "my-images"
    BASE_PATH = "/openai/v1"
    MODELS = ({"id": "my-images"},)
    OTHER_MODELS = ()
    OUTPUT_FORMATS = ("png", "jpeg")
    SOURCE_TYPES = ("image/png", "image/jpeg")
    ROUTES: ClassVar = {
        "GET /openai/v1/models": "list_models",
        "GET /openai/models": "list_dated",
        "POST /openai/v1/images/edits": "edit",
        "POST /openai/deployments/<deployment>/images/edits": "edit_dated",
    }

    def list_models(self, _request: Upload) -> Response:
        """Show the models of the region, and no deployment."""
        names = ("gpt-image-2.6-flare-2026-11-04", "gpt-5")
        flags = dict.fromkeys(("fine_tune", "inference", "completion", "chat_completion", "embeddings"), False)
        return listing(*({"id": name, "capabilities": flags, "status": "succeeded"} for name in names))

    def list_dated(self, request: Upload) -> Response:
        """Show the same list to callers of a dated API version."""
        if "api-version" not in request.args:
            raise self.no_route(request, 404)
        return self.list_models(request)

    def edit_dated(self, call: Call, deployment: str) -> Response:
        """Make edits at a deployment's own route, whatever the model field says."""
        if call.query.get("api-version") != "2025-04-01-preview":
            raise Refusal(404, "Resource not found", code="404")
        if deployment != self.MODEL:
            raise self.unknown_model(deployment)
        return self.edit(replace(call, fields=call.fields | {"model": deployment}))

    def check_key(self, request: Upload) -> None:
        """Want the header of Azure; an Authorization beside it is ignored."""
        if request.headers.get("api-key") != self.key:
            raise self.failure(401)

    def failure(self, status: int) -> Refusal:
        """Name a wrong key as the gateway does."""
        if status == 401:
            message = "Access denied due to invalid subscription key or wrong API endpoint."
            return Refusal(401, message, code="401")
        return super().failure(status)

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Say so in the gateway's words."""
        return Refusal(404, "Resource not found", code="404")

    def unknown_model(self, model: str) -> Refusal:
        """Say that nothing is deployed under this name."""
        message = "The API deployment for this resource does not exist."
        return Refusal(404, message, code="DeploymentNotFound")

    def moderation(self) -> Refusal:
        """Refuse in the words of the content filter."""
        inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"sexual": {"filtered": True}}}
        message = "The response was filtered due to the prompt triggering the content management policy."
        return Refusal(400, message, "prompt", "content_filter", None, innererror=inner)

    def error_body(self, refusal: Refusal) -> Any:
        """Return the gateway's short form for what never reached the model."""
        if refusal.code in {"401", "404", "DeploymentNotFound"}:
            return {"error": {"code": refusal.code, "message": refusal.message}}
        return super().error_body(refusal)


def read_json_sources(call: Call) -> list[tuple[int, int]]:
    """Return the sizes of the pictures in `images: [{image_url}]`."""
    images = call.fields.get("images")
    if not isinstance(images, list) or not 1 <= len(images) <= MOST_SOURCES:
        raise Refusal(400, "Missing required parameter: 'images'.", "images", "missing_required_parameter")
    return [_read_url(image, number) for number, image in enumerate(images, 1)]


def _read_url(image: object, number: int) -> tuple[int, int]:
    param = f"images[{number - 1}]"
    if not isinstance(image, dict) or set(image) != {"image_url"}:
        raise Refusal(400, f"Invalid '{param}': expected image_url or file_id.", param, "invalid_type")
    url = image["image_url"]
    if isinstance(url, str) and len(url) > MOST_URL_CHARACTERS:
        message = f"Invalid '{param}.image_url': string too long. Expected at most {MOST_URL_CHARACTERS} characters."
        raise Refusal(400, message, f"{param}.image_url", "string_above_max_length")
    decoded = from_data_url(url)
    if not decoded:
        message = f"Invalid '{param}.image_url'. Expected a valid URL, but got a value with an invalid format."
        raise Refusal(400, message, f"{param}.image_url", "invalid_value")
    return true_size(decoded[1], decoded[0], number)


def true_size(content: bytes, claimed: str | None, number: int = 1) -> tuple[int, int]:
    """Return the size of a picture that can be decoded and is of the claimed type."""
    found = inspect(content)
    if not found or claimed not in {None, found[0]}:
        message = f"Invalid image file or mode for image {number}, please check your image file."
        raise Refusal(400, message, "image", "invalid_image_file")
    return found[1]
