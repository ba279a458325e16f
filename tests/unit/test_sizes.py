"""A model is asked for the smallest size it makes that covers the wanted one; the rest is scaled down."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from variations.dialects.sizes import on_the_grid, smallest_covering
from variations.errors import InvalidRequest

SQUARES = ("256x256", "512x512", "1024x1024")
EDGES = st.integers(10, 3840)
SIZES = st.tuples(EDGES, EDGES).map("{0[0]}x{0[1]}".format)


def edges(size):
    width, height = map(int, size.split("x"))
    return width, height


def pixels(size):
    width, height = edges(size)
    return width * height


def covers(larger, size):
    return all(one >= other for one, other in zip(edges(larger), edges(size), strict=True))


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
    assert smallest_covering(size, SQUARES) == smallest_covering(size, SQUARES[::-1]) == covering


def test_the_smallest_size_is_that_of_the_fewest_pixels_and_not_of_the_shortest_edge():
    assert smallest_covering("100x100", ("100x3000", "500x500", "3000x100")) == "500x500"


def test_a_size_that_no_choice_covers_is_refused_with_the_choices_and_names_the_field():
    with pytest.raises(
        InvalidRequest, match="makes 256x256, 512x512, 1024x1024, and nothing that covers 1025x"
    ) as caught:
        smallest_covering("1025x10", SQUARES)

    assert caught.value.param == "size"


def test_a_size_of_auto_is_left_to_the_model():
    assert smallest_covering("auto", SQUARES) == on_the_grid("auto") == "auto"


@given(SIZES, st.lists(SIZES, min_size=1, max_size=5))
def test_whatever_the_choices_the_one_taken_covers_the_asked_size_and_none_smaller_does(size, choices):
    fitting = [choice for choice in choices if covers(choice, size)]
    try:
        chosen = smallest_covering(size, choices)
    except InvalidRequest:
        assert not fitting
        return

    assert chosen in fitting
    assert pixels(chosen) == min(map(pixels, fitting))


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
    ],
)
def test_a_size_off_the_grid_is_asked_as_the_next_larger_one_of_its_shape(size, asked):
    if asked == "refused":
        with pytest.raises(InvalidRequest):
            on_the_grid(size)
    else:
        assert on_the_grid(size) == asked


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
        on_the_grid(size)

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
        asked = on_the_grid(size)
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
    try:
        asked = edges(on_the_grid(f"{width}x{height}"))
    except InvalidRequest:
        return

    if width * height >= 655_360:
        assert asked == (-(-width // 16) * 16, -(-height // 16) * 16)
    else:
        assert (asked[0] - 16) * (asked[1] - 16) < 655_360
        # Each edge is less than a step longer than the same shape would have it.
        assert abs(asked[0] * height - asked[1] * width) < 16 * max(width, height)
