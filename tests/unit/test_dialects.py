"""Each dialect asks for variations as its family of servers wants it, and loses no parameter silently."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.dialects import prompts
from variations.dialects.call import ProviderCall, data_url, in_base64
from variations.dialects.edits import EDITS
from variations.dialects.edits_json import EDITS_JSON
from variations.dialects.edits_local import EDITS_LOCAL, SD_CPP
from variations.dialects.generations import ARK, LOCALAI, TOGETHER
from variations.dialects.openrouter import NANOGPT, OPENROUTER
from variations.dialects.variations import VARIATIONS
from variations.dialects.xai import XAI
from variations.errors import InvalidRequest
from variations.model import Adjustment, Picture, VariationRequest
from variations.request_body import write_body

PICTURE = Picture(b"the bytes of a picture", "image/png", 1024, 768)
ENCODED, URL = in_base64(PICTURE), data_url(PICTURE)
BALANCED = prompts.write_prompt(VariationRequest("gpt-image-2")).text


SEED = 4711


def inline_pictures(fields):
    """The pictures in the fields of a JSON body."""
    found = []
    json.dumps(fields, default=lambda picture: found.append(picture.content))
    return found


def write(dialect, model, *, count=1, picture=PICTURE, **options):
    return dialect.build(VariationRequest(model, **options), picture, count, SEED)


def edit(model="gpt-image-2", **options):
    return write(EDITS, model, **options)


def vary(model="dall-e-2", **options):
    return write(VARIATIONS, model, **options)


def adjustments(call):
    return [(change.parameter, change.asked, change.sent) for change in call.adjustments]


def test_an_edit_sends_model_prompt_size_and_the_picture_and_nothing_else():
    assert edit() == ProviderCall(
        path="images/edits",
        fields={"model": "gpt-image-2", "prompt": BALANCED, "size": "1024x1024"},
        n=1,
        seed=4711,
        picture=PICTURE,
        picture_field="image",
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
    call = edit(response_format=answer, simplify=True)

    assert call.fields.keys() == {"model", "prompt", "size"}
    assert call.adjustments == ()


@pytest.mark.parametrize("model", ["gpt-image-2", "openai/gpt-image-1", "chatgpt-image-latest"])
@pytest.mark.parametrize(("output_format", "sent"), [("png", None), ("jpeg", "jpeg"), ("webp", "webp")])
def test_a_model_of_openai_is_asked_for_the_file_format_where_it_is_not_the_usual_one(model, output_format, sent):
    call = edit(model, output_format=output_format)

    assert call.fields.get("output_format") == sent
    assert call.adjustments == ()


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_other_models_are_not_asked_for_a_file_format_as_it_is_made_on_our_side(output_format):
    call = edit("flux", output_format=output_format)

    assert "output_format" not in call.fields
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
        size = edit(size=f"{width}x{height}").fields["size"]
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
        n=1,
        seed=4711,
        picture=PICTURE,
        picture_field="image",
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


# The picture inside a JSON body


def test_an_edit_in_json_carries_the_picture_as_a_data_url_among_its_images():
    assert write(EDITS_JSON, "openai/gpt-image-2") == ProviderCall(
        path="images/edits",
        fields={
            "model": "openai/gpt-image-2",
            "prompt": BALANCED,
            "size": "1024x1024",
            "images": [{"image_url": URL}],
        },
        n=1,
        seed=4711,
    )


def test_an_edit_in_json_says_how_many_as_a_number_and_the_rest_as_a_form_does():
    call = write(EDITS_JSON, "gpt-image-2", count=3, quality="hd", size="256x256", output_format="webp", user="ann")

    assert call.fields == {
        "model": "gpt-image-2",
        "prompt": BALANCED,
        "size": "1024x1024",
        "quality": "high",
        "user": "ann",
        "output_format": "webp",
        "n": 3,
        "images": [{"image_url": URL}],
    }
    assert adjustments(call) == [("size", "256x256", "1024x1024"), ("quality", "hd", "high")]


# Servers of one's own


def test_a_local_edit_sends_a_seed_of_its_own_and_leaves_the_number_out_where_it_says_nothing():
    assert write(EDITS_LOCAL, "flux") == ProviderCall(
        path="images/edits",
        fields={"model": "flux", "prompt": BALANCED, "seed": "4711", "size": "1024x1024"},
        n=1,
        seed=4711,
        picture=PICTURE,
        picture_field="image",
    )
    assert write(EDITS_LOCAL, "flux", count=4).fields["n"] == "4"


@pytest.mark.parametrize(
    ("size", "sent"), [("256x256", "256x256"), ("640x400", "640x400"), ("500x333", "512x336"), ("auto", None)]
)
def test_a_local_edit_asks_for_edges_in_steps_of_sixteen_and_for_no_size_where_the_server_chooses(size, sent):
    call = write(EDITS_LOCAL, "flux", size=size)

    assert call.fields.get("size") == sent
    assert adjustments(call) == ([("size", size, sent)] if sent not in {size, None} else [])


@pytest.mark.parametrize(("name", "value"), [("quality", "high"), ("quality", "hd"), ("user", "ann")])
def test_a_local_edit_tells_of_what_such_servers_do_not_know(name, value):
    call = write(EDITS_LOCAL, "flux", **{name: value})

    assert name not in call.fields
    assert adjustments(call) == [(name, value, None)]


def test_sd_cpp_reads_the_seed_inside_the_prompt_and_the_picture_in_a_field_with_brackets():
    extra = '<sd_cpp_extra_args>{"seed": 4711}</sd_cpp_extra_args>'

    assert write(SD_CPP, "sd-cpp-local", prompt="Make it rain.", size="512x512", count=2) == ProviderCall(
        path="images/edits",
        fields={"model": "sd-cpp-local", "prompt": f"Make it rain. {extra}", "n": "2", "size": "512x512"},
        n=2,
        seed=4711,
        picture=PICTURE,
        picture_field="image[]",
    )


@pytest.mark.parametrize(
    "prompt",
    [
        '<sd_cpp_extra_args>{"batch_count": 100}</sd_cpp_extra_args>',
        "<sd_cpp_extra_args>{",
        "</sd_cpp_extra_args><sd_cpp_extra_args>",
        '<sd_cpp_sd_cpp_extra_argsextra_args>{"batch_count": 100}</sd_cpp_sd_cpp_extra_argsextra_args>',
    ],
    ids=["a block", "half a block", "inside out", "one inside another"],
)
def test_a_prompt_of_a_user_gives_no_arguments_to_sd_cpp(prompt):
    said = write(SD_CPP, "sd-cpp-local", prompt=prompt).fields["prompt"]

    assert said.count("<sd_cpp_extra_args>") == said.count("</sd_cpp_extra_args>") == 1
    assert said.endswith('<sd_cpp_extra_args>{"seed": 4711}</sd_cpp_extra_args>')


# xAI


def test_xai_is_asked_in_json_with_one_picture_and_for_no_size():
    call = write(XAI, "grok-imagine-image-2.0", count=3, user="ann")

    assert call == ProviderCall(
        path="images/edits",
        fields={
            "model": "grok-imagine-image-2.0",
            "prompt": BALANCED,
            "n": 3,
            "response_format": "b64_json",
            "resolution": "2k",
            "image": {"url": URL, "type": "image_url"},
            "user": "ann",
        },
        n=3,
        seed=4711,
        adjustments=call.adjustments,
    )
    assert adjustments(call) == [("size", "1024x1024", None)]


@pytest.mark.parametrize(
    ("shape", "size", "resolution"),
    [
        ((1024, 1024), "1024x1024", "1k"),
        ((4000, 4000), "512x512", "1k"),
        ((64, 64), "2048x2048", "2k"),
        ((1536, 1024), "1024x1024", "2k"),
        ((1536, 1024), "1200x800", "1k"),
        ((2000, 500), "1024x1024", "2k"),
        ((10, 10), "auto", "1k"),
    ],
    ids=["megapixel", "small", "large", "too low", "in its shape", "banner", "as it likes"],
)
def test_xai_is_asked_for_two_k_where_a_megapixel_of_the_shape_of_the_source_is_too_small(shape, size, resolution):
    picture = Picture(b"x", "image/png", *shape)

    assert write(XAI, "grok-imagine-image", picture=picture, size=size).fields["resolution"] == resolution


@pytest.mark.parametrize(
    ("quality", "sent"), [("low", "low"), ("medium", "medium"), ("high", None), ("hd", None), ("standard", None)]
)
def test_xai_takes_two_qualities_and_any_other_is_told_of(quality, sent):
    call = write(XAI, "grok-imagine-image-2.0", quality=quality, size="auto")

    assert call.fields.get("quality") == sent
    assert adjustments(call) == ([] if sent else [("quality", quality, None)])


def test_xai_has_nothing_to_tell_where_any_size_will_do():
    assert write(XAI, "grok-imagine-image-2.0", size="auto").adjustments == ()


# Pictures at images/generations


@pytest.mark.parametrize(
    ("model", "field", "carried"),
    [
        ("black-forest-labs/FLUX.1-kontext-pro", "image_url", URL),
        ("black-forest-labs/FLUX.1-Kontext-dev", "image_url", URL),
        ("black-forest-labs/FLUX.2-pro", "reference_images", [URL]),
        ("google/flash-image-2.5", "reference_images", [URL]),
    ],
)
def test_together_is_asked_with_width_and_height_and_the_picture_under_the_name_the_model_wants(model, field, carried):
    assert write(TOGETHER, model, size="640x480", count=2) == ProviderCall(
        path="images/generations",
        fields={
            "model": model,
            "prompt": BALANCED,
            "width": 640,
            "height": 480,
            "n": 2,
            "response_format": "base64",
            field: carried,
        },
        n=2,
        seed=4711,
    )


@pytest.mark.parametrize(
    ("size", "width", "height"), [("256x256", 256, 256), ("100x100", 256, 256), ("1000x500", 1008, 512)]
)
def test_together_is_asked_for_edges_in_steps_and_for_no_less_than_it_makes(size, width, height):
    call = write(TOGETHER, "flux", size=size)

    assert (call.fields["width"], call.fields["height"]) == (width, height)
    assert adjustments(call) == ([] if size == "256x256" else [("size", size, f"{width}x{height}")])


def test_together_chooses_the_size_where_none_is_asked_for_and_refuses_one_beyond_its_edges():
    assert not {"width", "height", "n"} & write(TOGETHER, "flux", size="auto").fields.keys()
    with pytest.raises(InvalidRequest, match="1920 pixels an edge"):
        write(TOGETHER, "flux", size="2048x2048")


@pytest.mark.parametrize("size", ["64x1600", "1600x64"], ids=["tower", "banner"])
def test_together_is_never_asked_for_an_edge_below_256(size):
    call = write(TOGETHER, "flux", size=size)

    assert min(call.fields["width"], call.fields["height"]) >= 256


def test_localai_gets_raw_base64_for_both_kinds_of_models_and_no_seed():
    assert write(LOCALAI, "flux-kontext", size="512x512", count=2) == ProviderCall(
        path="images/generations",
        fields={
            "model": "flux-kontext",
            "prompt": BALANCED,
            "size": "512x512",
            "n": 2,
            "response_format": "b64_json",
            "files": [ENCODED],
            "ref_images": [ENCODED],
        },
        n=2,
        seed=4711,
    )


@pytest.mark.parametrize(("size", "sent"), [("auto", "512x512"), ("500x300", "512x304")])
def test_localai_is_always_asked_for_a_size_that_it_makes(size, sent):
    call = write(LOCALAI, "flux-kontext", size=size)

    assert call.fields["size"] == sent
    assert adjustments(call) == [("size", size, sent)]


def test_ark_is_asked_for_one_picture_without_a_watermark():
    assert write(ARK, "seedream-4-5-251128", size="2048x2048") == ProviderCall(
        path="images/generations",
        fields={
            "model": "seedream-4-5-251128",
            "prompt": BALANCED,
            "size": "2048x2048",
            "response_format": "b64_json",
            "watermark": False,
            "sequential_image_generation": "disabled",
            "image": URL,
        },
        n=1,
        seed=4711,
    )


@pytest.mark.parametrize(
    ("model", "size", "sent"),
    [
        ("doubao-seedream-4-0-250828", "1024x1024", "1024x1024"),
        ("doubao-seedream-4-0-250828", "512x512", "960x960"),
        ("doubao-seedream-4-0-250828", "3840x2160", "3840x2160"),
        ("doubao-seedream-4-5-251128", "1024x1024", "1920x1920"),
        ("doubao-seedream-5-0-260128", "640x360", "2560x1440"),
        ("doubao-seedream-5-0-pro-260628", "1024x1024", "1920x1920"),
        ("doubao-seedream-5-0-pro-260628", "2048x2048", "2048x2048"),
        ("ep-20260101", "1024x1024", "1920x1920"),
        ("doubao-seedream-5-0-pro-260628", "auto", "2K"),
    ],
)
def test_ark_is_asked_for_as_many_pixels_as_the_model_wants(model, size, sent):
    call = write(ARK, model, size=size)

    assert call.fields["size"] == sent
    assert adjustments(call) == ([] if size == sent else [("size", size, sent)])


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [
        ("seedream-5-0-pro-260628", "2560x2560", "4.6 megapixels"),
        ("seedream-4-0-250828", "170x10", "16:1"),
        ("seedream-4-5-251128", "10x170", "16:1"),
    ],
)
def test_a_size_that_ark_does_not_make_is_refused(model, size, words):
    with pytest.raises(InvalidRequest, match=words):
        write(ARK, model, size=size)


# OpenRouter and its copy


def test_openrouter_gets_the_picture_among_its_references_and_asks_no_second_host():
    assert write(OPENROUTER, "openai/gpt-image-2", count=2, user="ann") == ProviderCall(
        path="images",
        fields={
            "model": "openai/gpt-image-2",
            "prompt": BALANCED,
            "input_references": [{"type": "image_url", "image_url": {"url": URL}}],
            "provider": {"allow_fallbacks": False},
            "size": "1024x1024",
            "n": 2,
            "user": "ann",
        },
        n=2,
        seed=4711,
    )


def test_openrouter_is_asked_for_no_size_where_the_model_chooses_and_for_no_number_of_one():
    assert not {"size", "n", "quality", "user"} & write(OPENROUTER, "x/grok", size="auto").fields.keys()


def test_openrouter_has_other_words_for_the_old_qualities():
    call = write(OPENROUTER, "x/grok", quality="standard")

    assert call.fields["quality"] == "medium"
    assert adjustments(call) == [("quality", "standard", "medium")]


def test_nanogpt_calls_the_size_a_resolution_and_gets_no_preferences_of_hosts():
    call = write(NANOGPT, "gpt-image-2", size="512x512")

    assert call.path == "images"
    assert call.fields == {
        "model": "gpt-image-2",
        "prompt": BALANCED,
        "input_references": [{"type": "image_url", "image_url": {"url": URL}}],
        "resolution": "1024x1024",
    }
    assert adjustments(call) == [("size", "512x512", "1024x1024")]


# What holds for all of them

ALL = {
    "edits": (EDITS, "gpt-image-2"),
    "edits of another model": (EDITS, "flux"),
    "edits in json": (EDITS_JSON, "gpt-image-2"),
    "local edits": (EDITS_LOCAL, "flux"),
    "sd.cpp": (SD_CPP, "sd-cpp-local"),
    "variations": (VARIATIONS, "dall-e-2"),
    "xai": (XAI, "grok-imagine-image-2.0"),
    "together": (TOGETHER, "FLUX.2-pro"),
    "localai": (LOCALAI, "flux"),
    "ark": (ARK, "seedream-4-5-251128"),
    "openrouter": (OPENROUTER, "openai/gpt-image-2"),
    "nanogpt": (NANOGPT, "openai/gpt-image-2"),
}
every_dialect = pytest.mark.parametrize(("dialect", "model"), ALL.values(), ids=ALL)
ASKED = {
    "quality": ["hd", "standard", "low", "auto"],
    "style": ["vivid", "natural"],
    "user": ["ann"],
    "prompt": ["Make it rain."],
    "strength": ["subtle", "strong"],
    "size": ["auto", "500x500", "512x512", "1024x1024"],
}
OPTIONS = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in ASKED.items()})


def sent_as(call, name):
    """Return what a call says under any of the names that providers have for an option."""
    if name == "size" and "width" in call.fields:
        return f"{call.fields['width']}x{call.fields['height']}"
    return call.fields.get(name, call.fields.get("resolution") if name == "size" else None)


@every_dialect
@given(OPTIONS)
def test_whatever_is_asked_is_sent_as_it_is_or_listed_among_the_adjustments(dialect, model, options):
    call = write(dialect, model, **options)

    changed = {change.parameter: change for change in call.adjustments}
    assert len(changed) == len(call.adjustments)
    for name, value in options.items():
        if name in changed:
            assert changed[name].asked == value
            assert changed[name].sent == (None if changed[name].sent is None else sent_as(call, name))
            assert changed[name].why
        elif name == "prompt":
            assert call.fields[name] == value or call.fields[name].startswith(f"{value} ")
        elif name == "strength":
            assert call.fields["prompt"].startswith(prompts.BUILT_IN[value])
        elif (name, value) != ("size", "auto"):
            assert sent_as(call, name) == value
    assert changed.keys() <= options.keys() | {"size"}


@every_dialect
@given(OPTIONS, st.integers(1, 10))
def test_every_call_says_its_model_its_number_and_carries_the_picture_once(dialect, model, options, count):
    call = write(dialect, model, count=count, **options)

    assert (call.fields["model"], call.n, call.seed) == (model, count, SEED)
    assert call.fields.get("n", "1") in {count, str(count), *(["1"] if count == 1 or dialect is ARK else [])}
    assert (call.picture is PICTURE) != (PICTURE.content in inline_pictures(call.fields))


@every_dialect
def test_every_form_is_of_texts_and_every_json_body_can_be_written(dialect, model):
    call = write(dialect, model, count=3, quality="low", user="ann")

    if call.picture:
        assert {type(value) for value in call.fields.values()} == {str}
    else:
        body = json.loads(b"".join(write_body(call)))
        assert body == json.loads(json.dumps(call.fields, default=lambda picture: b"".join(picture).decode()))


@every_dialect
def test_a_dialect_has_a_name_of_its_own_or_that_of_its_family(dialect, model):
    assert dialect.name == {SD_CPP: "edits_local", NANOGPT: "openrouter"}.get(dialect, dialect.name)
    assert dialect.sizes(model).to_ask("1024x1024")


@pytest.mark.parametrize(
    ("dialect", "types", "max_bytes", "shape"),
    [
        (EDITS, {"image/png", "image/jpeg", "image/webp"}, 52_428_799, "any"),
        (EDITS_JSON, {"image/png", "image/jpeg", "image/webp"}, 15_728_592, "any"),
        (EDITS_LOCAL, {"image/png", "image/jpeg"}, 52_428_799, "any"),
        (SD_CPP, {"image/png", "image/jpeg"}, 52_428_799, "any"),
        (VARIATIONS, {"image/png"}, 4_194_303, "square"),
        (XAI, {"image/png", "image/jpeg", "image/webp"}, 15_728_640, "any"),
        (TOGETHER, {"image/png", "image/jpeg", "image/webp"}, 10_485_760, "any"),
        (LOCALAI, {"image/png", "image/jpeg"}, 10_485_760, "asked"),
        (ARK, {"image/png", "image/jpeg", "image/webp"}, 10_485_759, "any"),
        (OPENROUTER, {"image/png", "image/jpeg", "image/webp"}, 15_728_640, "any"),
        (NANOGPT, {"image/png", "image/jpeg", "image/webp"}, 3_144_704, "any"),
    ],
    ids=[
        "edits",
        "json",
        "local",
        "sd.cpp",
        "variations",
        "xai",
        "together",
        "localai",
        "ark",
        "openrouter",
        "nanogpt",
    ],
)
def test_every_dialect_says_what_its_source_must_be_like(dialect, types, max_bytes, shape):
    assert (dialect.source.types, dialect.source.max_bytes, dialect.source.shape) == (types, max_bytes, shape)


def test_the_largest_picture_in_json_is_just_short_enough_as_a_data_url():
    picture = Picture(bytes(EDITS_JSON.source.max_bytes), "image/jpeg", 1, 1)

    assert 20_971_400 < len(data_url(picture)) <= 20_971_520


def test_a_picture_as_text_is_base64_with_or_without_its_type_in_front():
    text = "dGhlIGJ5dGVzIG9mIGEgcGljdHVyZQ=="

    assert b"".join(ENCODED).decode() == text
    assert b"".join(URL).decode() == f"data:image/png;base64,{text}"
    assert (len(ENCODED), len(URL)) == (len(text), len(text) + len("data:image/png;base64,"))


# A field that is changed behind a dialect's back


def test_a_field_that_is_changed_is_told_of_with_what_was_asked():
    call = edit(size="256x256").sending("size", "auto", "refused")

    assert call.fields["size"] == "auto"
    assert call.adjustments == (Adjustment("size", "256x256", "auto", "refused"),)


def test_a_field_that_is_left_out_is_told_of():
    call = edit(user="ann").sending("user", None, "refused")

    assert "user" not in call.fields
    assert call.adjustments == (Adjustment("user", "ann", None, "refused"),)


def test_a_resolution_that_is_left_out_is_told_of_as_the_size_it_stands_for():
    call = write(NANOGPT, "flux", size="512x512").sending("resolution", None, "refused")

    assert call.adjustments == (Adjustment("size", "512x512", None, "refused"),)


@pytest.mark.parametrize("name", ["seed", "output_format", "response_format"])
def test_a_field_that_no_user_would_miss_is_changed_without_a_word(name):
    call = replace(edit(), fields={**edit().fields, name: "7"}).sending(name, None, "refused")

    assert name not in call.fields
    assert call.adjustments == ()


def test_a_field_that_is_not_there_or_says_so_already_is_left_alone():
    call = edit()

    assert call.sending("quality", "low", "no") is call
    assert call.sending("size", "1024x1024", "no") is call


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


def test_an_adjustment_keeps_the_word_of_the_user_and_the_word_that_was_sent():
    (change,) = edit(quality="hd").adjustments

    assert change == Adjustment("quality", "hd", "high", change.why)
