"""Messages on the queue become orders, each upload its own; ended jobs are announced."""

import json
import re
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.errors import InvalidRequest
from variations.messages import job_prefix, parse_message, upload_key, write_completion, write_order
from variations.model import Order, SourceLocation


def event(key="uploads/cat.png", bucket="pictures", **changes):
    uploaded = {"key": key, "size": 7, "etag": "e7", "sequencer": "0055AED6DCD90281E5", **changes}
    return {
        "version": "0",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": {k: v for k, v in uploaded.items() if v is not None}},
    }


def order_of(*args, **changes):
    (order,) = parse_message(json.dumps(event(*args, **changes)))
    return order


def test_an_upload_is_an_order_with_its_results_beside_it():
    order = order_of()

    assert order == Order(
        job_id=order.job_id,
        source=SourceLocation("pictures", "uploads/cat.png", version_id=None, etag="e7"),
        results_prefix=f"uploads/cat.png/{order.job_id}",
        caller="s3:upload",
    )


def test_an_upload_is_known_by_the_name_that_s3_gave_to_its_request():
    uploaded = event()
    uploaded["detail"]["request-id"] = "C3D13FE58DE4C810"

    (order,) = parse_message(json.dumps(uploaded))
    assert order.request_id == "C3D13FE58DE4C810"
    assert order.job_id == order_of().job_id


@pytest.mark.parametrize("named", [None, 7, ["C3D13FE58DE4C810"]], ids=["null", "number", "list"])
def test_a_name_of_a_request_that_is_no_text_is_left_out(named):
    uploaded = event()
    uploaded["detail"]["request-id"] = named

    (order,) = parse_message(json.dumps(uploaded))
    assert order.request_id is None


def test_an_upload_to_a_versioned_bucket_is_pinned_to_its_version():
    assert order_of(**{"version-id": "v1"}).source == SourceLocation("pictures", "uploads/cat.png", "v1", "e7")


def test_an_upload_without_an_etag_is_pinned_to_nothing():
    assert order_of(etag=None).source.etag is None
    assert order_of(etag="", **{"version-id": ""}).source == SourceLocation("pictures", "uploads/cat.png")


@pytest.mark.parametrize("key", ["a b+c%20d.png", "ünï/çödé 🐈.png", "a\nb", "a/../b", "'; DROP"])
def test_a_key_is_taken_as_it_stands(key):
    order = order_of(key)

    assert order.source.key == key
    assert order.results_prefix == f"{key}/{order.job_id}"


@pytest.mark.parametrize("key", ["uploads/", "a/b/"])
def test_the_empty_objects_that_stand_for_folders_are_no_orders(key):
    assert parse_message(json.dumps(event(key))) == []


def test_an_event_that_is_delivered_twice_is_one_job():
    assert order_of().job_id == order_of().job_id


@pytest.mark.parametrize(
    "change",
    [{"key": "uploads/dog.png"}, {"bucket": "others"}, {"sequencer": "0055AED6DCD90281E6"}, {"version-id": "v2"}],
    ids=["key", "bucket", "sequencer", "version"],
)
def test_every_upload_is_a_job_of_its_own(change):
    assert order_of(**change).job_id != order_of().job_id


def test_the_version_of_an_upload_counts_more_than_its_sequencer():
    first, second = (order_of(sequencer=sequencer, **{"version-id": "v1"}) for sequencer in ("01", "02"))

    assert first.job_id == second.job_id


def test_a_job_id_is_short_enough_for_people_and_fits_into_a_url():
    job_id = order_of("ünï/çödé").job_id

    assert len(job_id) == 32
    assert set(job_id) <= set("0123456789abcdef")


@pytest.mark.parametrize(("letter", "width"), [("x", 1), ("é", 2), ("🐈", 4)], ids=["ascii", "accents", "cats"])
def test_results_lie_beside_the_source_as_long_as_s3_has_room_for_their_keys(letter, width):
    longest = 1024 - len("/variation-10.jpeg") - len("/") - 32
    fits = letter * (longest // width)

    assert order_of(fits).results_prefix.startswith(fits)
    beyond = order_of(fits + letter)
    assert beyond.results_prefix == f"jobs/{beyond.job_id}"


@pytest.mark.parametrize(
    "change",
    [
        {"source": "aws.ec2"},
        {"detail-type": "Object Deleted"},
        {"source": "image-variations", "detail-type": "Variations Completed"},
    ],
    ids=["another service", "deletion", "our own event"],
)
def test_other_events_are_refused_with_what_the_queue_takes(change):
    with pytest.raises(InvalidRequest, match="takes S3 'Object Created' events"):
        parse_message(json.dumps(event() | change))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "{",
        "[]",
        "null",
        "7",
        '"aws.s3"',
        "{}",
        '{"source": "aws.s3", "detail-type": "Object Created"}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": null}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": "b", "object": "k"}}',
        json.dumps(event(sequencer=None)),
        json.dumps(event(sequencer=7)),
        json.dumps(event("\ud800")),
    ],
)
def test_a_message_nobody_can_read_is_refused(body):
    with pytest.raises(InvalidRequest, match="neither an S3 'Object Created' event nor an order"):
        parse_message(body)


def test_a_message_nested_too_deep_is_refused():
    with pytest.raises(InvalidRequest):
        parse_message("[" * 100_000)


@pytest.mark.parametrize("change", [{"bucket": None}, {"key": {"a": 1}}, {"etag": 7}], ids=["bucket", "key", "etag"])
def test_an_upload_whose_names_are_no_texts_is_refused(change):
    with pytest.raises(InvalidRequest):
        order_of(**change)


NAMES = ["source", "detail-type", "detail", "bucket", "name", "object", "key", "sequencer", "version-id", "etag"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)
CREATED = st.fixed_dictionaries(
    {
        "source": st.just("aws.s3"),
        "detail-type": st.just("Object Created"),
        "detail": JSON
        | st.fixed_dictionaries(
            {
                "bucket": st.fixed_dictionaries({"name": JSON}),
                "object": st.fixed_dictionaries(
                    {"key": JSON | st.text(max_size=1500)},
                    optional={"sequencer": JSON, "version-id": JSON, "etag": JSON},
                ),
            }
        ),
    }
)


@given(st.text() | (JSON | CREATED).map(json.dumps))
def test_whatever_is_on_the_queue_is_orders_or_a_refusal(body):
    try:
        orders = parse_message(body)
    except InvalidRequest:
        return

    for order in orders:
        assert len(order.job_id) == 32
        assert order.results_prefix.endswith(order.job_id)
        assert len(f"{order.results_prefix}/variation-10.jpeg".encode()) <= 1024


def manifest(state, results=(), error=None):
    return {
        "job_id": "j1",
        "state": state,
        "source": {"bucket": "pictures", "key": "uploads/cät.png", "etag": "e7"},
        "results": [{"key": key, "sha256": "0", "width": 7} for key in results],
        "error": error,
        "request": {"prompt": "a secret wish"},
    }


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("succeeded", "Variations Completed"),
        ("partial", "Variations Completed"),
        ("failed", "Variations Failed"),
    ],
)
def test_the_end_of_a_job_is_announced_by_how_it_ended(state, kind):
    entry = write_completion(manifest(state), "results", "p/j1")

    assert (entry["Source"], entry["DetailType"]) == ("image-variations", kind)
    assert json.loads(entry["Detail"])["state"] == state


def test_an_announcement_says_where_everything_lies_and_no_more():
    error = {"code": "provider_failed", "message": "One is missing.", "param": None}
    entry = write_completion(manifest("partial", ["p/j1/variation-01.png"], error), "results", "p/j1")

    assert json.loads(entry["Detail"]) == {
        "job_id": "j1",
        "state": "partial",
        "source": {"bucket": "pictures", "key": "uploads/cät.png"},
        "manifest": {"bucket": "results", "key": "p/j1/manifest.json"},
        "results": [{"bucket": "results", "key": "p/j1/variation-01.png"}],
        "error": error,
    }


def test_an_announcement_of_ten_results_with_the_longest_keys_fits_into_an_event():
    prefix = "🐈" * 240
    keys = [f"{prefix}/variation-{number:02}.jpeg" for number in range(1, 11)]
    entry = write_completion(manifest("succeeded", keys), "b" * 63, prefix)

    assert len(json.dumps(entry, ensure_ascii=False).encode()) < 256 * 1024


OPTIONS = {"model": "gpt-image-2", "n": 3, "size": "auto", "prompt": "Ein Garten, 'ünï' 🐈\n", "simplify": True}
ORDER = Order(
    job_id="0123456789abcdef" * 2,
    source=SourceLocation("pictures", "a b+c%20ü.png", version_id="v1", etag="e7"),
    results_prefix="jobs/0123456789abcdef0123456789abcdef",
    caller="ann",
    options=OPTIONS,
    request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
)


def test_an_order_comes_off_the_queue_as_it_was_put_on():
    assert parse_message(write_order(ORDER)) == [ORDER]


def test_an_order_whose_options_are_with_its_picture_keeps_none():
    order = Order("j1", SourceLocation("pictures", "a.png"), "jobs/j1", "s3")

    assert parse_message(write_order(order)) == [order]


TEXTS = st.text(max_size=20)
ORDERS = st.builds(
    Order,
    job_id=TEXTS,
    source=st.builds(SourceLocation, bucket=TEXTS, key=TEXTS, version_id=st.none() | TEXTS, etag=st.none() | TEXTS),
    results_prefix=TEXTS,
    caller=TEXTS,
    options=st.none() | st.dictionaries(TEXTS, TEXTS | st.integers() | st.booleans(), max_size=4),
    request_id=st.none() | TEXTS,
)


@given(ORDERS)
def test_whatever_is_ordered_comes_off_the_queue_as_it_was_put_on(order):
    assert parse_message(write_order(order)) == [order]


@pytest.mark.parametrize("letter", ["\ufffe", "\uffff"], ids=["U+FFFE", "U+FFFF"])
def test_an_order_is_written_in_letters_that_the_queue_takes(letter):
    message = write_order(Order("j1", SourceLocation("b", "k"), "jobs/j1", "ann", {"prompt": f"a {letter} b"}))

    # What a message may hold: SQS API reference, SendMessage.
    assert re.fullmatch("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*", message)


@pytest.mark.parametrize("letter", ["\0", "\x1b", "\n", '"', "\x7f", "\x85", "🐈"], ids=ascii)
def test_an_order_with_an_odd_letter_is_written_in_letters_that_the_queue_takes(letter):
    order = Order("j1", SourceLocation("b", f"k{letter}"), "jobs/j1", "ann", {"prompt": f"a {letter} b"})
    message = write_order(order)

    assert re.fullmatch("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*", message)
    assert parse_message(message) == [order]


def test_an_order_with_the_longest_prompt_fits_into_a_message():
    options = {"prompt": "🐈" * 32_000, "user": "🐈" * 256, "model": "🐈" * 200}

    message = write_order(Order("j" * 32, SourceLocation("b" * 63, "🐈" * 256), "jobs/j1", "ann", options))
    assert len(message.encode()) < 1024**2


WRITTEN = asdict(ORDER)


@pytest.mark.parametrize(
    "order",
    [
        None,
        7,
        "order",
        [],
        {},
        {name: value for name, value in WRITTEN.items() if name != "caller"},
        {name: value for name, value in WRITTEN.items() if name != "source"},
        {**WRITTEN, "source": None},
        {**WRITTEN, "source": "s3://pictures/a.png"},
        {**WRITTEN, "source": {"bucket": "pictures"}},
        {**WRITTEN, "source": {**WRITTEN["source"], "region": "eu-central-1"}},
        {**WRITTEN, "priority": 7},
    ],
    ids=[
        "null",
        "number",
        "text",
        "list",
        "empty",
        "no caller",
        "no source",
        "source of nothing",
        "source as a text",
        "source without a key",
        "source with more",
        "order with more",
    ],
)
def test_an_order_nobody_can_read_is_refused(order):
    with pytest.raises(InvalidRequest, match="neither an S3 'Object Created' event nor an order"):
        parse_message(json.dumps({"order": order}))


@given(JSON | st.dictionaries(st.sampled_from([*WRITTEN, "other"]), JSON, max_size=6))
def test_whatever_is_called_an_order_is_one_or_refused(order):
    try:
        (read,) = parse_message(json.dumps({"order": order}))
    except InvalidRequest:
        return

    assert isinstance(read, Order)
    assert isinstance(read.source, SourceLocation)


API_JOB = "0123456789abcdef" * 2


@pytest.mark.parametrize("filename", ["cat.png", "a b+c%20ü.png", "api", API_JOB, "🐈", "a\nb", "a\n"], ids=ascii)
@pytest.mark.parametrize("prefix", ["uploads/", "a/b/", "uploads/api/"])
def test_a_picture_that_the_api_waits_for_starts_the_job_that_waits_for_it(prefix, filename):
    key = upload_key(prefix, API_JOB, filename)

    assert order_of(key) == Order(API_JOB, SourceLocation("pictures", key), f"jobs/{API_JOB}", caller="s3:upload")


def test_the_key_of_a_picture_that_the_api_waits_for_names_its_job():
    assert upload_key("uploads/", API_JOB, "cat.png") == f"uploads/api/{API_JOB}/cat.png"
    assert job_prefix(API_JOB) == f"jobs/{API_JOB}"


@pytest.mark.parametrize(
    "change",
    [{"etag": "e8"}, {"sequencer": "02"}, {"sequencer": None}, {"version-id": "v2"}, {"bucket": "others"}],
    ids=["bytes", "sequencer", "no sequencer", "version", "bucket"],
)
def test_a_picture_that_the_api_waits_for_is_one_job_however_often_it_is_uploaded(change):
    order = order_of(f"uploads/api/{API_JOB}/cat.png", **change)

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
    order = order_of(key)

    assert order.job_id != API_JOB
    assert order.source.etag == "e7"
    assert order.results_prefix == f"{key}/{order.job_id}"


def test_the_folder_of_a_picture_that_the_api_waits_for_is_no_order():
    assert parse_message(json.dumps(event(f"uploads/api/{API_JOB}/"))) == []
