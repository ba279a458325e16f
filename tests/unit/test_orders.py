"""What comes in becomes an order: which job it is, where its results go, and what was said with it."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.errors import InvalidRequest, UnsupportedResource
from variations.model import Order, SourceLocation
from variations.orders import (
    MAX_OPTIONS_BYTES,
    is_job_id,
    job_prefix,
    order_of_request,
    order_of_upload,
    presets_key,
    read_order,
    upload_key,
    write_order,
)

SOURCE = SourceLocation("pictures", "uploads/cat.png", etag="e7")
NAMED = {"bucket": "pictures", "key": "uploads/cat.png"}
API_JOB = "0123456789abcdef" * 2
LETTERS_OF_SQS = "[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*"  # SQS API reference, SendMessage


def upload(key="uploads/cat.png", sequencer="01", request_id="R1", **changes):
    return order_of_upload(replace(SOURCE, key=key, **changes), sequencer, request_id)


def request(source=NAMED, *, caller="ann", delivery_id="delivery-1", **fields):
    return order_of_request({"source": source, **fields}, caller=caller, delivery_id=delivery_id)


def refusal(**fields):
    with pytest.raises(InvalidRequest) as caught:
        request(**fields)
    return caught.value


# Uploads


@pytest.mark.parametrize(
    "change",
    [{"key": "uploads/dog.png"}, {"bucket": "others"}, {"sequencer": "02"}, {"version_id": "v2"}],
    ids=["key", "bucket", "sequencer", "version"],
)
def test_every_upload_is_a_job_of_its_own(change):
    assert upload(**change).job_id != upload().job_id


@pytest.mark.parametrize("change", [{}, {"etag": None}, {"request_id": "R2"}], ids=["nothing", "etag", "request"])
def test_an_upload_that_is_told_twice_is_one_job(change):
    assert upload(**change).job_id == upload().job_id


def test_the_version_of_an_upload_counts_more_than_its_sequencer():
    assert upload(sequencer="01", version_id="v1").job_id == upload(sequencer="02", version_id="v1").job_id


@pytest.mark.parametrize("make", [upload, request], ids=["upload", "request"])
def test_a_job_id_is_short_enough_for_people_and_fits_into_a_url(make):
    assert re.fullmatch("[0-9a-f]{32}", make().job_id)
    assert is_job_id(make().job_id)


@pytest.mark.parametrize("text", ["", API_JOB[1:], API_JOB + "0", API_JOB.upper(), API_JOB[1:] + "g", API_JOB + "\n"])
def test_a_text_that_only_looks_like_a_job_id_is_none(text):
    assert not is_job_id(text)


@pytest.mark.parametrize(("letter", "width"), [("x", 1), ("é", 2), ("🐈", 4)], ids=["ascii", "accents", "cats"])
@pytest.mark.parametrize(
    "make", [upload, lambda key: request({"bucket": "pictures", "key": key})], ids=["upload", "request"]
)
def test_results_lie_beside_the_source_as_long_as_s3_has_room_for_their_keys(make, letter, width):
    longest = 1024 - len("/variation-10.jpeg") - len("/") - 32
    fits = letter * (longest // width)

    assert make(fits).results_prefix == f"{fits}/{make(fits).job_id}"
    beyond = make(fits + letter)
    assert beyond.results_prefix == f"jobs/{beyond.job_id}"


@pytest.mark.parametrize("key", ["uploads/", "a/b/", "/", "variations.json", "a/variations.json", f"a/api/{API_JOB}/"])
def test_folders_and_presets_are_no_orders(key):
    assert upload(key) is None
    assert request({"bucket": "pictures", "key": key}) is None
    assert request({"bucket": "pictures", "key": key}, only_missing=True) is None


@pytest.mark.parametrize("key", ["a/my-variations.json", "variations.json.png", "variations.json/cat.png", "a//b"])
def test_a_key_that_only_looks_like_a_folder_or_presets_is_a_picture(key):
    assert upload(key).source.key == key
    assert request({"bucket": "pictures", "key": key}).source.key == key


@pytest.mark.parametrize(
    ("key", "presets"),
    [
        ("cat.png", "variations.json"),
        ("a/cat.png", "a/variations.json"),
        ("a/b//c d.png", "a/b//variations.json"),
        ("/cat.png", "/variations.json"),
    ],
)
def test_presets_lie_in_the_folder_of_the_picture(key, presets):
    assert presets_key(key) == presets


# Pictures that the API waits for


def test_the_key_of_a_picture_that_the_api_waits_for_names_its_job():
    assert upload_key("uploads/", API_JOB, "cat.png") == f"uploads/api/{API_JOB}/cat.png"
    assert job_prefix(API_JOB) == f"jobs/{API_JOB}"


@pytest.mark.parametrize("filename", ["cat.png", "a b+c%20ü.png", "api", API_JOB, "🐈", "a\nb", "a\n"], ids=ascii)
@pytest.mark.parametrize("prefix", ["uploads/", "a/b/", "uploads/api/"])
def test_a_picture_that_the_api_waits_for_starts_the_job_that_waits_for_it(prefix, filename):
    key = upload_key(prefix, API_JOB, filename)

    assert upload(key) == Order(API_JOB, SourceLocation("pictures", key), f"jobs/{API_JOB}", caller="s3:upload")


@pytest.mark.parametrize(
    "change",
    [{"etag": "e8"}, {"sequencer": "02"}, {"sequencer": None}, {"version_id": "v2"}, {"bucket": "others"}],
    ids=["bytes", "sequencer", "no sequencer", "version", "bucket"],
)
def test_a_picture_that_the_api_waits_for_is_one_job_however_often_it_is_uploaded(change):
    order = upload(f"uploads/api/{API_JOB}/cat.png", **change)

    assert (order.job_id, order.results_prefix) == (API_JOB, f"jobs/{API_JOB}")
    assert (order.source.version_id, order.source.etag) == (None, None)


@pytest.mark.parametrize(
    "key",
    [
        f"uploads/api/{API_JOB[:-1]}/cat.png",
        f"uploads/api/{API_JOB}0/cat.png",
        f"uploads/api/{API_JOB.upper()}/cat.png",
        f"uploads/api/{API_JOB}/more/cat.png",
        f"uploads/api/{API_JOB}",
        f"uploads/my-api/{API_JOB}/cat.png",
        f"uploads/{API_JOB}/cat.png",
    ],
    ids=["short", "long", "capitals", "deeper", "no name", "another folder", "no folder"],
)
def test_a_key_that_only_looks_like_one_of_the_api_is_an_upload_like_any_other(key):
    order = upload(key)

    assert order.job_id != API_JOB
    assert order.source.etag == "e7"
    assert order.results_prefix == f"{key}/{order.job_id}"


def test_a_search_for_what_is_missing_takes_up_the_job_that_waits_for_its_picture():
    source = {"bucket": "pictures", "key": f"uploads/api/{API_JOB}/cat.png", "etag": "e7"}

    assert request(source, only_missing=True, n=2) == upload(source["key"])
    asked = request(source, n=2)
    assert asked.job_id != API_JOB
    assert (asked.options, asked.caller) == ({"n": "2"}, "ann")


# Which job a request is


def test_a_request_is_a_job_of_its_own_with_each_delivery():
    assert request() == request()
    assert request(delivery_id="delivery-2").job_id != request().job_id


@pytest.mark.parametrize(
    "pinned",
    [
        {"source": {**NAMED, "etag": "e7"}},
        {"source": {**NAMED, "version_id": "v1"}},
        {"id": "spring catalogue"},
        {"only_missing": True},
    ],
    ids=["etag", "version", "id", "only_missing"],
)
def test_a_request_that_is_pinned_is_one_job_however_often_it_is_delivered(pinned):
    assert request(**pinned).job_id == request(**pinned, delivery_id="delivery-2").job_id
    assert request(**pinned).job_id != request().job_id


@pytest.mark.parametrize(
    "change",
    [
        {"source": {**NAMED, "key": "uploads/dog.png", "etag": "e7"}},
        {"source": {**NAMED, "bucket": "others", "etag": "e7"}},
        {"source": {**NAMED, "etag": "e8"}},
        {"source": {**NAMED, "etag": "e7", "version_id": "v1"}},
        {"n": 3},
        {"n": None},
        {"prompt": "a cat"},
        {"id": "autumn catalogue"},
        {"id": None},
    ],
    ids=["key", "bucket", "etag", "version", "option", "no option", "more options", "id", "no id"],
)
def test_what_differs_in_its_source_its_options_or_its_id_is_another_job(change):
    usual = {"source": {**NAMED, "etag": "e7"}, "n": 2, "id": "spring catalogue"}

    assert request(**{**usual, **change}).job_id != request(**usual).job_id


def test_the_version_of_a_source_counts_more_than_its_etag():
    first, second = (request({**NAMED, "version_id": "v1", "etag": etag}) for etag in ("e7", None))

    assert first.job_id == second.job_id
    assert (first.source.etag, second.source.etag) == ("e7", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": "2", "prompt": "a cat"},
        {"prompt": "a cat", "n": 2},
        {"options": {"n": 2, "prompt": "a cat"}},
        {"options": {"prompt": "a cat"}, "n": 2, "size": ""},
        {"row": {"n": "2", "prompt": "a cat"}},
        {"n": 2, "prompt": "a cat", "resource": "image", "operation": "variation", "only_missing": False},
    ],
    ids=["texts", "another order", "options", "both", "row", "spelt out"],
)
def test_the_same_request_is_the_same_job_however_it_is_written(fields):
    assert request(**fields) == request(n=2, prompt="a cat")


def test_a_request_is_known_by_its_own_id_or_else_by_its_delivery():
    assert request(id="spring catalogue").request_id == "spring catalogue"
    assert request().request_id == request(id="").request_id == request(id=None).request_id == "delivery-1"


@pytest.mark.parametrize("value", [True, "true"])
def test_only_missing_may_be_true_or_the_text_true(value):
    assert request(only_missing=value).only_missing


@pytest.mark.parametrize("value", [False, None, "false", "", 0, "no"])
def test_any_other_only_missing_is_none(value):
    assert not request(only_missing=value).only_missing
    assert request(only_missing=value).options == {}


# The source


@pytest.mark.parametrize("key", ["cat.png", "a b+c%20ü(1).jpg", "a//b/./..", "a\nb", "k" * 1024])
def test_a_source_may_be_named_by_its_parts_or_by_a_url(key):
    assert request(f"s3://pictures/{key}").source == SourceLocation("pictures", key)
    assert request({"bucket": "pictures", "key": key}).source == SourceLocation("pictures", key)


def test_the_parts_of_a_source_may_pin_it():
    source = {**NAMED, "version_id": "v1", "etag": "e7"}

    assert request(source).source == SourceLocation("pictures", "uploads/cat.png", "v1", "e7")
    assert request({**NAMED, "version_id": "", "etag": ""}).source == SourceLocation("pictures", "uploads/cat.png")


def test_an_etag_may_stand_in_the_quotes_of_its_header():
    assert request({**NAMED, "etag": '"e7"'}) == request({**NAMED, "etag": "e7"})


@pytest.mark.parametrize("key", ["a b+c%20ü(1).jpg", "🐈/100%.png", "a\nb"])
def test_a_key_may_be_written_as_s3_inventory_does(key):
    written = "".join(f"%{byte:02X}" for byte in key.encode())

    assert request({"bucket": "pictures", "encoded_key": written}).source.key == key


def test_a_blank_in_an_encoded_key_may_be_a_plus():
    source = {"bucket": "pictures", "encoded_key": "a+b%2Bc.jpg", "key": "another.jpg"}

    assert request(source).source == SourceLocation("pictures", "a b+c.jpg")


@pytest.mark.parametrize(
    "source",
    [
        None,
        7,
        "",
        [],
        {},
        [NAMED],
        "pictures/cat.png",
        "s3://pictures",
        "s3://pictures/",
        "https://pictures.s3.amazonaws.com/cat.png",
        "s3://pictures/\ud83c",
        {"bucket": "pictures"},
        {"key": "cat.png"},
        {"bucket": "", "key": "cat.png"},
        {"bucket": "pictures", "key": ""},
        {"bucket": None, "key": "cat.png"},
        {"bucket": "pictures", "key": 7},
        {"bucket": ["pictures"], "key": "cat.png"},
        {"bucket": "pictures", "encoded_key": ""},
        {"bucket": "pictures", "key": "k" * 1025},
        {"bucket": "pictures", "key": "é" * 513},
        {"bucket": "pict\ud83cres", "key": "cat.png"},
        {"bucket": "pictures", "key": "\ud83c"},
        {**NAMED, "etag": "\ud83c"},
        {**NAMED, "etag": 7},
        {**NAMED, "version_id": "\ud83c"},
        {**NAMED, "version_id": {"v": 1}},
    ],
    ids=lambda source: ascii(source)[:60],
)
def test_a_source_nobody_can_find_is_refused_with_how_to_name_it(source):
    error = refusal(source=source)

    assert error.param == "source"
    assert '"source": {"bucket": "...", "key": "..."} or "s3://bucket/key"' in error.message


def test_a_request_without_a_source_is_refused():
    with pytest.raises(InvalidRequest, match="Name the picture"):
        order_of_request({"n": 2}, caller="ann", delivery_id="delivery-1")


def test_a_row_of_a_list_says_which_picture_and_wins_over_the_rest():
    row = {"bucket": "pictures", "encoded_key": "a+b.png", "etag": '"e7"', "n": "3", "size": ""}
    asked = {"row": row, "n": 2, "size": "64x64", "options": {"style": "vivid"}}

    order = order_of_request(asked, caller="ann", delivery_id="delivery-1")

    assert order.source == SourceLocation("pictures", "a b.png", etag="e7")
    assert order.options == {"n": "3", "size": "64x64", "style": "vivid"}


def test_a_row_of_a_list_may_leave_parts_of_the_source_to_the_request():
    order = request({"bucket": "pictures", "key": "first.png"}, row={"key": "second.png", "version_id": ""})

    assert order.source == SourceLocation("pictures", "second.png")


@pytest.mark.parametrize("name", ["options", "row"])
@pytest.mark.parametrize("value", ["n=2", 7, [1]])
def test_options_and_rows_are_objects(name, value):
    error = refusal(**{name: value})

    assert (error.param, error.message) == (name, f"{name} must be an object.")


# What is asked for


@pytest.mark.parametrize(
    ("resource", "shown"),
    [("audio", '"audio"'), ("Image", '"Image"'), (None, "null"), (7, "7"), ("\ud83c", '"\\ud83c"')],
)
def test_another_resource_is_refused_by_its_name(resource, shown):
    error = refusal(resource=resource)

    assert isinstance(error, UnsupportedResource)
    assert (error.param, error.message) == ("resource", f"The resource {shown} is not supported!")


@pytest.mark.parametrize(("operation", "shown"), [("edit", '"edit"'), (None, "null"), (["variation"], '["variation"]')])
def test_another_operation_is_refused_by_its_name(operation, shown):
    error = refusal(operation=operation)

    assert isinstance(error, UnsupportedResource)
    assert (error.param, error.message) == ("operation", f"The operation {shown} is not supported for images!")


def test_a_refusal_shows_no_more_than_the_beginning_of_a_long_name():
    assert len(refusal(resource="x" * 100_000).message) < 150
    assert len(refusal(operation={"x": "x" * 100_000}).message) < 150


def test_what_is_asked_for_is_looked_at_before_the_source():
    assert isinstance(refusal(source=None, resource="audio"), UnsupportedResource)


# Options


def test_options_become_texts():
    asked = {"n": 2, "simplify": True, "cfg": 1.5, "tags": ["ü", 1], "prompt": "Ein Garten, 'ünï' 🐈\n", "zero": 0}

    assert request(**asked).options == {
        "n": "2",
        "simplify": "true",
        "cfg": "1.5",
        "tags": '["\\u00fc", 1]',
        "prompt": "Ein Garten, 'ünï' 🐈\n",
        "zero": "0",
    }


def test_empty_options_are_dropped():
    assert request(n=None, size="", options={"style": "", "user": None}).options == {}


def test_what_stands_beside_the_options_wins_over_them_and_a_row_over_both():
    asked = {"options": {"n": 1, "size": "64x64", "style": "vivid"}, "n": 2, "size": "32x32", "row": {"n": "3"}}

    assert request(**asked).options == {"n": "3", "size": "32x32", "style": "vivid"}


def test_what_is_left_empty_beside_the_options_does_not_hide_them():
    assert request(options={"n": 1}, n="", row={"n": ""}).options == {"n": "1"}


def test_parts_of_the_source_and_of_the_message_are_no_options():
    named = {"resource": "image", "operation": "variation", "id": "i", "only_missing": True, "sources": []}
    row = {"bucket": "pictures", "key": "b.png", "encoded_key": "c.png", "version_id": "v1", "etag": "e7"}

    assert request(**named, row=row, options={"only_missing": True, "key": "x"}).options == {}


def test_options_are_taken_up_to_their_longest_length_and_not_a_byte_more():
    room = MAX_OPTIONS_BYTES - len('{"prompt": ""}')

    assert request(prompt="x" * room).options == {"prompt": "x" * room}
    assert str(MAX_OPTIONS_BYTES) in refusal(prompt="x" * (room + 1)).message
    assert str(MAX_OPTIONS_BYTES) in refusal(prompt="é" * (room // 2 + 1)).message


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "a \ud83c"}, {"\ud83c": "x"}, {"options": {"a": "\ud83c"}}, {"row": {"\ud83c": 1}}],
    ids=["value", "name", "in options", "in a row"],
)
def test_options_that_cannot_be_written_as_utf_8_are_refused(fields):
    assert "must be text" in refusal(**fields).message


@pytest.mark.parametrize("own_id", [7, True, ["i"], {"id": "i"}, "i" * 257, "é" * 129, "\ud83c"], ids=ascii)
def test_an_id_is_a_text_of_bounded_length(own_id):
    error = refusal(id=own_id)

    assert (error.param, error.message) == ("id", "id must be a text of at most 256 bytes.")
    assert request(id="é" * 128).request_id == "é" * 128


# Orders on their way


TEXTS = st.text(max_size=20)
ORDERS = st.builds(
    Order,
    job_id=TEXTS,
    source=st.builds(SourceLocation, bucket=TEXTS, key=TEXTS, version_id=st.none() | TEXTS, etag=st.none() | TEXTS),
    results_prefix=TEXTS,
    caller=TEXTS,
    options=st.dictionaries(TEXTS, TEXTS | st.integers() | st.booleans(), max_size=4),
    request_id=st.none() | TEXTS,
    complete=st.booleans(),
    only_missing=st.booleans(),
)


@given(ORDERS)
def test_an_order_is_read_as_it_was_written(order):
    assert read_order(json.loads(write_order(order))["order"]) == order


def test_an_order_that_says_nothing_more_needs_nothing_more():
    fields = {"job_id": "j1", "source": {"bucket": "b", "key": "k"}, "results_prefix": "jobs/j1", "caller": "ann"}

    assert read_order(fields) == Order("j1", SourceLocation("b", "k"), "jobs/j1", "ann", options={})


@pytest.mark.parametrize("letter", ["\0", "\x1b", "\n", '"', "\x7f", "\x85", "\ufffe", "\uffff", "🐈"], ids=ascii)
def test_an_order_with_an_odd_letter_is_written_in_letters_that_the_queue_takes(letter):
    message = write_order(Order("j1", SourceLocation("b", f"k{letter}"), "jobs/j1", "ann", {"prompt": f"a {letter} b"}))

    assert re.fullmatch(LETTERS_OF_SQS, message)


@pytest.mark.parametrize("letter", ["x", "é", "猫", "🐈", "\x01", '"'], ids=ascii)
def test_an_order_with_the_longest_options_fits_into_a_message(letter):
    written = json.dumps(letter, ensure_ascii=False)[1:-1]
    prompt = letter * ((MAX_OPTIONS_BYTES - 20) // len(written.encode()))
    key = letter * (1024 // len(letter.encode()))

    message = write_order(request({"bucket": "pictures", "key": key}, prompt=prompt))

    assert len(message.encode()) < 1024**2


@pytest.mark.parametrize("said", ["output-format", "Output_Format", "OUTPUT-FORMAT"])
def test_an_option_is_the_same_however_its_name_is_written(said):
    assert request(**{said: "webp"}) == request(output_format="webp")


def test_a_row_wins_over_the_request_and_that_over_the_options_of_all():
    order = request(options={"n": 1, "size": "auto"}, N=2, row={"n": "3"})

    assert order.options == {"n": "3", "size": "auto"}


def test_the_key_of_a_row_wins_over_an_encoded_one():
    source = {"bucket": "abc", "encoded_key": "first.png", "etag": "e7"}

    order = request(source, row={"key": "second.png"})

    assert order.source == SourceLocation("abc", "second.png", etag="e7")


def test_an_encoded_key_that_encodes_nothing_is_refused():
    with pytest.raises(InvalidRequest, match="Name the picture"):
        request({"bucket": "abc", "encoded_key": "%ff.png"})
