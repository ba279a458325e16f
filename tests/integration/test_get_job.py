"""GET /v1/jobs/{job_id} through the real handler."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore import auth
from variations import job_answers, wiring

from tests.conftest import event
from tests.integration.conftest import picture

LATER = {"Prefer": "respond-async"}
UNKNOWN = event("get_job")["pathParameters"]["job_id"]


@pytest.fixture
def begun(api):
    """The id of a job that waits on the queue."""
    return api.create(headers=LATER, n=2).json["job_id"]


@pytest.fixture
def done(api, begun):
    """The id of a job that has ended, and whose result nobody has seen."""
    api.work()
    return begun


def test_a_job_on_the_queue_says_so_and_when_to_look_again(api, begun):
    answered = api.job(begun)

    assert answered.status == 200
    assert answered.headers["retry-after"] == "2"
    assert (answered.json["status"], answered.json["data"], answered.json["error"]) == ("queued", [], None)
    assert answered.json["id"] == answered.json["job_id"] == begun
    assert answered.json["created"] == 1_795_305_600


def test_a_job_that_is_worked_on_is_running(api, begun):
    jobs = wiring.jobs()
    jobs.begin(jobs.get(begun).order, lease_seconds=60)

    answered = api.job(begun)

    assert (answered.json["status"], answered.json["data"]) == ("running", [])
    assert answered.headers["retry-after"] == "2"


def test_a_finished_job_has_its_pictures_and_no_need_to_look_again(api, done):
    answered = api.job(done)

    assert answered.status == 200
    assert "retry-after" not in answered.headers
    assert (answered.json["status"], answered.json["error"]) == ("succeeded", None)
    assert answered.json["model"] == "local-style-transfer"
    assert [api.size_of(made["url"]) for made in answered.json["data"]] == [(256, 256)] * 2


def test_every_read_has_fresh_urls(api, done, monkeypatch):
    now = datetime.now(UTC)
    signed = []
    for minutes in (0, 30):
        moment = now + timedelta(minutes=minutes)
        monkeypatch.setattr(auth, "get_current_datetime", lambda moment=moment, **_: moment)
        signed.append([made["url"] for made in api.job(done).json["data"]])
    first, second = signed

    assert not set(first) & set(second)
    assert all(f"X-Amz-Date={now + timedelta(minutes=30):%Y%m%dT%H%M%SZ}" in url for url in second)
    assert all("X-Amz-Expires=3600" in url for url in second)


def test_a_url_shows_a_picture_of_its_type(api, done):
    (made, _) = api.job(done).json["data"]

    assert api.fetch(made["url"]).headers["content-type"] == "image/png"


@pytest.mark.parametrize("query", [{}, {"simplify": "false"}, {"response_format": "url"}])
def test_the_pictures_come_by_url_if_nothing_else_is_asked(api, done, query):
    assert [list(made) for made in api.job(done, **query).json["data"]] == [["url"]] * 2


def test_the_pictures_come_as_base64_when_asked(api, aws, done):
    made = api.job(done, response_format="b64_json").json["data"]

    results = aws.results()
    assert [base64.b64decode(each["b64_json"]) for each in made] == [
        results[f"jobs/{done}/variation-{number:02}.png"] for number in (1, 2)
    ]


def test_simplify_answers_the_array_of_pictures_alone(api, done):
    assert [list(made) for made in api.job(done, simplify="true").json] == [["url"]] * 2


def test_simplify_answers_an_empty_array_while_there_is_nothing(api, begun):
    assert api.job(begun, simplify="true").json == []


@pytest.mark.parametrize("query", [{"response_format": "png"}, {"simplify": "perhaps"}])
def test_a_wrong_query_is_named(api, done, query):
    refused = api.job(done, **query)

    assert (refused.status, refused.error["param"]) == (400, next(iter(query)))


def test_pictures_too_large_for_one_answer_are_413_and_still_there_by_url(api, done, monkeypatch):
    monkeypatch.setattr(job_answers, "MAX_BASE64_CHARACTERS", 1000)

    refused = api.job(done, response_format="b64_json")

    assert (refused.status, refused.error["code"]) == (413, "response_too_large")
    assert wiring.jobs().get(done).delivered_at is None
    assert api.job(done).status == 200


def test_a_failed_job_says_why(api):
    job_id = api.create(b"This is a text.", headers=LATER).json["job_id"]
    api.work()

    answered = api.job(job_id)

    assert (answered.status, answered.json["status"], answered.json["data"]) == (200, "failed", [])
    assert answered.json["error"]["code"] == "unsupported_image"
    assert answered.json["error"]["message"]
    assert "retry-after" not in answered.headers


def test_a_partial_job_has_what_there_is_and_says_what_is_missing(api, image_server):
    image_server.fault(body="fewer")
    begun = api.create(headers=LATER, n=3).json["job_id"]
    api.work()

    answered = api.job(begun)

    assert (answered.json["status"], len(answered.json["data"])) == ("partial", 2)
    assert "3 were asked for" in answered.json["warnings"][0]


def test_a_provider_that_once_made_one_picture_for_two_is_asked_for_the_other(api, image_server, begun):
    image_server.fault(body="fewer", times=1)
    api.work()

    answered = api.job(begun)

    assert (answered.json["status"], len(answered.json["data"])) == ("succeeded", 2)
    assert [call["fields"].get("n", "1") for call in image_server.calls()] == ["2", "1"]


def test_a_look_at_a_job_has_a_request_id_of_its_own(api, done):
    look = {"path": f"/jobs/{done}", "pathParameters": {"job_id": done}}

    answered = api.send("get_job", headers={"X-Request-Id": "look-8"}, **look)

    assert answered.headers["x-request-id"] == "look-8"


def test_anothers_job_and_no_job_look_the_same(api, done):
    anothers, unknown = api.job(done, caller="shop"), api.send("get_job")

    assert anothers.status == unknown.status == 404
    assert anothers.text.replace(done, UNKNOWN) == unknown.text
    assert unknown.error["code"] == "job_not_found"
    assert "location" not in anothers.headers


def test_a_claim_in_the_same_table_is_no_job(api, aws, begun):
    items = aws.dynamodb.scan(TableName="jobs-table")["Items"]
    (claim,) = [item["job_id"]["S"] for item in items if item["job_id"]["S"].startswith("claim-")]

    assert api.job(claim).error["code"] == "job_not_found"


def test_the_job_of_an_upload_to_the_bucket_is_no_callers(api, aws):
    aws.upload("uploads/cup.jpg", picture())
    detail = {"bucket": {"name": "uploads-bucket"}, "object": {"key": "uploads/cup.jpg", "sequencer": "01"}}
    told = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    aws.sqs.send_message(QueueUrl=aws.queue_url, MessageBody=json.dumps(told))
    api.work()

    assert api.job(aws.manifest()["job_id"]).status == 404


def test_reading_a_finished_job_counts_as_delivery(api, done):
    api.job(done)

    assert wiring.jobs().get(done).delivered_at == int(api.hours.now)
    assert api.create(headers=LATER, n=2).json["job_id"] != done


def test_reading_a_job_that_is_not_finished_does_not_count_as_delivery(api, begun):
    api.job(begun)
    api.work()

    assert api.create(n=2).json["job_id"] == begun


def test_anothers_look_does_not_count_as_delivery(api, done):
    api.job(done, caller="shop")

    assert api.create(n=2).json["job_id"] == done


def test_a_wrong_parameter_of_the_stack_is_500_and_names_it(api, environment):
    environment.setenv("RESULT_EXPIRATION_DAYS", "ever")

    refused = api.send("get_job")

    assert refused.status == 500
    assert "ResultExpirationDays" in refused.error["message"]


def test_a_preflight_is_answered_for_the_configured_origin(api, environment):
    environment.setenv("CORS_ORIGIN", "https://shop.example.com")

    answered = api.send("get_job", httpMethod="OPTIONS")

    assert answered.status == 204
    assert answered.headers["access-control-allow-origin"] == "https://shop.example.com"
