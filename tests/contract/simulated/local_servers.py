"""Servers in C++ and Go that people run at home: Lemonade over stable-diffusion.cpp, and LocalAI."""

import json
import re
from dataclasses import replace
from typing import Any, ClassVar

from werkzeug import Response

from .calls import Call, Refusal, Sent, Upload
from .parameters import Parameters
from .pictures import from_base64, inspect
from .server import Family, answer, listing, made

EXTRA = re.compile("<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>")
DEFAULT_SEED = 42


def decode(content: bytes, *, webp: bool = False) -> tuple[int, int] | None:
    """Return the size of a picture as stb_image does, which knows no WebP."""
    found = inspect(content)
    return found[1] if found and (webp or found[0] != "image/webp") else None


class StableDiffusionCpp(Family):
    """sd-server of stable-diffusion.cpp, without WebP (routes_openai.cpp @0137f168, read 2026-11-25)."""

    NAME = "stable-diffusion.cpp"
    MODEL = "sd-cpp-local"
    HOSTED = False
    ROUTES: ClassVar = {"GET /v1/models": "list_models", "POST /v1/images/edits": "edit"}
    GRID = 16  # edges are rounded up to it, as for Flux and Qwen models

    def list_models(self, _request: Upload) -> Response:
        """Show the one model that is loaded, under a constant name."""
        return answer({"data": [{"id": "sd-cpp-local", "object": "model", "owned_by": "local"}]})

    def check_key(self, request: Upload) -> None:
        """Let anybody in."""

    def edit(self, call: Call) -> Response:
        """Make edits, or pictures of nothing but the prompt where no picture could be decoded."""
        wanted = self.read(call)
        several = [sent for sent in call.pictures if sent.field == "image[]"]
        sources = several or [sent for sent in call.pictures if sent.field == "image"][:1]
        if not sources:
            raise Refusal(400, "at least one image[] required")
        output_format = wanted.text("output_format", "png")
        if output_format not in {"png", "jpeg"}:
            raise Refusal(400, "invalid output_format, must be one of [png, jpeg]")
        return self.generate(sources, wanted, self.read_seed(wanted), output_format)

    def read(self, call: Call) -> Parameters:
        """Return the parameters of a form with a prompt."""
        if call.kind != "multipart":
            raise Refusal(400, "Content-Type must be multipart/form-data")
        if not call.fields.get("prompt"):
            raise Refusal(400, "prompt required")
        return Parameters(call)

    def read_seed(self, wanted: Parameters) -> int:
        """Return the seed that the prompt hides, or the one that every call starts with."""
        match = EXTRA.search(wanted.text("prompt"))
        try:
            extra = dict(json.loads(match[1])) if match else {}
        except (ValueError, TypeError) as error:
            raise Refusal(400, "invalid sd_cpp_extra_args") from error
        seed = extra.get("seed")
        return seed if type(seed) is int else DEFAULT_SEED

    def generate(self, sources: list[Sent], wanted: Parameters, seed: int, output_format: str) -> Response:
        """Make up to eight pictures; picture i has the seed + i."""
        decoded = [size for sent in sources if (size := decode(sent.content))]
        if not decoded:
            self.take_as_text_to_image()
        asked = re.match("([1-9][0-9]*)x([1-9][0-9]*)", wanted.text("size"))
        size = (int(asked[1]), int(asked[2])) if asked else [*decoded, (512, 512)][0]
        width, height = (-(-edge // self.GRID) * self.GRID for edge in size)
        number = re.match("-?[0-9]+", wanted.text("n"))
        n = min(max(int(number[0]) if number else 1, 1), 8)
        pictures = self.make(n, (width, height), output_format, None if seed < 0 else seed)
        return made(self.entries(pictures), output_format=output_format)

    def error_body(self, refusal: Refusal) -> Any:
        """Return the error as a text."""
        return {"error": refusal.message}


class Lemonade(StableDiffusionCpp):
    """Lemonade over sd-server: edits and variations (its docs and server.cpp, read 2026-11-25)."""

    NAME = "Lemonade"
    MODEL = "SD-Turbo"
    BASE_PATH = "/api/v1"
    ROUTES: ClassVar = {
        f"{method} {base}{path}": name
        for base in ("/api/v1", "/v1")
        for method, path, name in (
            ("GET", "/models", "list_models"),
            ("POST", "/images/edits", "edit"),
            ("POST", "/images/variations", "vary"),
        )
    }

    def list_models(self, _request: Upload) -> Response:
        """Show the models that are downloaded, with labels."""
        defaults = {"steps": 4, "cfg_scale": 1.0, "width": 512, "height": 512}
        image = {"recipe": "sd-cpp", "labels": ["image", "edit"], "image_defaults": defaults}
        text = {"recipe": "llamacpp", "labels": ["reasoning"]}
        models = ({"id": self.MODEL} | image, {"id": "Qwen3-4B-GGUF"} | text)
        return listing(*models, owned_by="lemonade", created=1_234_567_890)

    def edit(self, call: Call) -> Response:
        """Make edits; the seed is a field, and random if negative."""
        wanted = self.read(call)
        if not call.fields.get("prompt"):
            raise Refusal(400, "Missing 'prompt' field in request")
        text = wanted.text("seed", str(DEFAULT_SEED))
        if not re.fullmatch("-?[0-9]+", text):
            raise Refusal(400, "Invalid value for 'seed': must be an integer")
        return self.generate(call.pictures[:1], wanted, int(text), "png")

    def vary(self, call: Call) -> Response:
        """Make variations, which have no prompt and no seed: the same ones each time."""
        return self.generate(call.pictures[:1], self.read(call), DEFAULT_SEED, "png")

    def read(self, call: Call) -> Parameters:
        """Return the parameters of a form with a picture and a model."""
        if call.kind != "multipart":
            raise Refusal(400, "Request must be multipart/form-data")
        if not any(sent.field in {"image", "image[]"} for sent in call.pictures):
            raise Refusal(400, "Missing 'image' field in request")
        model = call.fields.get("model")
        if not model:
            raise Refusal(400, "Missing 'model' field in request")
        if model != self.MODEL:
            raise Refusal(404, f"Model '{model}' was not found", code="model_not_found")
        if not re.fullmatch("[1-9]|10", call.fields.get("n", "1")):
            raise Refusal(400, "Invalid value for 'n': must be between 1 and 10")
        return Parameters(replace(call, fields={"size": "512x512"} | call.fields))  # from image_defaults

    def error_body(self, refusal: Refusal) -> Any:
        """Return an envelope like OpenAI's."""
        code = {"code": refusal.code} if refusal.code else {}
        return {"error": {"message": refusal.message, "type": refusal.type} | code}


class LocalAI(Family):
    """LocalAI: edits through /images/generations with raw base64 (image.go, read 2026-11-25)."""

    NAME = "LocalAI"
    MODEL = "flux.1-kontext-dev"
    HOSTED = False
    FILES = "/generated-images/"
    ROUTES: ClassVar = {
        "GET /v1/models": "list_models",
        "GET /v1/models/capabilities": "list_capabilities",
        "POST /v1/images/generations": "generate",
    }

    def check_key(self, request: Upload) -> None:
        """Let anybody in."""

    def error_body(self, refusal: Refusal) -> Any:
        """Return an envelope with the status as code."""
        return {"error": {"code": refusal.status, "message": refusal.message, "type": ""}}

    def list_models(self, _request: Upload) -> Response:
        """Show the names and nothing else."""
        return answer(
            {"object": "list", "data": [{"id": name, "object": "model"} for name in (self.MODEL, "qwen3-4b")]}
        )

    def list_capabilities(self, _request: Upload) -> Response:
        """Show what each model takes and makes."""
        kinds = {self.MODEL: ("image", ["text", "image"]), "qwen3-4b": ("chat", ["text"])}
        outputs = {"image": "image", "chat": "text"}
        models = [
            {
                "id": name,
                "object": "model",
                "capabilities": [kind],
                "input_modalities": taken,
                "output_modalities": [outputs[kind]],
            }
            for name, (kind, taken) in kinds.items()
        ]
        return answer({"object": "list", "data": models})

    def generate(self, call: Call) -> Response:
        """Make n pictures one by one, of nothing but the prompt where no picture could be read."""
        if call.kind != "json":
            raise Refusal(400, "failed reading parameters from request: unexpected content type")
        wanted = Parameters(call)
        model = wanted.text("model")
        if model and model != self.MODEL:
            message = f'model "{model}" not found. To see available models, call GET /v1/models'
            raise Refusal(404, message)
        size = wanted.size()
        if not size and "x" in wanted.text("size"):
            raise Refusal(500, "invalid value for 'size'")
        if not self._read_sources(call):
            self.take_as_text_to_image()
        n = wanted.integer("n", range(1001), 1) or 1
        seed = wanted.seed()
        # Every picture has the same seed, if there is one.
        pictures = self.make(n, size or (512, 512), "png", seed, step=0)
        by_url = self.by_url or wanted.text("response_format") != "b64_json"
        return made(self.entries(pictures, by_url=by_url), id="0000")

    def _read_sources(self, call: Call) -> int:
        """Count the pictures that are really used; the others are dropped without a word, or cannot be decoded."""
        used = 0
        for name in ("files", "file", "ref_images"):
            given = call.fields.get(name) or []
            for text in [given] if isinstance(given, str) else given:
                content = from_base64(text)
                if content is None:
                    continue
                call.pictures.append(Sent(name, None, "", content))
                if decode(content):
                    used += 1
                elif name != "ref_images":
                    raise Refusal(500, "inference failed")
        return used
