"""Whatever lies on the queue is read, part by part, or refused with a reason; ended jobs are announced."""

import json
import re
from dataclasses import asdict
from urllib.parse import quote_plus

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.errors import UnsupportedResource
from variations.messages import MAX_ERROR_CHARACTERS, Message, parse_message, write_completion
from variations.model import Order, SourceLocation
from variations.orders import is_job_id, read_order, write_order

from tests.conftest import ROOT

SCHEMAS = {
    kind: jsonschema_rs.validator_for(
        json.loads((ROOT / "infra" / "schemas" / f"{kind.lower().replace(' ', '_')}.json").read_text())
    )
    for kind in ("Variations Completed", "Variations Failed")
}
LETTERS_OF_SQS = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")  # SQS API reference, SendMessage
AWKWARD_KEYS = ["a b+c%20d.png", "ünï/çödé 🐈.png", "a\nb", "a/../b", "'; DROP", "100%.png", "a%2Bb"]


def event(key="uploads/cat.png", bucket="pictures", **changes):
    """An S3 event as EventBridge brings it."""
    uploaded = {"key": key, "size": 7, "etag": "e7", "sequencer": "0055AED6DCD90281E5", **changes}
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": bucket},
            "object": {name: value for name, value in uploaded.items() if value is not None},
            "request-id": "C3D13FE58DE4C810",
        },
    }


def record(key="uploads/cat.png", bucket="pictures", name="ObjectCreated:Put", **changes):
    """One record of the notification that S3 itself sends."""
    uploaded = {"key": quote_plus(key), "size": 7, "eTag": "e7", "sequencer": "0055AED6DCD90281E5", **changes}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "bucket": {"name": bucket},
            "object": {name: value for name, value in uploaded.items() if value is not None},
        },
    }


def notification(*records):
    return {"Records": list(records or [record()])}


def requested(detail=None, **changes):
    """An event by which somebody asks for variations."""
    detail = detail or {"source": "s3://pictures/uploads/cat.png", "n": 2}
    return {
        "id": "event-1",
        "source": "my.shop",
        "detail-type": "Variations Requested",
        "detail": detail,
        **changes,
    }


def enveloped(inner, **changes):
    text = inner if isinstance(inner, str) else json.dumps(inner)
    topic = "arn:aws:sns:us-east-1:123456789012:pictures"
    return {"Type": "Notification", "MessageId": "sns-1", "TopicArn": topic, "Message": text, **changes}


def parse(body, delivery_id="delivery-1"):
    return parse_message(body if isinstance(body, str) else json.dumps(body), delivery_id)


def orders_of(body, delivery_id="delivery-1"):
    message = parse(body, delivery_id)
    assert message.unreadable == []
    return message.orders


def order_of(body, delivery_id="delivery-1"):
    (order,) = orders_of(body, delivery_id)
    return order


def refused(body):
    """The parts of a message that nobody can read, as they came, and why."""
    message = parse(body)
    assert message.orders == []
    return message.unreadable


PLAIN = {"source": {"bucket": "pictures", "key": "uploads/cat.png"}, "n": 2}
TEST_EVENT = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "pictures", "RequestId": "5582815E1AEA5ADF"}
ORDER = Order(
    job_id="0123456789abcdef" * 2,
    source=SourceLocation("pictures", "a b+c%20ü.png", version_id="v1", etag="e7"),
    results_prefix="jobs/0123456789abcdef0123456789abcdef",
    caller="ann",
    options={"model": "gpt-image-2", "n": 3, "prompt": "Ein Garten, 'ünï' 🐈\n", "simplify": True},
    request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    complete=True,
)
WRITTEN = asdict(ORDER)

# S3 events


def test_an_upload_is_an_order_with_its_results_beside_it():
    order = order_of(event())

    assert order == Order(
        job_id=order.job_id,
        source=SourceLocation("pictures", "uploads/cat.png", version_id=None, etag="e7"),
        results_prefix=f"uploads/cat.png/{order.job_id}",
        caller="s3:upload",
        request_id="C3D13FE58DE4C810",
    )


@pytest.mark.parametrize("named", [None, 7, ["C3D13FE58DE4C810"]], ids=["null", "number", "list"])
def test_a_name_of_a_request_that_is_no_text_is_left_out(named):
    uploaded, notified = event(), record()
    uploaded["detail"]["request-id"] = named
    notified["responseElements"]["x-amz-request-id"] = named

    assert order_of(uploaded).request_id is None
    assert order_of(notification(notified)).request_id is None


@pytest.mark.parametrize(
    "body", [event(**{"version-id": "v1"}), notification(record(versionId="v1"))], ids=["event", "notification"]
)
def test_an_upload_to_a_versioned_bucket_is_pinned_to_its_version(body):
    assert order_of(body).source == SourceLocation("pictures", "uploads/cat.png", "v1", "e7")


@pytest.mark.parametrize(
    "body",
    [
        event(etag=None),
        event(etag="", **{"version-id": ""}),
        notification(record(eTag=None)),
        notification(record(eTag="", versionId="")),
    ],
    ids=["event without", "event with empty ones", "notification without", "notification with empty ones"],
)
def test_an_upload_without_an_etag_and_a_version_is_pinned_to_nothing(body):
    assert order_of(body).source == SourceLocation("pictures", "uploads/cat.png")


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_the_key_of_an_event_is_taken_as_it_stands(key):
    order = order_of(event(key))

    assert order.source.key == key
    assert order.results_prefix == f"{key}/{order.job_id}"


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_the_key_of_a_notification_is_written_as_in_forms(key):
    assert order_of(notification(record(key))).source.key == key


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_an_event_and_a_notification_of_the_same_upload_are_the_same_job(key):
    assert order_of(notification(record(key))) == order_of(event(key))
    versions = order_of(notification(record(key, versionId="v1"))), order_of(event(key, **{"version-id": "v1"}))
    assert versions[0] == versions[1]


def test_every_record_of_a_notification_is_an_order():
    keys = ["first.png", "second.png", "third.png"]

    orders = orders_of(notification(*map(record, keys)))

    assert [order.source.key for order in orders] == keys
    assert len({order.job_id for order in orders}) == 3


def test_every_record_of_a_notification_counts_by_itself():
    records = [
        record("first.png"),
        record("gone.png", name="ObjectRemoved:Delete"),
        {"eventSource": "aws:dynamodb"},
        record("folder/"),
        record("last.png", name="ObjectCreated:CompleteMultipartUpload"),
    ]

    message = parse(notification(*records))

    assert [order.source.key for order in message.orders] == ["first.png", "last.png"]
    assert [json.loads(part) for part, _ in message.unreadable] == [notification(records[2])]


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "ObjectTagging:Put", "ObjectRestore:Completed", "s3:Test"])
def test_a_notification_of_something_else_than_an_upload_is_no_work(name):
    assert parse(notification(record(name=name))) == Message()


@pytest.mark.parametrize("kind", ["Object Deleted", "Object Tags Added", "Object Restore Completed", ""])
def test_an_event_of_s3_about_something_else_than_an_upload_is_no_work(kind):
    assert parse(event() | {"detail-type": kind}) == Message()


def test_the_event_by_which_s3_tests_a_queue_is_no_work():
    assert parse(TEST_EVENT) == Message()


@pytest.mark.parametrize("key", ["uploads/", "a/b/", "variations.json", "uploads/variations.json"])
def test_folders_and_presets_are_no_orders(key):
    bodies = [event(key), notification(record(key)), {"source": {"bucket": "pictures", "key": key}}]

    assert [parse(body) for body in bodies] == [Message()] * 3


def test_a_picture_that_the_api_waits_for_starts_the_job_that_waits_for_it():
    job_id = "0123456789abcdef" * 2
    key = f"uploads/api/{job_id}/a b+c%20ü.png"
    order = Order(job_id, SourceLocation("pictures", key), f"jobs/{job_id}", caller="s3:upload")

    assert order_of(event(key)) == order_of(notification(record(key))) == order


# Envelopes


@pytest.mark.parametrize(
    "inner",
    [event("a b+c.png"), notification(record("a b+c.png"), record("b.png")), requested(), {"order": WRITTEN}],
    ids=["event", "notification", "request by event", "order"],
)
def test_what_comes_through_a_topic_is_what_it_would_be_without(inner):
    assert orders_of(enveloped(inner)) == orders_of(inner)


def test_a_test_event_through_a_topic_is_no_work():
    assert parse(enveloped(TEST_EVENT)) == Message()


def test_a_request_through_a_topic_is_known_by_the_id_that_the_topic_gave_it():
    first, again = (order_of(enveloped(PLAIN), delivery_id) for delivery_id in ("delivery-1", "delivery-2"))

    assert first == again == order_of(PLAIN, "sns-1")
    assert first.request_id == "sns-1"
    assert order_of(enveloped(PLAIN, MessageId="sns-2")).job_id != first.job_id


@pytest.mark.parametrize("unnamed", [None, ""])
def test_a_request_through_a_topic_that_gives_no_id_is_known_by_its_delivery(unnamed):
    assert order_of(enveloped(PLAIN, MessageId=unnamed)) == order_of(PLAIN)


@pytest.mark.parametrize(
    "inner",
    [enveloped(PLAIN), "hello", "", "[", "[" * 100_000, {"hello": "world"}, [PLAIN], None],
    ids=["envelope", "text", "nothing", "cut off", "nested too deep", "something else", "list", "null"],
)
def test_an_envelope_around_what_nobody_can_read_is_refused(inner):
    ((_, error),) = refused(enveloped(inner))

    assert "this is none of them" in error.message


@pytest.mark.parametrize("change", [{"Type": "SubscriptionConfirmation"}, {"Message": PLAIN}])
def test_other_messages_of_a_topic_are_refused(change):
    assert len(refused(enveloped(PLAIN) | change)) == 1


# Requests


def test_a_plain_request_is_an_order_with_its_options_as_texts():
    order = order_of(PLAIN)

    assert order == Order(
        job_id=order.job_id,
        source=SourceLocation("pictures", "uploads/cat.png"),
        results_prefix=f"uploads/cat.png/{order.job_id}",
        caller="sqs:request",
        options={"n": "2"},
        request_id="delivery-1",
    )


def test_a_plain_request_that_is_delivered_again_is_the_same_job_and_another_one_is_not():
    assert order_of(PLAIN) == order_of(PLAIN)
    assert order_of(PLAIN, "delivery-2").job_id != order_of(PLAIN).job_id


def test_a_request_for_several_pictures_is_an_order_for_each():
    sources = ["s3://pictures/a.png", {"bucket": "pictures", "key": "b.png", "etag": "e8"}]

    first, second = orders_of({"sources": sources, "n": 2, "id": "spring"})

    assert first == order_of({"source": sources[0], "n": 2, "id": "spring"})
    assert second == order_of({"source": sources[1], "n": 2, "id": "spring"})
    assert first.job_id != second.job_id


def test_a_request_by_event_is_pinned_by_the_id_of_its_event():
    order = order_of(requested(), "delivery-1")

    assert (order.caller, order.request_id, order.options) == ("event:my.shop", "event-1", {"n": "2"})
    assert order_of(requested(), "delivery-2") == order
    assert order_of(requested(id="event-2")).job_id != order.job_id


def test_a_request_by_event_may_have_an_id_of_its_own():
    detail = {"source": "s3://pictures/a.png", "id": "spring"}
    order = order_of(requested(detail))

    assert order.request_id == "spring"
    assert order_of(requested(detail, id="event-2")) == order


def test_a_request_by_event_may_be_for_several_pictures():
    orders = orders_of(requested({"sources": ["s3://pictures/a.png", "s3://pictures/b.png"], "n": 2}))

    assert [order.source.key for order in orders] == ["a.png", "b.png"]
    assert {(order.caller, order.request_id, order.options["n"]) for order in orders} == {
        ("event:my.shop", "event-1", "2")
    }
    assert len({order.job_id for order in orders}) == 2


@pytest.mark.parametrize("source", ["x" * 257, "my\ud800shop"], ids=["too long", "half a letter"])
def test_an_event_whose_source_a_job_cannot_keep_is_unreadable(source):
    (unreadable,) = parse(json.dumps(requested(source=source))).unreadable

    assert "The event's source must be a text" in unreadable[1].message


def test_the_id_of_an_event_that_a_job_cannot_keep_is_left_out():
    order = order_of(requested(id="x" * 450_000))

    assert order.request_id is None
    assert order.job_id != order_of(requested(id="y" * 450_000)).job_id


@pytest.mark.parametrize("body", [{"sources": []}, {"Records": []}, {"sources": [], "source": None}])
def test_a_message_that_names_no_picture_at_all_is_unreadable(body):
    assert len(parse(json.dumps(body)).unreadable) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda sources: {"sources": sources, "n": 2},
        lambda sources: requested({"sources": sources, "n": 2}),
        lambda sources: enveloped({"sources": sources, "n": 2}),
    ],
    ids=["plain", "event", "topic"],
)
def test_a_part_that_is_wrong_does_not_touch_its_neighbours(write):
    sources = [None, "s3://pictures/a.png", {"bucket": "pictures"}, "s3://pictures/folder/", "s3://pictures/b.png", 7]

    message = parse(write(sources))

    assert [order.source.key for order in message.orders] == ["a.png", "b.png"]
    assert len(message.unreadable) == 3
    for part, error in message.unreadable:
        assert parse(part).unreadable[0][1].message == error.message, "a part can be put right and sent again"
        assert error.param == "source"


@pytest.mark.parametrize("write", [dict, requested], ids=["plain", "event"])
def test_a_request_for_something_else_is_refused_by_its_name(write):
    ((part, error),) = refused(write(PLAIN | {"resource": "audio"}))

    assert isinstance(error, UnsupportedResource)
    assert error.message == 'The resource "audio" is not supported!'
    assert "audio" in part


@pytest.mark.parametrize(
    "body",
    [
        requested(id=None),
        requested(id=7),
        requested(source=None),
        requested(detail=[PLAIN]),
        requested(detail="s3://pictures/a.png"),
        {"sources": "s3://pictures/a.png"},
    ],
    ids=["no id", "number as id", "no source", "list as detail", "text as detail", "text as sources"],
)
def test_a_request_in_another_form_is_refused(body):
    assert len(refused(body)) == 1


# What nobody can read


@pytest.mark.parametrize(
    "change",
    [
        {"source": "aws.ec2"},
        {"source": "image-variations", "detail-type": "Variations Completed"},
        {"source": "my.shop", "detail-type": "Picture Sold"},
    ],
    ids=["another service", "our own event", "a stranger's event"],
)
def test_other_events_are_refused_with_what_the_queue_takes(change):
    ((part, error),) = refused(event() | change)

    assert json.loads(part) == event() | change
    assert re.search("takes S3 events, 'Variations Requested' events and requests .*docs/events.md", error.message)


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
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"source": "aws.s3", "detail-type": "Object Created"}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": null}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": "b", "object": "k"}}',
        '{"Records": [7]}',
        '{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}',
        '{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": null}]}',
        '{"Records": {"eventSource": "aws:s3"}}',
        json.dumps(event(sequencer=None)),
        json.dumps(event(sequencer=7)),
        json.dumps(event("\ud800")),
        json.dumps(notification(record(sequencer=None))),
        json.dumps(notification(record() | {"responseElements": None})),
        json.dumps(
            notification(record() | {"s3": {"bucket": {"name": "b"}, "object": {"key": "%ff", "sequencer": "01"}}})
        ),
    ],
    ids=lambda body: body[:40],
)
def test_a_message_nobody_can_read_is_refused_as_a_whole(body):
    ((part, error),) = refused(body)

    assert part == body or json.loads(part) == json.loads(body)
    assert "this is none of them" in error.message


@pytest.mark.parametrize("change", [{"bucket": None}, {"key": {"a": 1}}, {"etag": 7}], ids=["bucket", "key", "etag"])
def test_an_upload_whose_names_are_no_texts_is_refused(change):
    assert len(refused(event(**change))) == 1


# Orders of our own


def test_an_order_comes_off_the_queue_as_it_was_put_on():
    assert orders_of(write_order(ORDER)) == [ORDER]


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
    ((part, error),) = refused({"order": order})

    assert json.loads(part) == {"order": order}
    assert "this is none of them" in error.message


# Anything at all

NAMES = ["source", "sources", "detail-type", "detail", "bucket", "name", "object", "key", "sequencer", "etag", "s3"]
NAMES += ["Records", "Type", "TopicArn", "Message", "Event", "id", "n", "row", "options", "resource", "encoded_key"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("\ud83c"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.text(max_size=20) | st.builds(lambda letter, n: letter * n, st.characters(), st.integers(1, 1100)) | JSON
UPLOADED = st.fixed_dictionaries(
    {"key": KEYS},
    optional={name: JSON | st.text(max_size=5) for name in ("sequencer", "version-id", "versionId", "etag", "eTag")},
)
BUCKETS = st.fixed_dictionaries({"name": st.just("pictures") | JSON})
CREATED = st.fixed_dictionaries(
    {
        "source": st.just("aws.s3"),
        "detail-type": st.just("Object Created"),
        "detail": JSON | st.fixed_dictionaries({"bucket": BUCKETS, "object": UPLOADED}),
    }
)
NOTIFIED = st.lists(
    st.fixed_dictionaries(
        {
            "eventSource": st.just("aws:s3"),
            "eventName": st.sampled_from(["ObjectCreated:Put", "ObjectRemoved:Delete"]),
            "s3": JSON | st.fixed_dictionaries({"bucket": BUCKETS, "object": UPLOADED}),
        },
        optional={"responseElements": JSON},
    )
    | JSON,
    max_size=3,
).map(lambda records: {"Records": records})
SOURCES = (
    KEYS
    | KEYS.map(lambda key: f"s3://pictures/{key}")
    | st.fixed_dictionaries(
        {"bucket": st.just("pictures") | JSON, "key": KEYS},
        optional={"version_id": JSON, "etag": JSON | st.text(max_size=5), "encoded_key": KEYS},
    )
)
MORE = {"n": JSON, "options": JSON, "row": JSON, "id": JSON, "only_missing": JSON, "resource": JSON, "\ud83c": JSON}
PLAINS = st.fixed_dictionaries({"source": SOURCES}, optional=MORE)
PLAINS |= st.fixed_dictionaries({"sources": st.lists(SOURCES, max_size=3)}, optional=MORE)
REQUESTED = st.fixed_dictionaries(
    {
        "detail-type": st.just("Variations Requested"),
        "id": st.text(max_size=9) | JSON,
        "source": st.text(max_size=300) | JSON,
        "detail": PLAINS | JSON,
    }
)
BODIES = (JSON | CREATED | NOTIFIED | PLAINS | REQUESTED).map(json.dumps)
ENVELOPED = st.builds(enveloped, st.text() | BODIES, MessageId=st.text(max_size=9) | JSON).map(json.dumps)


@given(st.text(max_size=30) | BODIES | ENVELOPED)
def test_whatever_is_on_the_queue_is_orders_or_refusals(body):
    message = parse_message(body, "delivery-1")

    for order in message.orders:
        assert is_job_id(order.job_id)
        assert order.results_prefix.endswith(order.job_id)
        assert len(f"{order.results_prefix}/variation-10.jpeg".encode()) <= 1024
        assert all(isinstance(value, str) and value for value in order.options.values())
        assert len(order.caller) <= 256
        assert orders_of(write_order(order)) == [order]
    for part, error in message.unreadable:
        assert part == body or json.loads(part)
        assert LETTERS_OF_SQS.fullmatch(error.message)
        assert 0 < len(error.message) < 500


@given(st.lists(SOURCES.map(json.dumps), min_size=1, max_size=4))
def test_every_picture_of_a_request_is_what_it_would_be_alone(sources):
    alone = [parse(f'{{"source": {source}, "n": 2}}') for source in sources]
    message = parse(f'{{"n": 2, "sources": [{", ".join(sources)}]}}')

    assert message.orders == [order for single in alone for order in single.orders]
    reasons = [error.message for single in alone for _, error in single.unreadable]
    assert [error.message for _, error in message.unreadable] == reasons


@given(JSON | st.dictionaries(st.sampled_from([*WRITTEN, "other"]), JSON, max_size=6))
def test_whatever_is_called_an_order_is_one_or_refused(order):
    message = parse({"order": order})

    assert len(message.orders) + len(message.unreadable) == 1
    for read in message.orders:
        assert isinstance(read.source, SourceLocation)
        assert read_order(asdict(read)) == read


# The end of a job


def manifest(state, results=(), error=None, **changes):
    return {
        "job_id": "0" * 32,
        "state": state,
        "caller": "s3:upload",
        "request_id": "C3D13FE58DE4C810",
        "model": "gpt-image-2",
        "source": {"bucket": "pictures", "key": "uploads/cät.png", "version_id": "v1", "etag": "e7", "bytes": 7},
        "results": [
            {"key": key, "content_type": "image/png", "bytes": 7, "width": 64, "height": 32, "sha256": "0"}
            for key in results
        ],
        "error": error,
        "request": {"prompt": "a secret wish"},
        "options": {"prompt": "a secret wish"},
        **changes,
    }


def error_with(message):
    return {"code": "provider_failed", "message": message, "param": None}


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
    error = error_with("One is missing.")
    entry = write_completion(manifest("partial", ["p/j1/variation-01.png"], error), "results", "p/j1")

    assert json.loads(entry["Detail"]) == {
        "job_id": "0" * 32,
        "state": "partial",
        "caller": "s3:upload",
        "request_id": "C3D13FE58DE4C810",
        "model": "gpt-image-2",
        "source": {"bucket": "pictures", "key": "uploads/cät.png", "version_id": "v1", "etag": "e7"},
        "manifest": {"bucket": "results", "key": "p/j1/manifest.json"},
        "results": [
            {
                "bucket": "results",
                "key": "p/j1/variation-01.png",
                "content_type": "image/png",
                "width": 64,
                "height": 32,
            }
        ],
        "error": error,
    }


def test_a_long_complaint_of_a_provider_is_cut_where_it_is_announced():
    told = json.loads(
        write_completion(manifest("failed", error=error_with("é" * 100_000)), "results", "p/j1")["Detail"]
    )

    assert told["error"] == error_with("é" * MAX_ERROR_CHARACTERS)


def longest_manifest(letter, message):
    """A manifest of ten pictures with everything as long as it may be."""
    key = letter * ((1024 - len("/variation-10.jpeg") - 33) // len(letter.encode()))
    source = {"bucket": "b" * 63, "key": key, "version_id": "v" * 1024, "etag": "e" * 32}
    names = [f"{key}/{'0' * 32}/variation-{number:02}.jpeg" for number in range(1, 11)]
    return manifest(
        "partial",
        names,
        error_with(message),
        source=source,
        caller="c" * 256,
        request_id="r" * 256,
        model="m" * 200,
    )


def size_of(entry):
    """As EventBridge counts: each part in UTF-8."""
    return sum(len(text.encode()) for text in entry.values())


@pytest.mark.parametrize("letter", ["k", "é", "ü", "猫", "🐈", "\n", '"', "\\"], ids=ascii)
@pytest.mark.parametrize("message", ["x" * 100_000, "é" * 100_000, "猫 " * 50_000], ids=lambda message: message[:2])
def test_an_announcement_of_ten_results_with_the_longest_keys_has_at_most_60_kb(letter, message):
    prefix = letter * (973 // len(letter.encode()))

    assert size_of(write_completion(longest_manifest(letter, message), "b" * 63, prefix)) < 60 * 1024


@given(st.characters(codec="utf-8"), st.characters())
def test_whatever_letters_it_is_made_of_an_announcement_fits_into_an_event(letter, said):
    prefix = letter * (973 // len(letter.encode()))
    entry = write_completion(longest_manifest(letter, said * 100_000), "b" * 63, prefix)

    assert size_of(entry) < 128 * 1024
    assert json.loads(entry["Detail"])["manifest"]["key"] == f"{prefix}/manifest.json"


def announced(entry):
    """The event that comes of an entry, as EventBridge brings it to whoever listens."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "account": "123456789012",
        "time": "2026-11-22T18:05:11Z",
        "region": "us-east-1",
        "resources": [],
        "detail": json.loads(entry["Detail"]),
    }


NOTHING_KNOWN = {
    "model": None,
    "request_id": None,
    "source": {"bucket": "pictures", "key": "a.png", "version_id": None, "etag": None},
}


@pytest.mark.parametrize(
    "ended",
    [
        manifest("succeeded", ["a/variation-01.png", "a/variation-02.png"]),
        manifest("partial", ["a/variation-01.png"], error_with("One is missing.")),
        manifest("partial", ["a/variation-01.png"]),
        manifest("failed", error=error_with("It is broken.")),
        manifest("failed", error={"code": "invalid_request", "message": "No.", "param": "n"}, **NOTHING_KNOWN),
        longest_manifest("k", "x" * 100_000),
        longest_manifest("🐈", "🐈" * 100_000),
        manifest("failed", error=error_with("é" * 100_000), caller="event:" + "x" * 250),
    ],
    ids=["succeeded", "partial", "partial for no reason", "failed", "nothing known", "long", "cats", "long failure"],
)
def test_an_announcement_is_as_the_schema_of_its_kind_says(ended):
    entry = write_completion(ended, "results", "a")

    SCHEMAS[entry["DetailType"]].validate(announced(entry))


@pytest.mark.parametrize(
    "ended", [manifest("succeeded", ["a/variation-01.png"]), manifest("failed", error=error_with("It is broken."))]
)
def test_an_announcement_fits_the_schema_of_no_other_kind(ended):
    entry = write_completion(ended, "results", "a")

    assert [kind for kind, schema in SCHEMAS.items() if schema.is_valid(announced(entry))] == [entry["DetailType"]]


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_nothing_can_be_left_out_of_an_announcement_or_added_to_it(state):
    pictures = ["a/variation-01.png"] if state == "succeeded" else []
    entry = write_completion(manifest(state, pictures, error_with("No.")), "results", "a")
    event, schema = announced(entry), SCHEMAS[entry["DetailType"]]

    for name in event["detail"]:
        less = {other: value for other, value in event["detail"].items() if other != name}
        assert not schema.is_valid(event | {"detail": less}), name
    assert not schema.is_valid(event | {"detail": {**event["detail"], "prompt": "a secret wish"}})
