"""Servers without /images/edits: one that knows the retired variations, and two that cannot help at all."""

from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Upload
from .parameters import Parameters
from .pictures import inspect
from .server import Family, listing, made


class VariationsOnly(Family):
    """A gateway to Bedrock like TrueFoundry or stdapi.ai: OpenAI's legacy contract (sources read 2026-11-22)."""

    NAME = "variations only"
    MODEL = "amazon.nova-canvas-v1:0"
    HOSTED = False
    ROUTES: ClassVar = {"GET /v1/models": "list_models", "POST /v1/images/variations": "vary"}
    KNOWN = frozenset({"image", "model", "n", "response_format", "size", "user"})
    SIZES: ClassVar = {"256x256": (256, 256), "512x512": (512, 512), "1024x1024": (1024, 1024)}
    MOST_BYTES = 4 * 1024**2

    def list_models(self, _request: Upload) -> Response:
        """Show a plain list."""
        return listing({"id": self.MODEL}, {"id": "amazon.nova-pro-v1:0"}, owned_by="amazon")

    def vary(self, call: Call) -> Response:
        """Make variations of a square PNG."""
        if call.kind != "multipart":
            raise Refusal(400, "Invalid Content-Type header, expected multipart/form-data.")
        wanted = Parameters(call)
        wanted.reject_unknown(self.KNOWN)
        if wanted.require("model") != self.MODEL:
            raise Refusal(404, f"The model '{wanted.text('model')}' does not exist.", "model", "model_not_found")
        self._check_image(call)
        n = wanted.integer("n", range(1, 11), 1)
        size = self.SIZES[wanted.choice("size", self.SIZES, "1024x1024")]
        by_url = wanted.choice("response_format", ("url", "b64_json"), "url") == "url" or self.by_url
        return made(self.entries(self.make(n, size, "png"), by_url=by_url))

    def _check_image(self, call: Call) -> None:
        if len(call.pictures) != 1:
            raise Refusal(400, "Missing required parameter: 'image'.", "image", "missing_required_parameter")
        sent = call.pictures[0]
        found = inspect(sent.content)
        if sent.content_type != "image/png" or not found or found[0] != "image/png":
            raise Refusal(400, "Uploaded image must be a PNG.", "image", "invalid_image_file")
        if found[1][0] != found[1][1]:
            raise Refusal(400, "Uploaded image must be square.", "image", "invalid_image_file")
        if len(sent.content) >= self.MOST_BYTES:
            raise Refusal(400, "Uploaded image must be a PNG and less than 4 MB.", "image", "invalid_image_file")

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Answer as FastAPI does."""
        return Refusal(status, "Not Found" if status == 404 else "Method Not Allowed", type="detail")

    def error_body(self, refusal: Refusal) -> Any:
        """Return OpenAI's envelope, or FastAPI's where there is no route."""
        return {"detail": refusal.message} if refusal.type == "detail" else super().error_body(refusal)


class Ollama(Family):
    """Ollama after its image routes were removed in 0.32.10 (sources read 2026-11-22)."""

    NAME = "Ollama"
    MODEL = "x/flux2-klein:latest"
    HOSTED = False
    ROUTES: ClassVar = {"GET /v1/models": "list_models"}

    def check_key(self, request: Upload) -> None:
        """Let anybody in."""

    def list_models(self, _request: Upload) -> Response:
        """Show what was pulled, with the namespace as the owner."""
        return listing({"id": self.MODEL, "owned_by": "x"}, {"id": "llama3.2:latest", "owned_by": "library"})

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Answer as Gin does, whatever the method."""
        return Refusal(404, "404 page not found")

    def error_body(self, refusal: Refusal) -> Any:
        """Return Gin's text, or an error as a text in JSON."""
        return refusal.message if refusal.status == 404 else {"error": refusal.message}


class TextToImageOnly(Family):
    """A server that makes pictures of prompts alone; a client that asks it has paid for nothing."""

    NAME = "text to image only"
    MODEL = "flux-schnell"
    ROUTES: ClassVar = {"GET /v1/models": "list_models", "POST /v1/images/generations": "generate"}

    def list_models(self, _request: Upload) -> Response:
        """Show a plain list."""
        return listing({"id": self.MODEL}, owned_by="organization-owner")

    def generate(self, call: Call) -> Response:
        """Make pictures of the prompt, whatever else is sent."""
        wanted = Parameters(call)
        wanted.require("prompt")
        n = wanted.integer("n", range(1, 11), 1)
        self.take_as_text_to_image()
        return made(self.entries(self.make(n, wanted.size() or (1024, 1024), "png"), by_url=self.by_url))
