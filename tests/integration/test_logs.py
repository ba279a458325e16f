"""What the functions write into their logs: every line with the names by which its request is followed."""

import base64
import json
import re

import authorize
import generate_variations
import list_models
import pytest
from variations.errors import VariationError

from tests.conftest import event
from tests.integration.conftest import lines, picture

SECRETS = ("a very secret product", "sk-", "data:image", base64.b64encode(picture()[:30]).decode())
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
INVOCATION = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"  # its id, and that of the gateway's request, in these tests


def said(printed):
    """The lines of the log, each with level, time and service, and nothing in them that must not be."""
    read, measured = lines(printed)
    for line in read + measured:
        assert line["service"]
        assert line["level"] in {"INFO", "WARNING", "ERROR"}
        assert RFC_3339.fullmatch(line["timestamp"]), "or Lambda takes it for INFO"
        assert not [secret for secret in SECRETS if secret in json.dumps(line)]
    return read


def names(line, *wanted):
    return tuple(line[name] for name in wanted)


def test_every_line_of_a_request_has_its_job_its_caller_and_what_the_caller_knows_it_by(api, printed):
    headers = {"x-request-id": "order-7", "Prefer": "respond-async"}  # the worker here would forget it for the door
    answered = api.create(prompt="a very secret product", n=2, headers=headers, caller="shop")
    api.work()

    read = said(printed)
    assert {names(line, "job_id", "caller", "request_id") for line in read} == {
        (answered.json["job_id"], "shop", "order-7")
    }
    assert [line["message"] for line in read] == ["answered", "job ended"]
    assert names(read[0], "method", "path", "status") == ("POST", "/images/variations", 202)


def test_the_end_of_a_job_tells_how_and_with_what_it_was_made(api, aws, printed):
    api.create(n=1)

    ended, manifest = said(printed)[0], aws.manifest()
    assert names(ended, "state", "model", "dialect", "attempts") == ("succeeded", manifest["model"], "edits", 1)
    assert ended["provider_request_ids"] == manifest["provider_request_ids"] != []
    assert ended["message_id"]
    assert "error" not in ended  # as Powertools leaves out what is None


def test_the_end_of_a_job_that_failed_tells_why(api, aws, printed):
    for key in ("sk-outdated", "sk-wrong"):  # the one before is no better
        aws.secrets.put_secret_value(SecretId="provider-secret", SecretString=key)

    api.create(n=1)

    ended = said(printed)[0]
    assert names(ended, "state", "error", "dialect") == ("failed", "provider_denied", "edits")


def test_a_line_of_metrics_has_the_names_of_its_job_too(api, printed):
    answered = api.create(n=1)

    measured = [line for line in lines(printed)[1] if "MessagesReceived" not in line and "QueueAge" not in line]
    assert {names(line, "job_id", "caller") for line in measured} == {(answered.json["job_id"], "default")}


def test_a_refused_request_is_told_with_its_code(api, printed):
    api.create(n=99, prompt="a very secret product", headers={"x-request-id": "order-8"})

    refused, answered = said(printed)
    assert names(refused, "code", "caller", "request_id") == ("invalid_request", "default", "order-8")
    assert names(answered, "status", "caller", "request_id") == (400, "default", "order-8")


def test_an_upload_form_is_told_with_the_job_it_is_for(api, printed):
    job_id = api.upload_form().json["job_id"]

    (answered,) = said(printed)
    assert names(answered, "job_id", "path", "request_id", "status") == (job_id, "/uploads", INVOCATION, 201)


@pytest.mark.parametrize("caller", ["default", "stranger"])
def test_whoever_reads_a_job_is_told_with_it(api, printed, caller):
    job_id = api.create(n=1).json["job_id"]
    before = len(said(printed))

    status = api.job(job_id, caller=caller).status

    read = said(printed)[before:]
    assert {names(line, "job_id", "caller", "request_id") for line in read} == {(job_id, caller, INVOCATION)}
    assert (read[-1]["status"], len(read)) == ((status, 1) if status == 200 else (404, 2))


def test_a_list_of_models_is_told_with_its_caller(aws, image_server, context, printed):
    list_models.handler(event("list_models"), context)

    (answered,) = said(printed)
    assert names(answered, "caller", "path", "status") == ("default", "/models", 200)
    assert answered["request_id"] == event("list_models")["requestContext"]["requestId"]


def test_an_unknown_route_is_told_too(api, printed):
    api.send("create_variations", path="/images/generations", resource="/images/generations")

    (answered,) = said(printed)
    assert names(answered, "path", "status", "request_id") == ("/images/generations", 404, INVOCATION)


def test_the_authorizer_tells_whom_it_let_in_and_what_was_asked(aws, context, printed):
    authorize.handler(event("authorize"), context)

    (let_in,) = said(printed)
    assert names(let_in, "message", "caller", "route") == ("caller let in", "default", "GET/models")


def test_the_authorizer_tells_of_a_key_that_is_nobodys_but_not_which(aws, context, printed):
    with pytest.raises(Exception, match="Unauthorized"):
        authorize.handler({**event("authorize"), "authorizationToken": "Bearer sk-wrong"}, context)

    (refused,) = said(printed)
    assert names(refused, "message", "route") == ("a request without a valid client key", "GET/models")


def test_a_direct_invocation_tells_its_job_and_its_caller(aws, image_server, context, printed):
    job = {"source": {"bucket": "uploads-bucket", "key": "uploads/cup.jpg"}, "n": 1, "prompt": "a very secret product"}
    aws.upload("uploads/cup.jpg", picture())

    returned = generate_variations.handler({**job, "request_id": "order-9"}, context)

    (ended,) = said(printed)
    assert names(ended, "message", "state", "model", "dialect") == (
        "job ended",
        "succeeded",
        returned["model"],
        "edits",
    )
    assert names(ended, "job_id", "caller", "request_id") == names(returned, "job_id", "caller", "request_id")


def test_a_direct_invocation_that_fails_tells_why(aws, context, printed):
    with pytest.raises(VariationError):
        generate_variations.handler({"source": "s3://a/b", "n": 99, "prompt": "a very secret product"}, context)

    *_, failed = said(printed)
    assert names(failed, "message", "error") == ("the invocation ends in an error", "invalid_request")
    assert names(failed, "caller", "request_id") == ("lambda:invoke", INVOCATION)


def test_a_message_that_goes_back_tells_for_how_long_and_why(api, image_server, printed):
    image_server.fault(status=429, headers={"Retry-After": "100"}, times=1)

    api.create(n=1)

    back = next(line for line in said(printed) if line["message"] == "message goes back to the queue")
    assert "ProviderBusy" in back["reason"]
    assert back["seconds"] >= 100
    assert all(names(back, "job_id", "caller", "request_id", "message_id", "model", "dialect"))


def test_one_request_leaves_nothing_in_the_lines_of_the_next(api, aws, image_server, context, printed):
    api.create(n=1)
    before = len(said(printed))

    list_models.handler(event("list_models"), context)

    for line in said(printed)[before:]:
        assert not line.keys() & {"job_id", "message_id", "model", "dialect"}
