"""What the functions tell CloudWatch: the lines in embedded metric format, exactly, and the keys they are found by."""

import functools
import json
import time
from dataclasses import replace
from datetime import datetime

import authorize
import generate_variations
import list_models
import process_jobs
import pytest
from variations import telemetry, wiring
from variations.errors import (
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderDown,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    VariationError,
)
from variations.provider import Provider

from tests.conftest import event
from tests.integration.conftest import lines, picture

FAILURES = (
    *(ModelNotFound, ProviderBusy, ProviderDenied, ProviderFailed),
    *(ProviderRefused, ProviderTimeout, ProviderUnreachable),
)
JOB = {"source": {"bucket": "uploads-bucket", "key": "uploads/cup.jpg"}, "size": "256x256", "n": 2}
SERVICE = [["service"]]
BY_MODEL = [["service"], ["service", "model", "dialect"]]


@pytest.fixture
def work(aws, image_server, context):
    """Let a worker take a message about uploads/cup.jpg, each about a job of its own."""
    aws.upload("uploads/cup.jpg", picture())
    delivery = iter(range(100))

    def work(body=None, *, receives=1, age_seconds=0.0):
        written = json.dumps({**JOB, "id": f"job {next(delivery)}"} if body is None else body)
        sent = aws.sqs.send_message(QueueUrl=aws.queue_url, MessageBody=written)
        received = aws.sqs.receive_message(QueueUrl=aws.queue_url)["Messages"][0]
        (record,) = event("process_jobs")["Records"]
        then = str(int((time.time() - age_seconds) * 1000))
        told = {"ApproximateReceiveCount": str(receives), "SentTimestamp": then}
        record.update(messageId=sent["MessageId"], receiptHandle=received["ReceiptHandle"], body=written)
        return process_jobs.handler({"Records": [{**record, "attributes": {**record["attributes"], **told}}]}, context)

    return work


def replaced(monkeypatch, name, part):
    """Have wiring hand out another part, or None, over which everybody stumbles."""
    monkeypatch.setattr(wiring, name, functools.cache(lambda: part))


def metrics(printed):
    """Metric -> (unit, values, sets of dimensions), of all lines together; each metric is in lines of one kind."""
    found = {}
    for line in lines(printed)[1]:
        (told,) = line["_aws"]["CloudWatchMetrics"]
        assert told["Namespace"] == "ImageVariations"
        for metric in told["Metrics"]:
            _, values, _ = found.get(metric["Name"], (None, [], None))
            found[metric["Name"]] = (metric["Unit"], values + line[metric["Name"]], told["Dimensions"])
    return found


def values(printed):
    """Metric -> sum, where it is none of zero."""
    return {name: sum(found) for name, (_, found, _) in metrics(printed).items() if sum(found)}


# A job, from the queue to its end


def test_a_job_is_measured_from_the_queue_to_its_end(work, printed, environment):
    environment.setenv("DAILY_IMAGE_LIMIT", "8")

    work(age_seconds=20.0)

    measured = metrics(printed)
    assert {name: (unit, dimensions) for name, (unit, _, dimensions) in measured.items()} == {
        "MessagesReceived": ("Count", SERVICE),
        "QueueAge": ("Milliseconds", SERVICE),
        "Attempts": ("Count", SERVICE),
        "ProviderLatency": ("Milliseconds", BY_MODEL),
        "ImagesStored": ("Count", BY_MODEL),
        "InputTokens": ("Count", BY_MODEL),
        "OutputTokens": ("Count", BY_MODEL),
        "JobsSucceeded": ("Count", SERVICE),
        "JobsPartial": ("Count", SERVICE),
        "JobsFailed": ("Count", SERVICE),
        "ImagesToday": ("Count", SERVICE),
        "ImagesTodayShare": ("Percent", SERVICE),
    }
    (age,), (latency,) = measured.pop("QueueAge")[1], measured.pop("ProviderLatency")[1]
    assert 20_000 <= age < 25_000
    assert 0 < latency < 25_000
    assert {name: found for name, (_, found, _) in measured.items() if "Tokens" not in name} == {
        "MessagesReceived": [1],
        "Attempts": [1],
        "ImagesStored": [2],
        "JobsSucceeded": [1],
        "JobsPartial": [0],
        "JobsFailed": [0],
        "ImagesToday": [2],
        "ImagesTodayShare": [25],
    }


def test_what_a_call_brought_is_as_the_manifest_says_and_counted_for_its_model_and_dialect_too(aws, work, printed):
    work()

    (brought,) = [line for line in lines(printed)[1] if "ProviderLatency" in line]
    manifest = aws.manifest()
    (attempt,), usage = manifest["attempts"], manifest["usage"]
    assert (brought["service"], brought["model"], brought["dialect"]) == (
        "image-variations",
        manifest["model"],
        manifest["dialect"],
    )
    assert brought["ProviderLatency"] == [attempt["milliseconds"]]
    assert manifest["timings"]["provider_seconds"] == attempt["milliseconds"] / 1000
    assert (brought["InputTokens"], brought["OutputTokens"]) == ([usage["input_tokens"]], [usage["output_tokens"]])


def test_each_call_of_a_job_is_measured_by_itself(work, image_server, printed):
    image_server.fault(body="fewer", times=1)

    work()

    measured = metrics(printed)
    assert (measured["Attempts"][1], measured["ImagesStored"][1]) == ([2], [2])
    assert len(measured["ProviderLatency"][1]) == 2


def test_a_job_of_a_direct_invocation_is_measured_alike(aws, image_server, context, printed):
    aws.upload("uploads/cup.jpg", picture())

    generate_variations.handler(JOB, context)

    measured = values(printed)
    assert measured["ProviderLatency"] > 0
    assert (measured["Attempts"], measured["ImagesStored"], measured["JobsSucceeded"]) == (1, 2, 1)


def test_a_job_that_ended_before_is_not_counted_again(work, printed):
    work({**JOB, "id": "once"})
    values(printed)
    before = len(lines(printed)[0])

    work({**JOB, "id": "once"}, receives=2)

    said, measured = lines(printed)
    assert [line["message"] for line in said[before:]] == ["job had ended before"]
    assert [[metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]] for line in measured] == [
        ["MessagesReceived"]
    ]


def test_a_message_that_comes_again_says_nothing_of_the_queue(work, printed):
    work(receives=2, age_seconds=900.0)

    assert "QueueAge" not in metrics(printed)


def test_a_job_that_goes_on_counts_only_what_is_new(work, image_server, printed):
    image_server.fault(status=429, times=1)
    work({**JOB, "id": "once"})
    assert values(printed)["ProviderBusy"] == 1

    work({**JOB, "id": "once"}, receives=2)

    measured = values(printed)
    assert (measured["Attempts"], measured["JobsSucceeded"]) == (1, 1)
    assert "ProviderBusy" not in measured


# What goes wrong


@pytest.mark.parametrize("kind", FAILURES, ids=lambda kind: kind.__name__)
def test_a_call_that_fails_is_counted_under_its_name_and_for_no_model(work, printed, monkeypatch, kind):
    def fail(*_, **__):
        raise kind("The provider does not.")

    monkeypatch.setattr(Provider, "send", fail)

    work()

    measured = metrics(printed)
    assert measured["Attempts"] == measured[kind.__name__] == ("Count", [1], SERVICE)
    assert not measured.keys() & {"ProviderLatency", "ImagesStored"}


def test_a_provider_that_denies_our_key_is_counted(aws, work, printed):
    for key in ("sk-outdated", "sk-wrong"):  # the one before is no better
        aws.secrets.put_secret_value(SecretId="provider-secret", SecretString=key)

    work()

    assert values(printed)["ProviderDenied"] == 1


def test_a_provider_that_cannot_be_reached_is_counted(work, printed, environment):
    environment.setenv("PROVIDER_BASE_URL", "http://127.0.0.1:9/v1")

    work()

    assert values(printed)["ProviderUnreachable"] == 1


def test_a_model_that_does_not_exist_becomes_no_metric_of_its_own(work, image_server, printed):
    work({**JOB, "model": "no-such-model"})

    said, measured = lines(printed)
    assert sum(sum(line.get("ModelNotFound", [])) for line in measured) == 1
    assert not [line for line in measured if len(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]) > 1]
    assert said[-1]["model"] == "no-such-model"


def test_a_job_that_an_open_circuit_sends_back_is_counted(work, printed, monkeypatch):
    def is_down(_):
        raise ProviderDown("It has failed several times in a row.", retry_after_seconds=60)

    replaced(monkeypatch, "service", replace(wiring.service(), guard=is_down))

    work()

    measured = values(printed)
    assert (measured["CircuitOpen"], measured["JobsReturned"]) == (1, 1)
    assert "Attempts" not in measured


def test_a_wrong_setup_that_a_job_fails_by_is_counted(aws, work, printed):
    aws.secrets.delete_secret(SecretId="provider-secret", ForceDeleteWithoutRecovery=True)

    work()

    assert values(printed)["ConfigurationErrors"] == 1


def test_our_own_mistakes_are_counted_in_the_worker(work, printed, monkeypatch):
    replaced(monkeypatch, "service", None)

    work()

    assert values(printed)["Stumbles"] == 1


def test_our_own_mistakes_are_counted_in_a_direct_invocation(aws, context, printed, monkeypatch):
    replaced(monkeypatch, "service", None)

    with pytest.raises(AttributeError):
        generate_variations.handler(JOB, context)
    assert values(printed) == {"Stumbles": 1}


def test_what_an_invocation_asks_wrongly_is_no_mistake_of_ours(aws, context, printed):
    with pytest.raises(VariationError):
        generate_variations.handler({}, context)
    assert values(printed) == {}


def test_our_own_mistakes_are_counted_in_the_api(aws, context, printed, monkeypatch):
    replaced(monkeypatch, "provider", None)

    assert list_models.handler(event("list_models"), context)["statusCode"] == 500
    assert values(printed) == {"Stumbles": 1}


def test_a_wrong_parameter_is_counted_in_the_api(api, environment, printed):
    environment.setenv("API_TIMEOUT_SECONDS", "soon")

    api.create()

    assert values(printed) == {"ConfigurationErrors": 1}


def test_an_answer_that_a_job_still_runs_is_counted_as_the_gateway_counts_it_among_5xx(api, printed):
    api.rest()

    assert api.create().status == 504
    assert values(printed) == {"StillRunning": 1}


@pytest.mark.parametrize(
    ("secret", "shown", "metric"),
    [
        ('{"default": "sk-local"}', "Bearer sk-wrong", "Unauthorized"),
        ("sk-local", "Bearer sk-local", "ConfigurationErrors"),
        (None, "Bearer sk-local", "Stumbles"),
    ],
)
def test_the_authorizer_counts_whom_it_refuses_and_why_it_cannot_tell(
    aws, context, printed, monkeypatch, *, secret, shown, metric
):
    if secret is None:
        replaced(monkeypatch, "client_keys", None)
    else:
        aws.secrets.put_secret_value(SecretId="client-keys", SecretString=secret)

    with pytest.raises(Exception, match=r"."):
        authorize.handler({**event("authorize"), "authorizationToken": shown}, context)
    assert values(printed) == {metric: 1}


# The lines themselves


@pytest.mark.parametrize(
    ("log_level", "told"), [("DEBUG", "DEBUG"), ("INFO", "INFO"), ("WARNING", "WARN"), ("ERROR", "ERROR")]
)
def test_a_line_of_metrics_has_the_level_that_is_asked_for_or_lambda_would_drop_it(
    printed, monkeypatch, log_level, told
):
    before = telemetry.logger.log_level
    telemetry.logger.setLevel(log_level)
    try:
        telemetry.count("JobsSkipped")
    finally:
        telemetry.logger.setLevel(before)

    (line,) = lines(printed)[1]
    assert line["level"] == told
    assert datetime.fromisoformat(line["timestamp"]).tzinfo
