"""The manifest tells what became of a job, with every field whatever became of it."""

import json
from dataclasses import replace

import pytest
from variations.errors import ProviderFailed, SourceNotFound
from variations.manifest import Work, add_usage, write_manifest
from variations.model import (
    Adjustment,
    Attempt,
    Job,
    Order,
    Picture,
    SourceLocation,
    SourceObject,
    Variation,
    VariationRequest,
)

LOCATION = SourceLocation("pictures", "uploads/cat.png", version_id="v1", etag="e1")
JOB = Job(
    Order("j1", LOCATION, "uploads/cat.png/j1", caller="s3:upload"), run="r1", state="running", created_at=1_800_000_000
)
NEW_YEAR = 1_798_761_600  # 2027-01-01 00:00 UTC


def variation(number):
    return Variation(f"p/variation-{number:02}.png", "image/png", 100 + number, 64, 48, f"sha{number}")


def work(*, asked=3, made=(), outcomes=()):
    attempts = tuple(Attempt(number, (1,), 5, outcome) for number, outcome in enumerate(outcomes, 1))
    request = VariationRequest("gpt-image-2", n=asked) if asked else None
    results = {number: variation(number) for number in made}
    return Work(replace(JOB, attempts=attempts), request=request, results=results)


def written(done, error=None, finished_at=NEW_YEAR):
    manifest = write_manifest(done, error, finished_at)
    json.dumps(manifest)  # whatever is in it can be stored
    return manifest


@pytest.mark.parametrize(
    ("made", "missing", "state"),
    [
        ((), [1, 2, 3], "failed"),
        ((2,), [1, 3], "partial"),
        ((1, 2), [3], "partial"),
        ((1, 2, 3), [], "succeeded"),
    ],
    ids=["none", "one", "two", "all"],
)
def test_a_job_ends_by_how_many_variations_are_stored(made, missing, state):
    done = work(made=made)

    assert (done.missing, done.state) == (missing, state)
    assert written(done)["state"] == state


def test_a_job_whose_request_could_not_be_read_lacks_nothing_and_failed():
    done = work(asked=0)

    assert (done.missing, done.state) == ([], "failed")


@pytest.mark.parametrize(
    ("outcomes", "lost"),
    [
        ((), 0),
        (("provider_busy", "provider_unreachable"), 0),
        (("answered",), 1),
        ((None,), 1),
        (("invalid_request",), 0),
        (("provider_timeout", "provider_failed", "provider_busy", "provider_refused"), 3),
    ],
    ids=["none", "surely free", "answered", "never came back", "never sent", "mixed"],
)
def test_every_call_for_a_variation_counts_that_was_not_surely_free(outcomes, lost):
    assert work(outcomes=outcomes).calls_lost(1) == lost


def test_calls_for_other_variations_do_not_count_for_one():
    attempts = (
        Attempt(1, (1, 2), 5, "provider_failed"),
        Attempt(2, (2, 3), 6, None),
        Attempt(3, (2,), 7, "provider_busy"),
    )
    done = Work(replace(JOB, attempts=attempts), request=VariationRequest("gpt-image-2", n=4))

    assert [done.calls_lost(number) for number in (1, 2, 3, 4)] == [1, 2, 1, 0]


def test_a_manifest_of_a_finished_job_tells_everything():
    job = replace(
        JOB,
        attempts=(
            Attempt(1, (1, 2), 1_800_000_001, "provider_busy", milliseconds=346),
            Attempt(2, (1, 2), 1_800_000_031, "answered", "req-7", 12_000),
        ),
        order=replace(JOB.order, request_id="s3-request-9"),
    )
    done = Work(
        job,
        source=SourceObject(LOCATION, b"12345", "e2", {"n": "2"}),
        source_bytes=7,
        picture=Picture(b"1234567", "image/png", 640, 480),
        request=VariationRequest("gpt-image-2", n=2, quality="hd", user="ann"),
        dialect="edits",
        dialect_reason="OpenAI, by its host",
        adjustments=(Adjustment("quality", "hd", "high", "mapped"),),
        warnings=["The option 'seed' is not known and was ignored."],
        results={2: variation(2), 1: variation(1)},
        usage={"total_tokens": 9},
    )

    assert written(done) == {
        "job_id": "j1",
        "state": "succeeded",
        "caller": "s3:upload",
        "options": {},
        "request": {
            "model": "gpt-image-2",
            "n": 2,
            "size": "1024x1024",
            "response_format": "url",
            "quality": "hd",
            "style": None,
            "user": "ann",
            "prompt": None,
            "strength": "balanced",
            "output_format": "png",
            "simplify": False,
        },
        "source": {
            "bucket": "pictures",
            "key": "uploads/cat.png",
            "version_id": "v1",
            "etag": "e2",
            "content_type": "image/png",
            "bytes": 7,
            "width": 640,
            "height": 480,
        },
        "model": "gpt-image-2",
        "dialect": "edits",
        "dialect_reason": "OpenAI, by its host",
        "request_id": "s3-request-9",
        "provider_request_ids": ["req-7"],
        "adjustments": [{"parameter": "quality", "asked": "hd", "sent": "high", "why": "mapped"}],
        "warnings": ["The option 'seed' is not known and was ignored."],
        "results": [
            {
                "key": f"p/variation-0{number}.png",
                "content_type": "image/png",
                "bytes": 100 + number,
                "width": 64,
                "height": 48,
                "sha256": f"sha{number}",
            }
            for number in (1, 2)
        ],
        "usage": {"total_tokens": 9},
        "attempts": [
            {
                "number": 1,
                "variations": (1, 2),
                "started_at": 1_800_000_001,
                "outcome": "provider_busy",
                "request_id": None,
                "milliseconds": 346,
            },
            {
                "number": 2,
                "variations": (1, 2),
                "started_at": 1_800_000_031,
                "outcome": "answered",
                "request_id": "req-7",
                "milliseconds": 12_000,
            },
        ],
        "timings": {
            "created": 1_800_000_000,
            "created_at": "2027-01-15T08:00:00+00:00",
            "finished_at": "2027-01-01T00:00:00+00:00",
            "provider_seconds": 12.346,
        },
        "error": None,
    }


def test_a_manifest_of_a_job_that_failed_at_once_has_the_same_fields():
    failed = written(Work(JOB), SourceNotFound("It is gone.", param="source"))

    assert failed.keys() == written(work(made=(1, 2, 3))).keys()
    assert failed["source"] == {
        "bucket": "pictures",
        "key": "uploads/cat.png",
        "version_id": "v1",
        "etag": "e1",
        "content_type": None,
        "bytes": None,
        "width": None,
        "height": None,
    }
    unknown = {"request": None, "model": None, "dialect": None, "dialect_reason": None, "request_id": None}
    assert {name: failed[name] for name in unknown} == unknown
    assert failed["results"] == []
    assert failed["error"] == {"code": "source_not_found", "message": "It is gone.", "param": "source"}


def test_a_job_that_succeeded_in_part_says_why_and_keeps_what_it_has():
    partial = written(work(made=(2,)), ProviderFailed("The rest is lost."))

    assert (partial["state"], partial["error"]["code"]) == ("partial", "provider_failed")
    assert [result["sha256"] for result in partial["results"]] == ["sha2"]


def test_a_manifest_holds_no_bytes_of_any_picture():
    done = replace(work(made=(1,)), source=SourceObject(LOCATION, b"PIXELS", "e1", {"prompt": "PIXELS"}))

    assert "PIXELS" not in json.dumps(written(done))


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (None, None, None),
        ({"total_tokens": 1}, None, {"total_tokens": 1}),
        (None, {"total_tokens": 1}, {"total_tokens": 1}),
        ({"total_tokens": 1, "cost": 0.5}, {"total_tokens": 2, "cost": 0.25}, {"total_tokens": 3, "cost": 0.75}),
        ({"input": {"image": 1, "text": 2}}, {"input": {"image": 10}}, {"input": {"image": 11, "text": 2}}),
        ({"input_tokens": 1}, {"output_tokens": 2}, {"input_tokens": 1, "output_tokens": 2}),
        ({"size": "1x1", "cached": True, "n": None}, {"size": "2x2", "cached": False, "n": 3}, None),
        ({"tokens": {"image": 1}}, {"tokens": 7}, {"tokens": 7}),
    ],
    ids=[
        "of neither",
        "of the first",
        "of the second",
        "numbers",
        "numbers inside",
        "of different things",
        "no numbers",
        "of different shapes",
    ],
)
def test_what_two_calls_used_adds_up_and_the_later_one_says_the_rest(one, other, together):
    assert add_usage(one, other) == (together or other)
