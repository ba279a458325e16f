"""A variation of the local style engine is of the right size, repeatable, different and recognisable."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from infra.local.style_engine import EngineClosed, StyleEngine, frame, is_graphic, recolour, seed_for


@pytest.fixture(scope="session", name="engine")
def _engine():
    return StyleEngine()


def draw_photo(width=480, height=320):
    """Draw what the engine takes for a photograph: soft light, many colours, an off-centre subject."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    grain = np.random.default_rng(7).normal(0, 6, (height, width, 3))
    sky = np.stack([90 + 120 * x, 120 + 90 * y, 200 - 140 * y], axis=2)
    subject = np.hypot((x - 0.4) * width, (y - 0.45) * height) < height / 4
    light = np.stack([230 - 150 * y, 90 + 60 * x, 40 + 50 * x], axis=2)
    pixels = np.where(subject[..., np.newaxis], light, sky) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw_logo(background=(0, 0, 0, 0)):
    picture = Image.new("RGBA", (400, 200), background)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((0, 0, 199, 199), fill="#d33")
    pen.rectangle((240, 60, 399, 140), fill="#124")
    return picture if background[3] == 0 else picture.convert("RGB")


@pytest.fixture(scope="session", name="ten")
def _ten(engine):
    return list(engine.vary(draw_photo(), count=10, width=256, height=256, seed=40))


def distance(one, other):
    """Mean difference per channel, 0-255."""
    return np.abs(np.asarray(one, float) - np.asarray(other, float)).mean()


def likeness(one, other):
    """Correlation of the coarse luminance of two pictures, -1 to 1."""
    coarse = [np.asarray(p.convert("L").resize((24, 24)), float).ravel() for p in (one, other)]
    return np.corrcoef(*coarse)[0, 1]


@pytest.mark.parametrize(("width", "height"), [(256, 256), (1024, 512), (336, 1008)])
def test_variations_have_exactly_the_size_asked_for(engine, width, height):
    (variation,) = engine.vary(draw_photo(), count=1, width=width, height=height, seed=1)

    assert variation.size == (width, height)


def test_the_same_seed_paints_the_same_picture_again(engine, ten):
    again = next(engine.vary(draw_photo(), count=1, width=256, height=256, seed=40))

    assert distance(ten[0], again) < 0.5


def test_another_seed_paints_another_picture(engine, ten):
    other = next(engine.vary(draw_photo(), count=1, width=256, height=256, seed=50))

    assert distance(ten[0], other) > 2


def test_ten_variations_differ_from_each_other(ten):
    assert min(distance(one, other) for one, other in combinations(ten, 2)) > 5


def test_variations_remain_recognisable_but_are_no_copies(ten):
    source = frame(draw_photo(), (256, 256))

    assert min(likeness(source, variation) for variation in ten) > 0.6
    assert min(distance(source, variation) for variation in ten) > 5


def test_a_photograph_stays_opaque(ten):
    assert {variation.mode for variation in ten} == {"RGB"}


def test_transparency_is_kept(engine):
    (variation,) = engine.vary(draw_logo(), count=1, width=256, height=256, seed=1)
    alpha = np.asarray(variation.getchannel("A"))

    assert alpha[0].max() == 0
    assert alpha.max() == 255
    assert 0.2 < (alpha > 128).mean() < 0.4


def test_nothing_of_a_logo_is_cut_off(engine):
    for variation in engine.vary(draw_logo(), count=3, width=512, height=256, seed=3):
        alpha = np.asarray(variation.getchannel("A"))

        assert max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) == 0


def test_the_ground_of_an_opaque_graphic_stays_even(engine):
    (variation,) = engine.vary(draw_logo((255, 255, 255, 255)), count=1, width=256, height=256, seed=1)

    assert np.asarray(variation)[:40].std(axis=(0, 1)).max() < 2


@pytest.mark.parametrize("colour", ["#ffffff00", "white", "black"])
def test_pictures_without_any_content_can_be_varied(engine, colour):
    (variation,) = engine.vary(Image.new("RGBA", (64, 64), colour), count=1, width=256, height=256, seed=1)

    assert variation.size == (256, 256)


def test_a_single_pixel_can_be_varied(engine):
    (variation,) = engine.vary(Image.new("L", (1, 1)), count=1, width=256, height=256, seed=1)

    assert variation.size == (256, 256)


def test_a_closed_engine_paints_no_more():
    engine = StyleEngine()
    engine.close()

    with pytest.raises(EngineClosed):
        next(engine.vary(draw_photo(), count=1, width=256, height=256, seed=1))


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(draw_photo(), False, id="photograph"),
        pytest.param(draw_logo(), True, id="transparent logo"),
        pytest.param(draw_logo((255, 255, 255, 255)), True, id="logo on white"),
        pytest.param(Image.new("L", (90, 90), 255), True, id="blank page"),
    ],
)
def test_graphics_are_told_from_photographs(picture, expected):
    assert is_graphic(picture) is expected


def test_a_photograph_is_cropped_and_a_graphic_is_padded():
    assert distance(frame(draw_photo(), (320, 320)), draw_photo().crop((80, 0, 400, 320))) == 0
    assert frame(draw_logo(), (400, 400)).getchannel("A").getbbox() == (0, 100, 400, 300)
    assert frame(draw_logo((0, 0, 255, 255)), (400, 400)).getpixel((200, 5)) == (0, 0, 255)


def test_seed_follows_from_picture_prompt_and_user_seed():
    seeds = {
        seed_for(b"one", "", None),
        seed_for(b"two", "", None),
        seed_for(b"one", "brighter", None),
        seed_for(b"one", "", 7),
    }

    assert len(seeds) == 4
    assert seed_for(b"one", "", None) == seed_for(b"one", "", None)


def test_consecutive_user_seeds_start_with_different_presets():
    assert sorted(seed_for(b"one", "", user_seed) % 10 for user_seed in range(10)) == list(range(10))


def test_recolouring_is_repeatable_and_of_the_size_asked_for():
    one, other = recolour(draw_photo(), count=2, width=512, height=256, seed=1)

    assert one.size == (512, 256)
    assert distance(one, other) > 5
    assert distance(one, next(recolour(draw_photo(), count=1, width=512, height=256, seed=1))) == 0
