"""Whatever the bytes of a body are, they are read or refused, in memory that grows no faster than they do."""

import base64
import contextlib
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from variations import http_body
from variations.errors import InvalidRequest, SourceTooLarge, VariationError
from variations.http_body import MAX_JSON_MARKS, MAX_OPTION_BYTES, MAX_PARTS, Body, parse_body

FORM, JSON = "multipart/form-data; boundary=b", "application/json"
MEGABYTES = 3  # enough to tell what grows with a body from what is there anyway
ALLOWANCE = 512 * 1024


def part(name, content, *headers):
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"', *headers])
    return f"--b\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


IMAGE = part("image", b"a picture", "Content-Type: image/png")
END = b"--b--\r\n"


def as_gateway(content):
    """A form as API Gateway hands it over."""
    return base64.b64encode(content).decode()


def read(body, content_type, *, is_base64):
    """Return what is read of a body, or why it is refused; anything but a refusal goes through."""
    try:
        return parse_body(body, content_type, is_base64=is_base64)
    except (InvalidRequest, SourceTooLarge) as refusal:
        return refusal


# Memory


@dataclass(frozen=True)
class Bomb:
    """A body that some reader would make much more of than it is."""

    name: str
    write: Callable[[int], bytes]  # so many bytes of it, or a few more
    content_type: str = JSON


def form(*parts):
    return b"".join(parts) + END


def times(text, size):
    return text * (size // len(text) + 1)


BOMBS = [
    Bomb("a picture in a form", lambda size: form(part("image", bytes(size))), FORM),
    Bomb("line ends and dashes", lambda size: form(part("image", times(b"\r\n--", size))), FORM),
    Bomb("a prompt of megabytes", lambda size: form(IMAGE, part("prompt", bytes(size))), FORM),
    Bomb("a prompt with one wide letter", lambda size: form(IMAGE, part("prompt", b"a" * size + "😀".encode())), FORM),
    Bomb("fields just short enough", lambda size: form(IMAGE, *[part("f", bytes(size // 60))] * 60), FORM),
    Bomb("no end of empty parts", lambda size: form(times(part("f", b""), size)), FORM),
    Bomb("no end of boundaries", lambda size: times(b"--b\r\n", size), FORM),
    Bomb("no end of pictures", lambda size: form(*[part("image", bytes(size // 60))] * 60), FORM),
    Bomb("no end of headers", lambda size: b"--b\r\n" + times(b"A: b\r\n", size), FORM),
    Bomb("a header of megabytes", lambda size: b"--b\r\nA: " + b"a" * size, FORM),
    Bomb("no boundary at all", bytes, FORM),
    Bomb("base64", lambda size: b'{"image": "' + b"A" * (size // 4 * 4) + b'"}'),
    Bomb("base64 with a blank behind each letter", lambda size: b'{"image": "' + times(b"A ", size) + b'"}'),
    Bomb("base64 in words", lambda size: b'{"image": "' + times(b"QUJD\\n", size) + b'"}'),
    Bomb("a data: URL of parameters", lambda size: b'{"image": "data:' + times(b";a=b", size) + b'"}'),
    Bomb("a data: URL of one long type", lambda size: b'{"image": "data:' + b"a" * size + b'"}'),
    Bomb("a place in S3", lambda size: b'{"image": "s3://' + b"a" * size + b'"}'),
    Bomb("no end of lists", lambda size: b'{"a": [' + times(b"[],", size) + b"0]}"),
    Bomb("no end of objects", lambda size: b'{"a": [' + times(b"{},", size) + b"0]}"),
    Bomb("no end of numbers", lambda size: b'{"a": [' + times(b"7.5,", size) + b"0]}"),
    Bomb("no end of keys", lambda size: b"{" + b",".join(b'"%d":0' % n for n in range(size // 10)) + b"}"),
    Bomb("just enough keys", lambda _: b"{" + b",".join(b'"%d":{}' % n for n in range(MAX_JSON_MARKS // 2)) + b"}"),
    Bomb("lists in lists", lambda size: b"[" * size),
    Bomb("objects in objects", lambda size: times(b'{"a":', size)),
    Bomb("a number of megabytes", lambda size: b'{"n": ' + b"9" * size + b"}"),
    Bomb("an exponent of megabytes", lambda size: b'{"n": 1e' + b"9" * size + b"}"),
    Bomb("escapes", lambda size: b'{"image": "' + times(b"\\u0041", size) + b'"}'),
]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_body_is_read_in_three_times_its_own_memory(bomb):
    content = bomb.write(MEGABYTES * 1024**2)
    is_base64 = bomb.content_type == FORM
    body = as_gateway(content) if is_base64 else content.decode()
    del content
    wanted = 8 * 1024**2 if bomb.name == "just enough keys" else 3 * len(body) + ALLOWANCE

    tracemalloc.start()
    try:
        read(body, bomb.content_type, is_base64=is_base64)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak <= wanted


# What is limited


def test_a_field_of_a_form_may_be_as_long_as_the_longest_prompt():
    longest = "😀" * (MAX_OPTION_BYTES // 4)

    assert parse_body(as_gateway(form(part("prompt", longest.encode()), IMAGE)), FORM, is_base64=True).options == {
        "prompt": longest
    }
    refused = read(as_gateway(form(part("prompt", longest.encode() + b"a"), IMAGE)), FORM, is_base64=True)
    assert refused.param == "prompt"


def test_a_prompt_may_hold_as_many_commas_and_brackets_as_it_has_characters():
    prompt = ",[{" * 10_666

    assert (
        parse_body(json.dumps({"image": "QUJD", "prompt": prompt}), JSON, is_base64=False).options["prompt"] == prompt
    )


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "us-ascii", "ISO-8859-1", "latin1"])
def test_a_field_may_name_a_usual_charset(charset):
    body = form(part("prompt", b"cup", f"Content-Type: text/plain; charset={charset}"), IMAGE)

    assert parse_body(as_gateway(body), FORM, is_base64=True).options == {"prompt": "cup"}


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "utf-7", "unicode_escape", "utf-16", "hz", "undefined", "rot13"]
)
def test_a_field_in_a_charset_that_costs_more_than_it_is_worth_is_refused_by_its_name(charset):
    body = form(part("prompt", b"cup-", f"Content-Type: text/plain; charset={charset}"), IMAGE)

    assert read(as_gateway(body), FORM, is_base64=True).param in {"prompt", None}
    assert isinstance(read(as_gateway(body), FORM, is_base64=True), InvalidRequest)


def test_the_last_of_several_fields_of_one_name_counts_in_forms_and_in_json():
    parts = part("n", b"1"), part("n", b"2"), IMAGE

    assert parse_body(as_gateway(form(*parts)), FORM, is_base64=True).options == {"n": "2"}
    assert parse_body('{"image": "QUJD", "n": 1, "n": 2}', JSON, is_base64=False).options == {"n": 2}


def test_json_may_begin_with_a_mark_of_its_byte_order():
    for body, is_base64 in (("\ufeff{}", False), (as_gateway(b"\xef\xbb\xbf{}"), True)):
        assert http_body.parse_json(body, is_base64=is_base64) == {}


# Forms that play games

BOUNDARIES = {
    "of 70 characters": "b" * 70,
    "of 71 characters": "b" * 71,
    "of 9,000 characters": "b" * 9000,
    "in quotes": '"b"',
    "in quotes with blanks": '"b c"',
    "with odd characters": "'()+_,-./:=?",
    "of dashes": "-" * 30,
    "that begins another": "bb",
    "of a percent": "%62",
    "in another alphabet": "ü",
    "with a null": "b\x00",
    "that is encoded": "=?utf-8?q?b?=",
}
FORMS = {
    "nested": form(part("image", part("inner", b"x"), "Content-Type: multipart/mixed; boundary=c")),
    "the boundary in the content": form(part("image", b"a--b\r\n --b\r\n\n--b\n")),
    "the boundary in a header": form(b"--b\r\nContent-Disposition: form-data; name=--b\r\n--b\r\n\r\nx\r\n", IMAGE),
    "no final boundary": IMAGE,
    "nothing but a final boundary": END,
    "a preamble": b"preamble\r\n" + form(IMAGE),
    "an epilogue": form(IMAGE) + b"epilogue",
    "two ends": form(IMAGE) + form(IMAGE),
    "line feeds only": form(IMAGE).replace(b"\r\n", b"\n"),
    "a name with a null": form(part("im\x00age", b"x")),
    "a name in an encoded form": form(b"--b\r\nContent-Disposition: form-data; name*=utf-8''image\r\n\r\nx\r\n"),
    "a file name in an encoded form": form(
        b"--b\r\nContent-Disposition: form-data; name=image; filename*=utf-8''%e2%82%ac%zz\r\n\r\nx\r\n"
    ),
    "two dispositions": form(b"--b\r\nContent-Disposition: form-data; name=a\r\n" + IMAGE.removeprefix(b"--b\r\n")),
    "no disposition": form(b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n"),
    "a length that lies": form(part("image", b"x", "Content-Length: 1000000000000")),
    "a length that is none": form(part("image", b"x", "Content-Length: -1")),
    "another encoding": form(part("image", b"eA==", "Content-Transfer-Encoding: base64")),
    "a header continued": form(part("image", b"x", "X: a", " b")),
    "a thousand blanks": form(part("image", b"x", "X:" + " " * 1000)),
    "too many parts": form(part("f", b"") * MAX_PARTS, IMAGE),
}


def test_a_form_with_any_boundary_is_read_or_refused():
    for name, boundary in BOUNDARIES.items():
        raw = boundary.strip('"').encode()
        content = b'--%s\r\nContent-Disposition: form-data; name="image"\r\n\r\nx\r\n--%s--\r\n' % (raw, raw)

        outcome = read(as_gateway(content), f"multipart/form-data; boundary={boundary}", is_base64=True)

        assert isinstance(outcome, InvalidRequest) or outcome.content == b"x", name
    assert read(as_gateway(form(IMAGE)), "multipart/form-data; boundary=" + "b" * 71, is_base64=True).param is None


def test_a_form_that_plays_games_is_read_or_refused_in_the_envelope(api):
    kept = "the boundary in the content", "nested", "a preamble", "an epilogue", "two ends", "another encoding"
    for name, content in FORMS.items():
        answered = api.post_form(FORM, content, Prefer="respond-async")

        assert answered.status in {202, 400}, name
        assert answered.status == 202 or answered.error["code"] == "invalid_request", name
        assert answered.status == 202 or name not in kept, name


# JSON that plays games

NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-0", "1E400", "0.1e-400", "9" * 4000, "9" * 5000, "1" + "0" * 400]
DEPTHS = [1, 10, 500, *range(920, 960, 8), 5000, 30_000]
VALUES = [
    *NUMBERS,
    *("[" * depth + "]" * depth for depth in DEPTHS),
    *('{"a":' * depth + "1" + "}" * depth for depth in DEPTHS),
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0000"',
    '"' + "a" * 40_000 + '"',
    "null",
    "true",
    '{"__class__": "x"}',
]


@pytest.mark.parametrize("field", ["n", "prompt", "image", "unheard_of"])
def test_json_that_plays_games_is_read_or_refused_in_the_envelope(api, field):
    for value in VALUES:
        body = f'{{"image": "QUJD", "{field}": {value}}}'

        answered = api.send("create_variations", body=body, headers={"Prefer": "respond-async"})

        assert answered.status in {202, 400}, value[:40]
        assert answered.status == 202 or answered.error["code"] == "invalid_request", value[:40]


@pytest.mark.parametrize("body", ['{"n": \ud800}', '{"image": "\ud800"}', "\ud800", '{"\ud800": 1, "image": "QUJD"}'])
@pytest.mark.parametrize("content_type", [JSON, FORM])
def test_half_a_character_is_read_or_refused(body, content_type):
    assert isinstance(read(body, content_type, is_base64=False), Body | VariationError)


# Anything at all

TRICKS = [
    b"--b",
    b"--b\r\n",
    b"--b--",
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"--",
    b'"',
    b";",
    b"=",
    b"*=",
    b"\xff\xfe",
    b"\\",
]
TRICKS += [
    b'name="image"',
    b"Content-Disposition: form-data;",
    b"charset=utf-16",
    b"[" * 2000,
    b'{"image":',
    b"\\ud800",
]
WHOLE = [
    (form(part("n", b"2"), part("prompt", b"Tasse"), IMAGE), FORM),
    (json.dumps({"image": "QUJD", "n": 2, "prompt": "Täßchen"}).encode(), JSON),
    (b'{"image": "data:image/png;base64,QUJD", "user": null}', JSON),
]


@st.composite
def mutated(draw):
    """A good body, some of it replaced, repeated, or left out."""
    content, content_type = draw(st.sampled_from(WHOLE))
    for _ in range(draw(st.integers(1, 6))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        middle = draw(st.one_of(st.sampled_from(TRICKS), st.binary(max_size=8), st.just(content[start:end] * 3)))
        content = content[:start] + middle + content[end:]
    return content, draw(st.sampled_from([content_type, FORM, JSON, "", "multipart/form-data"]))


BODIES = st.one_of(mutated(), st.tuples(st.binary(max_size=200), st.sampled_from([FORM, JSON, "text/plain"])))


@settings(max_examples=200, deadline=None)
@given(BODIES, st.booleans())
@example((b'{"image": "\xff"}', JSON), True)
def test_any_bytes_are_read_or_refused(body, is_base64):
    content, content_type = body
    text = as_gateway(content) if is_base64 else content.decode("utf-8", "surrogateescape")

    outcome = read(text, content_type, is_base64=is_base64)

    assert isinstance(outcome, Body) or 0 < len(outcome.message) < 300
    with contextlib.suppress(AttributeError):
        assert all(len(text) <= MAX_OPTION_BYTES for text in outcome.options.values() if isinstance(text, str))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BODIES)
def test_any_bytes_are_answered_in_the_envelope(api, body):
    content, content_type = body
    answered = api.post_form(content_type, content, Prefer="respond-async")

    assert answered.status in {202, 400, 404}
    assert answered.status == 202 or answered.error["message"]
