"""Answers of providers become pictures or an error of ours, in whatever shape they come."""

import base64
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.dialects.answers import UNREADABLE, AnswerReader
from variations.dialects.refusals import parse_complaint
from variations.errors import Complaint, ModelNotFound, ProviderDenied, ProviderFailed, ProviderRefused, VariationError


@dataclass
class Parsed:
    """What came of an answer."""

    images: tuple[bytes | str, ...]
    usage: Mapping[str, object] | None
    warnings: tuple[str, ...]


def parse_answer(body):
    """Read an answer in one piece."""
    images = []
    reader = AnswerReader(images.append)
    reader.feed(body)
    rest = reader.finish()
    return Parsed(tuple(images), rest.usage, rest.warnings)


def encoded(content):
    return {"b64_json": base64.b64encode(content).decode()}


def answer(*entries, **rest):
    return parse_answer(json.dumps({"created": 1, "data": entries, **rest}).encode())


def complaint(value):
    return parse_complaint(json.dumps(value).encode())


def test_pictures_come_in_the_order_of_the_provider_decoded_or_as_urls():
    parsed = answer(encoded(b"first"), {"url": "https://host/second.png"}, encoded(b"third"))

    assert parsed.images == (b"first", "https://host/second.png", b"third")


def test_a_picture_that_is_there_both_ways_is_not_fetched():
    assert answer({"url": "https://host/a.png", **encoded(b"here")}).images == (b"here",)


@pytest.mark.parametrize("unset", [None, ""], ids=["null", "empty"])
def test_a_url_counts_where_base64_is_not_set(unset):
    assert answer({"b64_json": unset, "url": "/a.png"}).images == ("/a.png",)


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"b64_json": "Zmlyc3Q="}, {"b64_json": "c2Vjb25k"}]},
        [{"b64_json": "Zmlyc3Q="}, {"b64_json": "c2Vjb25k"}],
        {"images": [{"base64": "Zmlyc3Q="}, {"b64": "c2Vjb25k"}]},
        {"output": ["Zmlyc3Q=", "c2Vjb25k"]},
        {"data": [{"image_base64": "Zmlyc3Q="}, {"image": "c2Vjb25k"}]},
        {"data": [{"url": "data:image/png;base64,Zmlyc3Q="}, {"b64_json": "data:image/png;base64,c2Vjb25k"}]},
        {"data": [{"image_url": {"url": "data:image/png;base64,Zmlyc3Q="}}, {"image_url": "data:;base64,c2Vjb25k"}]},
        {"data": ["data:image/png;base64,Zmlyc3Q=", "c2Vjb25k"]},
        {"data": [{"b64_json": "Zmly\nc3Q="}, {"b64_json": " c2Vj\r\nb25k\n"}]},
        {"created": 1, "data": [{"url": None, "b64_json": "Zmlyc3Q="}, {"url": "", "b64_json": "c2Vjb25k"}]},
        {"data": [{"index": 0, "type": "b64_json", "b64_json": "Zmlyc3Q="}, {"index": 1, "b64_json": "c2Vjb25k"}]},
    ],
    ids=[
        "openai",
        "bare array",
        "other names",
        "texts for objects",
        "names of old",
        "data urls",
        "objects around urls",
        "data url as a text",
        "broken lines",
        "xai, urls not set",
        "together",
    ],
)
def test_pictures_are_found_in_every_shape_near_that_of_openai(body):
    assert parse_answer(json.dumps(body).encode()).images == (b"first", b"second")


@pytest.mark.parametrize(
    "body",
    [{"url": "https://host/a.png"}, ["https://host/a.png"], {"images": [{"image_url": "https://host/a.png"}]}],
    ids=["no list", "text in an array", "another name"],
)
def test_a_link_is_found_in_other_shapes_too(body):
    assert parse_answer(json.dumps(body).encode()).images == ("https://host/a.png",)


def test_a_picture_that_cannot_be_read_is_left_out_and_told_of():
    parsed = answer(encoded(b"x"), {}, {"b64_json": "aGVs$bG8="}, encoded(b"y"))

    assert parsed.images == (b"x", b"y")
    assert parsed.warnings == (UNREADABLE, UNREADABLE)


@pytest.mark.parametrize(
    "held_back",
    [
        {"url": None, "b64_json": None, "respect_moderation": False},
        {"error": {"code": "OutputImageSensitiveContentDetected", "message": "No."}},
    ],
    ids=["xai", "ark"],
)
def test_a_picture_that_was_held_back_is_left_out_and_one_alone_is_a_refusal(held_back):
    assert answer(held_back, encoded(b"x")).images == (b"x",)
    with pytest.raises(ProviderRefused, match="may have moderated"):
        answer(held_back)


def test_a_picture_that_passed_moderation_is_taken():
    assert answer({**encoded(b"x"), "respect_moderation": True, "error": None}).images == (b"x",)


def test_usage_is_kept_as_the_provider_says_it():
    assert answer(encoded(b"x"), usage={"total_tokens": 7}).usage == {"total_tokens": 7}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_none(number):
    body = f'{{"data": [{{"b64_json": "eA=="}}], "usage": {{"cost": {number}, "total_tokens": 7}}}}'

    assert parse_answer(body.encode()).usage == {"cost": None, "total_tokens": 7}


@pytest.mark.parametrize("usage", [None, "7", 7, [7]], ids=["null", "text", "number", "list"])
def test_usage_of_another_shape_is_none(usage):
    assert answer(encoded(b"x"), usage=usage).usage is None


@pytest.mark.parametrize("unset", [None, False, {}, ""], ids=["null", "false", "empty object", "empty text"])
def test_an_empty_error_beside_pictures_is_no_error(unset):
    assert answer(encoded(b"x"), error=unset).images == (b"x",)


@pytest.mark.parametrize(
    "body", [b'{"data": []}', b'{"data": null}', b"{}", b'{"data": "none"}', b'{"data": {}}', b"[]"]
)
def test_an_answer_without_any_picture_is_a_refusal(body):
    with pytest.raises(ProviderRefused, match="without any image"):
        parse_answer(body)


@pytest.mark.parametrize(
    "error",
    [{"message": "blocked by the filter", "code": "moderation_blocked"}, "blocked by the filter"],
    ids=["object", "text"],
)
def test_an_error_inside_a_good_answer_is_a_refusal_with_the_providers_words(error):
    with pytest.raises(ProviderRefused, match="blocked by the filter"):
        answer(encoded(b"x"), error=error)


def test_an_error_inside_a_good_answer_shows_no_key():
    with pytest.raises(ProviderRefused) as caught:
        answer(error={"message": "Your key sk-local-1234 has no access."})

    assert "sk-local-1234" not in caught.value.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON, or is cut off"),
        (b"<html>Bad gateway</html>", "not JSON, or is cut off"),
        (b'{"data": [{"b64_json": "aGVsbG8', "not JSON, or is cut off"),
        (b"\xff\xfe\xfa", "not JSON, or is cut off"),
        (b"null", "of a shape"),
        (b'"data"', "of a shape"),
        (b"7", "of a shape"),
        (b'{"data": [{}]}', "nothing that can be read"),
        (b'{"data": [7]}', "nothing that can be read"),
        (b'{"data": [[]]}', "nothing that can be read"),
        (b'{"data": [{"b64_json": 7, "url": ["a"]}]}', "nothing that can be read"),
        (b'{"data": [{"b64_json": "aGVsbG8"}]}', "nothing that can be read"),
        (b'{"data": [{"b64_json": "aGVs$bG8="}]}', "nothing that can be read"),
        ('{"data": [{"b64_json": "é"}]}'.encode(), "nothing that can be read"),
    ],
    ids=[
        "empty",
        "html",
        "cut off",
        "not text",
        "null",
        "text",
        "number",
        "empty entry",
        "number as entry",
        "list as entry",
        "entry of other types",
        "base64 cut off",
        "base64 with a stray letter",
        "base64 with an accent",
    ],
)
def test_an_answer_nobody_can_read_is_a_failure_of_the_provider(body, words):
    with pytest.raises(ProviderFailed, match=words):
        parse_answer(body)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "insufficient_quota", "message": "No credit."}, ProviderDenied),
        ({"code": "model_not_found", "message": "No such model."}, ModelNotFound),
        ({"code": 502, "message": "Provider returned error"}, ProviderFailed),
    ],
    ids=["quota", "model", "gateway"],
)
def test_an_error_inside_a_good_answer_is_what_it_says(error, kind):
    with pytest.raises(kind):
        answer(error=error)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"error": {"message": "No.", "type": "invalid_request_error", "param": "size", "code": "bad_size"}},
            Complaint("No.", "bad_size", "size"),
        ),
        (
            {"error": {"message": "No.", "type": "rate_limit", "param": None, "code": None}},
            Complaint("No.", "rate_limit"),
        ),
        ({"error": "No."}, Complaint("No.")),
        ({"code": "content_policy", "error": "No."}, Complaint("No.", "content_policy")),
        ({"detail": "No."}, Complaint("No.")),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "No.", "type": "int_parsing"}]},
            Complaint("No.", "int_parsing", "n"),
        ),
        ({"detail": {"error": "No."}}, Complaint("No.")),
        ({"message": "No."}, Complaint("No.")),
        ({"message": "No.", "code": 503}, Complaint("No.", "503")),
        ({"error": {"code": "moderation_blocked"}}, Complaint(code="moderation_blocked")),
    ],
    ids=[
        "openai",
        "openai without a code",
        "text",
        "text beside a code",
        "detail",
        "details of a validation",
        "error inside a detail",
        "message",
        "message beside a number",
        "code alone",
    ],
)
def test_the_providers_words_are_found_in_every_known_shape(body, expected):
    assert complaint(body) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><h1>502</h1></html>", b"[]", b"7", b"null", b"{}", b'{"error": 7}', b'{"detail": []}', b"\xff"],
)
def test_garbage_holds_no_complaint(body):
    assert parse_complaint(body) == Complaint()


def test_a_long_message_is_cut():
    assert complaint({"error": {"message": "x" * 501}}).message == "x" * 500


@pytest.mark.parametrize(
    "parse", [pytest.param(parse_answer, id="answer"), pytest.param(parse_complaint, id="complaint")]
)
def test_json_nested_too_deep_is_garbage_like_any_other(parse):
    found = Complaint()
    with contextlib.suppress(ProviderFailed):
        found = parse(b"[" * 100_000)

    assert found == Complaint()


NAMES = [
    "data",
    "images",
    "output",
    "base64",
    "image_url",
    "image",
    "respect_moderation",
    "b64_json",
    "url",
    "usage",
    "error",
    "message",
    "code",
    "param",
    "detail",
    "msg",
    "loc",
    "type",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("aGVsbG8="),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
LIKELY = st.fixed_dictionaries({"data": st.lists(JSON, max_size=3)}, optional={"error": JSON, "usage": JSON})
BODIES = st.binary() | (JSON | LIKELY).map(lambda value: json.dumps(value).encode())


@given(BODIES)
def test_whatever_is_answered_is_pictures_or_an_error_of_ours(body):
    try:
        parsed = parse_answer(body)
    except VariationError:
        return

    assert parsed.images
    assert all(isinstance(image, bytes | str) for image in parsed.images)


@given(BODIES)
def test_whatever_is_complained_it_is_texts_of_bounded_length(body):
    found = parse_complaint(body)

    assert len(found.message) <= 500
    assert all(isinstance(text, str) for text in (found.message, found.code, found.param))


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=10))
def test_every_picture_comes_out_as_it_was_sent(pictures):
    assert answer(*map(encoded, pictures)).images == tuple(pictures)


@given(st.data())
def test_an_answer_that_is_cut_off_anywhere_is_a_failure(data):
    body = json.dumps({"data": [encoded(b"a picture"), encoded(b"another")]}).encode()
    end = data.draw(st.integers(0, len(body) - 1))

    with pytest.raises(ProviderFailed, match="cut off"):
        parse_answer(body[:end])
