"""What failed for a reason that goes away is put back with one command, and nothing is paid for twice."""

import json

import pytest

from infra.local.demo import EXAMPLE
from infra.local.redrive import redrive
from infra.local.running import RunningStack

PICTURE = EXAMPLE.read_bytes()
SMALL = {"n": "2", "size": "256x256"}
WORK_SECONDS = 120.0


@pytest.fixture
def running(stack):
    """The stack as its users talk to it."""
    return RunningStack(stack.local.description)


def set_provider_key(stack, key):
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack["provider_secret"], SecretString=json.dumps({"apiKey": key})
    )


def put_back(running):
    """Redrive, and wait until everything is worked off."""
    count = redrive(running)
    for _ in running.work_off(WORK_SECONDS):
        pass
    return count


def test_jobs_that_a_wrong_key_made_fail_are_made_once_the_key_is_right(stack, running):
    set_provider_key(stack, "sk-outdated")
    set_provider_key(stack, "sk-wrong")  # and so the one before is no better
    try:
        failed = stack.vary_all([(f"redrive/{number}.jpg", PICTURE) for number in range(3)])
    finally:
        set_provider_key(stack, "sk-local")
    assert {manifest["error"]["code"] for manifest in failed} == {"provider_denied"}
    stack.wait_until(lambda: running.waiting("dead_letter_queue_url") == 3)

    assert put_back(running) == 3

    made = [running.read_manifest(key) for key in running.manifests("uploads/redrive/")]
    assert [manifest["state"] for manifest in made] == ["succeeded"] * 3
    assert running.waiting("dead_letter_queue_url") == 0


def test_pictures_beyond_the_budget_are_made_when_there_is_one_again(stack, running):
    stack.reload(DailyImageLimitPerCaller="3")
    try:
        first = stack.vary("budget/first.jpg", PICTURE, **SMALL)
        second = stack.vary("budget/second.jpg", PICTURE, **SMALL)
        assert (first["state"], second["state"]) == ("succeeded", "failed")
        assert second["error"]["code"] == "budget_exhausted"
        assert len(stack.calls()) == 1
    finally:
        stack.reload(DailyImageLimitPerCaller="0")
    stack.wait_until(lambda: running.waiting("dead_letter_queue_url") == 1)

    put_back(running)

    (made,) = stack.manifests("uploads/budget/second.jpg")
    assert (made["state"], len(made["results"])) == ("succeeded", 2)
    assert len(stack.calls()) == 2


def test_with_calls_stopped_jobs_wait_and_nothing_is_paid(stack, running):
    stack.reload(ProviderCalls="stopped")
    try:
        stack.upload("stopped.jpg", PICTURE, **SMALL)
        stack.wait_until(lambda: "CallsStopped" in stack.local.emulator.last_lines(50))
        assert running.waiting() == 1
    finally:
        stack.reload(ProviderCalls="allowed")
    assert stack.calls() == []
    assert not stack.manifests("uploads/stopped.jpg")
    stack.sqs.purge_queue(QueueUrl=stack["jobs_queue_url"])
