"""A model is asked for the smallest size it makes that covers the wanted one; the rest is scaled down."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from variations.dialects.sizes import (
    GPT_IMAGE_1,
    GPT_IMAGE_2,
    AsWanted,
    Fixed,
    Free,
    always,
    edges,
    rule_of,
    to_be_had,
)
from variations.errors import InvalidRequest

SQUARES = ("256x256", "512x512", "1024x1024")
EDGES = st.integers(10, 3840)
SIZES = st.tuples(EDGES, EDGES).map("{0[0]}x{0[1]}".format)


def pixels(size):
    width, height = edges(size)
    return width * height


def covers(larger, size):
    return all(one >= other for one, other in zip(edges(larger), edges(size), strict=True))


def test_a_size_has_a_width_and_a_height():
    assert edges("1024x768") == (1024, 768)


# A handful of sizes


@pytest.mark.parametrize(
    ("size", "covering"),
    [
        ("10x10", "256x256"),
        ("256x256", "256x256"),
        ("257x10", "512x512"),
        ("10x513", "1024x1024"),
        ("1024x1024", "1024x1024"),
    ],
)
def test_of_some_sizes_the_smallest_is_chosen_that_covers_the_asked_one(size, covering):
    assert Fixed(SQUARES).to_ask(size) == Fixed(SQUARES[::-1]).to_ask(size) == covering


def test_the_smallest_size_is_that_of_the_fewest_pixels_and_not_of_the_shortest_edge():
    assert Fixed(("100x3000", "500x500", "3000x100")).to_ask("100x100") == "500x500"


def test_a_size_that_no_choice_covers_is_refused_with_the_choices_and_names_the_field():
    with pytest.raises(
        InvalidRequest, match="makes 256x256, 512x512, 1024x1024, and nothing that covers 1025x"
    ) as caught:
        Fixed(SQUARES).to_ask("1025x10")

    assert caught.value.param == "size"


@pytest.mark.parametrize(
    "rule",
    [AsWanted(), Fixed(SQUARES), Free(), GPT_IMAGE_1, GPT_IMAGE_2],
    ids=["nothing known", "fixed", "free", "gpt-image-1", "gpt-image-2"],
)
def test_a_size_of_auto_is_left_to_the_model(rule):
    assert rule.to_ask("auto") == "auto"


def test_a_size_of_auto_is_the_largest_one_of_a_model_that_cannot_choose():
    assert Fixed(SQUARES, chooses=False).to_ask("auto") == "1024x1024"


@given(SIZES, st.lists(SIZES, min_size=1, max_size=5))
def test_whatever_the_choices_the_one_taken_covers_the_asked_size_and_none_smaller_does(size, choices):
    fitting = [choice for choice in choices if covers(choice, size)]
    try:
        chosen = Fixed(tuple(choices)).to_ask(size)
    except InvalidRequest:
        assert not fitting
        return

    assert chosen in fitting
    assert pixels(chosen) == min(map(pixels, fitting))


# Any size within bounds


@pytest.mark.parametrize("size", ["1x1", "513x77", "256x256", "100000x3"])
def test_a_rule_without_bounds_asks_for_what_is_wanted(size):
    assert Free().to_ask(size) == AsWanted().to_ask(size) == size


@pytest.mark.parametrize(
    ("size", "asked"), [("512x512", "512x512"), ("500x500", "512x512"), ("17x16", "32x16"), ("1x1", "16x16")]
)
def test_edges_in_steps_are_rounded_up(size, asked):
    assert Free(step=16).to_ask(size) == asked


@pytest.mark.parametrize(
    ("size", "asked"),
    [("960x960", "960x960"), ("256x256", "960x960"), ("640x360", "1280x720"), ("100x1600", "240x3840")],
    ids=["as many as needed", "too few", "too few across", "too few upright"],
)
def test_too_few_pixels_become_as_many_as_needed_in_the_same_shape(size, asked):
    assert Free(least_pixels=921_600).to_ask(size) == asked


@pytest.mark.parametrize(
    ("size", "asked"),
    [("64x1600", "256x1600"), ("1600x64", "1600x256"), ("100x100", "256x256"), ("256x300", "256x304")],
    ids=["tower", "banner", "square", "long enough"],
)
def test_an_edge_that_is_too_short_becomes_long_enough_and_the_other_one_stays(size, asked):
    assert Free(step=16, shortest_edge=256).to_ask(size) == asked


def test_sizes_that_are_asked_for_otherwise_are_looked_up_first():
    assert Free(step=16, instead={"500x500": "700x700"}).to_ask("500x500") == "700x700"


@pytest.mark.parametrize(
    ("rule", "size", "words"),
    [
        (Free(ratio=3), "301x100", "up to 3:1, not 301x100"),
        (Free(ratio=2.5), "100x251", "up to 2.5:1, not 100x251"),
        (Free(most_pixels=1_000_000), "1000x1001", "up to 1.0 megapixels, not 1000x1001"),
        (Free(longest_edge=1920), "1921x10", "up to 1920 pixels an edge, not 1921x10"),
        (Free(step=16, longest_edge=1920), "10x1921", "up to 1920 pixels an edge, not 10x1921"),
        (
            Free(most_pixels=1_000_000, longest_edge=1920),
            "1921x10",
            "up to 1.0 megapixels and 1920 pixels an edge, not 1921x10",
        ),
    ],
    ids=["too long", "too tall", "too many pixels", "too wide", "too high", "both limits"],
)
def test_a_size_beyond_the_bounds_is_refused_with_the_limit_and_names_the_field(rule, size, words):
    with pytest.raises(InvalidRequest, match=words) as caught:
        rule.to_ask(size)

    assert caught.value.param == "size"


@pytest.mark.parametrize(
    ("rule", "size"),
    [
        (Free(ratio=3), "300x100"),
        (Free(most_pixels=1_000_000), "1000x1000"),
        (Free(longest_edge=1920), "1920x10"),
    ],
    ids=["as long as may be", "as many pixels as may be", "as wide as may be"],
)
def test_a_size_that_just_keeps_to_the_bounds_is_asked_for_as_it_is(rule, size):
    assert rule.to_ask(size) == size


# GPT Image 2 and later


@pytest.mark.parametrize(
    ("size", "asked"),
    [
        ("1024x1024", "1024x1024"),
        ("1000x1000", "1008x1008"),
        ("1025x1024", "1040x1024"),
        ("3840x2160", "3840x2160"),
        ("3825x2145", "3840x2160"),
        ("1600x410", "refused"),
        ("1600x534", "1600x544"),
        ("10x10", "816x816"),
        ("160x256", "640x1024"),
        ("15x24", "640x1024"),
        ("30x10", "1408x480"),
        ("256x256", "1024x1024"),
        ("512x512", "1024x1024"),
    ],
)
def test_a_size_off_the_grid_is_asked_as_the_next_larger_one_of_its_shape(size, asked):
    if asked == "refused":
        with pytest.raises(InvalidRequest):
            GPT_IMAGE_2.to_ask(size)
    else:
        assert GPT_IMAGE_2.to_ask(size) == asked


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("3841x2160", "3840 pixels an edge, not 3841x2160"),
        ("2160x3841", "3840 pixels an edge, not 2160x3841"),
        ("2881x2880", "8.3 megapixels .*, not 2881x2880"),
        ("31x10", "up to 3:1, not 31x10"),
        ("10x31", "up to 3:1, not 10x31"),
    ],
    ids=["too wide", "too high", "too many pixels", "too long", "too tall"],
)
def test_a_size_beyond_the_grid_is_refused_with_the_limit_and_names_the_field(size, words):
    with pytest.raises(InvalidRequest, match=words) as caught:
        GPT_IMAGE_2.to_ask(size)

    assert caught.value.param == "size"


@given(EDGES, EDGES)
@example(30, 10)
@example(3840, 1280)
@example(2880, 2880)
@example(2875, 2885)
@example(15, 24)
def test_whatever_is_asked_it_is_made_on_the_grid_within_the_limits_or_refused(width, height):
    size = f"{width}x{height}"
    up = [-(-edge // 16) * 16 for edge in (width, height)]
    try:
        asked = GPT_IMAGE_2.to_ask(size)
    except InvalidRequest:
        assert max(width, height) > 3 * min(width, height) or up[0] * up[1] > 8_294_400
        return

    assert covers(asked, size)
    assert all(edge % 16 == 0 for edge in edges(asked))
    assert 655_360 <= pixels(asked) <= 8_294_400
    assert max(edges(asked)) <= min(3840, 3 * min(edges(asked)))


@given(EDGES, EDGES)
@example(15, 24)
@example(160, 256)
def test_no_more_is_asked_than_the_grid_and_the_fewest_pixels_want(width, height):
    if (width, height) in {(256, 256), (512, 512)}:
        return
    try:
        asked = edges(GPT_IMAGE_2.to_ask(f"{width}x{height}"))
    except InvalidRequest:
        return

    if width * height >= 655_360:
        assert asked == (-(-width // 16) * 16, -(-height // 16) * 16)
    else:
        assert (asked[0] - 16) * (asked[1] - 16) < 655_360
        # Each edge is less than a step longer than the same shape would have it.
        assert abs(asked[0] * height - asked[1] * width) < 16 * max(width, height)


RULES = st.builds(
    Free,
    step=st.sampled_from([1, 8, 16, 64]),
    least_pixels=st.sampled_from([0, 65_536, 655_360, 3_686_400]),
    most_pixels=st.sampled_from([None, 4_624_220, 16_777_216]),
    longest_edge=st.sampled_from([None, 1920, 3840]),
    ratio=st.sampled_from([None, 3, 16]),
    shortest_edge=st.sampled_from([1, 256]),
)


@given(RULES, SIZES)
def test_whatever_the_bounds_the_size_covers_the_asked_one_and_keeps_to_them_or_is_refused(rule, size):
    try:
        asked = rule.to_ask(size)
    except InvalidRequest:
        return

    assert covers(asked, size)
    assert all(edge % rule.step == 0 for edge in edges(asked))
    assert rule.least_pixels <= pixels(asked) <= (rule.most_pixels or pixels(asked))
    assert max(edges(asked)) <= (rule.longest_edge or max(edges(asked)))
    assert min(edges(asked)) >= rule.shortest_edge


# Which model has which rule


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ("gpt-image-1", GPT_IMAGE_1),
        ("gpt-image-1.5", GPT_IMAGE_1),
        ("gpt-image-1-mini", GPT_IMAGE_1),
        ("openai/gpt-image-1", GPT_IMAGE_1),
        ("chatgpt-image-latest", GPT_IMAGE_1),
        ("gpt-image-2", GPT_IMAGE_2),
        ("gpt-image-2.6-flare", GPT_IMAGE_2),
        ("azure/openai/gpt-image-2.5-sunburst", GPT_IMAGE_2),
        ("gpt-image-10", GPT_IMAGE_2),
        ("dall-e-2", Fixed(SQUARES, chooses=False)),
        ("openai/dall-e-2", Fixed(SQUARES, chooses=False)),
        ("dall-e-20", AsWanted()),
        ("my-gpt-image-2", AsWanted()),
        ("flux", AsWanted()),
        ("", AsWanted()),
    ],
)
def test_the_name_of_a_model_tells_which_sizes_it_makes(model, rule):
    assert rule_of(model) == rule


def test_a_rule_may_hold_for_every_model():
    rule = Free(step=16)

    assert always(rule)("gpt-image-1") is always(rule)("flux") is rule


@pytest.mark.parametrize(
    ("rule", "sizes"),
    [
        (AsWanted(), ["256x256", "512x512", "1024x1024", "auto"]),
        (
            GPT_IMAGE_1,
            ["256x256", "512x512", "1024x1024", "1536x1024", "1024x1536", "auto"],
        ),
        (
            GPT_IMAGE_2,
            [
                "256x256",
                "512x512",
                "1024x1024",
                "1536x1024",
                "1024x1536",
                "2048x2048",
                "3840x2160",
                "auto",
            ],
        ),
        (Fixed(SQUARES, chooses=False), ["256x256", "512x512", "1024x1024", "auto"]),
        (Free(longest_edge=1920), ["256x256", "512x512", "1024x1024", "1536x1024", "1024x1536", "auto"]),
    ],
    ids=["nothing known", "gpt-image-1", "gpt-image-2", "three squares", "bounded edges"],
)
def test_the_usual_sizes_that_can_be_had_are_told(rule, sizes):
    assert to_be_had(rule) == sizes
