"""The function as Step Functions and the SDKs invoke it: a request in, its manifest out, or an error by its name."""

import contextlib
import io
import json

import generate_variations
import pytest
from PIL import Image
from variations import wiring
from variations.errors import VariationError
from variations.orders import order_of_request

from tests.conftest import ROOT, LambdaContext, event
from tests.integration.conftest import picture

KEY = "uploads/a b+c%20ü(1).jpg"
COFFEE = (ROOT / "infra/local/pictures/coffee.jpg").read_bytes()  # the event names it by its ETag


class Invocation(LambdaContext):
    """The context of one of several invocations."""

    def __init__(self, aws_request_id):
        super().__init__()
        self.aws_request_id = aws_request_id


@pytest.fixture
def invoke(aws, image_server):
    """Invoke the function with the event of events/generate_variations.json, or any other."""

    def invoke(sent=None, invocation="first", **changes):
        whole = {**event("generate_variations"), **changes} if sent is None else sent
        return generate_variations.handler(whole, Invocation(invocation))

    aws.upload(KEY, COFFEE)
    return invoke


def ask(key=KEY, **options):
    """A request of the least that is needed."""
    return {"source": {"bucket": "uploads-bucket", "key": key}, "size": "256x256", "n": 1, **options}


@pytest.fixture
def failure(invoke):
    """What an invocation fails with: the error, and its type as Step Functions would match it."""

    def failure(*arguments, **named):
        with pytest.raises(VariationError) as caught:
            invoke(*arguments, **named)
        return type(caught.value).__name__, caught.value

    return failure


# What comes back


def test_the_event_file_returns_its_manifest_and_says_where_it_lies(aws, invoke, image_server):
    returned = invoke()

    prefix = f"{KEY}/{returned['job_id']}"
    assert returned["manifest"] == {"bucket": "results-bucket", "key": f"{prefix}/manifest.json"}
    assert {name: value for name, value in returned.items() if name != "manifest"} == aws.manifest()
    assert (returned["state"], returned["error"], returned["caller"]) == ("succeeded", None, "lambda:invoke")
    assert returned["request_id"] == event("generate_variations")["id"]
    assert [result["key"] for result in returned["results"]] == [f"{prefix}/variation-0{n}.png" for n in (1, 2)]
    for result in returned["results"]:
        with Image.open(io.BytesIO(aws.read(result["key"]))) as image:
            assert (image.format, image.size) == ("PNG", (256, 256))
    assert image_server.paid() == 1


def test_what_is_returned_is_json(invoke):
    returned = invoke()

    assert json.loads(json.dumps(returned)) == returned


def test_the_end_of_the_job_is_told_on_the_bus_too(aws, invoke):
    returned = invoke()

    (told,) = aws.told()
    assert (told["detail-type"], told["detail"]["job_id"]) == ("Variations Completed", returned["job_id"])
    assert told["detail"]["manifest"] == returned["manifest"]


def test_options_of_the_request_win_over_metadata_and_presets(aws, invoke):
    aws.upload("uploads/cup.jpg", picture(), n="3", **{"output-format": "jpeg"})
    aws.upload("uploads/variations.json", b'{"output_format": "webp", "size": "512x512"}')

    returned = invoke(ask("uploads/cup.jpg", size=None))

    (result,) = returned["results"]
    assert (result["content_type"], result["width"]) == ("image/jpeg", 512)


def test_a_job_that_ended_only_in_part_returns_what_there_is(invoke, image_server):
    image_server.fault(body="fewer")

    returned = invoke()

    assert (returned["state"], len(returned["results"])) == ("partial", 1)


@pytest.mark.parametrize(
    "sent",
    [
        {"row": {"bucket": "uploads-bucket", "encoded_key": "uploads/a+b%2Bc%2520%C3%BC%281%29.jpg", "n": "1"}},
        {"source": f"s3://uploads-bucket/{KEY}", "n": "1"},
    ],
    ids=["row", "url"],
)
def test_the_source_may_come_as_a_row_of_a_list_or_as_a_url(invoke, sent):
    returned = invoke(sent)

    assert (returned["source"]["key"], len(returned["results"])) == (KEY, 1)


# What goes wrong


@pytest.mark.parametrize(
    ("sent", "failed"),
    [
        pytest.param(ask("uploads/text.txt"), ("UnsupportedImage", None, "PNG"), id="a text"),
        pytest.param(ask("uploads/gone.jpg"), ("SourceNotFound", None, "uploads/gone.jpg"), id="gone"),
        pytest.param(ask(n=11), ("InvalidRequest", "n", "from 1 to 10"), id="bad n"),
        pytest.param(ask(size="large"), ("InvalidRequest", "size", "256x256"), id="bad size"),
        pytest.param(
            {"source": {"bucket": "uploads-bucket", "key": KEY, "etag": "0" * 32}},
            ("SourceNotFound", None, "replaced"),
            id="replaced",
        ),
        pytest.param(
            {"source": "s3://foreign-bucket/a.jpg"}, ("InvalidRequest", "source", "foreign-bucket"), id="foreign"
        ),
    ],
)
def test_a_job_that_failed_raises_the_class_of_its_error(aws, failure, image_server, sent, failed):
    aws.upload("uploads/text.txt", b"This is a text.")
    kind, param, said = failed

    name, error = failure(sent)

    assert (name, error.param) == (kind, param)
    assert said in str(error)
    assert aws.manifest()["error"] == {"code": error.code, "message": error.message, "param": error.param}
    assert aws.told()[0]["detail-type"] == "Variations Failed"
    assert image_server.paid() == 0


def test_a_wrong_key_is_denied(aws, failure):
    for key in ("sk-outdated", "sk-wrong"):  # the one before is no better
        aws.secrets.put_secret_value(SecretId="provider-secret", SecretString=key)

    name, error = failure()

    assert name == "ProviderDenied"
    assert "sk-wrong" not in str(error)


def test_a_provider_that_breaks_down_is_named_and_nothing_is_kept_for_a_redrive(aws, failure, image_server):
    image_server.fault(status=502, body="html")

    assert failure()[0] == "ProviderFailed"
    assert aws.set_aside() == []


@pytest.mark.parametrize(
    ("sent", "kind", "said"),
    [
        (ask(resource="audio"), "UnsupportedResource", 'The resource "audio" is not supported!'),
        (ask(operation="edit"), "UnsupportedResource", 'The operation "edit" is not supported for images!'),
        ({"resource": "audio"}, "UnsupportedResource", 'The resource "audio" is not supported!'),
        (ask(""), "InvalidRequest", "Name the picture"),
        ({}, "InvalidRequest", "Name the picture"),
        (ask("uploads/folder/"), "InvalidRequest", "This key names a folder or its presets, and no picture."),
        (ask("uploads/variations.json"), "InvalidRequest", "This key names a folder or its presets, and no picture."),
        (ask(only_missing=True), "InvalidRequest", "only_missing is for requests on the queue."),
        ([ask()], "InvalidRequest", "Send an object such as"),
        ("s3://uploads-bucket/a.jpg", "InvalidRequest", "Send an object such as"),
        (7, "InvalidRequest", "Send an object such as"),
        ([], "InvalidRequest", "Send an object such as"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_request_that_makes_no_sense_is_refused_and_no_job_is_begun(aws, failure, sent, kind, said):
    name, error = failure(sent)

    assert name == kind
    assert said in str(error)
    assert aws.dynamodb.scan(TableName="jobs-table")["Items"] == []
    assert (aws.results(), aws.told()) == ({}, [])


# Once more


def test_the_same_event_twice_is_one_job_and_pays_once(aws, invoke, image_server):
    assert invoke() == invoke(invocation="second")

    assert image_server.paid() == len(aws.told()) == 1


def test_an_invocation_that_aws_repeats_is_one_job(invoke, image_server):
    assert invoke(ask()) == invoke(ask())

    assert image_server.paid() == 1


def test_two_invocations_that_nothing_pins_are_two_jobs(invoke, image_server):
    first, second = (invoke(ask(), invocation=name) for name in ("first", "second"))

    assert first["job_id"] != second["job_id"]
    assert image_server.paid() == 2


def test_a_failed_job_raises_the_same_again_and_pays_nothing_more(aws, failure, image_server):
    image_server.fault(status=502, body="html", times=1)

    (name, first), (again, second) = failure(), failure(invocation="second")

    assert name == again == "ProviderFailed"
    assert (first.message, first.param) == (second.message, second.param)
    assert len(image_server.calls()) == len(aws.told()) == 1


def test_a_busy_provider_is_raised_and_the_next_invocation_goes_on(aws, failure, invoke, image_server):
    image_server.fault(status=429, headers={"Retry-After": "100"}, times=1)

    name, error = failure()
    assert (name, error.retryable) == ("ProviderBusy", True)
    assert (aws.results(), aws.told()) == ({}, [])

    returned = invoke(invocation="second")
    assert returned["state"] == "succeeded"
    assert [attempt["outcome"] for attempt in returned["attempts"]] == ["provider_busy", "answered"]
    assert image_server.paid() == 1


def test_a_job_that_somebody_else_is_at_is_raised_as_running(aws, failure, invoke, image_server):
    order = order_of_request(event("generate_variations"), caller="ann", delivery_id="another")
    wiring.jobs().begin(order, lease_seconds=300)

    name, error = failure()

    assert (name, error.retryable) == ("JobRunning", True)
    assert error.retry_after_seconds > 0
    assert image_server.paid() == 0


# What is logged


@pytest.mark.parametrize("n", [1, 99], ids=["succeeds", "fails"])
def test_nothing_of_the_picture_the_prompt_or_the_provider_key_is_logged(invoke, printed, n):
    with contextlib.suppress(VariationError):
        invoke(n=n, prompt="a very secret product")

    shown = printed()
    assert '"job ended"' in shown
    assert not [word for word in ("very secret", "sk-local", "b64") if word in shown]


def test_the_job_and_the_request_can_be_followed_in_the_log(invoke, printed):
    returned = invoke()

    (ended,) = [json.loads(line) for line in printed().splitlines() if '"job ended"' in line]
    assert (ended["job_id"], ended["request_id"]) == (returned["job_id"], event("generate_variations")["id"])
    assert (ended["state"], ended["key"]) == ("succeeded", KEY)
