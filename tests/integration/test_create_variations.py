"""POST /v1/images/variations and POST /v1/uploads through the real handler, with a worker at the queue behind it."""

import base64
import io
import json
import re

import httpx2
import openai
import pytest
from PIL import Image
from variations import job_answers, remote_pictures, telemetry, wiring
from variations.errors import StorageFailed
from variations.storage import Storage

from tests.integration.conftest import picture

LATER = {"Prefer": "respond-async"}
AGAIN = {"X-Stainless-Retry-Count": "1"}
DAY = 86_400
# Every byte value, line ends, and what a form's own boundary begins with.
AWKWARD_BYTES = bytes(range(256)) + b"\r\n--\r\n\r\n--boundary\r\n--boundary--\r\n" + bytes(reversed(range(256)))


def source_of(aws, job_id):
    return aws.read(f"jobs/{job_id}/source")


class Gateway(httpx2.BaseTransport):
    """API Gateway in front of the handler, for the OpenAI SDK."""

    def __init__(self, api):
        self.api = api
        self.sent = []

    def handle_request(self, request):
        request.read()
        self.sent.append(request)
        kind = request.headers["content-type"]
        told = {name: value for name, value in request.headers.items() if name != "content-type"}
        answered = self.api.post_form(kind, request.content, **told)
        return httpx2.Response(answered.status, headers=answered.headers, text=answered.text)


class Client(openai.OpenAI):
    """The SDK, but a test says what happens while it waits before it sends a request again."""

    meanwhile = staticmethod(lambda: None)

    def _sleep_for_retry(self, **_):
        self.meanwhile()


@pytest.fixture
def sdk(api):
    gateway = Gateway(api)
    with Client(
        base_url="https://api.invalid/v1", api_key="sk-local", http_client=httpx2.Client(transport=gateway)
    ) as client:
        client.gateway = gateway
        yield client


def vary(sdk, image, **options):
    with pytest.deprecated_call():  # OpenAI retired its own route, not the method
        return sdk.images.create_variation(image=image, **options)


# What comes back


@pytest.mark.parametrize(("name", "n"), [("create_variations", 1), ("create_variations_multipart", 2)])
def test_an_event_of_api_gateway_is_answered_with_pictures_of_the_asked_size(api, image_server, name, n):
    answered = api.send(name)

    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["x-request-id"] == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    assert [list(made) for made in answered.json["data"]] == [["url"]] * n
    assert [api.size_of(made["url"]) for made in answered.json["data"]] == [(256, 256)] * n
    assert image_server.paid() == 1


def test_the_answer_is_openais_with_the_job_beside(api):
    body = api.create(n=2, quality="hd").json

    assert (body["created"], body["model"]) == (1_795_305_600, "local-style-transfer")
    assert (body["object"], body["status"], body["error"]) == ("image.variations.job", "succeeded", None)
    assert body["id"] == body["job_id"]
    assert re.fullmatch("[0-9a-f]{32}", body["job_id"])
    assert [adjustment["sent"] for adjustment in body["adjustments"]] == ["high"]


def test_one_picture_is_made_over_http_when_n_is_not_said(api):
    assert len(api.create().json["data"]) == 1


@pytest.mark.parametrize(("size", "pixels"), [("256x256", (256, 256)), ("512x512", (512, 512))])
def test_every_picture_has_the_asked_size(api, size, pixels):
    made = api.create(n=3, size=size).json["data"]

    assert [api.size_of(each["url"]) for each in made] == [pixels] * 3


def test_pictures_come_as_base64_when_asked(api, aws):
    (made,) = api.create(response_format="b64_json", output_format="jpeg").json["data"]

    assert list(made) == ["b64_json"]
    content = base64.b64decode(made["b64_json"], validate=True)
    assert content in aws.results().values()
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (256, 256))


@pytest.mark.parametrize(("response_format", "field"), [("url", "url"), ("b64_json", "b64_json")])
def test_simplify_answers_the_array_of_pictures_alone(api, response_format, field):
    made = api.create(n=2, simplify=True, response_format=response_format).json

    assert [list(each) for each in made] == [[field]] * 2


def test_unknown_fields_are_ignored_and_the_answer_says_so(api):
    answered = api.create(seed=7, background="opaque")

    assert answered.status == 200
    assert [warning.split("'")[1] for warning in answered.json["warnings"]] == ["background", "seed"]


def test_pictures_too_large_for_one_answer_are_kept_and_cost_nothing_by_url(api, image_server, monkeypatch):
    monkeypatch.setattr(job_answers, "MAX_BASE64_CHARACTERS", 1000)

    refused = api.create(response_format="b64_json")
    answered = api.create(response_format="url")

    assert (refused.status, refused.error["code"]) == (413, "response_too_large")
    assert refused.error["param"] == "response_format"
    assert "response_format=url" in refused.error["message"]
    assert answered.json["job_id"] in refused.error["message"]
    assert api.size_of(answered.json["data"][0]["url"]) == (256, 256)
    assert image_server.paid() == 1


# Multipart


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(picture(), id="raw bytes"),
        pytest.param(("cat.jpg", picture(), "image/jpeg"), id="named with its type"),
        pytest.param(("cät.png", picture(), "image/png"), id="a wrong type and a name in UTF-8"),
    ],
)
def test_the_openai_sdk_gets_its_pictures(sdk, api, aws, image):
    answered = vary(sdk, image, n=2, size="512x512", model="local-style-transfer", user="me")

    assert [api.size_of(made.url) for made in answered.data] == [(512, 512)] * 2
    assert aws.manifest()["request"]["user"] == "me"
    assert source_of(aws, aws.manifest()["job_id"]) == picture()


def test_the_openai_sdk_sends_raw_bytes_as_an_upload_of_no_type(sdk, api, aws):
    vary(sdk, picture())

    (sent,) = sdk.gateway.sent
    assert b'filename="upload"' in sent.content
    assert b"application/octet-stream" in sent.content


def test_the_openai_sdk_gets_base64(sdk):
    (made,) = vary(sdk, picture(), response_format="b64_json").data

    with Image.open(io.BytesIO(base64.b64decode(made.b64_json))) as image:
        assert image.size == (256, 256)


def test_an_unmodified_openai_sdk_gets_a_picture_that_takes_longer_than_a_request(sdk, api, image_server):
    api.rest()
    sdk.meanwhile = api.work

    answered = vary(sdk, picture())

    assert len(answered.data) == 1
    assert [request.headers["x-stainless-retry-count"] for request in sdk.gateway.sent] == ["0", "1"]
    assert image_server.paid() == 1


def test_the_openai_sdk_does_not_repeat_a_request_whose_job_has_failed(sdk, image_server):
    with pytest.raises(openai.APIStatusError) as failure:
        vary(sdk, b"This is a text.")

    assert (failure.value.status_code, failure.value.code) == (415, "unsupported_image")
    assert failure.value.request_id == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    assert len(sdk.gateway.sent) == 1


@pytest.mark.parametrize("field", ["image", "image[]"])
def test_the_bytes_of_a_picture_arrive_as_they_were_sent(api, aws, field):
    files = {field: ("upload", AWKWARD_BYTES, "application/octet-stream")}
    form = httpx2.Request("POST", "https://api.invalid/", files=files, data={"n": "2"})

    answered = api.post_form(form.headers["content-type"], form.read(), **LATER)

    assert answered.status == 202
    assert source_of(aws, answered.json["job_id"]) == AWKWARD_BYTES
    assert wiring.jobs().get(answered.json["job_id"]).order.options["n"] == 2


def test_a_form_without_a_picture_is_refused_and_names_the_field(api, aws):
    refused = api.post_form("multipart/form-data; boundary=b", b"--b--\r\n")

    assert (refused.status, refused.error["param"]) == (400, "image")
    assert aws.results() == {}


# JSON: where the picture is


@pytest.mark.parametrize(
    "write",
    [
        pytest.param("{}", id="base64"),
        pytest.param("data:image/png;base64,{}", id="a data URL"),
        pytest.param("data:;base64,{}", id="a data URL without type"),
    ],
)
def test_the_bytes_of_a_picture_in_json_arrive_as_they_were_sent(api, aws, write):
    text = write.format(base64.b64encode(AWKWARD_BYTES).decode())

    answered = api.create(text, headers=LATER)

    assert answered.status == 202
    assert source_of(aws, answered.json["job_id"]) == AWKWARD_BYTES


def test_a_picture_of_the_uploads_bucket_is_taken_from_where_it_lies(api, aws):
    aws.upload("a b+c%20ü(1).jpg", picture())

    answered = api.create("s3://uploads-bucket/a b+c%20ü(1).jpg")

    assert answered.status == 200
    assert aws.manifest()["source"]["key"] == "a b+c%20ü(1).jpg"
    assert f"jobs/{answered.json['job_id']}/source" not in aws.results()


def test_a_picture_of_an_allowed_bucket_is_taken(api, aws, environment):
    environment.setenv("ALLOWED_SOURCE_BUCKETS", "archive,shop-pictures")
    aws.s3.create_bucket(Bucket="shop-pictures")
    aws.s3.put_object(Bucket="shop-pictures", Key="cup.jpg", Body=picture())

    assert api.create("s3://shop-pictures/cup.jpg").status == 200


@pytest.mark.parametrize("bucket", ["foreign-bucket", "results-bucket"])
def test_a_picture_of_any_other_bucket_is_refused_even_if_it_is_there(api, aws, bucket):
    if bucket == "foreign-bucket":
        aws.s3.create_bucket(Bucket=bucket)
    aws.s3.put_object(Bucket=bucket, Key="cup.jpg", Body=picture())

    refused = api.create(f"s3://{bucket}/cup.jpg")

    assert (refused.status, refused.error["param"]) == (400, "image")
    assert "AllowedSourceBuckets" in refused.error["message"]
    assert api.queued() == 0


def test_a_missing_object_is_source_not_found_and_makes_no_job(api):
    refused = api.create("s3://uploads-bucket/nothing.jpg")

    assert (refused.status, refused.error["code"]) == (404, "source_not_found")
    assert api.queued() == 0


def test_another_picture_under_the_same_key_is_another_request(api, aws):
    jobs = set()
    for size in ((300, 200), (200, 300)):
        aws.upload("cup.jpg", picture(size=size))
        jobs.add(api.create("s3://uploads-bucket/cup.jpg", headers=LATER).json["job_id"])

    assert len(jobs) == 2


def test_a_picture_by_url_is_fetched_from_an_allowed_host(api, aws, environment, monkeypatch):
    environment.setenv("ALLOWED_SOURCE_HOSTS", "images.example.com")
    asked = {}

    def fetch(url, **limits):
        asked.update(limits, url=url)
        return picture()

    monkeypatch.setattr(remote_pictures, "fetch", fetch)

    answered = api.create("https://images.example.com/cup.jpg?v=2")

    assert answered.status == 200
    assert source_of(aws, answered.json["job_id"]) == picture()
    assert asked == {
        "url": "https://images.example.com/cup.jpg?v=2",
        "allowed_hosts": ("images.example.com",),
        "max_bytes": 52_428_800,
    }


def test_a_picture_by_url_is_refused_from_any_other_host(api, aws):
    refused = api.create("https://images.example.com/cup.jpg")

    assert (refused.status, refused.error["param"]) == (400, "image")
    assert "AllowedSourceHosts" in refused.error["message"]
    assert aws.results() == {}


@pytest.mark.parametrize("key", ["k" * 1025, "ü" * 600])
def test_a_key_longer_than_s3_knows_is_no_failure_of_ours(api, key):
    assert api.create(f"s3://uploads-bucket/{key}").status in {400, 404}


# What is refused


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "two"}, "n"),
        ({"n": True}, "n"),
        ({"size": "1x1"}, "size"),
        ({"size": ["256x256"]}, "size"),
        ({"response_format": "png"}, "response_format"),
        ({"quality": "best"}, "quality"),
        ({"style": "noir"}, "style"),
        ({"user": "u" * 257}, "user"),
        ({"prompt": {"text": "vary it"}}, "prompt"),
        ({"strength": "brutal"}, "strength"),
        ({"output_format": "gif"}, "output_format"),
        ({"simplify": "perhaps"}, "simplify"),
        ({"model": 7}, "model"),
        ({"image": "not base64!"}, "image"),
        ({"image": ""}, "image"),
        ({"image": None}, "image"),
        ({"image": ["QUJD"]}, "image"),
        ({"image": "http://images.example.com/cup.jpg"}, "image"),
        ({"image": "s3://uploads-bucket"}, "image"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_begun(api, aws, options, param):
    refused = api.send("create_variations", body=json.dumps({"image": "QUJD", **options}))

    assert (refused.status, refused.error["type"], refused.error["param"]) == (400, "invalid_request_error", param)
    assert aws.results() == {}
    assert api.queued() == 0


@pytest.mark.parametrize("body", ["", "{", "[]", '"picture"', "null", None, "[" * 100_000])
def test_a_body_that_is_no_json_object_is_an_invalid_request(api, body):
    refused = api.send("create_variations", body=body)

    assert (refused.status, refused.error["code"]) == (400, "invalid_request")


def test_without_a_default_model_a_request_has_to_name_one(api, environment):
    environment.setenv("DEFAULT_MODEL", "")

    assert api.create().error["param"] == "model"


def test_a_body_above_lambdas_limit_is_told_of_the_uploads_route(api, aws):
    refused = api.create("A" * 6 * 1024**2)

    assert (refused.status, refused.error["code"], refused.error["param"]) == (413, "source_too_large", "image")
    assert "/v1/uploads" in refused.error["message"]
    assert aws.results() == {}


def test_an_unknown_route_is_404_in_openais_envelope(api):
    refused = api.send("create_variations", path="/images/edits")

    assert (refused.status, refused.error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("image", "status", "code"),
    [
        pytest.param(b"\x89", 415, "unsupported_image", id="one byte"),
        pytest.param(b"This is a text.", 415, "unsupported_image", id="a text"),
        pytest.param(picture()[:2000], 415, "unsupported_image", id="cut off"),
        pytest.param(picture(size=(8000, 7000)), 413, "source_too_large", id="too many pixels"),
    ],
)
def test_a_picture_nobody_can_use_is_refused_for_good(api, image_server, image, status, code):
    refused = api.create(image)

    assert (refused.status, refused.error["code"]) == (status, code)
    assert refused.headers["x-should-retry"] == "false"
    assert image_server.paid() == 0


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 400, "code": "moderation_blocked"}, 422, "provider_refused"),
        ({"status": 401}, 502, "provider_denied"),
        ({"status": 404}, 404, "model_not_found"),
        ({"status": 502, "body": "html"}, 502, "provider_failed"),
        ({"body": "garbage"}, 502, "provider_failed"),
    ],
)
def test_a_failed_job_answers_the_error_of_its_manifest(api, image_server, fault, status, code):
    image_server.fault(**fault)

    refused = api.create()

    assert (refused.status, refused.error["code"]) == (status, code)
    assert refused.error["message"] == api.aws.manifest()["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"


def test_a_partial_job_answers_what_there_is_and_says_what_is_missing(api, image_server):
    image_server.fault(body="fewer")

    answered = api.create(n=3)

    assert (answered.status, answered.json["status"]) == (200, "partial")
    assert len(answered.json["data"]) == 2
    assert "3 were asked for" in answered.json["warnings"][0]


def test_a_wrong_parameter_of_the_stack_is_500_and_names_it(api, environment):
    environment.setenv("API_TIMEOUT_SECONDS", "soon")

    refused = api.create()

    assert (refused.status, refused.error["code"]) == (500, "configuration_error")
    assert "ApiTimeoutSeconds" in refused.error["message"]


def test_nothing_of_the_picture_the_prompt_or_the_key_is_logged(api, monkeypatch):
    log = io.StringIO()
    (written,) = telemetry.logger.handlers
    monkeypatch.setattr(written, "stream", log)

    api.create(prompt="a very secret product")
    api.create(n=0)

    shown = log.getvalue()
    assert "n must be" in shown
    assert not [word for word in ("very secret", "sk-local", "data:image") if word in shown]


# Names by which a request is followed

GATEWAYS_OWN = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


def job_of(answered):
    return wiring.jobs().get(answered.json["job_id"])


@pytest.mark.parametrize("header", ["x-request-id", "X-Request-Id"])
def test_the_callers_own_name_for_a_request_is_in_the_answer_the_job_the_manifest_and_the_log(
    api, aws, printed, header
):
    answered = api.create(headers={header: "shop/order:7=a+b"})

    assert answered.headers["x-request-id"] == "shop/order:7=a+b"
    assert job_of(answered).order.request_id == "shop/order:7=a+b"
    assert aws.manifest()["request_id"] == "shop/order:7=a+b"
    (ended,) = [json.loads(line) for line in printed().splitlines() if '"job ended"' in line]
    assert (ended["request_id"], ended["job_id"]) == ("shop/order:7=a+b", answered.json["job_id"])


@pytest.mark.parametrize("name", ["", "two words", "a\tb", "x" * 129, "<script>", "ü", 'a"b'])
def test_a_name_that_is_not_well_formed_is_replaced_by_the_gateways(api, aws, name):
    answered = api.create(headers={"x-request-id": name})

    assert answered.headers["x-request-id"] == GATEWAYS_OWN
    assert job_of(answered).order.request_id == aws.manifest()["request_id"] == GATEWAYS_OWN


def test_a_refusal_bears_the_callers_name_too(api):
    refused = api.create(headers={"x-request-id": "caller-7"}, n=0)

    assert (refused.status, refused.headers["x-request-id"]) == (400, "caller-7")


def test_an_answer_to_a_request_that_shares_a_job_bears_its_own_name(api, aws):
    first = api.create(headers={**LATER, "x-request-id": "caller-7"})
    second = api.create(headers={"x-request-id": "caller-8"})

    assert first.json["job_id"] == second.json["job_id"]
    assert (first.headers["x-request-id"], second.headers["x-request-id"]) == ("caller-7", "caller-8")
    assert aws.manifest()["request_id"] == "caller-7"


def test_the_name_of_a_request_makes_no_other_request_of_it(api, image_server):
    api.rest()

    jobs = {api.create(headers={**LATER, "x-request-id": name}).json["job_id"] for name in ("a", "b", "c")}

    assert (len(jobs), api.queued()) == (1, 1)


def test_the_names_that_the_provider_gave_its_calls_are_in_the_manifest(api, aws):
    api.create()

    (name,) = aws.manifest()["provider_request_ids"]
    assert name.startswith("req_")
    assert aws.manifest()["attempts"][0]["request_id"] == name


# Waiting


def test_a_job_that_is_not_done_in_time_is_504_and_asks_the_sdk_to_come_again(api, aws):
    api.rest()
    began = api.hours.now

    refused = api.create()

    assert (refused.status, refused.error["code"], refused.error["type"]) == (504, "job_running", "server_error")
    assert refused.headers["x-should-retry"] == "true"
    assert refused.headers["retry-after"] == "1"
    job_id = refused.headers["location"].removeprefix("/v1/jobs/")
    assert api.job(job_id).json["status"] == "queued"
    assert api.hours.now - began == pytest.approx(25)


def test_the_waiting_follows_the_timeout_of_the_api(api, environment):
    environment.setenv("API_TIMEOUT_SECONDS", "5")
    api.rest()
    began = api.hours.now

    assert api.create().status == 504
    assert api.hours.now - began == pytest.approx(1)


def test_respond_async_is_202_at_once_and_says_where_the_job_is(api, image_server):
    began = api.hours.now

    answered = api.create(headers=LATER)

    assert answered.status == 202
    assert api.hours.now == began
    assert answered.headers["location"] == f"/v1/jobs/{answered.json['job_id']}"
    assert (answered.json["status"], answered.json["data"]) == ("queued", [])
    assert image_server.paid() == 0


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [("wait=1", 1), ('wait="2"', 2), ("respond-async, wait=3", 3), ("wait=9999", 25), ("Wait = 0", 0)],
)
def test_a_caller_may_say_how_long_it_waits_before_202(api, prefer, seconds):
    api.rest()
    began = api.hours.now

    assert api.create(headers={"Prefer": prefer}).status == 202
    assert api.hours.now - began == pytest.approx(seconds)


def test_an_option_nobody_knows_is_named_at_once_in_an_answer_202_too(api):
    api.rest()

    started = api.create(seed=7, headers=LATER)

    assert started.status == 202
    assert [warning.split("'")[1] for warning in started.json["warnings"]] == ["seed"]


def test_a_job_that_ends_within_the_preferred_wait_is_200(api):
    assert api.create(headers={"Prefer": "wait=1"}).status == 200


def test_a_preference_that_is_about_something_else_changes_nothing(api):
    api.rest()

    assert api.create(headers={"Prefer": "return=minimal"}).status == 504


# One job for identical requests


def test_an_identical_request_finds_the_running_job_and_pays_nothing(api, image_server):
    api.rest()
    first = api.create()
    api.work()
    second = api.create()

    assert (first.status, second.status) == (504, 200)
    assert first.headers["location"] == f"/v1/jobs/{second.json['job_id']}"
    assert image_server.paid() == 1


def test_identical_requests_before_the_result_is_delivered_are_one_job_and_one_message(api):
    jobs = {api.create(headers=LATER).json["job_id"] for _ in range(3)}

    assert len(jobs) == 1
    assert api.queued() == 1


def test_the_same_picture_in_a_form_and_in_json_is_the_same_request(api):
    form = httpx2.Request("POST", "https://api.invalid/", files={"image": picture()}, data={"n": "1"})

    first = api.post_form(form.headers["content-type"], form.read(), **LATER)

    assert api.create(n=1, headers=LATER).json["job_id"] == first.json["job_id"]


@pytest.mark.parametrize("changed", [{"response_format": "b64_json"}, {"simplify": True}])
def test_how_the_answer_looks_does_not_make_another_request(api, image_server, changed):
    api.create(headers=LATER)

    assert api.create(**changed).status == 200
    assert image_server.paid() == 1


@pytest.mark.parametrize(
    "changed",
    [{"n": 2}, {"size": "512x512"}, {"prompt": "a red cup"}, {"user": "me"}, {"image": picture(size=(200, 300))}],
)
def test_anything_else_makes_another_request(api, changed):
    first = api.create(headers=LATER)

    assert api.create(headers=LATER, **changed).json["job_id"] != first.json["job_id"]


def test_another_callers_identical_request_is_a_job_of_its_own(api, image_server):
    mine, theirs = api.create(), api.create(caller="shop")

    assert mine.json["job_id"] != theirs.json["job_id"]
    assert image_server.paid() == 2


def test_another_caller_does_not_share_a_running_job(api):
    mine, theirs = api.create(headers=LATER), api.create(headers=LATER, caller="shop")

    assert mine.json["job_id"] != theirs.json["job_id"]


def test_once_delivered_the_next_identical_request_is_a_new_job(api, image_server):
    first, second = api.create(), api.create()

    assert first.json["job_id"] != second.json["job_id"]
    assert image_server.paid() == 2


def test_a_failed_job_is_not_begun_again_until_its_failure_was_delivered(api, image_server):
    image_server.fault(status=502, body="html", times=1)
    api.create(headers=LATER)
    api.work()

    assert api.create().status == 502
    assert api.create().status == 200


def test_a_retry_within_ten_minutes_of_delivery_is_answered_again(api, image_server):
    first = api.create()
    api.hours.now += 599

    again = api.create(headers=AGAIN)

    assert again.json["job_id"] == first.json["job_id"]
    assert image_server.paid() == 1


def test_ten_minutes_count_from_the_first_delivery(api):
    first = api.create()
    api.hours.now += 400
    assert api.create(headers=AGAIN).json["job_id"] == first.json["job_id"]
    api.hours.now += 201

    assert api.create(headers=AGAIN).json["job_id"] != first.json["job_id"]


def test_a_first_try_after_delivery_is_no_retry(api):
    first = api.create()

    assert api.create(headers={"X-Stainless-Retry-Count": "0"}).json["job_id"] != first.json["job_id"]


def test_a_result_that_nobody_has_seen_is_not_made_twice_as_long_as_it_is_kept(api, image_server):
    api.create(headers=LATER)
    api.work()
    api.hours.now += 29 * DAY

    assert api.create().status == 200
    assert image_server.paid() == 1


# Idempotency-Key


def keyed(key):
    return {"Idempotency-Key": key}


def test_the_same_idempotency_key_is_the_same_job_for_a_day_even_after_delivery(api, image_server):
    first = api.create(headers=keyed("order-7"))
    api.hours.now += DAY - 1

    again = api.create(headers=keyed("order-7"))

    assert (again.status, again.json["job_id"]) == (200, first.json["job_id"])
    assert image_server.paid() == 1


def test_after_a_day_an_idempotency_key_is_free_again(api):
    first = api.create(headers=keyed("order-7"))
    api.hours.now += DAY

    assert api.create(n=2, headers=keyed("order-7")).json["job_id"] != first.json["job_id"]


def test_an_idempotency_key_for_another_request_is_422(api, image_server):
    api.create(headers=keyed("order-7"))

    refused = api.create(n=2, headers=keyed("order-7"))

    assert (refused.status, refused.error["code"]) == (422, "idempotency_key_reused")
    assert image_server.paid() == 1


def test_two_keys_are_two_jobs_for_the_same_request(api):
    jobs = {api.create(headers={**LATER, **keyed(key)}).json["job_id"] for key in ("order-7", "order-8")}

    assert len(jobs) == 2


def test_another_callers_key_is_another_key(api):
    mine = api.create(headers=keyed("order-7"))

    theirs = api.create(n=2, caller="shop", headers=keyed("order-7"))

    assert theirs.status == 200
    assert theirs.json["job_id"] != mine.json["job_id"]


def test_a_key_does_not_hide_how_the_answer_is_to_look(api):
    api.create(headers=keyed("order-7"))

    assert "b64_json" in api.create(response_format="b64_json", headers=keyed("order-7")).json["data"][0]


def test_a_failed_job_stays_failed_under_its_key(api, image_server):
    image_server.fault(status=502, body="html", times=1)

    assert [api.create(headers=keyed("order-7")).status for _ in range(2)] == [502, 502]


# A front door that dies


class ContainerDied(BaseException):
    """Nothing of ours can catch this."""


def die(*_):
    raise ContainerDied


@pytest.mark.parametrize(("place", "name"), [(wiring, "send"), (Storage, "store_source")])
def test_a_job_that_was_written_but_never_sent_is_sent_by_the_next_identical_request(
    api, image_server, monkeypatch, place, name
):
    with monkeypatch.context() as crash:
        crash.setattr(place, name, die)
        with pytest.raises(ContainerDied):
            api.create(headers=LATER)
    wiring.forget()

    early = api.create(headers=LATER)
    assert (early.status, api.queued()) == (202, 0)
    api.hours.now += 31
    late = api.create(headers=LATER)

    assert late.json["job_id"] == early.json["job_id"]
    assert api.queued() == 1
    assert source_of(api.aws, late.json["job_id"]) == picture()
    assert api.create().status == 200
    assert image_server.paid() == 1


def test_a_job_that_was_sent_is_not_sent_again_however_long_it_waits(api):
    api.create(headers=LATER)
    api.hours.now += 3600

    api.create(headers=LATER)

    assert api.queued() == 1


def test_a_queue_that_is_down_is_503_and_the_same_request_goes_on_later(api, monkeypatch):
    def fail(_):
        raise StorageFailed("The jobs queue failed.")

    with monkeypatch.context() as outage:
        outage.setattr(wiring, "send", fail)
        refused = api.create()
    wiring.forget()
    api.hours.now += 31

    assert (refused.status, refused.error["code"]) == (503, "storage_failed")
    assert api.create().status == 200


# Uploads


def policy_of(form):
    return json.loads(base64.b64decode(form["fields"]["policy"]))["conditions"]


def test_an_upload_form_names_its_job_and_binds_size_type_and_key(api):
    answered = api.upload_form(filename="a b+c ü(1).jpg", content_type="image/jpeg", n=3)

    form = answered.json
    assert answered.status == 201
    assert answered.headers["location"] == f"/v1/jobs/{form['job_id']}"
    assert "uploads-bucket" in form["url"]
    assert form["fields"]["key"] == f"uploads/api/{form['job_id']}/a b+c ü(1).jpg"
    assert form["fields"]["Content-Type"] == "image/jpeg"
    conditions = policy_of(form)
    assert ["content-length-range", 1, 52_428_800] in conditions
    assert {"Content-Type": "image/jpeg"} in conditions
    assert {"bucket": "uploads-bucket"} in conditions
    assert {"key": form["fields"]["key"]} in conditions


def put_uploaded(api, form, content):
    """Do what the form's upload does, and let S3 tell the queue."""
    key = form["fields"]["key"]
    api.aws.upload(key, content)
    detail = {"bucket": {"name": "uploads-bucket"}, "object": {"key": key, "size": len(content), "sequencer": "01"}}
    told = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    api.aws.sqs.send_message(QueueUrl=api.aws.queue_url, MessageBody=json.dumps(told))
    api.work()


def test_the_upload_of_a_form_makes_the_job_with_the_options_of_the_request(api, image_server):
    form = api.upload_form(filename="cup.jpg", content_type="image/jpeg", n=3, size="512x512", seed=7).json
    before = api.job(form["job_id"]).json

    put_uploaded(api, form, picture())

    after = api.job(form["job_id"]).json
    assert (before["status"], after["status"]) == ("queued", "succeeded")
    assert [api.size_of(made["url"]) for made in after["data"]] == [(512, 512)] * 3
    assert "seed" in form["warnings"][0]
    assert image_server.paid() == 1


def test_an_upload_belongs_to_whoever_asked_for_its_form(api, aws):
    form = api.upload_form(caller="shop").json

    put_uploaded(api, form, picture())

    assert aws.manifest()["caller"] == "shop"
    assert api.job(form["job_id"], caller="shop").status == 200
    assert api.job(form["job_id"], caller="default").status == 404


def test_an_upload_keeps_the_name_of_the_request_for_its_form(api, aws):
    form = api.send(
        "create_variations", path="/uploads", resource="/uploads", body="{}", headers={"x-request-id": "caller-7"}
    ).json

    put_uploaded(api, form, picture())

    assert aws.manifest()["request_id"] == "caller-7"


def test_every_upload_form_is_a_job_of_its_own(api):
    assert len({api.upload_form(filename="cup.jpg").json["job_id"] for _ in range(3)}) == 3


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"filename": ""}, "filename"),
        ({"filename": "a/b.png"}, "filename"),
        ({"filename": "a\nb.png"}, "filename"),
        ({"filename": "f" * 201}, "filename"),
        ({"filename": 7}, "filename"),
        ({"filename": None}, "filename"),
        ({"content_type": "text/html"}, "content_type"),
        ({"content_type": None}, "content_type"),
        ({"n": 11}, "n"),
        ({"size": "large"}, "size"),
        pytest.param(
            {"content_type": ["image/png"]},
            "content_type",
        ),
        pytest.param(
            {"filename": "${filename}"},
            "filename",
        ),
    ],
)
def test_a_wrong_field_of_an_upload_is_named(api, fields, param):
    refused = api.upload_form(**fields)

    assert (refused.status, refused.error["param"]) == (400, param)


# Browsers

ORIGIN = "https://shop.example.com"


@pytest.mark.parametrize("ask", ["create", "upload_form"])
def test_pages_of_the_configured_origin_may_read_answers_and_refusals(api, environment, ask):
    environment.setenv("CORS_ORIGIN", ORIGIN)

    for answered in (getattr(api, ask)(), getattr(api, ask)(n=0)):
        assert answered.headers["access-control-allow-origin"] == ORIGIN
        assert {"Location", "Retry-After", "x-request-id"} <= set(
            answered.headers["access-control-expose-headers"].split(",")
        )


def test_without_an_origin_no_page_may_read_anything(api):
    assert not [header for header in api.create(n=0).headers if header.startswith("access-control")]


@pytest.mark.parametrize("origin", [ORIGIN, ""])
def test_a_preflight_is_answered_without_a_key_and_begins_nothing(api, aws, environment, origin):
    environment.setenv("CORS_ORIGIN", origin)

    answered = api.send("create_variations", httpMethod="OPTIONS", body=None)

    assert (answered.status, answered.text) == (204, "")
    assert answered.headers.get("access-control-allow-origin", "") == origin
    if origin:
        assert "Authorization" in answered.headers["access-control-allow-headers"]
        assert "POST" in answered.headers["access-control-allow-methods"]
    assert aws.results() == {}
