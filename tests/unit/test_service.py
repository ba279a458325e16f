"""A job is brought to its end whatever happens on the way, and never pays for the same picture twice.

A crash is an exception that nobody in the package catches, raised by a part around one of its methods: what was
written until then stays written, as when a container dies. The order is then delivered again after the lease of
the dead worker has ended.
"""

import io
import json
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count, repeat

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from variations.errors import (
    JobRunning,
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    StorageFailed,
)
from variations.interpreter import Interpreter
from variations.model import ImageModel, Listing, Order, SourceLocation
from variations.service import FINISH_SECONDS, Service, unguarded
from variations.settings import Settings

from tests.fakes import Clock, FakeBudget, FakeJobs, FakeProvider, FakeStorage, OneByOne, Sent

SECONDS = 600.0
KEY = "a b+c%20ü(1).png"
PREFIX = f"{KEY}/job-1"
MODEL = "local-style-transfer"


def draw(size=(48, 32), colour="teal", file_format="PNG", mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, file_format)
    return buffer.getvalue()


def decode(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.format, image.size


def asked_of(call):
    return int(call.fields.get("n", 1))


def paint(call, file_format="PNG"):
    """Answer a call as a good provider does, with as many pictures of the size as it asks for."""
    width, _, height = call.fields["size"].partition("x")
    size = (int(width), int(height)) if height else (80, 60)
    pictures = [draw(size, (number * 20, 99, 99), file_format) for number in range(asked_of(call))]
    return Sent(tuple(pictures), "req_1", {"total_tokens": 7})


class World:
    """Everything around a service, which is made anew for each delivery as in a new container."""

    def __init__(self, script=None, known=None, **chosen):
        self.clock = Clock()
        self.known = known
        self.provider = FakeProvider(repeat(paint) if script is None else script)
        self.storage = FakeStorage()
        self.jobs = FakeJobs(self.clock)
        self.budget = FakeBudget(chosen.get("daily_image_limit", 0))
        self.events, self.aside = [], []
        self.settings = make_settings(**chosen)
        self.order = self.upload()

    def upload(self, content=draw(), **options):  # noqa: B008 - bytes never change
        options = {"n": "3", "size": "64x64", **options}
        metadata = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
        stored = self.storage.put("uploads", KEY, content, "image/png", metadata)
        self.order = Order("job-1", SourceLocation("uploads", KEY, stored.version_id, stored.etag), PREFIX, "s3")
        return self.order

    def publish(self, event):
        self.events.append(event)

    def put_aside(self, order, reason):
        self.aside.append((order, reason))

    def deliver(self, *, seconds=SECONDS, late=False, guard=unguarded):
        interpreter = Interpreter(self.provider, self.known, self.settings.provider_dialect, self.clock)
        parts = (interpreter, self.storage, self.jobs, self.budget, self.publish, self.put_aside, self.settings)
        service = Service(*parts, guard=guard, clock=self.clock, storing=OneByOne())
        return service.process(self.order, seconds=seconds, late=late)

    def end_lease(self):
        self.clock.now += SECONDS + 1

    @property
    def asked(self):
        """How many pictures each paid call asked for."""
        return [asked_of(call) for call in self.provider.calls]

    @property
    def outcomes(self):
        return [attempt.outcome for attempt in self.jobs.jobs["job-1"].attempts]

    @property
    def manifest(self):
        return self.storage.read_manifest(PREFIX)

    @property
    def stored(self):
        return sorted(self.storage.list_results(PREFIX))

    def colour(self, number):
        """The colour of a stored picture's corner."""
        with Image.open(
            io.BytesIO(self.storage.get("results", f"{PREFIX}/variation-{number:02}.png").content)
        ) as image:
            return image.convert("RGB").getpixel((0, 0))


def make_settings(**chosen):
    usual = {
        "provider_base_url": "https://api.example.com/v1",
        "provider_dialect": "auto",
        "provider_secret": "provider",
        "client_keys_secret": "clients",
        "default_model": MODEL,
        "default_size": "1024x1024",
        "upload_variations": 4,
        "max_source_bytes": 1_000_000,
        "max_source_megapixels": 1,
        "source_metadata": "strip",
        "result_metadata": "keep",
        "max_attempts": 2,
        "daily_image_limit": 0,
        "daily_image_limit_per_caller": 0,
        "requests_per_minute": 0,
        "provider_calls": "allowed",
        "result_expiration_days": 30,
        "results_bucket": "results",
        "jobs_table": "jobs",
        "event_bus": "events",
        "jobs_queue_url": "https://queue.example.com/jobs",
        "dead_letter_queue_url": "https://queue.example.com/dead-letters",
        "uploads_bucket": "uploads",
        "watched_bucket": "",
        "upload_prefix": "uploads/",
        "allowed_source_buckets": (),
        "allowed_source_hosts": (),
        "api_timeout_seconds": 29,
        "cors_origin": "",
    }
    return Settings(**{**usual, **chosen})


class Crash(BaseException):
    """The worker is gone."""


@dataclass(frozen=True)
class Point:
    """A moment in the life of a worker: around the n-th call of a method."""

    part: str
    method: str
    nth: int = 1
    before: bool = True

    def __str__(self):
        return f"{'before' if self.before else 'after'} {self.part}.{self.method} {self.nth}"


@contextmanager
def broken(world: World, point: Point, failure: BaseException):
    """Raise `failure` at a point, once."""
    part = world if point.part == "world" else getattr(world, point.part)
    method = getattr(part, point.method)
    numbers = count(1)

    def run(*arguments, **named):
        fatal = next(numbers) == point.nth
        if fatal and point.before:
            raise failure
        answer = method(*arguments, **named)
        if fatal:
            raise failure
        return answer

    setattr(part, point.method, run)
    try:
        yield
    finally:
        delattr(part, point.method)


# A job that goes well


def test_a_job_ends_with_its_pictures_its_manifest_and_one_event():
    world = World()

    job = world.deliver()

    assert (job.state, world.asked, world.outcomes) == ("succeeded", [3], ["answered"])
    assert world.stored == [1, 2, 3]
    assert [decode(world.storage.get("results", result["key"]).content) for result in world.manifest["results"]] == [
        ("PNG", (64, 64))
    ] * 3
    assert [event["DetailType"] for event in world.events] == ["Variations Completed"]


def test_the_manifest_tells_what_was_asked_and_what_came_of_it():
    world = World()
    world.upload(user="ada", frobnicate="yes")

    world.deliver()

    manifest = world.manifest
    assert (manifest["job_id"], manifest["state"], manifest["caller"]) == ("job-1", "succeeded", "s3")
    assert (manifest["model"], manifest["dialect"]) == (MODEL, "edits")
    assert manifest["dialect_reason"] == "nothing else is known of this provider"
    assert (manifest["request"]["n"], manifest["request"]["user"]) == (3, "ada")
    source = manifest["source"]
    assert (source["key"], source["version_id"]) == (KEY, world.order.source.version_id)
    assert (source["etag"], source["bytes"]) == (world.order.source.etag, len(draw()))
    assert (source["content_type"], source["width"], source["height"]) == ("image/png", 48, 32)
    assert (manifest["usage"], manifest["provider_request_ids"]) == ({"total_tokens": 7}, ["req_1"])
    assert [(a["number"], a["variations"], a["outcome"]) for a in manifest["attempts"]] == [(1, [1, 2, 3], "answered")]
    assert manifest["timings"]["created_at"] == manifest["timings"]["finished_at"] == "2026-11-22T00:00:00+00:00"
    assert manifest["warnings"] == ["The option 'frobnicate' is not known and was ignored."]
    assert manifest["error"] is None


def test_the_manifest_says_what_the_caller_knows_the_request_by():
    world = World()
    world.order = replace(world.order, request_id="caller-7")

    world.deliver()

    assert (world.manifest["request_id"], world.manifest["provider_request_ids"]) == ("caller-7", ["req_1"])


def test_the_list_of_models_is_read_once_before_anything_is_asked_or_on_record():
    world = World()
    listed_at = []
    list_models = world.provider.list_models

    def list_and_look(**named):
        listed_at.append((len(world.asked), len(world.outcomes)))
        return list_models(**named)

    world.provider.list_models = list_and_look
    world.deliver()

    assert listed_at == [(0, 0)]


def test_what_the_list_of_models_tells_of_the_provider_decides_how_it_is_asked():
    world = World()
    world.provider.listing = Listing(family="vLLM-Omni")

    world.deliver()

    assert (world.manifest["dialect"], world.manifest["dialect_reason"]) == (
        "edits_local",
        "vLLM-Omni, by its list of models",
    )


@pytest.mark.parametrize("error", [ProviderFailed("No list."), ProviderDenied("No."), ProviderTimeout("Late.")])
def test_a_provider_that_does_not_list_its_models_is_asked_all_the_same(error):
    world = World()
    world.provider.listing = error

    assert world.deliver().state == "succeeded"
    assert (world.manifest["warnings"], world.manifest["dialect"]) == ([], "edits")


def test_a_model_that_is_about_to_die_is_used_with_a_warning():
    world = World()
    world.provider.listing = Listing((ImageModel(MODEL, 0, "somebody", image=True, shutdown_date="2026-12-01"),))

    assert world.deliver().state == "succeeded"
    (warning,) = world.manifest["warnings"]
    assert f"shuts {MODEL} down on 2026-12-01" in warning


def test_a_provider_that_cannot_make_variations_is_asked_for_nothing():
    world = World()
    world.provider.listing = Listing(family="Ollama")

    assert world.deliver().state == "failed"
    assert (world.asked, world.outcomes) == ([], [])
    assert world.manifest["error"]["code"] == "configuration_error"


def test_the_event_says_where_manifest_and_pictures_lie():
    world = World()

    world.deliver()

    detail = json.loads(world.events[0]["Detail"])
    assert (detail["job_id"], detail["state"], detail["error"]) == ("job-1", "succeeded", None)
    assert (detail["source"]["bucket"], detail["source"]["key"]) == ("uploads", KEY)
    assert detail["manifest"] == {"bucket": "results", "key": f"{PREFIX}/manifest.json"}
    assert [result["key"] for result in detail["results"]] == [f"{PREFIX}/variation-0{n}.png" for n in (1, 2, 3)]


def test_every_picture_carries_its_job_and_its_model():
    world = World()
    world.upload(model="gpt-image-2.6-flare", size="1024x1024", n="1")

    world.deliver()

    metadata = world.storage.get("results", f"{PREFIX}/variation-01.png").metadata
    assert (metadata["job-id"], metadata["model"]) == ("job-1", "gpt-image-2.6-flare")


def test_what_the_upload_does_not_say_comes_from_the_settings():
    world = World(upload_variations=2, default_size="512x512", default_model="flux-kontext")
    world.upload(n=None, size=None)

    world.deliver()

    assert world.asked == [2]
    assert (world.manifest["model"], world.manifest["request"]["size"]) == ("flux-kontext", "512x512")


def test_the_provider_has_until_shortly_before_the_worker_must_end():
    world = World()

    earliest = time.monotonic() + SECONDS - FINISH_SECONDS
    world.deliver()
    latest = time.monotonic() + SECONDS - FINISH_SECONDS

    assert earliest <= world.provider.deadlines[0] <= latest


def test_a_legacy_model_is_sent_a_square_png():
    world = World()
    world.upload(model="dall-e-2", size="256x256")

    world.deliver()

    call = world.provider.calls[0]
    assert (call.path, call.picture.content_type) == ("images/variations", "image/png")
    assert decode(call.picture.content) == ("PNG", (256, 256))
    assert world.manifest["dialect"] == "variations"


@pytest.mark.parametrize(
    ("model", "size", "sent", "got"),
    [
        pytest.param("gpt-image-2.6-flare", "256x256", "1024x1024", (256, 256), id="scaled down"),
        pytest.param("gpt-image-2.6-flare", "1024x1024", "1024x1024", (1024, 1024), id="as asked"),
        pytest.param(MODEL, "96x64", "96x64", (96, 64), id="not square"),
        pytest.param(MODEL, "auto", "auto", (80, 60), id="left to the provider"),
    ],
)
def test_the_size_is_honoured_exactly(model, size, sent, got):
    world = World()
    world.upload(model=model, size=size, n="1")

    world.deliver()

    assert world.provider.calls[0].fields["size"] == sent
    (result,) = world.manifest["results"]
    assert (result["width"], result["height"]) == got
    assert decode(world.storage.get("results", result["key"]).content)[1] == got


def test_a_provider_that_ignores_the_size_gets_its_pictures_scaled():
    world = World([Sent((draw((300, 200)),))])
    world.upload(n="1")

    world.deliver()

    assert decode(world.storage.get("results", f"{PREFIX}/variation-01.png").content) == ("PNG", (64, 64))


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("answered", ["PNG", "JPEG", "WEBP"])
def test_the_format_is_honoured_whatever_the_provider_sends(answered, output_format):
    world = World([lambda call: paint(call, answered)])
    world.upload(output_format=output_format, n="1")

    world.deliver()

    key = f"{PREFIX}/variation-01.{output_format}"
    stored = world.storage.get("results", key)
    assert (decode(stored.content)[0], stored.content_type) == (output_format.upper(), f"image/{output_format}")
    assert world.manifest["results"][0]["key"] == key


def test_what_the_provider_was_not_asked_as_written_is_in_the_manifest():
    world = World()
    world.upload(model="gpt-image-2.6-flare", size="256x256", quality="hd", style="vivid", n="1")

    world.deliver()

    adjusted = {entry["parameter"]: (entry["asked"], entry["sent"]) for entry in world.manifest["adjustments"]}
    assert adjusted == {"size": ("256x256", "1024x1024"), "quality": ("hd", "high"), "style": ("vivid", None)}
    assert all(entry["why"] for entry in world.manifest["adjustments"])


# The same order again


def test_an_order_that_is_delivered_again_when_its_job_has_finished_does_nothing():
    world = World()
    world.deliver()
    finished = world.jobs.jobs["job-1"]
    world.end_lease()

    again = world.deliver()

    assert again == finished == world.jobs.jobs["job-1"]
    assert (world.asked, len(world.events)) == ([3], 1)
    assert len(world.storage.buckets["results"][f"{PREFIX}/manifest.json"]) == 1


def test_an_order_that_is_delivered_again_while_its_job_runs_does_nothing_yet():
    world = World()
    world.jobs.begin(world.order, lease_seconds=SECONDS)

    with pytest.raises(JobRunning) as running:
        world.deliver()

    assert running.value.retry_after_seconds >= SECONDS
    assert (world.asked, world.events, world.stored) == ([], [], [])


def test_a_worker_that_wakes_up_after_its_job_was_taken_over_changes_nothing():
    def sleep_too_long(call):
        world.end_lease()
        assert world.deliver().state == "succeeded"
        return Sent((draw((64, 64), "red"),) * 3, "req_late")

    world = World([sleep_too_long, paint])

    with pytest.raises(JobRunning):
        world.deliver()

    assert world.manifest["provider_request_ids"] == ["req_1"]
    assert len(world.storage.buckets["results"][f"{PREFIX}/manifest.json"]) == 1
    assert (world.outcomes, len(world.events)) == ([None, "answered"], 1)


def test_a_worker_that_wakes_up_after_its_job_has_failed_leaves_no_picture_behind():
    def sleep_too_long(call):
        world.end_lease()
        assert world.deliver().state == "failed"
        return paint(call)

    world = World([sleep_too_long], max_attempts=1)

    with pytest.raises(JobRunning):
        world.deliver()

    assert (world.stored, world.manifest["results"]) == ([], [])


def test_a_worker_whose_lease_is_over_stores_what_it_paid_for_while_nobody_else_has_the_job():
    def sleep_too_long(call):
        world.end_lease()
        return paint(call)

    world = World([sleep_too_long])

    assert world.deliver().state == "succeeded"
    assert world.stored == [1, 2, 3]


# Answers that break off


CUT = ProviderFailed("The provider closed the connection before its answer was complete.")


def cut_after(pictures, failure=CUT):
    return Sent(tuple(draw((64, 64), (20 * number, 0, 0)) for number in range(pictures)), failure=failure)


def test_the_pictures_that_came_before_an_answer_broke_off_are_kept():
    world = World([cut_after(2)])

    assert world.deliver().state == "partial"

    assert (world.asked, world.stored, world.outcomes) == ([3], [1, 2], ["provider_failed"])
    assert world.manifest["error"]["message"] == CUT.message
    assert [result["key"] for result in world.manifest["results"]] == [f"{PREFIX}/variation-0{n}.png" for n in (1, 2)]


def test_an_answer_that_breaks_off_behind_its_last_picture_has_brought_all_and_says_so_in_a_warning():
    world = World([cut_after(3)])

    assert world.deliver().state == "succeeded"

    assert (world.asked, world.stored) == ([3], [1, 2, 3])
    assert (world.manifest["error"], world.manifest["warnings"]) == (None, [CUT.message])


def test_what_an_answer_that_may_be_asked_for_again_did_not_bring_is_all_that_is_asked_for_again():
    world = World([cut_after(1, ProviderFailed("HTTP 503", retryable=True)), paint])

    with pytest.raises(ProviderFailed):
        world.deliver()
    first = world.storage.get("results", f"{PREFIX}/variation-01.png")

    assert world.deliver().state == "succeeded"
    assert (world.asked, world.stored) == ([3, 2], [1, 2, 3])
    assert world.storage.get("results", f"{PREFIX}/variation-01.png") == first


def test_a_picture_that_cannot_be_stored_does_not_keep_the_others_from_it():
    world = World([paint, paint])
    with broken(world, Point("storage", "store_result", 2), StorageFailed("S3 is down.")), pytest.raises(StorageFailed):
        world.deliver()

    assert (world.stored, world.outcomes) == ([1, 3], ["answered"])
    assert world.deliver().state == "succeeded"
    assert (world.asked, world.stored) == ([3, 1], [1, 2, 3])


def test_of_a_busy_provider_that_sent_some_pictures_only_the_others_are_taken_off_the_days_count():
    world = World([cut_after(1, ProviderBusy("Later."))], daily_image_limit=10)

    with pytest.raises(ProviderBusy):
        world.deliver()

    assert (world.stored, world.budget.images) == ([1], 1)


# Crashes

CRASHES = [  # point -> what the calls ask for in the end, and how many events go out
    (Point("jobs", "begin"), [3], 1),
    (Point("jobs", "begin", before=False), [3], 1),
    (Point("storage", "fetch_source", before=False), [3], 1),
    (Point("jobs", "record_attempt"), [3], 1),
    (Point("jobs", "record_attempt", before=False), [3], 1),
    (Point("provider", "send", before=False), [3], 1),
    (Point("jobs", "record_outcome"), [3], 1),
    (Point("jobs", "record_outcome", before=False), [3], 1),
    (Point("storage", "store_result"), [3, 3], 1),
    (Point("storage", "store_result", before=False), [3, 2], 1),
    (Point("storage", "store_result", 2, before=False), [3, 1], 1),
    (Point("storage", "store_result", 3, before=False), [3], 1),
    (Point("storage", "store_manifest"), [3], 1),
    (Point("storage", "store_manifest", before=False), [3], 1),
    (Point("jobs", "finish"), [3], 1),
    (Point("jobs", "finish", before=False), [3], 1),
    (Point("world", "publish"), [3], 1),
    (Point("world", "publish", before=False), [3], 2),
    (Point("jobs", "record_announcement"), [3], 2),
    (Point("jobs", "record_announcement", before=False), [3], 1),
]
POINTS = [point for point, _, _ in CRASHES]


@pytest.mark.parametrize(("point", "asked", "events"), [pytest.param(*row, id=str(row[0])) for row in CRASHES])
def test_a_job_whose_worker_crashed_is_brought_to_its_end_by_the_next(point, asked, events):
    world = World()
    with broken(world, point, Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    job = world.deliver()

    assert job.state == "succeeded"
    assert world.asked == asked
    assert len(world.asked) <= len(world.outcomes) <= 2
    assert [result["key"] for result in world.manifest["results"]] == [
        f"{PREFIX}/variation-0{number}.png" for number in (1, 2, 3)
    ]
    assert world.manifest["state"] == "succeeded"
    assert len(world.events) == events


def test_a_worker_that_crashes_during_the_call_is_followed_by_one_that_asks_again():
    world = World([Crash(), paint])
    with pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    assert world.deliver().state == "succeeded"
    assert (world.asked, world.outcomes) == ([3, 3], [None, "answered"])


def test_until_the_lease_of_a_crashed_worker_ends_nobody_touches_its_job():
    world = World([Crash(), paint])
    with pytest.raises(Crash):
        world.deliver()

    with pytest.raises(JobRunning):
        world.deliver()

    assert world.asked == [3]


def test_pictures_that_were_stored_before_a_crash_stay_as_they_are():
    world = World()
    with broken(world, Point("storage", "store_result", 2), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()
    first = world.storage.get("results", f"{PREFIX}/variation-01.png")

    world.deliver()

    assert world.storage.get("results", f"{PREFIX}/variation-01.png") is first


@pytest.mark.parametrize("max_attempts", [1, 2, 3])
def test_a_job_that_loses_every_paid_call_fails_after_max_attempts_of_them(max_attempts):
    world = World([Crash()] * max_attempts, max_attempts=max_attempts)
    for _ in range(max_attempts):
        with pytest.raises(Crash):
            world.deliver()
        world.end_lease()

    assert world.deliver().state == "failed"

    assert world.outcomes == [None] * max_attempts
    assert world.manifest["error"]["code"] == "provider_timeout"
    assert "MaxAttempts" in world.manifest["error"]["message"]
    assert [event["DetailType"] for event in world.events] == ["Variations Failed"]


def test_a_job_that_may_make_no_further_call_ends_with_the_pictures_it_has():
    world = World(max_attempts=1)
    with broken(world, Point("storage", "store_result", 2), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    assert world.deliver().state == "partial"

    assert (world.asked, world.stored) == ([3], [1])
    assert (len(world.manifest["results"]), world.manifest["error"]["code"]) == (1, "provider_timeout")


@settings(deadline=None, database=None, derandomize=True, max_examples=150)
@given(
    points=st.lists(st.sampled_from(POINTS), max_size=6),
    max_attempts=st.integers(1, 3),
    n=st.integers(1, 4),
)
@example(points=[Point("storage", "store_result", before=False)] * 3, max_attempts=2, n=4)
def test_however_often_workers_crash_a_job_ends_and_pays_at_most_max_attempts_times(points, max_attempts, n):
    def paint_what_is_missing(call):
        assert asked_of(call) == n - len(world.stored)
        return paint(call)

    world = World(repeat(paint_what_is_missing), max_attempts=max_attempts)
    world.upload(n=str(n))
    for point in points:
        with broken(world, point, Crash()), suppress(Crash):
            world.deliver()
        world.end_lease()
        recorded = world.jobs.jobs["job-1"].attempts if "job-1" in world.jobs.jobs else ()
        assert len(world.asked) <= len(recorded) <= max_attempts

    job = world.deliver()

    state = "succeeded" if len(world.stored) == n else "partial" if world.stored else "failed"
    assert job.state == world.manifest["state"] == state
    assert (world.manifest["error"] is None) == (state == "succeeded")
    assert [result["key"][-6:-4] for result in world.manifest["results"]] == [f"{n:02}" for n in world.stored]
    assert {json.loads(event["Detail"])["state"] for event in world.events} == {state}


def test_what_the_provider_was_not_asked_as_written_is_in_the_manifest_even_after_a_crash():
    world = World()
    world.upload(style="vivid")
    with broken(world, Point("storage", "store_manifest"), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    world.deliver()

    assert [entry["parameter"] for entry in world.manifest["adjustments"]] == ["style"]


# Failures of the provider


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ProviderBusy("Later.", retry_after_seconds=77), "provider_busy"),
        (ProviderUnreachable("No connection."), "provider_unreachable"),
        (ProviderFailed("HTTP 500", retryable=True, retry_after_seconds=77), "provider_failed"),
    ],
)
def test_an_error_that_may_be_tried_again_gives_the_job_back_at_once(error, outcome):
    world = World([error, paint])

    with pytest.raises(type(error)) as raised:
        world.deliver()

    assert raised.value is error
    assert (world.outcomes, world.events) == ([outcome], [])
    assert "manifest.json" not in str(world.storage.buckets["results"])
    assert world.deliver().state == "succeeded"
    assert (world.asked, world.outcomes) == ([3, 3], [outcome, "answered"])


@pytest.mark.parametrize(
    "error",
    [
        ProviderRefused("The provider refused the request (HTTP 400).", param="prompt"),
        ProviderDenied("The provider refused our key."),
        ModelNotFound("The provider does not know this model.", param="model"),
        ProviderTimeout("The provider did not answer in time."),
        ProviderFailed("The provider failed (HTTP 502)."),
    ],
    ids=lambda error: error.code,
)
def test_an_error_that_must_not_be_tried_again_ends_the_job_after_one_call(error):
    world = World([error])

    assert world.deliver().state == "failed"

    assert (world.outcomes, world.stored) == ([error.code], [])
    assert world.manifest["error"] == {"code": error.code, "message": error.message, "param": error.param}
    assert [event["DetailType"] for event in world.events] == ["Variations Failed"]
    assert json.loads(world.events[0]["Detail"])["error"] == world.manifest["error"]
    world.end_lease()
    assert world.deliver().state == "failed"
    assert (world.asked, len(world.events)) == ([3], 1)


@pytest.mark.parametrize("max_attempts", [1, 2, 3])
def test_a_provider_that_keeps_failing_is_asked_max_attempts_times(max_attempts):
    world = World([ProviderFailed("HTTP 500", retryable=True)] * max_attempts, max_attempts=max_attempts)
    for _ in range(max_attempts - 1):
        with pytest.raises(ProviderFailed):
            world.deliver()

    assert world.deliver().state == "failed"

    assert world.outcomes == ["provider_failed"] * max_attempts
    assert world.manifest["error"]["code"] == "provider_failed"
    assert world.deliver().state == "failed"
    assert len(world.asked) == max_attempts


@pytest.mark.parametrize("error", [ProviderBusy("Later."), ProviderUnreachable("No connection.")])
def test_calls_that_were_surely_not_billed_burn_no_attempts(error):
    world = World([error] * 7 + [paint], max_attempts=1)
    for _ in range(7):
        with pytest.raises(type(error)):
            world.deliver()

    assert world.deliver().state == "succeeded"

    assert world.outcomes == [error.code] * 7 + ["answered"]


def test_a_call_that_was_lost_counts_together_with_one_that_failed():
    world = World([Crash(), ProviderFailed("HTTP 500", retryable=True)])
    with pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    assert world.deliver().state == "failed"

    assert world.outcomes == [None, "provider_failed"]


def test_a_failure_after_some_pictures_were_stored_ends_the_job_in_part():
    world = World([paint, ProviderRefused("Moderated.")])
    with broken(world, Point("storage", "store_result", 3), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    assert world.deliver().state == "partial"

    assert (world.asked, world.stored) == ([3, 1], [1, 2])
    assert world.manifest["error"]["code"] == "provider_refused"
    assert [event["DetailType"] for event in world.events] == ["Variations Completed"]


# Answers that are not what was asked for


def test_fewer_pictures_than_asked_for_are_a_partial_job_with_a_warning():
    world = World([Sent((draw((64, 64)),) * 2)])

    assert world.deliver().state == "partial"

    assert (world.asked, world.stored) == ([3], [1, 2])
    assert world.manifest["warnings"] == ["The provider sent 2 pictures where 3 were asked for."]
    assert world.manifest["error"] is None
    assert [event["DetailType"] for event in world.events] == ["Variations Completed"]
    assert world.deliver().state == "partial"
    assert world.asked == [3]


def test_more_pictures_than_asked_for_are_not_stored():
    world = World([Sent((draw((64, 64)),) * 5)])

    assert world.deliver().state == "succeeded"

    assert world.stored == [1, 2, 3]
    assert world.manifest["warnings"] == ["The provider sent 5 pictures where 3 were asked for."]


def test_a_picture_that_cannot_be_read_is_left_out_with_a_warning():
    good = draw((64, 64))
    world = World([Sent((good, good[: len(good) // 2], b"<html>"))])

    assert world.deliver().state == "partial"

    assert world.stored == [1]
    assert [warning[:13] for warning in world.manifest["warnings"]] == ["Variation 2: ", "Variation 3: "]


def test_an_answer_of_which_nothing_can_be_read_fails_and_is_not_paid_for_again():
    world = World([Sent((b"<html>", b""), "req_1")] * 2)

    assert world.deliver().state == "failed"

    assert (world.asked, world.stored) == ([3], [])
    assert world.manifest["error"]["code"] == "provider_failed"
    assert len(world.manifest["warnings"]) >= 2
    assert world.manifest["provider_request_ids"] == ["req_1"]


# Orders that make no sense


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": "0"}, "n"),
        ({"n": "11"}, "n"),
        ({"n": "four"}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "3840x3840", "model": "gpt-image-2.6-flare"}, "size"),
        ({"size": "1040x1040", "model": "dall-e-2"}, "size"),
        ({"quality": "best"}, "quality"),
        ({"style": "cubist"}, "style"),
        ({"strength": "extreme"}, "strength"),
        ({"output_format": "gif"}, "output_format"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"user": "x" * 257}, "user"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_bad_option_fails_the_job_and_the_manifest_names_it(options, param):
    world = World()
    world.upload(**options)

    assert world.deliver().state == "failed"

    assert (world.asked, world.outcomes) == ([], [])
    error = world.manifest["error"]
    assert (error["code"], error["param"]) == ("invalid_request", param)
    assert world.manifest["results"] == []
    assert [event["DetailType"] for event in world.events] == ["Variations Failed"]


def test_a_job_without_a_model_fails_and_says_which_parameter_to_set():
    world = World(default_model="")

    world.deliver()

    assert world.manifest["error"]["param"] == "model"
    assert "DefaultModel" in world.manifest["error"]["message"]


@pytest.mark.parametrize(
    ("content", "chosen", "code"),
    [
        pytest.param(b"", {}, "unsupported_image", id="empty"),
        pytest.param(b"<svg/>", {}, "unsupported_image", id="no picture"),
        pytest.param(draw((200, 200))[:-40], {}, "unsupported_image", id="cut off"),
        pytest.param(draw(), {"max_source_bytes": 50}, "source_too_large", id="too many bytes"),
        pytest.param(draw((1001, 1000), mode="1", colour=1), {}, "source_too_large", id="too many pixels"),
    ],
)
def test_a_source_that_no_provider_should_get_fails_the_job_without_a_call(content, chosen, code):
    world = World(**chosen)
    world.upload(content)

    assert world.deliver().state == "failed"

    assert (world.manifest["error"]["code"], world.asked) == (code, [])
    assert world.manifest["source"]["key"] == KEY
    assert len(world.events) == 1


def test_a_source_that_is_gone_fails_the_job_without_a_call():
    world = World()
    world.storage.buckets["uploads"].clear()

    assert world.deliver().state == "failed"

    assert (world.manifest["error"]["code"], world.asked) == ("source_not_found", [])
    assert world.manifest["source"]["etag"] == world.order.source.etag
    assert (world.manifest["request"], world.manifest["model"]) == (None, None)


# Failures around the provider


FAILURES_BEFORE_THE_END = [
    Point("storage", "fetch_source"),
    Point("jobs", "record_attempt"),
    Point("storage", "store_result"),
    Point("storage", "store_result", 2),
]


@pytest.mark.parametrize("point", FAILURES_BEFORE_THE_END, ids=str)
def test_a_failure_of_aws_gives_the_job_back_at_once(point):
    world = World()
    with broken(world, point, StorageFailed("S3 failed.")), pytest.raises(StorageFailed):
        world.deliver()

    assert world.deliver().state == "succeeded"

    assert world.stored == [1, 2, 3]
    assert len(world.asked) <= len(world.outcomes) <= 2


def test_a_failure_of_aws_ends_no_job_even_when_no_further_call_may_be_made():
    world = World(max_attempts=1)
    with broken(world, Point("storage", "store_manifest"), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()
    with broken(world, Point("storage", "fetch_source"), StorageFailed("S3 failed.")), pytest.raises(StorageFailed):
        world.deliver()

    assert world.deliver().state == "succeeded"

    assert (world.asked, world.stored) == ([3], [1, 2, 3])


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            point,
            id=str(point),
        )
        for point in (Point("storage", "store_manifest"), Point("jobs", "finish"))
    ],
)
def test_a_failure_of_aws_at_the_very_end_gives_the_job_back_at_once(point):
    world = World()
    with broken(world, point, StorageFailed("S3 failed.")), pytest.raises(StorageFailed):
        world.deliver()

    assert world.deliver().state == "succeeded"

    assert (world.asked, len(world.events)) == ([3], 1)


@pytest.mark.parametrize("point", [Point("world", "publish"), Point("jobs", "record_announcement")], ids=str)
def test_an_event_that_could_not_be_sent_or_noted_is_sent_at_the_next_delivery(point):
    world = World()
    with broken(world, point, StorageFailed("The event bus failed.")), pytest.raises(StorageFailed):
        world.deliver()

    assert world.deliver().state == "succeeded"

    assert [json.loads(event["Detail"])["state"] for event in world.events][-1] == "succeeded"
    assert world.asked == [3]
    sent = len(world.events)
    world.deliver()
    assert len(world.events) == sent


def test_an_answer_whose_outcome_cannot_be_written_down_is_stored_all_the_same():
    world = World()
    with broken(world, Point("jobs", "record_outcome"), StorageFailed("The jobs table failed.")):
        try:
            world.deliver()
        except StorageFailed:
            world.deliver()

    assert (world.asked, world.stored) == ([3], [1, 2, 3])


def test_a_model_whose_name_no_metadata_can_hold_loses_no_paid_picture():
    world = World()
    world.upload(model="modèle")
    for _ in range(3):
        try:
            world.deliver()
        except StorageFailed:
            continue

    assert len(world.asked) <= 1
    assert world.jobs.jobs["job-1"].is_finished
