"""Three hundred uploads at once, while the provider fails and workers are shot: all arrive, and every call is known."""

import hashlib
import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.local.running import RunningStack
from tests.e2e.storm import KILLS, PICTURES, SIZE, STORM_SECONDS, VARIATIONS, draw, rage

PREFIX = "storm/"
MAX_ATTEMPTS = 5
# How the provider notes a call, by how the job's record has it.
NOTED = {"answered": "ok", "provider_failed": "server_error", "provider_busy": "rate_limit_exceeded"}


@pytest.fixture
def brave_stack(stack, short_lease):
    """The stack with all the attempts it allows, a count of the day's images, and leases that end within the test."""
    stack.reload(MaxAttempts=str(MAX_ATTEMPTS), DailyImageLimit="100000")
    short_lease()
    yield stack
    stack.reload()


def prompt(number):
    return f"Picture {number:03}"


def upload(stack, number):
    asked = {"n": str(VARIATIONS), "size": SIZE, "prompt": prompt(number)}
    return stack.upload(f"{PREFIX}{number:03}.png", draw(number), **asked)


def objects(stack):
    """What lies below the storm's prefix of the results bucket: key -> content."""
    keys = stack.results(f"{stack['upload_prefix']}{PREFIX}")
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(keys, pool.map(stack.read, keys), strict=True))


def images_counted(stack):
    """How many images the budget of the day has counted (of both days, around midnight)."""
    return sum(
        int(item["images"]) for item in stack.records() if item["job_id"].startswith("budget#") and "images" in item
    )


def jobs_of_the_storm(stack):
    """The records of the storm's jobs, each with its source's key."""
    prefix = f"{stack['upload_prefix']}{PREFIX}"
    jobs = [item for item in stack.records() if "job_order" in item]
    return [job for job in jobs if job["job_order"]["source"]["key"].startswith(prefix)]


def calls_by_prompt(stack):
    """The outcomes of the provider's calls in their order, by the prompt; None stands for calls that broke off."""
    found = defaultdict(list)
    for call in stack.calls():
        found[call["fields"].get("prompt")].append(call["outcome"])
    return found


def test_three_hundred_uploads_come_through_a_storm_and_every_paid_call_is_on_record(brave_stack):
    stack = brave_stack
    keys = [f"{stack['upload_prefix']}{PREFIX}{number:03}.png" for number in range(PICTURES)]
    dead_letters, counted = stack.waiting("dead_letter_queue_url"), images_counted(stack)

    shot = rage(stack, "process_jobs.handler", lambda number: upload(stack, number))
    for _ in RunningStack(stack.local.description).work_off(STORM_SECONDS):
        pass

    assert len(shot) == KILLS
    there, jobs, calls = objects(stack), jobs_of_the_storm(stack), calls_by_prompt(stack)
    manifests = [json.loads(content) for key, content in there.items() if key.endswith("/manifest.json")]
    assert sorted(manifest["source"]["key"] for manifest in manifests) == keys, "one manifest each"
    assert Counter(manifest["state"] for manifest in manifests) == {"succeeded": PICTURES}
    results = [result for manifest in manifests for result in manifest["results"]]
    assert len({result["key"] for result in results}) == len(results) == PICTURES * VARIATIONS
    assert all(hashlib.sha256(there[result["key"]]).hexdigest() == result["sha256"] for result in results)
    assert len(there) == len(manifests) + len(results), "nothing else lies beside them"

    assert sorted(job["job_order"]["source"]["key"] for job in jobs) == keys, "one record each"
    assert {(job["job_state"], job["announced"]) for job in jobs} == {("succeeded", True)}
    assert stack.waiting("dead_letter_queue_url") == dead_letters, "no job failed, so none is there"
    check_the_books(jobs, calls)
    paid = sum(outcomes.count("ok") for outcomes in calls.values())
    assert PICTURES <= paid <= PICTURES + KILLS, "a call is paid in vain only where a worker died"
    assert images_counted(stack) - counted >= paid * VARIATIONS, "the day's count is never too low"


def check_the_books(jobs, calls):
    """Compare each job's attempts on record with the calls that the provider saw."""
    broken_off, unseen = len(calls[None]), 0
    for job in jobs:
        number = int(job["job_order"]["source"]["key"][-7:-4])
        made = next(outcomes for asked, outcomes in calls.items() if asked and prompt(number) in asked)
        known = [NOTED[attempt["outcome"]] for attempt in job["attempts"] if attempt.get("outcome")]
        deaths = int(job.get("deaths", 0))
        if len(known) == len(job["attempts"]):
            assert made == known, "every outcome is that of one call"
        else:
            assert not Counter(known) - Counter(made), "every outcome is that of one call"
            assert len(made) <= len(job["attempts"]) <= len(known) + deaths, "no call is missing on the record"
            unseen += len(job["attempts"]) - len(made)
        assert 1 <= made.count("ok") <= min(1 + deaths, MAX_ATTEMPTS), "only a death makes a paid call come again"
    assert broken_off <= unseen, "what broke off is on record too"
