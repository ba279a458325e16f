"""Each dialect asks for variations as its family of servers wants it, and loses no parameter silently."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations import dialects
from variations.dialects import edits, prompts, variations
from variations.dialects.call import ProviderCall
from variations.errors import ConfigurationError, InvalidRequest
from variations.model import Adjustment, Picture, VariationRequest

PICTURE = Picture(b"the bytes of a picture", "image/png", 1024, 768)
BALANCED = prompts.write_prompt(VariationRequest("gpt-image-2")).text


def edit(model="gpt-image-2", *, count=1, **options):
    return edits.build(VariationRequest(model, **options), PICTURE, count)


def vary(model="dall-e-2", *, count=1, **options):
    return variations.build(VariationRequest(model, **options), PICTURE, count)


def adjustments(call):
    return [(change.parameter, change.asked, change.sent) for change in call.adjustments]


def test_an_edit_sends_model_prompt_size_and_the_picture_and_nothing_else():
    assert edit() == ProviderCall(
        path="images/edits",
        fields={"model": "gpt-image-2", "prompt": BALANCED, "size": "1024x1024"},
        picture_field="image",
        picture=PICTURE,
        adjustments=(),
    )


@pytest.mark.parametrize("count", [2, 10])
def test_an_edit_of_several_says_how_many(count):
    assert edit(count=count).fields["n"] == str(count)


def test_an_edit_asks_for_what_is_missing_and_not_for_what_was_asked_at_first():
    assert edit(n=10, count=3).fields["n"] == "3"


def test_an_edit_passes_the_user_on():
    assert edit(user="ann").fields["user"] == "ann"


def test_an_edit_says_the_users_own_prompt():
    assert edit(prompt="Make it rain.").fields["prompt"] == "Make it rain."


@pytest.mark.parametrize("answer", ["url", "b64_json"])
def test_an_edit_never_sends_a_response_format(answer):
    call = edit(response_format=answer, output_format="webp", simplify=True)

    assert call.fields.keys() == {"model", "prompt", "size"}
    assert call.adjustments == ()


@pytest.mark.parametrize(("asked", "sent"), [("hd", "high"), ("standard", "medium")])
def test_an_edit_maps_the_old_words_for_quality_and_says_so(asked, sent):
    call = edit(quality=asked)

    assert call.fields["quality"] == sent
    assert adjustments(call) == [("quality", asked, sent)]


@pytest.mark.parametrize("quality", ["low", "medium", "high", "auto"])
def test_an_edit_sends_a_quality_it_knows_as_it_is(quality):
    call = edit(quality=quality)

    assert call.fields["quality"] == quality
    assert call.adjustments == ()


@pytest.mark.parametrize(("style", "word"), [("vivid", "vivid"), ("natural", "natural")])
def test_an_edit_says_the_style_in_words_and_not_as_a_parameter(style, word):
    call = edit(style=style)

    assert "style" not in call.fields
    assert call.fields["prompt"].startswith(BALANCED)
    assert word in call.fields["prompt"].removeprefix(BALANCED)
    assert adjustments(call) == [("style", style, None)]


@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-2", "openai/gpt-image-2.5", "chatgpt-image-latest"])
@pytest.mark.parametrize("size", ["256x256", "512x512"])
def test_a_small_square_is_asked_large_of_models_that_make_none(model, size):
    call = edit(model, size=size)

    assert call.fields["size"] == "1024x1024"
    assert adjustments(call) == [("size", size, "1024x1024")]
    assert model in call.adjustments[0].why


@pytest.mark.parametrize("size", ["256x256", "513x77", "auto", "3840x3840"])
@pytest.mark.parametrize("model", ["flux", "local-style-transfer", "my-gpt-image"])
def test_other_models_get_the_size_as_it_was_asked_for(model, size):
    call = edit(model, size=size)

    assert call.fields["size"] == size
    assert call.adjustments == ()


@pytest.mark.parametrize("size", ["1024x1024", "1536x1024", "1024x1536", "auto"])
@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-1.5", "openai/gpt-image-1-mini", "chatgpt-image-latest"])
def test_models_with_fixed_sizes_are_asked_for_those_as_they_are(model, size):
    call = edit(model, size=size)

    assert call.fields["size"] == size
    assert call.adjustments == ()


@pytest.mark.parametrize(
    "size",
    ["1024x1024", "1536x864", "1536x512", "512x1536", "1280x512", "3840x2160", "2160x3840", "2880x2880", "auto"],
)
def test_newer_models_are_asked_for_every_size_they_make(size):
    call = edit(size=size)

    assert call.fields["size"] == size
    assert call.adjustments == ()


@pytest.mark.parametrize(
    "size", ["3840x2176", "3840x3840", "3840x1264"], ids=["many pixels", "large square", "more than three to one"]
)
def test_a_size_that_no_scaling_down_can_make_is_refused_and_names_the_field(size):
    with pytest.raises(InvalidRequest, match=f"not {size}") as caught:
        edit(size=size)

    assert caught.value.param == "size"


@pytest.mark.parametrize("size", ["1537x1024", "1024x1537", "2048x2048", "1200x1200"])
@pytest.mark.parametrize("model", ["gpt-image-1", "chatgpt-image-latest"])
def test_a_size_beyond_the_fixed_ones_of_a_model_is_refused_with_those_and_names_the_field(model, size):
    words = f"1024x1024, 1536x1024, 1024x1536, and nothing that covers {size}"
    with pytest.raises(InvalidRequest, match=words) as caught:
        edit(model, size=size)

    assert caught.value.param == "size"


@pytest.mark.parametrize(
    ("model", "size", "larger"),
    [
        ("gpt-image-1", "800x600", "1024x1024"),
        ("gpt-image-1.5", "1024x1280", "1024x1536"),
        ("gpt-image-1.5", "1025x10", "1536x1024"),
        ("gpt-image-2", "1000x1000", "1008x1008"),
        ("gpt-image-2", "640x480", "944x704"),
    ],
    ids=["old model", "old model upright", "old model across", "no multiple of 16", "few pixels"],
)
def test_an_edit_of_a_size_the_model_lacks_is_asked_larger(model, size, larger):
    call = edit(model, size=size)

    assert adjustments(call) == [("size", size, larger)]
    assert call.fields["size"] == larger
    assert model in call.adjustments[0].why


@given(st.integers(10, 3840), st.integers(10, 3840))
def test_newer_models_are_never_asked_for_a_size_they_refuse(width, height):
    try:
        size = edits.size_to_ask("gpt-image-2", f"{width}x{height}")
    except InvalidRequest:
        return

    asked_width, asked_height = map(int, size.split("x"))
    assert asked_width % 16 == asked_height % 16 == 0
    assert max(asked_width, asked_height) <= 3 * min(asked_width, asked_height)
    assert 655_360 <= asked_width * asked_height <= 8_294_400


def test_a_legacy_variation_sends_model_count_size_and_asks_for_base64():
    assert vary() == ProviderCall(
        path="images/variations",
        fields={"model": "dall-e-2", "n": "1", "size": "1024x1024", "response_format": "b64_json"},
        picture_field="image",
        picture=PICTURE,
        adjustments=(),
    )


@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024"])
def test_a_legacy_variation_asks_for_its_three_squares_as_they_are(size):
    assert vary(size=size).fields["size"] == size


@pytest.mark.parametrize("size", ["2048x2048", "1536x1024"])
def test_a_legacy_variation_of_a_size_beyond_its_squares_is_refused_and_names_the_field(size):
    with pytest.raises(InvalidRequest, match=f"1024x1024, and nothing that covers {size}") as caught:
        vary(size=size)

    assert caught.value.param == "size"


@pytest.mark.parametrize(
    ("size", "square"),
    [
        ("10x10", "256x256"),
        ("300x300", "512x512"),
        ("640x480", "1024x1024"),
        ("16x1024", "1024x1024"),
        ("auto", "1024x1024"),
    ],
)
def test_a_legacy_variation_of_another_size_is_asked_for_the_smallest_square_that_covers_it(size, square):
    call = vary(size=size)

    assert call.fields["size"] == square
    assert adjustments(call) == [("size", size, square)]


def test_a_legacy_variation_asks_for_base64_whatever_the_caller_gets_and_passes_the_user_on():
    fields = vary(response_format="url", user="ann", count=7).fields

    assert (fields["response_format"], fields["user"], fields["n"]) == ("b64_json", "ann", "7")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("prompt", "Make it rain."), ("quality", "hd"), ("style", "vivid"), ("strength", "strong")],
)
def test_a_legacy_variation_tells_of_every_parameter_it_cannot_say(parameter, value):
    call = vary(**{parameter: value})

    assert parameter not in call.fields
    assert adjustments(call) == [(parameter, value, None)]
    assert "no such parameter" in call.adjustments[0].why


ASKED = {
    "quality": ["hd", "standard", "low", "auto"],
    "style": ["vivid", "natural"],
    "user": ["ann"],
    "prompt": ["Make it rain."],
    "size": ["512x512", "1024x1024"],
}


@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in ASKED.items()}))
@pytest.mark.parametrize("build", [edit, vary], ids=["edits", "variations"])
def test_whatever_is_asked_is_sent_as_it_is_or_listed_among_the_adjustments(build, options):
    call = build(**options)

    changed = {change.parameter: change for change in call.adjustments}
    for name, value in options.items():
        if name in changed:
            assert changed[name].asked == value
            assert changed[name].sent == call.fields.get(name)
            assert changed[name].why
        else:
            sent = call.fields[name]
            assert sent == value or (name == "prompt" and sent.startswith(f"{value} "))


def test_an_edit_tells_that_a_strength_does_nothing_beside_an_own_prompt():
    assert adjustments(edit(prompt="Make it rain.", strength="strong")) == [("strength", "strong", None)]


@pytest.mark.parametrize("strength", ["subtle", "balanced", "strong"])
def test_every_strength_has_a_prompt_of_its_own_that_asks_for_a_variation(strength):
    prompt, *others = (
        prompts.write_prompt(VariationRequest("gpt-image-2", strength=name))
        for name in sorted({"subtle", "balanced", "strong"}, key=lambda name: name != strength)
    )

    assert "variation of this image" in prompt.text
    assert "Do not add text" in prompt.text
    assert prompt.text not in {other.text for other in others}
    assert prompt.adjustments == ()


def test_an_own_prompt_replaces_the_built_in_one():
    assert prompts.write_prompt(VariationRequest("gpt-image-2", prompt="Make it rain.")) == prompts.Prompt(
        "Make it rain.", ()
    )


@pytest.mark.parametrize("strength", ["subtle", "strong"])
def test_a_strength_beside_an_own_prompt_is_told_of_with_its_reason(strength):
    said = prompts.write_prompt(VariationRequest("gpt-image-2", prompt="Make it rain.", strength=strength))

    assert said.text == "Make it rain."
    assert said.adjustments == (
        Adjustment("strength", strength, None, "it chooses a built-in prompt, and the request has its own"),
    )


def test_a_style_is_said_behind_an_own_prompt():
    said = prompts.write_prompt(VariationRequest("gpt-image-2", prompt="Make it rain.", style="natural"))

    assert said.text == f"Make it rain. {prompts.STYLES['natural']}"
    assert [(change.parameter, change.asked, change.sent) for change in said.adjustments] == [
        ("style", "natural", None)
    ]


def test_a_strength_and_a_style_beside_an_own_prompt_are_both_told_of():
    request = VariationRequest("gpt-image-2", prompt="Make it rain.", strength="subtle", style="vivid")

    assert [change.parameter for change in prompts.write_prompt(request).adjustments] == ["strength", "style"]


@pytest.mark.parametrize("style", ["vivid", "natural"])
def test_a_style_is_said_as_long_as_the_prompt_has_room_for_it_and_told_of_where_it_has_none(style):
    sentence = f" {prompts.STYLES[style]}"
    own = "x" * (32_000 - len(sentence))

    fits, beyond = (
        prompts.write_prompt(VariationRequest("gpt-image-2", prompt=prompt, style=style)) for prompt in (own, f"{own}x")
    )

    assert fits.text == own + sentence
    assert "asks for it in words" in fits.adjustments[0].why
    assert beyond.text == f"{own}x"
    assert beyond.adjustments == (Adjustment("style", style, None, "the prompt has no room for it"),)


@given(
    st.none() | st.text(min_size=1, max_size=40) | st.integers(31_800, 32_000).map("x".__mul__),
    st.sampled_from(["subtle", "balanced", "strong"]),
    st.none() | st.sampled_from(["vivid", "natural"]),
)
def test_whatever_is_asked_the_prompt_stays_within_what_providers_take_and_begins_with_the_users_own(
    prompt, strength, style
):
    said = prompts.write_prompt(VariationRequest("gpt-image-2", prompt=prompt, strength=strength, style=style))

    assert 0 < len(said.text) <= 32_000
    assert said.text.startswith(prompt or prompts.BUILT_IN[strength])
    told = {change.parameter for change in said.adjustments}
    assert told == ({"style"} if style else set()) | ({"strength"} if prompt and strength != "balanced" else set())


@pytest.mark.parametrize(
    ("content_type", "name"),
    [("image/png", "source.png"), ("image/jpeg", "source.jpg"), ("image/webp", "source.webp")],
    ids=["png", "jpeg", "webp"],
)
def test_the_file_name_of_the_picture_fits_its_type(content_type, name):
    call = replace(edit(), picture=replace(PICTURE, content_type=content_type))

    assert call.picture_name == name


def test_only_the_legacy_dialect_wants_a_square_png():
    assert variations.SQUARE_PNG
    assert not edits.SQUARE_PNG


@pytest.mark.parametrize("model", ["dall-e-2", "openai/dall-e-2"])
def test_the_legacy_model_is_asked_for_variations_by_itself(model):
    assert dialects.resolve("auto", model) is variations


@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-3", "dall-e-20", "my-dall-e-2", "anything"])
def test_any_other_model_is_asked_for_edits(model):
    assert dialects.resolve("auto", model) is edits


@pytest.mark.parametrize("model", ["dall-e-2", "gpt-image-2"])
@pytest.mark.parametrize(("name", "dialect"), [("edits", edits), ("variations", variations)], ids=["edits", "legacy"])
def test_the_dialect_of_the_stack_wins_over_the_name_of_the_model(name, dialect, model):
    assert dialects.resolve(name, model) is dialect
    assert name == dialect.NAME


def test_a_dialect_nobody_speaks_is_refused_with_those_that_are_spoken():
    with pytest.raises(ConfigurationError, match=r"ProviderDialect is 'klingon'.* auto, edits, variations"):
        dialects.resolve("klingon", "gpt-image-2")


def test_an_adjustment_keeps_the_word_of_the_user_and_the_word_that_was_sent():
    (change,) = edit(quality="hd").adjustments

    assert change == Adjustment("quality", "hd", "high", change.why)
