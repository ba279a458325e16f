"""The worker: real events through the real handler, AWS on moto, the embedded image server as provider."""

import io
import json
import threading
import time
from types import SimpleNamespace

import jsonschema_rs
import process_jobs
import pytest
import requests
from PIL import Image
from variations import rounds, wiring
from variations.errors import ConfigurationError, StorageFailed
from variations.messages import parse_message
from variations.provider import Provider
from variations.storage import Storage

from tests.conftest import ROOT, event
from tests.integration.conftest import counted, picture

KEY = "uploads/a b+c%20ü(1).jpg"
SECOND_KEY = "uploads/second.jpg"
COFFEE = (ROOT / "infra/local/pictures/coffee.jpg").read_bytes()  # the events in events/ name it by its ETag
SEEN = "MessagesReceived"


def body_of(name):
    """The message in an event of events/."""
    (record,) = event(name)["Records"]
    return record["body"]


def uploaded(key=KEY, sequencer="00617F08299329D189", **changes):
    """The message of events/process_jobs.json, about whatever picture lies there."""
    told = json.loads(body_of("process_jobs"))
    told["detail"]["object"].update(key=key, sequencer=sequencer)
    del told["detail"]["object"]["etag"]
    told["detail"].update(changes)
    return json.dumps(told)


@pytest.fixture
def deliver(aws, image_server, context):
    """Deliver a message: of an upload, or any other; tell of each failure whether it is that of the message."""

    def deliver(key=KEY, body=None, *, receives=1, **changes):
        written = body if isinstance(body, str) else json.dumps(body)
        written = uploaded(key, **changes) if body is None else written
        record = take(aws, written, receives)
        failures = process_jobs.handler({"Records": [record]}, context)["batchItemFailures"]
        if not failures:
            aws.sqs.delete_message(QueueUrl=aws.queue_url, ReceiptHandle=record["receiptHandle"])
        return [failure["itemIdentifier"] == record["messageId"] for failure in failures]

    return deliver


@pytest.fixture
def deliver_together(aws, image_server, context):
    """Deliver several messages as one batch; return those that must come again, in the order of the batch."""

    def deliver_together(*bodies):
        records = [take(aws, body) for body in bodies]
        failures = process_jobs.handler({"Records": records}, context)["batchItemFailures"]
        failed = {failure["itemIdentifier"] for failure in failures}
        return [record["messageId"] in failed for record in records]

    return deliver_together


def take(aws, body, receives=1):
    """Put a message on the queue and take it off again, as SQS hands it to the worker."""
    sent = aws.sqs.send_message(QueueUrl=aws.queue_url, MessageBody=body)
    received = aws.sqs.receive_message(QueueUrl=aws.queue_url)["Messages"][0]
    assert received["MessageId"] == sent["MessageId"]
    (record,) = event("process_jobs")["Records"]
    told = {"ApproximateReceiveCount": str(receives), "SentTimestamp": str(int(time.time() * 1000))}
    record.update(messageId=sent["MessageId"], receiptHandle=received["ReceiptHandle"], body=received["Body"])
    return {**record, "attributes": {**record["attributes"], **told}}


def test_an_uploaded_picture_becomes_variations_and_a_manifest_beside_its_key(aws, deliver):
    aws.upload(KEY, picture())

    assert deliver() == []

    manifest, results = aws.manifest(), aws.results()
    prefix = f"{KEY}/{manifest['job_id']}"
    assert set(results) == {f"{prefix}/{name}" for name in ("variation-01.png", "variation-02.png", "manifest.json")}
    assert manifest["state"] == "succeeded"
    assert manifest["source"]["key"] == KEY
    assert (manifest["source"]["width"], manifest["source"]["height"]) == (300, 200)
    for result in manifest["results"]:
        with Image.open(io.BytesIO(results[result["key"]])) as image:
            assert (image.format, image.size) == ("PNG", (256, 256))


def test_an_upload_is_known_by_the_name_that_s3_gave_it(aws, deliver, printed):
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["request_id"] == "N4N7GDK58NMKJ12R"
    (ended,) = [json.loads(line) for line in printed().splitlines() if '"job ended"' in line]
    assert (ended["request_id"], ended["job_id"]) == ("N4N7GDK58NMKJ12R", aws.manifest()["job_id"])


def test_the_names_that_the_provider_gave_its_calls_are_in_the_log(aws, deliver, printed):
    aws.upload(KEY, picture())

    deliver()

    (ended,) = [json.loads(line) for line in printed().splitlines() if '"job ended"' in line]
    assert ended["provider_request_ids"] == aws.manifest()["provider_request_ids"]
    assert ended["provider_request_ids"][0].startswith("req_")


def test_the_manifest_says_which_dialect_was_spoken_and_why(aws, deliver):
    aws.upload(KEY, picture())

    deliver()

    manifest = aws.manifest()
    assert (manifest["dialect"], manifest["dialect_reason"]) == ("edits", "nothing else is known of this provider")


def test_the_list_of_models_is_read_once_by_a_container(aws, deliver, image_server):
    for sequencer in ("01", "02"):
        aws.upload(KEY, picture())
        deliver(sequencer=sequencer)

    listed = requests.get(f"{image_server.origin}/_calls", timeout=5).json()["calls"]
    assert [call["path"] for call in listed if not call["path"].startswith("/v1/images/")] in ([], ["/v1/models"])
    assert image_server.paid() == 2


def test_a_list_of_models_that_fails_keeps_no_picture_from_being_made(aws, deliver, image_server):
    image_server.fault(path="/v1/models", status=500)
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["state"] == "succeeded"
    assert image_server.paid() == 1


def test_the_end_of_a_job_is_told_on_the_bus(aws, deliver):
    aws.upload(KEY, picture())

    deliver()

    (told,) = aws.told()
    assert told["detail-type"] == "Variations Completed"
    assert told["detail"]["manifest"]["key"] == f"{KEY}/{aws.manifest()['job_id']}/manifest.json"
    assert len(told["detail"]["results"]) == 2


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (picture(), {}),
        (picture(), {"body": "fewer"}),
        (picture(), {"status": 502, "body": "html"}),
        (b"This is a text.", {}),
        (None, {}),
    ],
    ids=["succeeded", "partial", "provider failed", "no picture", "gone"],
)
def test_what_is_told_on_the_bus_is_as_its_schema_says(aws, deliver, image_server, content, fault):
    image_server.fault(**fault)
    if content is not None:
        aws.upload(KEY, content)

    deliver()

    (told,) = aws.told()
    ended = "failed" if aws.manifest()["state"] == "failed" else "completed"
    schema = json.loads((ROOT / "infra" / "schemas" / f"variations_{ended}.json").read_text())
    jsonschema_rs.validate(schema, {"account": "123456789012", **told})  # which moto leaves out


def test_the_same_event_delivered_five_times_is_one_job_and_one_paid_call(aws, deliver, image_server):
    aws.upload(KEY, picture())

    assert [deliver() for _ in range(5)] == [[]] * 5

    assert image_server.paid() == 1
    assert len(aws.told()) == 1
    aws.manifest()


def test_a_second_upload_of_the_same_key_is_a_job_of_its_own(aws, deliver, image_server):
    for sequencer in ("01", "02"):
        aws.upload(KEY, picture())
        deliver(sequencer=sequencer)

    assert image_server.paid() == 2


def test_metadata_of_the_object_chooses_n_size_format_and_model(aws, deliver, image_server):
    aws.upload(KEY, picture(), n="3", size="512x512", quality="hd", style="vivid", **{"output-format": "jpeg"})

    deliver()

    manifest = aws.manifest()
    assert [result["content_type"] for result in manifest["results"]] == ["image/jpeg"] * 3
    assert {(result["width"], result["height"]) for result in manifest["results"]} == {(512, 512)}
    assert {adjustment["parameter"]: adjustment["sent"] for adjustment in manifest["adjustments"]} == {
        "quality": "high",
        "style": None,
    }
    (call,) = image_server.calls()
    assert call["fields"]["n"] == "3"
    assert "vivid" in call["fields"]["prompt"]


def test_a_prompt_in_metadata_may_be_in_any_language(aws, deliver, image_server):
    aws.upload(KEY, picture(), prompt="=?UTF-8?B?ZWluZSBzY2jDtm5lIFRhc3Nl?=")

    deliver()

    assert image_server.calls()[0]["fields"]["prompt"] == "eine schöne Tasse"


def test_the_variations_dialect_sends_a_square_png_and_no_prompt(aws, deliver, image_server, environment):
    environment.setenv("PROVIDER_DIALECT", "variations")
    aws.upload(KEY, picture())

    deliver()

    (call,) = image_server.calls()
    assert call["path"] == "/v1/images/variations"
    assert call["content_type"] == "image/png"
    assert "prompt" not in call["fields"]
    assert aws.manifest()["state"] == "succeeded"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"This is a text.", "unsupported_image", id="a text file"),
        pytest.param(b"", "unsupported_image", id="an empty file"),
        pytest.param(picture()[:2000], "unsupported_image", id="a truncated JPEG"),
        pytest.param(picture(size=(8000, 7000)), "source_too_large", id="too many pixels"),
    ],
)
def test_a_file_nobody_can_use_makes_a_failed_job_that_says_why(aws, deliver, image_server, content, code):
    aws.upload("uploads/picture.png", content)

    assert deliver("uploads/picture.png") == []

    manifest = aws.manifest()
    assert (manifest["state"], manifest["error"]["code"]) == ("failed", code)
    assert image_server.paid() == 0
    assert aws.told()[0]["detail-type"] == "Variations Failed"


def test_a_bad_option_makes_a_failed_job_that_names_it(aws, deliver, image_server):
    aws.upload(KEY, picture(), n="eleven")

    assert deliver() == []

    assert aws.manifest()["error"]["param"] == "n"
    assert image_server.paid() == 0


def test_a_picture_deleted_before_its_turn_makes_a_failed_job(aws, deliver):
    assert deliver() == []

    assert aws.manifest()["error"]["code"] == "source_not_found"


def test_a_source_larger_than_allowed_is_not_even_read(aws, deliver, environment):
    environment.setenv("MAX_SOURCE_BYTES", "1024")
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["error"]["code"] == "source_too_large"


def test_a_key_of_900_characters_keeps_its_results_beside_it(aws, deliver):
    key = "uploads/" + "k" * 888 + ".jpg"
    aws.upload(key, picture())

    deliver(key)

    assert all(result.startswith(f"{key}/") for result in aws.results())


def test_a_key_with_no_room_behind_it_has_its_results_under_jobs(aws, deliver):
    key = "uploads/" + "k" * 1012 + ".jpg"
    aws.upload(key, picture())

    deliver(key)

    job_id = aws.manifest()["job_id"]
    assert all(result.startswith(f"jobs/{job_id}/") for result in aws.results())


@pytest.fixture
def waits(aws, monkeypatch):
    """The seconds for which messages were put back; they come again at once."""
    seconds = []
    record = lambda **wait: seconds.append(wait["VisibilityTimeout"])  # noqa: E731
    monkeypatch.setattr(wiring.client("sqs"), "change_message_visibility", record)
    return seconds


def test_a_busy_provider_sends_the_message_back_for_as_long_as_it_asks(aws, deliver, image_server, waits):
    image_server.fault(status=429, headers={"Retry-After": "100"}, times=1)
    aws.upload(KEY, picture())

    assert deliver() == [True]
    assert 100 <= waits[-1] <= 120
    assert aws.results() == {}

    assert deliver() == []
    assert aws.manifest()["state"] == "succeeded"
    assert image_server.paid() == 1


def test_a_provider_that_fails_for_good_makes_a_failed_job(aws, deliver, image_server):
    image_server.fault(status=502, body="html")
    aws.upload(KEY, picture())

    assert deliver() == []

    manifest = aws.manifest()
    assert manifest["error"]["code"] == "provider_failed"
    assert [attempt["outcome"] for attempt in manifest["attempts"]] == ["provider_failed"]


def test_a_rotated_key_is_read_again_when_the_provider_refuses_the_old_one(aws, deliver, image_server):
    aws.secrets.put_secret_value(SecretId="provider-secret", SecretString="sk-outdated")
    next(wiring.provider().key.values())
    aws.secrets.put_secret_value(SecretId="provider-secret", SecretString="sk-local")
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["state"] == "succeeded"


def test_a_new_key_that_the_provider_does_not_know_yet_stops_nothing(aws, deliver):
    aws.secrets.put_secret_value(SecretId="provider-secret", SecretString="sk-of-tomorrow")
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["state"] == "succeeded"


def test_a_wrong_key_makes_a_failed_job_that_does_not_show_it(aws, deliver, printed):
    for key in ("sk-outdated", "sk-wrong"):  # the one before is no better
        aws.secrets.put_secret_value(SecretId="provider-secret", SecretString=key)
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["error"]["code"] == "provider_denied"
    assert "sk-wrong" not in json.dumps(aws.manifest()) + printed()


def test_the_empty_object_of_a_folder_is_no_job(aws, deliver):
    assert deliver("uploads/folder/") == []
    assert aws.results() == {}


def test_a_job_that_another_worker_holds_waits_until_its_lease_ends(aws, deliver, image_server, waits):
    aws.upload(KEY, picture())
    (order,) = parse_message(uploaded(), "delivery-1").orders
    wiring.service().jobs.begin(order, lease_seconds=300)

    assert deliver() == [True]

    assert 300 <= waits[-1] <= 362
    assert image_server.paid() == 0


def test_a_message_whose_worker_dies_comes_again_when_its_lease_has_ended(aws, deliver, image_server, waits):
    aws.upload(KEY, picture())

    deliver()

    assert waits == [605], "the context of these tests leaves 600 seconds"


def test_outcomes_become_metrics(aws, deliver, printed):
    aws.upload(KEY, picture())

    deliver()

    assert counted(printed) == {SEEN: 1, "JobsSucceeded": 1}


def test_nothing_of_the_picture_the_prompt_or_the_key_is_logged(aws, deliver, printed):
    aws.upload(KEY, picture(), prompt="a very secret product")

    deliver()

    shown = printed()
    assert "job ended" in shown
    assert not [word for word in ("very secret", "sk-local", "b64") if word in shown]


# Several messages in one batch


@pytest.fixture
def together(monkeypatch):
    """Let no order of two be begun before the other one is there; they would wait in vain if they took turns."""
    both, process_order = threading.Barrier(2, timeout=10), process_jobs.process_order

    def process_together(order, seconds, *, late):
        both.wait()
        try:
            process_order(order, seconds, late=late)
        finally:
            both.wait()

    monkeypatch.setattr(process_jobs, "process_order", process_together)


def test_the_messages_of_a_batch_are_worked_off_at_the_same_time_each_with_its_own_outcome(
    aws, deliver_together, together, image_server, printed
):
    aws.upload(KEY, picture())
    aws.upload(SECOND_KEY, b"This is a text.")

    assert deliver_together(uploaded(), uploaded(SECOND_KEY)) == [False, False]

    ended = {manifest["source"]["key"]: manifest["state"] for manifest in aws.manifests().values()}
    assert ended == {KEY: "succeeded", SECOND_KEY: "failed"}
    assert image_server.paid() == 1
    assert counted(printed) == {SEEN: 2, "JobsSucceeded": 1, "JobsFailed": 1}


def stumble_over(monkeypatch, *keys):
    """Make the worker stumble over the orders of some pictures."""
    process_order = process_jobs.process_order

    def process_or_stumble(order, seconds, *, late):
        if order.source.key in keys:
            raise ZeroDivisionError("a bug of ours")
        process_order(order, seconds, late=late)

    monkeypatch.setattr(process_jobs, "process_order", process_or_stumble)


def test_a_message_over_which_the_worker_stumbles_does_not_touch_the_others_of_its_batch(
    aws, deliver_together, monkeypatch, printed
):
    stumble_over(monkeypatch, SECOND_KEY)
    for key in (KEY, SECOND_KEY):
        aws.upload(key, picture())

    assert deliver_together(uploaded(), uploaded(SECOND_KEY)) == [False, True]

    assert (aws.manifest()["source"]["key"], aws.manifest()["state"]) == (KEY, "succeeded")
    assert counted(printed) == {SEEN: 2, "JobsSucceeded": 1, "JobsReturned": 1}


def test_a_message_that_has_to_wait_does_not_send_the_others_of_its_batch_back(aws, deliver_together, image_server):
    image_server.fault(status=429, times=1)
    for key in (KEY, SECOND_KEY):
        aws.upload(key, picture())

    assert sorted(deliver_together(uploaded(), uploaded(SECOND_KEY))) == [False, True]

    assert aws.manifest()["state"] == "succeeded"
    assert image_server.paid() == 1


def test_no_line_of_the_log_carries_the_job_of_another_message_of_the_batch(
    aws, deliver, deliver_together, together, image_server, *, printed
):
    image_server.fault(status=429, times=1)
    for key in (KEY, SECOND_KEY):
        aws.upload(key, picture())
    bodies = [uploaded(), uploaded(SECOND_KEY)]

    deliver_together(*bodies)
    deliver(body=body_of("process_jobs_s3_test"))  # which is no job

    job_ids = {order.job_id for body in bodies for order in parse_message(body, "delivery").orders}
    lines = [json.loads(line) for line in printed().splitlines() if '"message"' in line]
    carried = {}
    for line in lines:
        carried.setdefault(line.get("message_id"), set()).add(line.get("job_id"))
    assert {line["message"] for line in lines} == {"job ended", "message goes back to the queue"}
    assert len(carried) == 2
    assert None not in carried
    assert [len(ids) for ids in carried.values()] == [1, 1]
    assert set.union(*carried.values()) == job_ids


# Our own mistakes


def test_a_message_over_which_the_worker_stumbles_is_put_back_and_after_twenty_deliveries_set_aside(
    aws, deliver, waits, monkeypatch, printed
):
    stumble_over(monkeypatch, KEY)
    aws.upload(KEY, picture())

    for receives, seconds in {1: 15, 2: 30, 3: 60, 4: 120, 19: 900}.items():
        assert deliver(receives=receives) == [True]
        assert seconds <= waits[-1] <= seconds * 1.2
    assert aws.set_aside() == []
    assert deliver(receives=20) == []

    ((body, reason),) = aws.set_aside()
    assert json.loads(body) == json.loads(uploaded())
    assert reason == "The worker stumbles over it: ZeroDivisionError('a bug of ours')"
    assert counted(printed) == {SEEN: 6, "JobsReturned": 5, "MessagesUnreadable": 1}


def test_a_message_that_was_set_aside_as_the_worker_stumbled_is_worked_off_when_it_is_put_back(
    aws, deliver, image_server
):
    aws.upload(KEY, picture())
    with pytest.MonkeyPatch.context() as stumbling:
        stumble_over(stumbling, KEY)
        deliver(receives=20)
    ((body, _),) = aws.set_aside()

    assert deliver(body=body) == []

    assert (aws.manifest()["state"], image_server.paid()) == ("succeeded", 1)


def test_a_message_that_cannot_be_set_aside_comes_again_and_does_not_touch_the_others_of_its_batch(
    aws, image_server, context, monkeypatch, waits
):
    stumble_over(monkeypatch, SECOND_KEY)
    aws.sqs.delete_queue(QueueUrl=aws.dead_letter_url)
    aws.upload(KEY, picture())
    records = [take(aws, uploaded()), take(aws, uploaded(SECOND_KEY), receives=20)]

    failures = process_jobs.handler({"Records": records}, context)["batchItemFailures"]

    assert failures == [{"itemIdentifier": records[1]["messageId"]}]
    assert aws.manifest()["state"] == "succeeded"


def test_a_job_over_which_the_worker_stumbled_waits_for_no_lease(aws, deliver, waits):
    aws.upload(KEY, picture())
    with pytest.MonkeyPatch.context() as stumbling:
        stumbling.setattr(Storage, "fetch_source", lambda *_, **__: 1 / 0)
        assert deliver() == [True]
    assert 15 <= waits[-1] <= 18

    assert deliver(receives=2) == []
    assert aws.manifest()["state"] == "succeeded"


# Failed jobs put back


def redrivable(aws):
    """The orders on the dead-letter queue, each with the reason."""
    return [(json.loads(body)["order"], reason) for body, reason in aws.set_aside()]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 502, "body": "html"}, "provider_failed"),
        ({"status": 403}, "provider_denied"),
        ({"status": 429, "code": "insufficient_quota"}, "provider_denied"),
    ],
    ids=["provider failed", "provider denied", "no quota"],
)
def test_the_order_of_a_job_whose_failure_may_pass_is_set_aside_to_be_put_back(
    aws, deliver, image_server, printed, *, fault, code
):
    image_server.fault(**fault)
    aws.upload(KEY, picture())

    assert deliver() == []

    ((order, reason),) = redrivable(aws)
    error = aws.manifest()["error"]
    assert (order["job_id"], order["redrive"], order["source"]["key"]) == (aws.manifest()["job_id"], 1, KEY)
    assert (error["code"], reason) == (code, error["message"])
    assert counted(printed) == {SEEN: 1, "JobsFailed": 1}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"This is a text.", {}),
        (None, {}),
        (picture(), {"status": 400, "code": "moderation_blocked"}),
        (picture(), {"status": 404}),
    ],
    ids=["no picture", "gone", "refused", "no such model"],
)
def test_the_order_of_a_job_that_would_fail_again_is_not_set_aside(aws, deliver, image_server, content, fault):
    image_server.fault(**fault)
    if content is not None:
        aws.upload(KEY, content)

    assert deliver() == []

    assert aws.manifest()["state"] == "failed"
    assert aws.set_aside() == []


def test_a_failed_job_that_is_put_back_begins_again_and_tells_of_its_new_end(aws, deliver, image_server):
    image_server.fault(status=502, body="html", times=1)
    aws.upload(KEY, picture())
    deliver()
    ((order, _),) = redrivable(aws)

    assert deliver(body={"order": order}) == []

    assert (aws.manifest()["state"], aws.manifest()["error"]) == ("succeeded", None)
    assert [attempt["outcome"] for attempt in aws.manifest()["attempts"]] == ["provider_failed", "answered"]
    assert sorted(told["detail-type"] for told in aws.told()) == ["Variations Completed", "Variations Failed"]
    assert (image_server.paid(), aws.set_aside()) == (1, [])


def test_a_failed_job_that_is_put_back_pays_for_no_picture_that_is_stored(aws, deliver, image_server, waits):
    aws.upload(KEY, picture())
    store_result = Storage.store_result

    def store_first(storage, prefix, number, *others):
        if number == 2:
            raise StorageFailed("S3 fails.")
        return store_result(storage, prefix, number, *others)

    def refuse(storage, location, *, max_bytes):
        raise ConfigurationError("S3 refuses.")

    with pytest.MonkeyPatch.context() as failing:
        failing.setattr(Storage, "store_result", store_first)
        assert deliver() == [True]
        failing.setattr(Storage, "fetch_source", refuse)
        assert deliver() == []
    assert aws.manifest()["state"] == "failed"
    ((order, _),) = redrivable(aws)

    assert deliver(body={"order": order}) == []

    assert (aws.manifest()["state"], len(aws.manifest()["results"])) == ("succeeded", 2)
    assert [call["n"] for call in image_server.calls()] == [2, None], "one is asked for without a number"


def test_a_job_is_put_back_once_however_often_its_dead_letter_is_delivered(aws, deliver, image_server):
    image_server.fault(status=502, body="html")
    aws.upload(KEY, picture())
    deliver()
    ((order, _),) = redrivable(aws)

    for _ in range(3):
        assert deliver(body={"order": order}) == []

    assert len(image_server.calls()) == 2
    ((again, _),) = redrivable(aws)
    assert again["redrive"] == 2


def test_the_message_that_a_failed_job_came_with_does_not_put_it_back(aws, deliver, image_server):
    image_server.fault(status=502, body="html", times=1)
    aws.upload(KEY, picture())

    for _ in range(2):
        assert deliver() == []

    assert aws.manifest()["state"] == "failed"
    assert len(image_server.calls()) == 1


def test_a_dead_letter_queue_that_does_not_take_a_failed_order_sends_the_message_back(
    aws, deliver, image_server, waits
):
    image_server.fault(status=502, body="html")
    aws.upload(KEY, picture())

    def fail(body, reason):
        raise StorageFailed("The dead-letter queue failed.")

    with pytest.MonkeyPatch.context() as failing:
        failing.setattr(wiring, "set_aside", fail)
        assert deliver() == [True]
        assert aws.told() == []

    assert deliver() == []
    assert len(redrivable(aws)) == len(aws.told()) == len(image_server.calls()) == 1


def test_a_job_of_the_api_that_failed_is_not_set_aside_as_its_caller_was_told(api, image_server):
    image_server.fault(status=502, body="html")

    answered = api.create()

    assert (answered.status, answered.error["code"]) == (502, "provider_failed")
    assert (api.aws.manifest()["state"], api.aws.set_aside()) == ("failed", [])


# The images of a day


def test_the_images_of_the_day_are_a_metric_where_they_are_counted(aws, deliver, environment, printed):
    environment.setenv("DAILY_IMAGE_LIMIT", "100")
    aws.upload(KEY, picture())

    deliver()

    assert counted(printed) == {SEEN: 1, "JobsSucceeded": 1, "ImagesToday": 2}


def test_a_job_that_is_too_much_for_the_day_fails_without_a_call_and_is_set_aside(
    aws, deliver, environment, image_server, printed
):
    environment.setenv("DAILY_IMAGE_LIMIT", "3")
    for sequencer in ("01", "02"):
        aws.upload(KEY, picture())
        assert deliver(sequencer=sequencer) == []

    failed, succeeded = sorted(aws.manifests().values(), key=lambda manifest: manifest["state"])
    assert (failed["error"]["code"], succeeded["error"]) == ("budget_exhausted", None)
    assert "Today's 3 images are used up (DailyImageLimit)" in failed["error"]["message"]
    assert [(order["job_id"], order["redrive"]) for order, _ in redrivable(aws)] == [(failed["job_id"], 1)]
    assert image_server.paid() == len(image_server.calls()) == 1
    assert counted(printed) == {SEEN: 2, "JobsSucceeded": 1, "JobsFailed": 1, "ImagesToday": 2 + 2}


# Too little time


def test_what_there_is_no_time_for_is_left_to_the_next_delivery_and_nothing_is_lost(
    aws, deliver, image_server, waits, monkeypatch
):
    passed, send = [0.0], Provider.send

    def send_slowly(provider, call, *, deadline, take):
        answer = send(provider, call, deadline=deadline, take=take)
        passed[0] += 400
        return answer

    monkeypatch.setattr(Provider, "send", send_slowly)
    monkeypatch.setattr(rounds, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0]))
    image_server.fault(body="fewer", times=1)  # of two pictures, so it looks as if it made one a call
    aws.upload(KEY, picture())

    assert deliver() == [True]
    assert waits[-1] == 1
    first = {key: content for key, content in aws.results().items() if key.endswith(".png")}
    assert (len(first), aws.told(), image_server.paid()) == (1, [], 1)

    passed[0] = 0.0
    assert deliver(receives=2) == []
    assert (aws.manifest()["state"], len(aws.manifest()["results"])) == ("succeeded", 2)
    assert aws.results().items() >= first.items()
    assert [call["n"] for call in image_server.calls()] == [2, None], "one is asked for without a number"


# Every event file


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("process_jobs", ("s3:upload", "N4N7GDK58NMKJ12R", 2)),
        ("process_jobs_sns_event", ("s3:upload", "N4N7GDK58NMKJ12R", 2)),
        ("process_jobs_sns_notification", ("s3:upload", "N4N7GDK58NMKJ12R", 2)),
        ("process_jobs_requested", ("event:my.shop", "a1b3c5d7-2f4e-4c6a-9b8d-0e1f2a3b4c5d", 3)),
    ],
)
def test_the_event_files_of_one_picture_make_its_variations(aws, deliver, image_server, name, known):
    aws.upload(KEY, COFFEE)

    assert deliver(body=body_of(name)) == []

    manifest = aws.manifest()
    assert (manifest["state"], manifest["error"], manifest["source"]["key"]) == ("succeeded", None, KEY)
    assert (manifest["caller"], manifest["request_id"], len(manifest["results"])) == known
    assert image_server.paid() == 1
    assert aws.waiting() == (0, 0)


def test_an_upload_that_is_told_of_in_three_ways_is_one_job(aws, deliver, image_server):
    aws.upload(KEY, COFFEE)

    for name in ("process_jobs", "process_jobs_sns_event", "process_jobs_sns_notification"):
        assert deliver(body=body_of(name)) == []

    assert len(aws.manifests()) == image_server.paid() == len(aws.told()) == 1


def test_the_event_file_of_a_request_has_the_prompt_of_the_request(aws, deliver, image_server):
    aws.upload(KEY, COFFEE, prompt="from the metadata", **{"output-format": "jpeg"})

    deliver(body=body_of("process_jobs_requested"))

    assert image_server.calls()[0]["fields"]["prompt"] == "the same shoe on a beach"
    assert {result["content_type"] for result in aws.manifest()["results"]} == {"image/jpeg"}


@pytest.mark.parametrize(
    ("name", "caller"), [("process_jobs_s3_notification", "s3:upload"), ("process_jobs_request", "sqs:request")]
)
def test_the_event_files_of_several_pictures_are_dealt_out_and_worked_off_one_by_one(
    api, deliver, image_server, name, caller
):
    for key in (KEY, SECOND_KEY):
        api.aws.upload(key, COFFEE)

    assert deliver(body=body_of(name)) == []

    assert (api.aws.results(), image_server.paid()) == ({}, 0)
    assert api.aws.waiting() == (2, 0)
    api.work()
    manifests = api.aws.manifests().values()
    assert {manifest["source"]["key"] for manifest in manifests} == {KEY, SECOND_KEY}
    assert {(manifest["state"], manifest["caller"]) for manifest in manifests} == {("succeeded", caller)}
    assert image_server.paid() == len(api.aws.told()) == 2
    assert api.aws.waiting() == (0, 0)


def test_a_test_event_is_no_job_and_is_not_set_aside(aws, deliver, printed):
    assert deliver(body=body_of("process_jobs_s3_test")) == []

    assert (aws.results(), aws.set_aside(), aws.told()) == ({}, [], [])
    assert counted(printed) == {SEEN: 1}


# Several pictures in one message


def test_a_picture_of_several_fails_alone(aws, api, deliver, printed):
    aws.upload(KEY, picture())
    aws.upload(SECOND_KEY, b"This is a text.")
    sources = [f"s3://uploads-bucket/{key}" for key in (KEY, SECOND_KEY, "uploads/third.jpg")]

    deliver(body={"sources": sources, "n": 1})
    api.work()

    ended = {manifest["source"]["key"]: manifest["error"] for manifest in aws.manifests().values()}
    assert {key: error and error["code"] for key, error in ended.items()} == {
        KEY: None,
        SECOND_KEY: "unsupported_image",
        "uploads/third.jpg": "source_not_found",
    }
    assert counted(printed) == {SEEN: 4, "JobsSucceeded": 1, "JobsFailed": 2}


def test_a_message_of_several_pictures_that_comes_again_pays_for_none_twice(aws, api, deliver, image_server):
    body = {"sources": [f"s3://uploads-bucket/{key}" for key in (KEY, SECOND_KEY)], "n": 1, "id": "spring"}
    for key in (KEY, SECOND_KEY):
        aws.upload(key, picture())

    for _ in range(2):
        assert deliver(body=body) == []
        api.work()

    assert len(aws.manifests()) == image_server.paid() == len(aws.told()) == 2


def test_the_readable_pictures_of_a_message_are_made_and_the_rest_is_set_aside(aws, api, deliver):
    for key in (KEY, SECOND_KEY):
        aws.upload(key, picture())
    wrong = {"bucket": "uploads-bucket"}

    assert deliver(body={"sources": [f"s3://uploads-bucket/{KEY}", wrong, f"s3://uploads-bucket/{SECOND_KEY}"]}) == []
    api.work()

    assert {manifest["source"]["key"] for manifest in aws.manifests().values()} == {KEY, SECOND_KEY}
    ((body, reason),) = aws.set_aside()
    assert json.loads(body) == {"source": wrong}
    assert "Name the picture" in reason


def test_a_queue_that_takes_no_more_orders_sends_the_message_back(aws, deliver, waits, monkeypatch):
    def fail(order):
        raise StorageFailed("The jobs queue failed.")

    monkeypatch.setattr(wiring, "send", fail)

    assert deliver(body=body_of("process_jobs_request")) == [True]
    assert 15 <= waits[-1] <= 18


# What nobody can read


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(body_of("process_jobs_unreadable"), "this is none of them", id="event file"),
        pytest.param("hello", "this is none of them", id="no JSON"),
        pytest.param('{"source": "s3://uploads-bucket/a.png", "resource": "audio"}', '"audio" is not', id="audio"),
        pytest.param('{"source": "uploads/a.png"}', "Name the picture", id="no source"),
    ],
)
def test_a_message_nobody_can_read_is_set_aside_at_once_with_the_reason(aws, deliver, printed, body, reason):
    assert deliver(body=body) == []

    ((kept, why),) = aws.set_aside()
    assert json.loads(kept) == json.loads(body) if body != "hello" else kept == "hello"
    assert reason in why
    assert aws.waiting() == (0, 0)
    assert (aws.results(), aws.told()) == ({}, [])
    assert counted(printed) == {SEEN: 1, "MessagesUnreadable": 1}


def test_a_dead_letter_queue_that_fails_sends_the_message_back(aws, deliver, waits, printed):
    aws.sqs.delete_queue(QueueUrl=aws.dead_letter_url)

    assert deliver(body=body_of("process_jobs_unreadable")) == [True]

    assert 15 <= waits[-1] <= 18
    assert counted(printed) == {SEEN: 1, "JobsReturned": 1}


@pytest.mark.parametrize("name", ["process_jobs", "process_jobs_sns_event", "process_jobs_sns_notification"])
def test_an_upload_to_the_results_bucket_is_set_aside_and_multiplies_nothing(aws, deliver, image_server, name):
    aws.s3.put_object(Bucket="results-bucket", Key=KEY, Body=COFFEE)

    assert deliver(body=body_of(name).replace("uploads-bucket", "results-bucket")) == []

    ((_, reason),) = aws.set_aside()
    assert "The results bucket is not to be watched" in reason
    assert list(aws.results()) == [KEY]
    assert (image_server.paid(), aws.told()) == (0, [])


def test_a_result_may_be_asked_for_variations_of_its_own(aws, deliver):
    aws.s3.put_object(Bucket="results-bucket", Key=KEY, Body=picture())

    deliver(body={"source": f"s3://results-bucket/{KEY}"})

    assert aws.manifest()["state"] == "succeeded"
    assert aws.set_aside() == []


# Presets


def test_presets_beside_a_picture_choose_what_its_metadata_leaves_open(aws, deliver, image_server):
    aws.upload(KEY, picture(), n="1")
    aws.upload("uploads/variations.json", b'{"n": 3, "Output-Format": "webp", "prompt": "a red cup"}')

    deliver()

    (result,) = aws.manifest()["results"]
    assert result["content_type"] == "image/webp"
    assert "a red cup" in image_server.calls()[0]["fields"]["prompt"]


@pytest.mark.parametrize("content", [b"n: 3", b'{"n": 99}'], ids=["no JSON", "too many"])
def test_a_picture_whose_presets_are_wrong_makes_a_failed_job_that_says_why(aws, deliver, image_server, content):
    aws.upload(KEY, picture())
    aws.upload("uploads/variations.json", content)

    assert deliver() == []

    error = aws.manifest()["error"]
    assert error["code"] == "invalid_request"
    assert error["message"].startswith("The presets in uploads/variations.json are wrong: ")
    assert image_server.paid() == 0


def test_an_upload_of_presets_is_no_job(aws, deliver):
    aws.upload("uploads/variations.json", b'{"n": 3}')

    assert deliver("uploads/variations.json") == []

    assert (aws.results(), aws.set_aside()) == ({}, [])


# Only what is missing


def missing(key=KEY, **options):
    return {"source": {"bucket": "uploads-bucket", "key": key}, "only_missing": True, **options}


def test_a_picture_that_has_its_variations_is_skipped_and_costs_nothing(aws, deliver, image_server, printed):
    aws.upload(KEY, picture())
    deliver(body=missing(n=1))
    made = aws.results()
    aws.told()
    counted(printed)

    assert deliver(body=missing(n=1, id="another time")) == []

    assert (aws.results(), image_server.paid(), aws.told()) == (made, 1, [])
    assert counted(printed)["JobsSkipped"] == 1


def test_a_picture_that_was_made_when_it_was_uploaded_is_not_made_by_a_search_for_what_is_missing(
    aws, deliver, image_server
):
    etag = aws.upload(KEY, picture())["ETag"]
    deliver()

    deliver(body={"row": {"bucket": "uploads-bucket", "key": KEY, "etag": etag}, "only_missing": "true"})

    assert image_server.paid() == len(aws.manifests()) == 1


def test_a_picture_that_lacks_just_these_variations_gets_them(aws, deliver, image_server):
    aws.upload(KEY, picture())

    for n in (1, 2):
        deliver(body=missing(n=n))

    assert image_server.paid() == len(aws.manifests()) == 2


def test_a_picture_that_failed_is_tried_again_when_it_was_replaced(aws, deliver, image_server):
    for content in (b"This is a text.", picture()):
        etag = aws.upload(KEY, content)["ETag"]
        source = {"bucket": "uploads-bucket", "key": KEY, "etag": etag}
        deliver(body={"source": source, "only_missing": True})

    assert sorted(manifest["state"] for manifest in aws.manifests().values()) == ["failed", "succeeded"]


# Foreign buckets


def test_a_request_for_a_foreign_bucket_makes_a_failed_job(aws, deliver, image_server):
    aws.s3.create_bucket(Bucket="foreign-bucket")
    aws.s3.put_object(Bucket="foreign-bucket", Key=KEY, Body=picture())

    assert deliver(body={"source": f"s3://foreign-bucket/{KEY}"}) == []

    error = aws.manifest()["error"]
    assert (error["code"], error["param"]) == ("invalid_request", "source")
    assert "'foreign-bucket'" in error["message"]
    assert "AllowedSourceBuckets" in error["message"]
    assert aws.told()[0]["detail-type"] == "Variations Failed"
    assert image_server.paid() == 0


@pytest.mark.parametrize("name", ["WATCHED_BUCKET", "ALLOWED_SOURCE_BUCKETS"])
def test_a_bucket_that_the_stack_knows_is_no_foreign_one(aws, deliver, environment, name):
    environment.setenv(name, "more-pictures")
    aws.s3.create_bucket(Bucket="more-pictures")
    aws.s3.put_object(Bucket="more-pictures", Key=KEY, Body=picture())

    deliver(body={"source": f"s3://more-pictures/{KEY}"})

    assert aws.manifest()["state"] == "succeeded"
