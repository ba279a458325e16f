"""Volcengine Ark, which serves ByteDance's Seedream models."""

import re
from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Upload
from .json_apis import several
from .parameters import Parameters
from .pictures import from_data_url, inspect, same_shape
from .server import Family, listing, made


class VolcengineArk(Family):
    """Volcengine Ark with Seedream 4.5: one picture a call, large ones only (read 2026-11-25)."""

    NAME = "Volcengine Ark"
    MODEL = "doubao-seedream-4-5-251128"
    BASE_PATH = "/api/v3"
    ROUTES: ClassVar = {"GET /api/v3/models": "list_models", "POST /api/v3/images/generations": "generate"}
    TIERS: ClassVar = {"2K": 2048 * 2048, "4K": 4096 * 4096}
    FEWEST_PIXELS, MOST_PIXELS, LONGEST_SHAPE = 3_686_400, 16_777_216, 16
    MOST_BYTES = 10 * 1024**2

    def list_models(self, _request: Upload) -> Response:
        """Show a plain list."""
        return listing({"id": self.MODEL}, {"id": "doubao-seed-1-8-251228"}, owned_by="system")

    def generate(self, call: Call) -> Response:
        """Make a picture; there is no n."""
        if call.kind != "json":
            raise _invalid("Content-Type", "it must be application/json")
        wanted = Parameters(call)
        if wanted.text("model") != self.MODEL:
            raise Refusal(404, f"The model or endpoint {wanted.text('model')} does not exist.", code="UnsupportedModel")
        if not wanted.text("prompt"):
            raise Refusal(400, "The request is missing the `prompt` parameter.", code="MissingParameter")
        if "output_format" in call.fields:
            raise _invalid("output_format", "it is not supported by this model")
        if wanted.text("sequential_image_generation", "disabled") not in {"disabled", "auto"}:
            raise _invalid("sequential_image_generation", "use disabled or auto")
        response_format = wanted.text("response_format", "url")
        if response_format not in {"url", "b64_json"}:
            raise _invalid("response_format", "use url or b64_json")
        sources = [self._read_source(url) for url in several(call, "image")]
        size = self.read_size(wanted, sources[0] if sources else (1, 1))
        if not sources:
            self.take_as_text_to_image()
        entries = self.entries(self.make(1, size, "jpeg"), by_url=response_format == "url" or self.by_url)
        usage = {"generated_images": len(entries), "output_tokens": 16_384, "total_tokens": 16_384}
        data = [entry | {"size": f"{size[0]}x{size[1]}"} for entry in entries]
        return made(data, model=self.MODEL, usage=usage)

    def read_size(self, wanted: Parameters, source: tuple[int, int]) -> tuple[int, int]:
        """Return the asked size; a tier takes the shape of the source."""
        text = wanted.text("size", "2048x2048")
        if text.upper() in self.TIERS:
            return same_shape(source, self.TIERS[text.upper()], 16)
        match = re.fullmatch("([0-9]{1,5})x([0-9]{1,5})", text)
        if not match:
            raise _invalid("size", "size must be one of 'WIDTHxHEIGHT', '2k', or '4k'.")
        width, height = int(match[1]), int(match[2])
        if width * height < self.FEWEST_PIXELS:
            raise _invalid("size", f"image size must be at least {self.FEWEST_PIXELS} pixels")
        if width * height > self.MOST_PIXELS:
            raise _invalid("size", f"image area must be at most {self.MOST_PIXELS} pixels")
        if max(width, height) > self.LONGEST_SHAPE * min(width, height):
            raise _invalid("size", "the aspect ratio must be between 1/16 and 16")
        return width, height

    def _read_source(self, url: object) -> tuple[int, int]:
        decoded = from_data_url(url)
        if not decoded or decoded[0] != decoded[0].lower():
            raise _invalid("image", "invalid url specified")
        found = inspect(decoded[1])
        if not found:
            raise Refusal(500, "The service encountered an unexpected internal error.", code="InternalServiceError")
        if len(decoded[1]) > self.MOST_BYTES or min(found[1]) <= 14:
            raise _invalid("image", "the picture is larger than 10 MB or has an edge of 14 pixels or less")
        return found[1]

    def failure(self, status: int) -> Refusal:
        """Say what an HTTP status means, in Ark's codes."""
        codes = {401: "AuthenticationError", 403: "AccessDenied", 429: "SetLimitExceeded"}
        return Refusal(status, super().failure(status).message, code=codes.get(status, "InternalServiceError"))

    def moderation(self) -> Refusal:
        """Refuse the picture that was sent."""
        message = "The request failed because the input image may contain sensitive information."
        return Refusal(400, message, code="InputImageSensitiveContentDetected")

    def error_body(self, refusal: Refusal) -> Any:
        """Return OpenAI's names with a request id in the text."""
        names = {"code": refusal.code or "InvalidParameter", "message": f"{refusal.message} Request id: 0217"}
        return {"error": names | {"param": refusal.param or "", "type": "BadRequest"}}


def _invalid(name: str, why: str) -> Refusal:
    return Refusal(
        400, f"The parameter `{name}` specified in the request is not valid: {why}.", code="InvalidParameter"
    )
