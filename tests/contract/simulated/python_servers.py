"""Inference servers on FastAPI: vLLM-Omni and SGLang."""

import re
from http import HTTPStatus
from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Upload
from .parameters import Parameters
from .pictures import from_data_url, inspect, same_shape
from .server import Family, listing, made


class FastApiFamily(Family):
    """Take a form with `image` or `image[]` (files), or `url` (text), and let anybody in."""

    HOSTED = False
    ROUTES: ClassVar = {"GET /v1/models": "list_models", "POST /v1/images/edits": "edit"}
    INVALID = 422

    def check_key(self, request: Upload) -> None:
        """Let anybody in."""

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Answer as FastAPI does."""
        return Refusal(status, "Not Found" if status == 404 else "Method Not Allowed")

    def read_form(self, call: Call) -> tuple[Parameters, list[bytes]]:
        """Return the parameters and the pictures; JSON looks like an empty form."""
        wanted = Parameters(call, self.INVALID)
        if call.kind != "multipart" or not call.fields.get("prompt"):
            raise Refusal(self.INVALID, "Field required", "prompt")
        pictures = [sent.content for sent in call.pictures if sent.field in {"image", "image[]"}]
        if not pictures:
            urls = [call.fields.get("url"), call.fields.get("url[]")]
            pictures = [decoded[1] for url in urls if (decoded := from_data_url(url))]
        if not pictures:
            raise Refusal(422, "Field 'image' or 'url' is required")
        return wanted, pictures


class VllmOmni(FastApiFamily):
    """vLLM-Omni 0.30 with Qwen-Image-Edit (its api_server.py, and vLLM's error handlers, read 2026-11-25)."""

    NAME = "vLLM-Omni"
    MODEL = "Qwen/Qwen-Image-Edit"
    INVALID = 400
    GRID = 16  # edges are rounded down to it
    MOST_PIXELS = 7680 * 4320

    def list_models(self, _request: Upload) -> Response:
        """Show the one model that is served."""
        model = {"id": self.MODEL, "owned_by": "vllm", "root": self.MODEL, "parent": None, "max_model_len": None}
        return listing(model, permission=[])

    def edit(self, call: Call) -> Response:
        """Make edits with a random seed, if none is sent."""
        wanted, pictures = self.read_form(call)
        model = wanted.text("model", self.MODEL)
        if model != self.MODEL:
            message = f"Model mismatch: request specifies '{model}' but server is running '{self.MODEL}'."
            raise Refusal(400, message)
        if wanted.text("response_format", "b64_json") != "b64_json":
            raise Refusal(400, "Only response_format 'b64_json' is supported now.")
        if len(pictures) > 1:
            raise Refusal(400, "Received multiple input images. Only a single image is supported by this model.")
        source = inspect(pictures[0])
        if not source:
            raise Refusal(400, "Failed to open uploaded file: cannot identify image file")
        size = self.read_size(wanted, source[1])
        width, height = (max(edge // self.GRID, 1) * self.GRID for edge in size)
        n = max(wanted.integer("n", range(-(2**31), 2**31), 1), 1)
        output_format = {"png": "png", "webp": "webp"}.get(wanted.text("output_format", "png"), "jpeg")
        made_ones = self.make(n, (width, height), output_format, wanted.seed())
        return made(self.entries(made_ones), output_format=output_format, size=f"{width}x{height}")

    def read_size(self, wanted: Parameters, source: tuple[int, int]) -> tuple[int, int]:
        """Return the asked size, or the source's for `auto`."""
        if wanted.text("size", "auto").lower() == "auto":
            return source
        size = wanted.size()
        if not size or not all(size):
            raise Refusal(400, f"Invalid size format: '{wanted.text('size')}'. Expected 'WIDTHxHEIGHT' or 'auto'.")
        if size[0] * size[1] > self.MOST_PIXELS:
            raise Refusal(400, "Requested image size exceeds the maximum.")
        return size

    def error_body(self, refusal: Refusal) -> Any:
        """Return vLLM's envelope, with the status as code and its phrase as type."""
        phrase = HTTPStatus(refusal.status).phrase
        names = {"message": refusal.message, "type": phrase, "param": refusal.param, "code": refusal.status}
        return {"error": names}


class SGLang(FastApiFamily):
    """SGLang diffusion 0.5.23, whose seed is 42 if none is sent (its image_api.py, read 2026-11-25)."""

    NAME = "SGLang"
    MODEL = "Qwen/Qwen-Image-Edit-2511"
    QUALITIES = ("auto", "exact", "lossless", "high", "extra-high")
    DEFAULT_SEED = 42

    def list_models(self, _request: Upload) -> Response:
        """Show the one model that is served, with what it can do."""
        about = {"task_type": "I2I", "supported_task_types": ["I2I"], "pipeline_name": "QwenImageEditPlusPipeline"}
        model = {"id": self.MODEL, "owned_by": "sglang", "root": self.MODEL, "parent": None, "max_model_len": None}
        return listing(model | about)

    def edit(self, call: Call) -> Response:
        """Make up to ten edits; picture i has the seed + i."""
        wanted, pictures = self.read_form(call)
        response_format = wanted.text("response_format", "b64_json").lower()
        if response_format == "url":
            raise Refusal(400, "response_format='url' requires cloud storage to be configured.")
        if response_format != "b64_json":
            raise Refusal(400, f"response_format={response_format} is not supported")
        if wanted.text("quality", "auto") not in self.QUALITIES:
            raise Refusal(400, f"quality must be one of {list(self.QUALITIES[1:])}")
        n = min(max(wanted.integer("n", range(-(2**31), 2**31), 1), 1), 10)
        seed = wanted.integer("seed", range(-(2**63), 2**63), self.DEFAULT_SEED)
        if seed < 0:
            raise Refusal(400, f"seed must be a non-negative int or list of ints, got {seed}")
        size = self.read_size(wanted)
        source = inspect(pictures[0])
        if not source:
            raise Refusal(500, "Internal Server Error")  # noticed in the scheduler only
        output_format = wanted.text("output_format", "jpeg").replace("jpg", "jpeg")
        made_ones = self.make(n, size or same_shape(source[1], 1024 * 1024, 32), output_format, seed)
        more = {"revised_prompt": wanted.text("prompt"), "file_path": None}
        usage = {"image_count": len(made_ones)}
        return made([entry | more for entry in self.entries(made_ones)], id="0000", usage=usage)

    def read_size(self, wanted: Parameters) -> tuple[int, int] | None:
        """Return the asked size, or None for that of the model; there is no `auto`."""
        text = wanted.text("size").replace(" ", "").lower()
        if not text:
            return None
        if not re.fullmatch("[1-9][0-9]*x[1-9][0-9]*", text):
            raise Refusal(400, "size must be formatted as positive WIDTHxHEIGHT")
        width, height = map(int, text.split("x"))
        return width, height

    def error_body(self, refusal: Refusal) -> Any:
        """Return FastAPI's shapes, and a bare text for what nobody has foreseen."""
        if refusal.status == 500:
            return "Internal Server Error"
        if refusal.status == 422 and refusal.param:
            kind = "missing" if refusal.message == "Field required" else "value_error"
            return {"detail": [{"type": kind, "loc": ["body", refusal.param], "msg": refusal.message}]}
        return {"detail": refusal.message}
