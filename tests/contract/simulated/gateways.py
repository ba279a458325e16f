"""Gateways that take OpenAI's edits and pass them on, each with a dialect of its own."""

from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Upload
from .gpt_sizes import grid_size
from .openai_family import Edit, OpenAI, read_json_sources
from .parameters import Parameters
from .pictures import from_data_url
from .server import answer, listing, made


class LiteLLM(OpenAI):
    """A LiteLLM proxy before OpenAI, from the versions whose `image[]` is broken (sources read 2026-11-22)."""

    NAME = "LiteLLM"
    HOSTED = False
    TRUSTS_PARTS = True  # it finds the type out and writes the part anew
    ROUTES: ClassVar = {
        "GET /v1/models": "list_models",
        "GET /model/info": "list_deployments",
        "POST /v1/images/edits": "edit",
    }
    FORWARDED = frozenset(
        {"prompt", "model", "image", "image[]", "background", "input_fidelity", "mask", "n", "quality"}
    )
    FORWARDED |= frozenset({"response_format", "size", "user"})

    def list_models(self, _request: Upload) -> Response:
        """Show what is configured, everything as owned by OpenAI, with its mode."""
        images = ({"id": one["id"], "mode": "image_generation"} for one in self.MODELS)
        return listing(*images, {"id": "gpt-5", "mode": "chat"}, owned_by="openai", created=1_677_610_602)

    def list_deployments(self, _request: Upload) -> Response:
        """Show what is configured, with the routes of each."""
        routes = ["/v1/images/generations", "/v1/images/edits"]
        about = {"mode": "image_generation", "supported_endpoints": routes}
        return answer({"data": [{"model_name": one["id"], "model_info": about} for one in self.MODELS]})

    def read_edit(self, call: Call) -> Edit:
        """Check what the proxy checks, then what OpenAI does."""
        self._check_image(call)
        model = Parameters(call).text("model")
        if model not in {one["id"] for one in self.MODELS}:
            raise self.unknown_model(model)
        refused = [name for name in call.fields if name not in self.FORWARDED]
        if refused:
            message = f"The following parameters are not supported for model {model}: {', '.join(refused)}"
            raise Refusal(400, f"litellm.UnsupportedParamsError: {message}")
        try:
            return super().read_edit(call)
        except Refusal as refusal:
            message = f"litellm.BadRequestError: OpenAIException - {refusal.message}"
            raise Refusal(refusal.status, message, refusal.param, type=refusal.type) from refusal

    def _check_image(self, call: Call) -> None:
        names = {sent.field for sent in call.pictures} if call.kind == "multipart" else set()
        if {"image", "image[]"} <= names:
            raise Refusal(422, "Cannot specify both 'image' and 'image[]'", type="detail")
        if "image[]" in names:
            message = "Invalid type for 'image[0]': expected a file, but got a string instead."
            raise Refusal(400, f"litellm.BadRequestError: OpenAIException - {message}", "image[0]")
        if "image" not in names:
            raise Refusal(422, "'image' must be provided as a multipart file upload, not a string.", type="detail")

    def unknown_model(self, model: str) -> Refusal:
        """Say that nothing is configured under this name."""
        message = f"/images/edits: Invalid model name passed in model={model}. Call `/v1/models` to view available "
        return Refusal(400, message + "models for your key.")

    def failure(self, status: int) -> Refusal:
        """Name a wrong key as the proxy does."""
        if status == 401:
            message = "Authentication Error, Invalid proxy server token passed."
            return Refusal(401, message, "key", type="token_not_found_in_db")
        return super().failure(status)

    def moderation(self) -> Refusal:
        """Pass OpenAI's words on, without its code."""
        kind = "litellm.ContentPolicyViolationError: OpenAIException"
        return Refusal(400, f"litellm.BadRequestError: {kind} - {super().moderation().message}")

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Answer as FastAPI does."""
        return Refusal(status, "Not Found" if status == 404 else "Method Not Allowed", type="detail")

    def error_body(self, refusal: Refusal) -> Any:
        """Return OpenAI's envelope with the status as code, and FastAPI's for what it refuses itself."""
        if refusal.type == "detail":
            return {"detail": refusal.message}
        names = {"message": refusal.message, "type": refusal.type, "param": refusal.param}
        return {"error": names | {"code": str(refusal.status)}}


class Relay(OpenAI):
    """A relay like APIYI: forms only, lenient, in one-api's shapes (sources read 2026-11-22)."""

    NAME = "relay"
    MODELS = ({"id": "gpt-image-2.6-flare"}, {"id": "grok-imagine-image-2.0"}, {"id": "nano-banana-pro"})

    def list_models(self, _request: Upload) -> Response:
        """Show models of many makers."""
        return listing(*self.MODELS, *self.OTHER_MODELS, owned_by="custom")

    def read_edit(self, call: Call) -> Edit:
        """Pass on what is known, and ignore the rest (response_format too)."""
        if call.kind != "multipart":
            if "images" in call.fields:
                raise Refusal(415, "images is not supported by this route, use multipart/form-data", "images")
            raise Refusal(400, "request Content-Type isn't multipart/form-data")
        wanted = Parameters(call)
        model = self.read_model(wanted)
        wanted.prompt(32_000)
        sources = self.read_form_sources(call)
        n = wanted.integer("n", range(1, 11), 1)
        output_format = wanted.choice("output_format", self.OUTPUT_FORMATS, "png")
        return Edit(model, n, grid_size(wanted, sources[0]), "medium", output_format)

    def answer_edit(self, edit: Edit, pictures: list[bytes]) -> Response:
        """Answer what the upstream does, base64 or URLs that nobody asked for."""
        return made(self.entries(pictures, by_url=self.by_url))

    def unknown_model(self, model: str) -> Refusal:
        """Say that no upstream has it."""
        message = f"No available channel for model {model} under group default"
        return Refusal(503, message, code="model_not_found", type="new_api_error")

    def error_body(self, refusal: Refusal) -> Any:
        """Return one-api's envelope."""
        names = {"type": "new_api_error", "param": refusal.param or "", "code": refusal.code or "invalid_request"}
        return {"error": {"message": f"{refusal.message} (request id: 20261122)"} | names}


class VercelAIGateway(OpenAI):
    """Vercel AI Gateway: edits as JSON, which public code uses and no page documents (sources read 2026-11-22)."""

    NAME = "Vercel AI Gateway"
    MODEL = "openai/gpt-image-2.6-flare"
    MODELS = ({"id": "openai/gpt-image-2.6-flare", "type": "image", "tags": ["image-generation"]},)
    OTHER_MODELS = ({"id": "openai/gpt-5", "type": "language"},)
    KNOWN = frozenset(
        {"model", "prompt", "n", "size", "quality", "images", "response_format", "providerOptions", "user"}
    )

    def read_edit(self, call: Call) -> Edit:
        """Take JSON only, with the parameters that were seen in public code."""
        if call.kind != "json":
            raise Refusal(415, "Unsupported content type. Use application/json.")
        wanted = Parameters(call)
        wanted.reject_unknown(self.KNOWN)
        wanted.choice("response_format", ("b64_json",), "b64_json")
        model = self.read_model(wanted)
        wanted.prompt(32_000)
        sources = read_json_sources(call)
        quality = wanted.choice("quality", ("low", "medium", "high", "auto"), "auto")
        return Edit(model, wanted.integer("n", range(1, 11), 1), grid_size(wanted, sources[0]), quality, "png")

    def answer_edit(self, edit: Edit, pictures: list[bytes]) -> Response:
        """Answer base64."""
        return made(self.entries(pictures))


class LLMGateway(OpenAI):
    """llmgateway.io: JSON or a form, made into a chat completion (its images.ts @05be18c5, read 2026-11-25)."""

    NAME = "LLM Gateway"
    MODERATES_SILENTLY = True
    MODELS = ({"id": "gpt-image-2.6-flare"}, {"id": "gemini-3-pro-image"})
    OTHER_MODELS = ({"id": "gpt-5"},)

    def read_edit(self, call: Call) -> Edit:
        """Strip what is unknown and validate the rest."""
        wanted = Parameters(call)
        self.check_kind(call)
        for name in ("stream", "mask", "file_id"):
            if call.kind == "json" and call.fields.get(name):
                raise Refusal(400, f"Invalid request parameters: {name}: not supported", name)
        sources = self.read_form_sources(call) if call.kind == "multipart" else self._read_urls(call)
        wanted.prompt(32_000)
        model = self.read_model(wanted) if wanted.text("model") else "gemini-3-pro-image"
        quality = wanted.choice("quality", ("low", "medium", "high", "auto"), "auto")
        output_format = wanted.choice("output_format", self.OUTPUT_FORMATS, "png")
        n = wanted.integer("n", range(1, 11), 1)
        if n > 1 and self.reject_n:
            raise Refusal(400, "Streaming is only supported with n=1.", "n")
        return Edit(model, n, grid_size(wanted, sources[0]), quality, output_format)

    def _read_urls(self, call: Call) -> list[tuple[int, int]]:
        images = call.fields.get("images")
        first = images[0] if isinstance(images, list) and images and isinstance(images[0], dict) else {}
        if "file_id" in first:
            raise Refusal(400, "Invalid request parameters: images.0.file_id: not supported", "images")
        if not from_data_url(first.get("image_url")):
            raise Refusal(400, "images[0].image_url must be an https URL or a base64 data URL", "images")
        return read_json_sources(call)

    def answer_edit(self, edit: Edit, pictures: list[bytes]) -> Response:
        """Answer base64; `data` is empty after moderation."""
        return made([entry | {"revised_prompt": ""} for entry in self.entries(pictures)])
