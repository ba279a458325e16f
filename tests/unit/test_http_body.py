"""Whatever comes as the body of a request is read, or refused in a way that the caller understands."""

import base64
import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from variations.errors import InvalidRequest, SourceTooLarge
from variations.http_body import MAX_BODY_CHARACTERS, MAX_PARTS, Body, parse_body, parse_json
from variations.model import SourceLocation

FORM = "multipart/form-data; boundary=b"
PICTURE = bytes(range(256)) + b"\r\n--a\r\n--"


def part(name, content, *, filename=None, extra=b""):
    named = f'name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return f"--b\r\nContent-Disposition: form-data; {named}\r\n".encode() + extra + b"\r\n" + content + b"\r\n"


IMAGE = part("image", PICTURE, filename="upload", extra=b"Content-Type: application/octet-stream\r\n")


def parse_form(*parts, end=b"--b--\r\n", content_type=FORM):
    text = base64.b64encode(b"".join(parts) + end).decode()
    return parse_body(text, content_type, is_base64=True)


def parse(image, **fields):
    return parse_body(json.dumps({"image": image, **fields}), "application/json", is_base64=False)


# Forms


def test_a_form_is_its_options_and_the_bytes_of_its_picture():
    body = parse_form(part("n", b"2"), IMAGE, part("prompt", "eine Tasse für dich".encode()))

    assert body == Body({"n": "2", "prompt": "eine Tasse für dich"}, content=PICTURE)


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_both_names_of_the_picture_are_understood(name):
    assert parse_form(part(name, b"P", filename="cat.png")).content == b"P"


@pytest.mark.parametrize("filename", [None, "", "cat.png", "../../etc/passwd", "c\\a;t", "cät 😀.png", "%22%0d%0a"])
def test_the_name_of_the_file_does_not_matter(filename):
    assert parse_form(part("image", b"P", filename=filename)).content == b"P"


def test_a_picture_larger_than_the_parsers_own_memory_is_read_whole():
    large = bytes(range(256)) * 12_000

    assert parse_form(part("image", large, filename="cat.png")).content == large


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=b",
        'multipart/form-data; boundary="b"',
        "Multipart/Form-Data; charset=utf-8; BOUNDARY=b",
        "multipart/form-data;boundary=b",
    ],
)
def test_the_boundary_is_found_however_the_header_is_written(content_type):
    assert parse_form(IMAGE, content_type=content_type).content == PICTURE


@pytest.mark.parametrize(
    ("parts", "count"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([part("picture", b"P", filename="cat.png")], 0, id="another name"),
        pytest.param([IMAGE, IMAGE], 2, id="two"),
        pytest.param([part("image[]", b"P", filename="a"), part("image", b"P", filename="b")], 2, id="both names"),
    ],
)
def test_a_form_has_exactly_one_picture(parts, count):
    with pytest.raises(InvalidRequest, match=f"not {count}") as refused:
        parse_form(*parts)
    assert refused.value.param == "image"


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=", FORM + "0"])
def test_a_form_without_its_boundary_is_refused(content_type):
    with pytest.raises(InvalidRequest):
        parse_form(IMAGE, content_type=content_type)


WHOLE = part("n", b"2") + IMAGE + b"--b--\r\n"


@given(st.integers(0, len(WHOLE) - 5))
def test_a_form_that_is_cut_off_anywhere_is_refused(length):
    with pytest.raises(InvalidRequest):
        parse_form(WHOLE[:length], end=b"")


def test_a_form_with_very_many_fields_is_refused():
    fields = [part(f"field-{number}", b"x") for number in range(MAX_PARTS)]

    assert len(parse_form(*fields[:-1], IMAGE).options) == MAX_PARTS - 1
    with pytest.raises(InvalidRequest):
        parse_form(*fields, IMAGE)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b"X-Header: 1\r\n", id="no disposition"),
        pytest.param(b"Content-Disposition: form-data; name=n\r\nContent-Length: many\r\n", id="a length in words"),
        pytest.param(b"Content-Disposition: form-data; name=n\r\nno colon\r\n", id="no header"),
        pytest.param(b"Content-Disposition: form-data; name=n\r\nX: \xff\r\n", id="a header that is no text"),
    ],
)
def test_a_part_with_odd_headers_is_refused(odd):
    with pytest.raises(InvalidRequest):
        parse_form(b"--b\r\n" + odd + b"\r\nx\r\n", IMAGE)


def test_an_option_that_is_no_text_is_refused():
    with pytest.raises(InvalidRequest):
        parse_form(part("prompt", b"\xff\xfe"), IMAGE)


@pytest.mark.parametrize("charset", [b"klingon", b"rot13"])
def test_an_option_in_an_unknown_charset_is_refused(charset):
    with pytest.raises(InvalidRequest):
        parse_form(part("prompt", b"cup", extra=b"Content-Type: text/plain; charset=" + charset + b"\r\n"), IMAGE)


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("multipart/form-data; boundary*=a; boundary*0=b", id="continued and not"),
        pytest.param(f"multipart/form-data; boundary*{'9' * 5000}=b", id="a part number of 5000 digits"),
    ],
)
def test_a_content_type_that_the_email_package_stumbles_over_is_refused(content_type):
    with pytest.raises(InvalidRequest):
        parse_form(IMAGE, content_type=content_type)


# JSON


@pytest.mark.parametrize(
    "write",
    ["{}", "data:image/png;base64,{}", "data:;base64,{}", "data:image/svg+xml;charset=utf-8;base64,{}"],
)
@pytest.mark.parametrize("is_base64", [False, True])
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "", "text/plain"])
def test_a_picture_in_json_is_decoded(write, is_base64, content_type):
    text = json.dumps({"image": write.format(base64.b64encode(PICTURE).decode()), "n": 2})
    text = base64.b64encode(text.encode()).decode() if is_base64 else text

    assert parse_body(text, content_type, is_base64=is_base64) == Body({"n": 2}, content=PICTURE)


@pytest.mark.parametrize("key", ["cup.jpg", "a b+c%20ü(1).jpg", "a//b/./..", "a\nb", "k" * 1024])
def test_a_picture_in_s3_is_its_bucket_and_key_as_they_stand(key):
    assert parse(f"s3://my-bucket/{key}", n=2) == Body({"n": 2}, location=SourceLocation("my-bucket", key))


def test_a_picture_by_url_is_its_url():
    assert parse("https://images.example.com/a.png?v=1#x").url == "https://images.example.com/a.png?v=1#x"


@pytest.mark.parametrize(
    "image",
    [
        None,
        "",
        7,
        ["QUJD"],
        {"url": "https://images.example.com/a.png"},
        "not base64!",
        "QUJ",
        "Ü",
        "data:image/png,QUJD",
        "data:image/png;base64,QU!D",
        "http://images.example.com/a.png",
        "HTTPS://images.example.com/a.png",
        "ftp://images.example.com/a.png",
        "file:///etc/passwd",
        "s3://my-bucket",
        "s3://my-bucket/",
        "s3://My_Bucket/cup.jpg",
        "s3://b/cup.jpg",
        "s3:///cup.jpg",
        "s3://my-bucket/" + "k" * 1025,
        "s3://user@my-bucket/cup.jpg",
        "\ud800",
    ],
)
def test_anything_else_in_the_field_image_is_refused_by_its_name(image):
    with pytest.raises(InvalidRequest) as refused:
        parse(image)
    assert refused.value.param == "image"


@pytest.mark.parametrize("body", ["", "{", "[]", "7", '"image"', "null", "[" * 100_000, "1" * 5000])
def test_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(InvalidRequest):
        parse_json(body, is_base64=False)


@pytest.mark.parametrize("body", ["e30", "e30=!", "{}", "ü"])
def test_a_body_that_is_not_the_base64_it_should_be_is_refused(body):
    with pytest.raises(InvalidRequest):
        parse_json(body, is_base64=True)


# Size


@pytest.mark.parametrize("content_type", [FORM, "application/json"])
def test_a_body_above_lambdas_limit_is_told_of_the_other_way(content_type):
    with pytest.raises(SourceTooLarge, match="/v1/uploads") as refused:
        parse_body("A" * (MAX_BODY_CHARACTERS + 1), content_type, is_base64=True)
    assert refused.value.param == "image"


def test_a_body_of_just_the_limit_is_read():
    start, end = '{"image": "', '"}'
    room = (MAX_BODY_CHARACTERS - len(start + end)) // 4 * 4
    text = start + "A" * room + end + " " * (MAX_BODY_CHARACTERS - room - len(start + end))

    assert len(parse_body(text, "application/json", is_base64=False).content) == room // 4 * 3


# Anything at all

CONTENT_TYPES = st.one_of(
    st.text(max_size=60),
    st.sampled_from([FORM, "application/json", "multipart/form-data", "multipart/mixed; boundary=b", ""]),
    st.text(max_size=30).map(lambda text: f"multipart/form-data; boundary={text}"),
    st.text(max_size=30).map(lambda text: f'multipart/form-data; boundary="{text}"; {text}'),
)
PIECES = st.sampled_from(
    [
        b"--b\r\n",
        b"--b--\r\n",
        b"\r\n",
        b"\n",
        b"--b",
        IMAGE,
        b"Content-Disposition: form-data; name=",
        b'"image"',
        b":",
    ]
)
FORMS = st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=12).map(b"".join)


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.b64encode(raw).decode())), CONTENT_TYPES, st.booleans())
@example("e30=", "multipart/form-data; boundary=\x00", True)
@example("e30=", "a\r\nb: c", True)
def test_any_body_of_any_type_ends_in_a_body_or_a_refusal(text, content_type, is_base64):
    with contextlib.suppress(InvalidRequest, SourceTooLarge):
        assert isinstance(parse_body(text, content_type, is_base64=is_base64), Body)


@given(FORMS)
def test_any_form_ends_in_a_body_or_a_refusal(form):
    with contextlib.suppress(InvalidRequest):
        assert parse_form(form, end=b"").content is not None


@given(st.binary(max_size=2000), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=200))
def test_any_bytes_and_any_text_come_through_a_form_as_they_were(picture, prompt):
    parts = part("prompt", prompt.encode()), part("image", picture, filename="upload")
    if any(b"\r\n--b" in b"\r\n" + part for part in (picture, prompt.encode())):
        return  # no client chooses a boundary that is in what it sends

    assert parse_form(*parts) == Body({"prompt": prompt}, content=picture)


@given(st.binary(max_size=2000))
def test_any_bytes_come_through_json_as_they_were(picture):
    text = base64.b64encode(picture).decode()
    if text:
        assert parse(text).content == picture


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("image"), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_ends_in_a_body_or_a_refusal(content):
    with contextlib.suppress(InvalidRequest):
        parse_body(json.dumps(content), "application/json", is_base64=False)
