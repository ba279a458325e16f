"""Makers and hosts of models that take JSON of their own: xAI and Together."""

from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Upload
from .parameters import Parameters
from .pictures import from_data_url, inspect, same_shape
from .server import CREATED, Family, answer, listing

MEGAPIXEL = 1024 * 1024


class XAI(Family):
    """xAI: JSON only, moderation without a word (SDKs read 2026-11-25).

    Moderation has three ways: True answers no entry, "entry" one that says so, and "error" is an HTTP error.
    """

    NAME = "xAI"
    MODEL = "grok-imagine-image-2.0"
    ROUTES: ClassVar = {
        "GET /v1/models": "list_models",
        "GET /v1/image-generation-models": "list_image_models",
        "POST /v1/images/edits": "edit",
    }
    MODERATES_SILENTLY = True
    KNOWN = frozenset(
        {"model", "prompt", "n", "response_format", "image", "images", "aspect_ratio", "resolution", "quality"}
    )
    KNOWN |= frozenset({"user", "output_format", "sync_mode"})
    RATIOS = (
        "auto",
        "1:1",
        "3:4",
        "4:3",
        "9:16",
        "16:9",
        "2:3",
        "3:2",
        "9:19.5",
        "19.5:9",
        "9:20",
        "20:9",
        "1:2",
        "2:1",
    )

    def list_models(self, _request: Upload) -> Response:
        """Show all models; those that make pictures have a price for one."""
        return listing({"id": self.MODEL, "image_price": 2000}, {"id": "grok-5", "image_price": None}, owned_by="xai")

    def list_image_models(self, _request: Upload) -> Response:
        """Show the models that make pictures."""
        modalities = {"input_modalities": ["text", "image"], "output_modalities": ["image"]}
        model = {"id": self.MODEL, "object": "model", "created": CREATED, "owned_by": "xai", "aliases": []}
        return answer({"models": [model | modalities | {"max_prompt_length": 8000, "image_price": 2000}]})

    def edit(self, call: Call) -> Response:
        """Make edits in the shape of the source, of about a megapixel or four."""
        if call.kind != "json":
            raise Refusal(415, "Expected request with `Content-Type: application/json`")
        wanted = Parameters(call)
        for name in call.fields:
            if name not in self.KNOWN:
                raise Refusal(400, f"Argument not supported: {name}", name)
        if wanted.require("model") != self.MODEL:
            raise Refusal(404, f"The model {wanted.text('model')} does not exist or your team does not have access.")
        wanted.prompt(8000)
        source = self.read_sources(call)[0]
        wanted.choice("aspect_ratio", self.RATIOS, "auto")  # of no effect on a single source
        wanted.choice("quality", ("low", "medium", "high"), "medium")
        resolution = wanted.choice("resolution", ("1k", "2k"), "1k")
        by_url = wanted.choice("response_format", ("url", "b64_json"), "url") == "url" or self.by_url
        n = wanted.integer("n", range(1, 11), 1)
        size = same_shape(source, MEGAPIXEL if resolution == "1k" else 4 * MEGAPIXEL, 32)
        entries = self.entries(self.make(n, size, "jpeg"), by_url=by_url)
        if self.moderate == "error":
            raise self.moderation()
        if self.moderate == "entry":
            entries = [{"url": None, "b64_json": None, "respect_moderation": False}]
        more = {"revised_prompt": "", "mime_type": "image/jpeg"}
        usage = {"cost_in_usd_ticks": 200_000_000}
        return answer({"data": [more | entry for entry in entries], "usage": usage, "block_reason": None})

    def read_sources(self, call: Call) -> list[tuple[int, int]]:
        """Return the sizes of `image` or of up to three `images`."""
        if ("image" in call.fields) == ("images" in call.fields):
            raise Refusal(422, "Exactly one of `image` and `images` is required.", "image")
        given = call.fields.get("images", [call.fields.get("image")])
        if not isinstance(given, list) or not 1 <= len(given) <= 3:
            raise Refusal(400, "At most 3 images are supported.", "images")
        return [self._read_source(one) for one in given]

    def _read_source(self, source: object) -> tuple[int, int]:
        if not isinstance(source, dict) or source.get("type", "image_url") != "image_url":
            raise Refusal(422, "image: invalid type, expected struct ImageUrl", "image")
        decoded = from_data_url(source.get("url"))
        found = inspect(decoded[1]) if decoded else None
        if not found:
            raise Refusal(400, "Unable to decode the image. Provide an https URL or a data URI.", "image")
        return found[1]

    def moderation(self) -> Refusal:
        """Refuse what was made, and charge for it."""
        message = "Generated image rejected by content moderation."
        return Refusal(400, message, code="imagine:content-moderated", usage={"cost_in_usd_ticks": 900_000_000})

    def error_body(self, refusal: Refusal) -> Any:
        """Return a code and a text side by side."""
        codes = {401: "unauthenticated", 404: "not-found", 429: "resource-exhausted", 500: "internal"}
        code = codes.get(refusal.status, "Client specified an invalid argument")
        return {"code": refusal.code if refusal.more else code, "error": refusal.message} | refusal.more


class Together(Family):
    """Together: pictures go into /images/generations, in the field that the model knows (read 2026-11-25).

    A picture in the other field is taken to be ignored here, which nobody has verified.
    """

    NAME = "Together"
    MODEL = "black-forest-labs/FLUX.1-kontext-pro"
    ROUTES: ClassVar = {"GET /v1/models": "list_models", "POST /v1/images/generations": "generate"}
    SOURCE_FIELDS: ClassVar = {
        "black-forest-labs/FLUX.1-kontext-pro": ("image_url",),
        "black-forest-labs/FLUX.2-pro": ("image_url", "reference_images"),
        "black-forest-labs/FLUX.2-dev": ("reference_images",),
        "black-forest-labs/FLUX.1-schnell": (),
    }
    KNOWN = frozenset(
        {"model", "prompt", "image_url", "reference_images", "width", "height", "n", "response_format", "seed"}
    )
    KNOWN |= frozenset({"steps", "guidance_scale", "negative_prompt", "output_format", "disable_safety_checker"})
    KNOWN |= frozenset({"prompt_upsampling", "aspect_ratio", "image_loras"})

    def list_models(self, _request: Upload) -> Response:
        """Show a bare array, with a type each."""
        images = [{"id": name, "object": "model", "created": CREATED, "type": "image"} for name in self.SOURCE_FIELDS]
        text = {"id": "moonshotai/Kimi-K3", "object": "model", "created": CREATED, "type": "chat"}
        return answer([*images, text])

    def generate(self, call: Call) -> Response:
        """Make pictures of a source, or of nothing but the prompt where there is none in the right field."""
        if call.kind != "json":
            raise Refusal(415, "Expected request with `Content-Type: application/json`")
        wanted = Parameters(call)
        wanted.reject_unknown(self.KNOWN)
        model = wanted.require("model")
        if model not in self.SOURCE_FIELDS:
            raise Refusal(404, f"Unable to access model {model}.", code="model_not_available")
        wanted.require("prompt")
        n = wanted.integer("n", range(1, 5), 1)
        size = (self._read_edge(wanted, "width"), self._read_edge(wanted, "height"))
        by_url = wanted.choice("response_format", ("base64", "url"), "url") == "url" or self.by_url
        output_format = wanted.choice("output_format", ("jpeg", "png"), "jpeg")
        sources = [self._read_source(url, name) for name in self.SOURCE_FIELDS[model] for url in several(call, name)]
        if not sources:
            self.take_as_text_to_image()
        entries = self.entries(self.make(n, size, output_format, wanted.seed()), by_url=by_url)
        kind = "url" if by_url else "b64_json"
        data = [{"index": index, "type": kind} | entry for index, entry in enumerate(entries)]
        return answer({"id": "0000", "model": model, "object": "list", "data": data})

    def _read_edge(self, wanted: Parameters, name: str) -> int:
        edge = wanted.integer(name, range(256, 1921), 1024)
        if edge % 8:
            raise Refusal(400, f"{name} must be a multiple of 8", name)
        return edge

    def _read_source(self, url: object, name: str) -> bytes:
        decoded = from_data_url(url)
        if not decoded or not inspect(decoded[1]):
            raise Refusal(400, f"{name} must be a valid image URL", name)
        return decoded[1]


def several(call: Call, name: str) -> list[Any]:
    """Return a field that may be one value or a list of them."""
    given = call.fields.get(name)
    if given is None:
        return []
    return given if isinstance(given, list) else [given]
