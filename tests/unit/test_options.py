"""Options mean the same whoever writes them, and a wrong one is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.errors import InvalidRequest
from variations.model import VariationRequest
from variations.options import decode_metadata, layered, parse_options, parse_presets

TEXT_FIELDS = ["model", "prompt", "user"]
CHOICES = {
    "response_format": ["url", "b64_json"],
    "quality": ["standard", "hd", "low", "medium", "high", "auto"],
    "style": ["vivid", "natural"],
    "strength": ["subtle", "balanced", "strong"],
    "output_format": ["png", "jpeg", "webp"],
}
FIELDS = [*TEXT_FIELDS, *CHOICES, "n", "size", "simplify"]


def parse(options=None, *, model="default-model", n=4, size="512x512"):
    return parse_options(options or {}, model=model, n=n, size=size)


def read(**options):
    return parse(options)[0]


def refusal(**options):
    with pytest.raises(InvalidRequest) as caught:
        parse(options)
    return caught.value


def test_nothing_set_means_the_defaults_of_the_stack():
    assert parse() == (VariationRequest(model="default-model", n=4, size="512x512"), ())


def test_a_request_without_any_setting_is_balanced_and_answers_urls_of_png():
    request = read()

    assert (request.strength, request.response_format, request.output_format) == ("balanced", "url", "png")
    assert (request.quality, request.style, request.user, request.prompt, request.simplify) == (None,) * 4 + (False,)


def test_everything_the_user_sets_wins_over_the_defaults():
    options = {
        "model": "gpt-image-2",
        "n": 2,
        "size": "1024x1024",
        "response_format": "b64_json",
        "quality": "hd",
        "style": "vivid",
        "user": "ann",
        "prompt": "Make it rain.",
        "strength": "strong",
        "output_format": "webp",
        "simplify": True,
    }

    assert parse(options) == (VariationRequest(**options), ())


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("unset", ["", None], ids=["empty", "null"])
def test_an_empty_value_counts_as_not_set(field, unset):
    assert parse({field: unset}) == parse()


@pytest.mark.parametrize("name", ["output_format", "output-format", "Output-Format", "OUTPUT_FORMAT"])
def test_names_are_read_in_any_case_with_dashes_or_underscores(name):
    assert parse({name: "webp"}) == (VariationRequest("default-model", n=4, size="512x512", output_format="webp"), ())


@pytest.mark.parametrize("value", range(1, 11))
def test_an_n_from_one_to_ten_is_taken_as_a_number_or_as_text(value):
    assert read(n=value).n == read(n=f" {value} ").n == value


def test_an_n_of_ten_written_as_0010_is_ten():
    assert read(n="0010").n == 10


@pytest.mark.parametrize(
    "value",
    [0, 11, -1, "0", "11", "1.5", 1.0, "four", "+4", "1e1", "٣", "12345", True, False, [4], {"n": 4}],
    ids=repr,
)
def test_an_n_that_is_no_whole_number_from_one_to_ten_is_refused_and_names_the_field(value):
    error = refusal(n=value)

    assert error.param == "n"
    assert "from 1 to 10" in error.message


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("256x256", "256x256"),
        ("1024X1024", "1024x1024"),
        (" 1536x1024 ", "1536x1024"),
        ("10x10", "10x10"),
        ("3840x3840", "3840x3840"),
        ("auto", "auto"),
        ("AUTO", "auto"),
    ],
)
def test_a_size_of_ten_to_3840_pixels_an_edge_or_auto_is_taken(written, size):
    assert read(size=written).size == size


@pytest.mark.parametrize(
    "size",
    ["3841x16", "16x3841", "9x10", "0x512", "512", "512x", "x512", "512x512x512", "-512x512", "512*512", "big", 512],
    ids=str,
)
def test_a_size_nobody_can_make_is_refused_and_names_the_field(size):
    error = refusal(size=size)

    assert error.param == "size"
    assert "1024x1024" in error.message


def test_a_size_tells_its_width_before_its_height():
    assert read(size="1536x1024").dimensions == (1536, 1024)


def test_a_size_of_auto_leaves_the_dimensions_to_the_provider():
    assert read(size="auto").dimensions is None


@pytest.mark.parametrize(("field", "choice"), [(field, choice) for field, all_ in CHOICES.items() for choice in all_])
def test_every_choice_is_taken_in_any_case(field, choice):
    assert getattr(read(**{field: f" {choice.upper()} "}), field) == choice


@pytest.mark.parametrize("field", CHOICES)
@pytest.mark.parametrize("value", ["best", 1, True, ["hd"]], ids=["word", "number", "boolean", "list"])
def test_an_unknown_choice_is_refused_and_the_message_lists_all_of_them(field, value):
    error = refusal(**{field: value})

    assert error.param == field
    assert ", ".join(CHOICES[field]) in error.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (True, True),
        ("true", True),
        (" TRUE ", True),
        ("1", True),
        (1, True),
        (False, False),
        ("False", False),
        ("0", False),
        (0, False),
    ],
    ids=repr,
)
def test_simplify_takes_booleans_as_people_write_them(written, meant):
    assert read(simplify=written).simplify is meant


@pytest.mark.parametrize("value", ["yes", 2, "truefalse", []], ids=repr)
def test_a_simplify_that_is_neither_true_nor_false_is_refused(value):
    assert refusal(simplify=value).param == "simplify"


@pytest.mark.parametrize(("field", "longest"), [("model", 200), ("user", 256), ("prompt", 32_000)])
def test_a_text_is_taken_up_to_its_longest_length_and_not_a_character_more(field, longest):
    assert getattr(read(**{field: "é" * longest}), field) == "é" * longest
    error = refusal(**{field: "é" * (longest + 1)})
    assert error.param == field
    assert f"{longest} characters, not {longest + 1}" in error.message


@pytest.mark.parametrize("field", TEXT_FIELDS)
@pytest.mark.parametrize("value", [7, True, ["x"], {"text": "x"}], ids=["number", "boolean", "list", "object"])
def test_a_text_must_be_text(field, value):
    error = refusal(**{field: value})

    assert (error.param, error.message) == (field, f"{field} must be a text.")


def test_a_prompt_keeps_its_case_and_its_blanks():
    assert read(prompt="  A CAT\n in the rain ").prompt == "  A CAT\n in the rain "


@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_a_text_that_cannot_be_written_as_utf_8_is_refused(field):
    assert refusal(**{field: "a \ud800 b"}).param == field


def test_a_request_without_any_model_is_refused_with_the_parameter_to_set():
    with pytest.raises(InvalidRequest, match="DefaultModel") as caught:
        parse(model="")

    assert caught.value.param == "model"


def test_options_nobody_knows_are_ignored_with_a_warning_each():
    request, warnings = parse({"n": "2", "Seed": "7", "cfg-scale": 3})

    assert request.n == 2
    assert warnings == (
        "The option 'cfg_scale' is not known and was ignored.",
        "The option 'seed' is not known and was ignored.",
    )


def test_a_warning_shows_no_more_than_the_beginning_of_a_long_name():
    (warning,) = parse({"x" * 5000: "1"})[1]

    assert len(warning) < 120


@pytest.mark.parametrize("field", ["n", "size", "style", "simplify"])
def test_a_refusal_shows_no_more_than_the_beginning_of_a_long_value(field):
    assert len(refusal(**{field: "z" * 100_000}).message) < 250


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PLAUSIBLE = st.sampled_from(["1", "4", 10, 11, "auto", "1024x1024", "9999x1", "hd", "vivid", "png", "true", "strong"])


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=12), PLAUSIBLE | JSON, max_size=5))
def test_whatever_the_options_they_make_a_valid_request_or_a_refusal_that_names_a_field(options):
    refused = None
    try:
        request, warnings = parse(options)
    except InvalidRequest as error:
        refused = error.param

    if refused:
        assert refused in FIELDS
        return
    assert 1 <= request.n <= 10
    assert request.dimensions is None or all(10 <= edge <= 3840 for edge in request.dimensions)
    assert all(getattr(request, field) in [*choices, None] for field, choices in CHOICES.items())
    assert isinstance(request.simplify, bool)
    assert len(warnings) <= len(options)


def test_metadata_in_plain_ascii_is_taken_as_it_is():
    metadata = {"prompt": "A cat, a dog = pets?", "n": "4"}

    assert decode_metadata(metadata) == metadata


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("=?UTF-8?B?RWluIEdhcnRlbiBpbSBIZXJic3Qg8J+Ngg==?=", "Ein Garten im Herbst 🍂"),
        ("=?UTF-8?Q?caf=C3=A9_cr=C3=A8me?=", "café crème"),
        ("=?utf-8?q?caf=C3=A9?= =?utf-8?q?_cr=C3=A8me?=", "café crème"),
        ("=?ISO-8859-1?Q?fa=E7ade?=", "façade"),
    ],
    ids=["base64", "quoted", "two words", "latin"],
)
def test_metadata_that_s3_encoded_is_read_as_it_was_written(encoded, text):
    assert decode_metadata({"prompt": encoded}) == {"prompt": text}


@pytest.mark.parametrize(
    "value",
    ["=?UTF-8?B?a?=", "=?no-such-charset?Q?caf=C3=A9?=", "=?UTF-8?Q?caf=E9?=", "what is 1+1=? no idea"],
    ids=["bad base64", "unknown charset", "bad bytes", "no encoded word"],
)
def test_metadata_that_cannot_be_decoded_stays_as_it_is(value):
    assert decode_metadata({"prompt": value}) == {"prompt": value}


def test_metadata_with_a_charset_that_is_not_ascii_stays_as_it_is():
    assert decode_metadata({"prompt": "=?é?q?x?="}) == {"prompt": "=?é?q?x?="}


ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
CHARSETS = st.sampled_from(["utf-8", "utf-7", "latin-1", "utf-16", "idna", "rot13", "base64", "unknown-8bit"]) | ASCII
ENCODED_WORDS = st.tuples(CHARSETS, st.sampled_from("qQbBx"), ASCII).map(lambda parts: "=?{}?{}?{}?=".format(*parts))


@given(st.lists(ENCODED_WORDS | ASCII, max_size=3).map(" ".join))
def test_whatever_ascii_the_metadata_holds_it_is_read(value):
    assert isinstance(decode_metadata({"prompt": value})["prompt"], str)


@pytest.mark.parametrize("name", ["output_format", "output-format", "Output-Format", "OUTPUT_FORMAT"])
def test_layers_know_an_option_by_any_of_its_names_and_the_last_layer_wins(name):
    assert layered({"output_format": "png", "n": 1}, {name: "webp"}) == {"output_format": "webp", "n": 1}
    assert layered({name: "png"}, {"output_format": "webp"}) == {"output_format": "webp"}


@pytest.mark.parametrize("unset", ["", None], ids=["empty", "null"])
def test_what_is_not_set_in_a_layer_leaves_the_layer_below_as_it_is(unset):
    assert layered({"n": 1}, {"N": unset}, {"size": unset}) == {"n": 1}


@pytest.mark.parametrize("value", [0, False, " "], ids=repr)
def test_a_zero_a_false_and_a_blank_are_set(value):
    assert layered({"simplify": True}, {"simplify": value}) == {"simplify": value}


def test_no_layers_are_no_options():
    assert layered() == layered({}, {}) == {}


NAMES = st.sampled_from(["n", "N", "output-format", "Output_Format", "output_format", "size"])
LAYERS = st.lists(st.dictionaries(NAMES, st.sampled_from(["", None, "1", 2, False]), max_size=4), max_size=4)


@given(LAYERS, LAYERS)
def test_layers_are_laid_in_one_go_or_one_by_one(lower, upper):
    assert layered(layered(*lower), layered(*upper)) == layered(*lower, *upper)


@pytest.mark.parametrize(
    ("content", "presets"),
    [
        (b"{}", {}),
        (b' {"n": 2, "prompt": "a cat"}\n', {"n": 2, "prompt": "a cat"}),
        ('{"prompt": "Ein Garten, ünï 🐈"}'.encode(), {"prompt": "Ein Garten, ünï 🐈"}),
        ('\ufeff{"n": 2}'.encode(), {"n": 2}),
        ('{"n": 2}'.encode("utf-16"), {"n": 2}),
    ],
    ids=["empty", "plain", "any language", "byte order mark", "utf-16"],
)
def test_presets_are_a_json_object_in_any_unicode(content, presets):
    assert parse_presets(content) == presets


@pytest.mark.parametrize(
    "content", [b"", b"{", b"n: 2", b"\xff{}", b"[" * 100_000, b'{"n": 2}}', b"9" * 5000], ids=ascii
)
def test_presets_that_are_no_json_are_refused(content):
    with pytest.raises(InvalidRequest, match="It is no JSON"):
        parse_presets(content)


@pytest.mark.parametrize("content", [b"[]", b"null", b"2", b'"n=2"', b'[{"n": 2}]'])
def test_presets_that_are_no_object_are_refused_with_what_they_should_be(content):
    with pytest.raises(InvalidRequest, match=r'no JSON object such as \{"n": 2\}'):
        parse_presets(content)
