"""What a caller may do to the API, and what the API tells of itself: limits, headers, and errors without internals."""

import base64
import builtins
import inspect
import json
import re
from dataclasses import dataclass
from types import SimpleNamespace

import botocore.client
import botocore.exceptions
import create_variations
import get_job
import list_models
import pytest
from botocore.exceptions import ClientError
from variations import errors, http_api, provider, wiring
from variations.errors import VariationError

from tests.conftest import event
from tests.integration.conftest import Answered, picture

LATER = {"Prefer": "respond-async"}
ORIGIN = "https://shop.example.com"


def answered_by(module, request, context):
    answered = module.handler(request, context)
    headers = {name.lower(): value for name, (value,) in answered["multiValueHeaders"].items()}
    return Answered(answered["statusCode"], headers, answered["body"])


@pytest.fixture
def models(aws, image_server, context):
    """Ask for a list of models, or for one."""

    def ask(path="/models", **changes):
        model = {"pathParameters": {"model": path.removeprefix("/models/")}} if path != "/models" else {}
        return answered_by(list_models, {**event("list_models"), "path": path, **model, **changes}, context)

    return ask


# How many requests


@pytest.fixture
def limited(api, environment):
    """The API with two requests a minute, ten seconds into one."""
    environment.setenv("REQUESTS_PER_MINUTE", "2")
    api.hours.now = api.hours.now // 60 * 60 + 10.0
    return api


def rate_headers(answered):
    prefix = "x-ratelimit-"
    return {name.removeprefix(prefix): value for name, value in answered.headers.items() if name.startswith(prefix)}


def test_one_request_too_many_in_a_minute_is_429_and_says_when_to_come_again(limited):
    limited.create(headers=LATER)
    limited.upload_form()

    refused = limited.create(headers=LATER)

    assert (refused.status, refused.error["code"], refused.error["type"]) == (429, "rate_limited", "rate_limit_error")
    assert "2 requests" in refused.error["message"]
    assert refused.headers["retry-after"] == "50"
    assert "x-should-retry" not in refused.headers


def test_the_next_minute_lets_requests_through_again(limited):
    for _ in range(3):
        limited.upload_form()

    limited.hours.now += 50

    assert limited.upload_form().status == 201


def test_another_caller_has_requests_of_its_own(limited):
    for _ in range(3):
        limited.upload_form()

    assert limited.upload_form(caller="shop").status == 201


def test_a_request_is_counted_before_its_body_is_read_and_whatever_becomes_of_it(limited, monkeypatch):
    assert [limited.send("create_variations", body="{").status for _ in range(2)] == [400, 400]
    monkeypatch.setattr(create_variations, "parse_body", lambda *_, **__: pytest.fail("the body was read"))

    assert limited.create().status == 429


def test_looking_at_a_job_is_not_counted(limited):
    job_id = limited.upload_form().json["job_id"]

    assert [limited.job(job_id).status for _ in range(5)] == [200] * 5


def test_every_answer_says_what_is_left_as_openais_do(limited):
    answers = [limited.upload_form(), limited.upload_form(n=0), limited.upload_form()]

    assert [answered.status for answered in answers] == [201, 400, 429]
    assert [rate_headers(answered)["remaining-requests"] for answered in answers] == ["1", "0", "0"]
    assert {rate_headers(answered)["limit-requests"] for answered in answers} == {"2"}
    assert {rate_headers(answered)["reset-requests"] for answered in answers} == {"50s"}


def test_without_a_limit_nothing_is_said_of_one(api):
    assert rate_headers(api.upload_form()) == {}


def test_what_one_request_has_left_is_not_told_to_the_next(limited, environment):
    limited.upload_form()

    assert rate_headers(limited.send("create_variations", path="/nowhere")) == {}


def test_a_request_that_cannot_be_counted_is_503(limited, monkeypatch):
    fail_at(monkeypatch, "UpdateItem", [client_error("InternalServerError")])

    refused = limited.upload_form()

    assert (refused.status, refused.error["code"]) == (503, "storage_failed")


def test_images_beyond_a_callers_day_are_429_and_the_sdk_is_told_not_to_ask_again(api, environment, image_server):
    environment.setenv("DAILY_IMAGE_LIMIT_PER_CALLER", "1")
    api.create()

    refused = api.create(n=1, prompt="another")

    assert (refused.status, refused.error["code"], refused.error["type"]) == (
        429,
        "budget_exhausted",
        "rate_limit_error",
    )
    assert "DailyImageLimitPerCaller" in refused.error["message"]
    assert "midnight UTC" in refused.error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert api.create(caller="shop").status == 200
    assert image_server.paid() == 2


# Headers


def answers_of_every_kind(api, models):
    yield models()
    yield models("/models/nothing")
    yield models("/openapi.json")
    yield models(httpMethod="OPTIONS")
    yield api.create(headers=LATER)
    yield api.create(n=0)
    yield api.upload_form()
    yield api.job("0" * 32)
    yield api.jobs()
    yield api.send("create_variations", path="/nowhere")
    yield api.send("create_variations", httpMethod="DELETE")


def test_every_answer_bears_the_security_headers(api, models, environment):
    wanted = {name.lower(): value for name, value in http_api.SECURITY_HEADERS.items()}

    for answered in answers_of_every_kind(api, models):
        assert wanted.items() <= answered.headers.items()
    environment.setenv("MAX_ATTEMPTS", "many")
    wiring.forget()
    broken = api.create()
    assert broken.status == 500
    assert wanted.items() <= broken.headers.items()


def test_the_security_headers_are_those_of_an_api_that_answers_no_pages():
    assert http_api.SECURITY_HEADERS["X-Content-Type-Options"] == "nosniff"
    assert http_api.SECURITY_HEADERS["Cache-Control"] == "no-store"
    assert http_api.SECURITY_HEADERS["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_without_an_origin_no_answer_lets_a_page_of_any_origin_read_it(api, models):
    for answered in answers_of_every_kind(api, models):
        assert not [name for name in answered.headers if name.startswith("access-control")]
    for asking in (ORIGIN, "null", "https://evil.example"):
        preflight = api.send("create_variations", httpMethod="OPTIONS", headers={"Origin": asking})
        assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_whichever_origin_asks_the_configured_one_is_answered_and_credentials_never(api, environment):
    environment.setenv("CORS_ORIGIN", ORIGIN)

    for asking in (ORIGIN, "null", "https://evil.example", f"{ORIGIN}.evil.example"):
        for answered in (api.upload_form(), api.create(n=0, headers={"Origin": asking})):
            assert answered.headers["access-control-allow-origin"] == ORIGIN
            assert "access-control-allow-credentials" not in answered.headers


# Nothing of the inside in an error

ACCOUNT, SECRET = "210987654321", "sk-live"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/stack-CreateVariationsFunctionRole-1ABC/function"
LINES = f'File "/var/task/functions/variations/table.py", line 7, in get: {ARN} {SECRET} https://10.1.2.3:8443/inner'
ENDPOINT = "https://dynamodb.us-east-1.amazonaws.com/"
CLASSES = {
    name
    for module in (botocore.exceptions, errors, builtins)
    for name, kind in vars(module).items()
    if inspect.isclass(kind) and issubclass(kind, Exception)
}
INSIDE = re.compile(
    rf"Traceback|File \"|/var/task|\.py\b|arn:aws|\b\d{{12}}\b|{SECRET}|sk-local|https?://|amazonaws|10\.1\.2\.3"
    rf"|results-bucket|uploads-bucket|jobs-table|jobs-queue|provider-secret|client-keys|\b({'|'.join(CLASSES)})\b"
)


def client_error(code, message=f"User: {ARN} is not authorized to perform: dynamodb:GetItem on table/jobs-table"):
    return ClientError({"Error": {"Code": code, "Message": message}}, "AnOperation")


FAILURES = [
    *map(client_error, ("AccessDenied", "ResourceNotFoundException", "404", "ThrottlingException", "")),
    botocore.exceptions.EndpointConnectionError(endpoint_url=ENDPOINT),
    botocore.exceptions.ReadTimeoutError(endpoint_url=ENDPOINT),
    botocore.exceptions.NoCredentialsError(),
    botocore.exceptions.ParamValidationError(report=LINES),
    *(kind(LINES) for kind in (RuntimeError, KeyError, OSError, RecursionError)),
    UnicodeEncodeError("utf-8", LINES, 0, 1, LINES),
]


def fail_at(monkeypatch, operation, failures):
    """Let calls of an AWS operation fail, each with the next of the failures."""
    call, left = botocore.client.BaseClient._make_api_call, list(failures)

    def fail(client, name, arguments):
        if name == operation and left:
            raise left[0]
        return call(client, name, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", fail)
    return left


@dataclass
class Route:
    """A route, the way to ask it, and an AWS operation that it needs."""

    name: str
    operation: str


ROUTES = [
    Route("models", "GetSecretValue"),
    *(Route("create", operation) for operation in ("GetItem", "TransactWriteItems", "PutObject", "SendMessage")),
    Route("create_from_s3", "HeadObject"),
    Route("upload_form", "UpdateItem"),
    *(Route("job", operation) for operation in ("GetItem", "GetObject", "UpdateItem")),
    *(Route("jobs", operation) for operation in ("GetItem", "Query")),
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.name} {route.operation}")
def test_no_error_tells_of_the_inside_whatever_fails_at_aws(api, models, monkeypatch, printed, route):
    monkeypatch.setenv("REQUESTS_PER_MINUTE", "1000")
    api.aws.upload("cup.jpg", picture())
    job_id = api.create().json["job_id"]
    ask = {
        "models": models,
        "create": lambda: api.create(headers={**LATER, "Idempotency-Key": str(len(left))}),
        "create_from_s3": lambda: api.create("s3://uploads-bucket/cup.jpg", headers=LATER),
        "upload_form": api.upload_form,
        "job": lambda: api.job(job_id),
        "jobs": lambda: api.jobs(after=job_id),
    }[route.name]
    left = fail_at(monkeypatch, route.operation, FAILURES)
    inside = INSIDE
    if route.name == "create_from_s3":  # its caller has named that bucket
        inside = re.compile(INSIDE.pattern.replace("|uploads-bucket", ""))

    while left:
        if route.name == "models":
            wiring.forget()
        refused = ask()

        assert refused.status >= 400, left[0]
        assert not inside.search(refused.text), refused.text
        assert not inside.search(json.dumps(refused.headers)), refused.headers
        assert refused.error["message"]
        left.pop(0)
    assert ACCOUNT in printed()


def test_no_error_tells_of_the_inside_when_the_provider_makes_us_stumble(models, monkeypatch, printed):
    def fail(*_, **__):
        raise failures[0]

    monkeypatch.setattr(provider, "exchange", fail)
    failures = [kind(LINES) for kind in (RuntimeError, OSError, KeyError, ValueError, TypeError)]
    while failures:
        refused = models()

        assert (refused.status, refused.error["code"]) == (500, "internal_error")
        assert not INSIDE.search(refused.text)
        failures.pop()
    assert ACCOUNT in printed()


def test_a_provider_that_cannot_be_reached_is_not_told_by_its_address(models, environment):
    environment.setenv("PROVIDER_BASE_URL", "http://127.0.0.1:9/inner/v1")

    refused = models()

    assert refused.status == 502
    assert not re.search(r"inner|https?://", refused.text)


def test_a_key_that_cannot_be_read_is_a_fault_whose_log_alone_names_the_secret(models, aws, printed):
    aws.secrets.delete_secret(SecretId="provider-secret", ForceDeleteWithoutRecovery=True)

    refused = models()

    assert (refused.status, refused.error["code"]) == (500, "configuration_error")
    assert "provider-secret" not in refused.text
    assert "provider-secret" in printed()


ODD_EVENTS = {
    "an empty context": {"requestContext": {}},
    "no context": {"requestContext": None},
    "nobody in the context": {"requestContext": {"identity": None, "authorizer": None}},
    "no headers": {"headers": None, "multiValueHeaders": None},
    "empty headers": {"headers": {}, "multiValueHeaders": {}},
    "bad base64": {"isBase64Encoded": True, "body": "!!!"},
    "base64 that is not ASCII": {"isBase64Encoded": True, "body": "ü"},
    "not UTF-8": {"isBase64Encoded": True, "body": base64.b64encode(b"\xff\xfe").decode()},
    "no body": {"body": None},
    "no path": {"path": ""},
    "a path of 10 KB": {"path": "/" + "x" * 10_000},
    "an odd path": {"path": "/images/variations/../../x\x00\r\n"},
    "an unknown method": {"httpMethod": "BREW"},
}


@pytest.mark.parametrize("module", [create_variations, get_job, list_models])
def test_an_event_that_lacks_what_it_should_have_is_answered_in_the_envelope(aws, image_server, hours, context, module):
    for oddity, changes in ODD_EVENTS.items():
        answered = answered_by(module, {**event(module.__name__), **changes}, context)

        assert answered.status < 300 or answered.error["message"], oddity
        assert answered.status < 300 or not INSIDE.search(answered.text), oddity
        assert answered.status < 300 or len(answered.text) < 1000, oddity


# Odd input


def test_a_method_that_a_route_does_not_know_is_404_in_the_envelope(api):
    for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "CONNECT"):
        refused = api.send("create_variations", httpMethod=method)

        assert (refused.status, refused.error["code"]) == (404, "not_found"), method
    assert api.queued() == 0


NO_JOB_IDS = [
    "..",
    "../../uploads/cat.jpg",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "a\x00b",
    "0" * 31,
    "0" * 33,
    "A" * 32,
    "\u0660" * 32,
    "0" * 10_240,
    "budget#2026-11-22",
    "budget%232026-11-22",
    "{job_id}",
    "'; DROP TABLE jobs; --",
]


def test_a_job_id_that_is_none_is_refused_and_never_looked_up(api, monkeypatch):
    fail_at(monkeypatch, "GetItem", [AssertionError("it was looked up")])

    for job_id in NO_JOB_IDS:
        refused = api.job(job_id)

        assert (refused.status, refused.error["type"]) == (404, "invalid_request_error"), job_id
        assert len(refused.text) < 500
        refused = api.jobs(after=job_id)
        assert (refused.status, refused.error["param"]) == (400, "after"), job_id
        assert len(refused.text) < 500


def test_a_list_has_no_more_jobs_than_its_limit_allows_and_no_whole_prompts(api):
    for _ in range(3):
        api.upload_form(prompt="x" * 32_000)

    assert len(api.jobs(limit="100").text) < 5000
    assert api.jobs(limit="101").error["param"] == "limit"


@pytest.mark.parametrize("prefix", ["rate#29921760#default", "budget#2026-11-22#default"])
def test_a_count_in_the_same_table_is_no_job(limited, aws, prefix):
    limited.upload_form()

    assert limited.job(prefix.replace("#", "%23")).status == 404


def test_an_idempotency_key_that_is_too_long_or_not_ascii_is_refused_by_its_name(api):
    for key in ("k" * 256, "k" * 10_000, "schlüssel", "a\nb", "a\x00b", "\ud800", "\x7f"):
        refused = api.create(headers={**LATER, "Idempotency-Key": key})

        assert (refused.status, refused.error["param"]) == (400, "Idempotency-Key"), key
    assert api.queued() == 0


def test_any_other_idempotency_key_stands_for_its_job(api):
    keys = ["k" * 255, "k", '"8e03978e-40d5-43e8"', "a b", "~!#$%"]
    jobs = [api.create(headers={**LATER, "Idempotency-Key": key}).json["job_id"] for key in keys * 2]

    assert jobs[: len(keys)] == jobs[len(keys) :]
    assert len(set(jobs)) == len(keys)


WAITS = {
    "wait=99999999999999999999": 25,
    "wait=-5": 25,
    "wait=1e9": 1,
    "wait=0": 0,
    "wait=\u0663": 3,
    "respond-async, wait=-1": 0,
}


def test_an_absurd_wait_is_never_longer_than_the_gateway_waits(api):
    api.rest()
    for prefer, waited in WAITS.items():
        begun = api.hours.now

        answered = api.create(headers={"Prefer": prefer})

        assert answered.status in {202, 504}
        assert api.hours.now - begun == pytest.approx(waited, abs=0.01), prefer


@pytest.mark.parametrize("half", ["\ud800", "a\udfff.png"])
def test_half_a_character_in_a_name_is_refused_by_its_field(api, half):
    assert api.upload_form(filename=half).error["param"] == "filename"
    assert api.create(f"s3://uploads-bucket/{half}").error["param"] == "image"


MODELS = [
    "..",
    "../../admin",
    "..%2f..%2fadmin",
    "%2e%2e%2fadmin",
    "a/../../b",
    "a?key=1",
    "a#b",
    "a%0d%0aX-Evil:%201",
    "http://169.254.169.254/latest",
    "%00",
    "%",
    "x" * 5000,
]


def test_the_id_of_a_model_never_gets_into_a_url_of_the_provider(models, monkeypatch):
    asked, exchange = [], provider.exchange
    monkeypatch.setattr(
        provider, "exchange", lambda request, *a, **k: asked.append(request.url) or exchange(request, *a, **k)
    )

    for model in MODELS:
        refused = models(f"/models/{model}")

        assert (refused.status, refused.error["code"]) == (404, "model_not_found"), model
        assert len(refused.text) < 1000
    assert {url.partition("/v1/")[2] for url in asked} <= {"models", "models/capabilities"}
    assert asked


@pytest.mark.parametrize("model", [".", ".."])
def test_a_model_of_azures_older_form_is_no_way_up_in_its_urls(aws, environment, model):
    environment.setenv("PROVIDER_BASE_URL", "https://name.openai.azure.com/openai?api-version=preview")

    with pytest.raises(errors.ModelNotFound):
        wiring.provider().send(SimpleNamespace(path="images/edits", fields={"model": model}), deadline=0, take=None)


def test_a_pictures_bytes_too_many_are_sent_to_the_route_that_takes_them(api):
    refused = api.post_form("multipart/form-data; boundary=b", b"x" * 5_000_000)

    assert (refused.status, refused.error["code"]) == (413, "source_too_large")
    assert "POST /v1/uploads" in refused.error["message"]
    assert api.upload_form().status == 201


def test_every_error_of_the_tree_is_free_of_its_detail_over_http(models, monkeypatch):
    kinds = [VariationError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    for kind in kinds:

        def fail(kind=kind):
            raise kind("It happened.", detail=LINES)

        monkeypatch.setattr(list_models, "fetch_listing", fail)

        refused = models()

        assert (refused.status, refused.error["code"]) == (http_api.status_of(kind), kind.code)
        assert refused.error["message"] == "It happened."
        assert not INSIDE.search(refused.text)
