"""The worker: real events through the real handler, AWS on moto, the embedded image server as provider."""

import io
import json

import process_jobs
import pytest
import requests
from PIL import Image
from variations import wiring
from variations.messages import parse_message

from tests.conftest import event
from tests.integration.conftest import picture

KEY = "uploads/a b+c%20ü(1).jpg"


@pytest.fixture
def deliver(aws, image_server, context):
    """Deliver the event of events/process_jobs.json, as it stands or with some of its detail changed."""

    def deliver(key=KEY, body=None, sequencer="00617F08299329D189"):
        batch = event("process_jobs")
        record = batch["Records"][0]
        detail = json.loads(record["body"])
        detail["detail"]["object"].update(key=key, sequencer=sequencer)
        sent = aws.sqs.send_message(QueueUrl=aws.queue_url, MessageBody=body or json.dumps(detail))
        received = aws.sqs.receive_message(QueueUrl=aws.queue_url)["Messages"][0]
        assert received["MessageId"] == sent["MessageId"]
        record.update(messageId=sent["MessageId"], receiptHandle=received["ReceiptHandle"], body=received["Body"])
        failures = process_jobs.handler(batch, context)["batchItemFailures"]
        if not failures:
            aws.sqs.delete_message(QueueUrl=aws.queue_url, ReceiptHandle=received["ReceiptHandle"])
        return [failure["itemIdentifier"] == sent["MessageId"] for failure in failures]

    return deliver


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
    wiring.provider().key.value()
    aws.secrets.put_secret_value(SecretId="provider-secret", SecretString="sk-local")
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["state"] == "succeeded"


def test_a_wrong_key_makes_a_failed_job_that_does_not_show_it(aws, deliver, printed):
    aws.secrets.put_secret_value(SecretId="provider-secret", SecretString="sk-wrong")
    aws.upload(KEY, picture())

    deliver()

    assert aws.manifest()["error"]["code"] == "provider_denied"
    assert "sk-wrong" not in json.dumps(aws.manifest()) + printed()


def test_a_message_nobody_can_read_stays_on_the_queue(aws, deliver):
    assert deliver(body='{"hello": "world"}') == [True]
    assert aws.results() == {}


def test_the_empty_object_of_a_folder_is_no_job(aws, deliver):
    assert deliver("uploads/folder/") == []
    assert aws.results() == {}


def test_a_job_that_another_worker_holds_waits_until_its_lease_ends(aws, deliver, image_server, waits):
    aws.upload(KEY, picture())
    (order,) = parse_message(event("process_jobs")["Records"][0]["body"])
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

    metrics = [json.loads(line) for line in printed().splitlines() if '"_aws"' in line]
    assert metrics[0]["JobsSucceeded"] == [1.0]


def test_nothing_of_the_picture_the_prompt_or_the_key_is_logged(aws, deliver, printed):
    aws.upload(KEY, picture(), prompt="a very secret product")

    deliver()

    shown = printed()
    assert "job ended" in shown
    assert not [word for word in ("very secret", "sk-local", "b64") if word in shown]
