"""What a job may cost and how long it may take, who may begin it again, and what waits meanwhile."""

import time
from contextlib import suppress
from dataclasses import replace
from itertools import repeat

import pytest
from variations.errors import (
    BudgetExhausted,
    CallsStopped,
    ConfigurationError,
    JobRunning,
    OutOfTime,
    ProviderBusy,
    ProviderDenied,
    ProviderDown,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    StorageFailed,
)
from variations.service import CALL_SECONDS, FINISH_SECONDS, MAX_DEATHS

from tests.fakes import Sent
from tests.unit.test_fan_out import FanOut
from tests.unit.test_service import PREFIX, SECONDS, Crash, Point, World, broken, draw, paint


def slow(world, monkeypatch, seconds):
    """Let each call of a provider take so many seconds of a clock that nobody waits for."""
    now, make = [time.monotonic()], world.provider.send

    def send(call, *, deadline, take):
        now[0] += seconds
        return make(call, deadline=deadline, take=take)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(world.provider, "send", send)


# Time


def test_no_call_is_begun_with_too_little_time_left_and_the_next_delivery_asks_for_the_rest(monkeypatch):
    world = FanOut(10)
    slow(world, monkeypatch, 120.0)

    with pytest.raises(OutOfTime) as early:
        world.deliver()

    asked = len(world.asked_for)
    assert 0 < asked < 10
    assert early.value.retryable
    assert early.value.retry_after_seconds == 1
    assert world.jobs.jobs["job-1"].state == "queued"
    assert {attempt.outcome for attempt in world.attempts} == {"answered"}

    while world.jobs.jobs["job-1"].state == "queued":
        try:
            world.deliver()
        except OutOfTime:
            continue
    world.check()
    assert sorted(world.asked_for) == list(range(1, 11))
    assert world.manifest["state"] == "succeeded"


def test_a_fresh_worker_always_begins_a_call_however_short_it_lives():
    world = World()

    assert world.deliver(seconds=FINISH_SECONDS + 2).state == "succeeded"


def test_so_much_time_is_left_for_a_call_that_the_slowest_model_answers():
    assert CALL_SECONDS > 200
    assert (SECONDS - FINISH_SECONDS) / 2 > CALL_SECONDS


# The budget


def test_images_are_counted_before_they_are_paid_for_and_those_beyond_the_limit_are_not():
    world = World(daily_image_limit=2)

    job = world.deliver()

    assert (job.state, job.error) == ("failed", "budget_exhausted")
    assert world.provider.calls == []
    assert world.jobs.jobs["job-1"].attempts == ()
    assert world.budget.images == 0


def test_pictures_that_came_before_the_budget_ended_are_kept():
    world = FanOut(4, daily_image_limit=3)

    job = world.deliver()

    assert (job.state, world.manifest["error"]["code"]) == ("partial", "budget_exhausted")
    assert world.stored == [1, 2, 3]
    assert world.budget.images == 3


@pytest.mark.parametrize(
    ("step", "counted"),
    [
        pytest.param(ProviderBusy("Later."), 0, id="busy"),
        pytest.param(ProviderUnreachable("No connection."), 0, id="never sent"),
        pytest.param(ProviderTimeout("No answer."), 3, id="no answer"),
        pytest.param(ProviderFailed("Garbage."), 3, id="garbage"),
        pytest.param(Sent((draw(), draw())), 2, id="two of three came"),
    ],
)
def test_what_was_surely_not_billed_is_taken_off_the_count(step, counted):
    world = World([step], daily_image_limit=100)

    with suppress(ProviderBusy, ProviderUnreachable):
        world.deliver()

    assert world.budget.images == counted


def test_a_call_that_could_not_be_put_on_record_is_not_counted():
    world = World(daily_image_limit=100)

    with broken(world, Point("jobs", "record_attempt"), StorageFailed("Down.")), pytest.raises(StorageFailed):
        world.deliver()

    assert (world.budget.images, world.provider.calls) == (0, [])


# The brake and the breaker


def test_with_calls_stopped_a_job_waits_untouched():
    world = World(provider_calls="stopped")

    with pytest.raises(CallsStopped) as stopped:
        world.deliver()

    assert stopped.value.retry_after_seconds == 900
    assert world.jobs.jobs == {}


def test_with_the_circuit_open_a_job_waits_and_no_attempt_is_used_up():
    world = World()

    def refuse(work):
        raise ProviderDown("It is down.", retry_after_seconds=60)

    with pytest.raises(ProviderDown):
        world.deliver(guard=refuse)

    assert (world.jobs.jobs["job-1"].state, world.outcomes) == ("queued", [])
    assert world.deliver().state == "succeeded"


# Workers that die


def test_a_job_over_which_workers_die_time_and_again_fails_and_says_so():
    world = World(max_attempts=100)
    for _ in range(MAX_DEATHS):
        with broken(world, Point("storage", "fetch_source", before=False), Crash()), pytest.raises(Crash):
            world.deliver()
        world.end_lease()

    job = world.deliver()

    assert (job.state, job.error) == ("failed", "worker_died")
    assert f"{MAX_DEATHS} workers died" in world.manifest["error"]["message"]
    assert world.aside == []


def test_a_job_that_is_put_back_in_peace_is_no_death():
    world = World([ProviderBusy("Later.")] * 20 + [paint])
    for _ in range(20):
        with pytest.raises(ProviderBusy):
            world.deliver()

    assert world.deliver().state == "succeeded"
    assert world.jobs.jobs["job-1"].deaths == 0


# Failed jobs that can be put back


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        (ProviderDenied("Wrong key."), True),
        (ProviderFailed("Garbage."), True),
        (ProviderTimeout("No answer."), True),
        (BudgetExhausted("Used up."), True),
        (ProviderRefused("No."), False),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_the_order_of_a_job_that_failed_for_a_reason_that_may_go_away_is_kept_with_the_reason(error, is_kept):
    world = World([error])

    world.deliver()
    world.deliver()

    kept = [(replace(world.order, redrive=1), error.message)]
    assert world.aside == (kept if is_kept else [])


def test_the_order_of_a_job_that_somebody_waits_for_is_not_kept():
    world = World([ProviderDenied("Wrong key.")])
    world.order = replace(world.order, complete=True, options={"n": 1})

    world.deliver()

    assert world.aside == []


def test_a_failed_job_that_is_put_back_pays_only_for_what_is_not_stored_and_is_told_again():
    world = FanOut(2, {1: [], 2: [ProviderFailed("Down."), ProviderFailed("Down.")]})
    world.failures[1] = [ProviderFailed("Down.")]
    assert world.deliver().state == "failed"
    (kept, _), *_ = world.aside
    world.order = kept
    world.failures = {2: [ProviderBusy("Later.")]}

    with pytest.raises(ProviderBusy):
        world.deliver()
    assert world.stored == [1]
    assert world.deliver().state == "succeeded"

    assert world.wrong == []
    assert [event["DetailType"] for event in world.events] == ["Variations Failed", "Variations Completed"]


def test_an_order_that_was_put_back_begins_its_job_once_however_often_it_comes():
    world = World([ProviderDenied("Wrong key."), ProviderDenied("Still wrong."), paint])
    world.deliver()
    world.order = world.aside[0][0]

    for _ in range(3):
        assert world.deliver().state == "failed"

    assert len(world.provider.calls) == 2
    world.order = world.aside[-1][0]
    assert world.order.redrive == 2
    assert world.deliver().state == "succeeded"


def test_attempts_from_before_it_was_put_back_do_not_count():
    world = World([ProviderFailed("500.", retryable=True)] * 2 + [paint])
    with pytest.raises(ProviderFailed):
        world.deliver()
    assert world.deliver().error == "provider_failed"
    world.order = world.aside[0][0]

    assert world.deliver().state == "succeeded"
    assert [attempt["number"] for attempt in world.manifest["attempts"]] == [1, 2, 3]


def test_a_job_that_ended_well_is_not_begun_again_by_anything():
    world = World()
    world.deliver()
    world.order = replace(world.order, redrive=7)

    world.deliver()

    assert len(world.provider.calls) == 1


# Messages that come when all is over


def test_a_late_message_finds_what_was_done_before_its_record_expired():
    world = World()
    world.deliver()
    before = world.manifest
    world.jobs.jobs.clear()
    world.jobs.leases.clear()

    job = world.deliver(late=True)

    assert (job.state, len(world.provider.calls)) == ("succeeded", 1)
    assert world.manifest == before


def test_a_job_that_was_put_back_is_not_taken_for_the_failure_it_was_however_late_it_comes():
    world = World(daily_image_limit=2)
    world.deliver()
    world.order, world.budget.limit = world.aside[0][0], 0

    assert world.deliver(late=True).state == "succeeded"


def test_a_failure_whose_worker_died_before_it_told_is_told_by_a_late_message():
    world = World([ProviderDenied("Wrong key.")])
    with broken(world, Point("jobs", "finish"), Crash()), pytest.raises(Crash):
        world.deliver()
    world.jobs.jobs.clear()
    world.jobs.leases.clear()

    assert world.deliver(late=True).error == "provider_denied"

    assert [event["DetailType"] for event in world.events] == ["Variations Failed"]
    assert len(world.aside) == 1


def test_a_late_message_asks_only_for_what_is_not_stored():
    world = FanOut(3)
    with broken(world, Point("storage", "store_manifest"), Crash()), pytest.raises(Crash):
        world.deliver()
    world.jobs.jobs.clear()
    world.jobs.leases.clear()
    del world.storage.buckets["results"][f"{PREFIX}/variation-02.png"]

    assert world.deliver(late=True).state == "succeeded"

    assert world.asked_for[3:] == [2]


def test_a_message_in_time_does_not_look_for_what_cannot_be_there():
    world = World(repeat(paint))
    seen = []
    world.storage.list_results = lambda prefix: seen.append(prefix) or {}

    world.deliver()

    assert seen == []


def test_a_job_over_which_the_worker_stumbles_is_released_at_once_and_fails_in_the_end():
    world = World()
    for _ in range(MAX_DEATHS):
        with broken(world, Point("storage", "fetch_source"), ZeroDivisionError()), pytest.raises(ZeroDivisionError):
            world.deliver()
        assert world.jobs.jobs["job-1"].state == "queued"

    assert world.deliver().error == "worker_died"


def test_calls_that_failed_before_our_key_was_read_do_not_use_up_a_job():
    world = World([StorageFailed("Secrets Manager failed.")] * 5 + [paint], daily_image_limit=3)
    for _ in range(5):
        with pytest.raises(StorageFailed):
            world.deliver()

    assert world.deliver().state == "succeeded"
    assert world.budget.images == 3


def test_a_job_whose_manifest_may_not_be_stored_waits_with_what_it_has():
    world = World()
    denied = ConfigurationError("Denied.")
    with broken(world, Point("storage", "store_manifest"), denied), pytest.raises(ConfigurationError):
        world.deliver()

    assert world.jobs.jobs["job-1"].state == "queued"
    assert (world.deliver().state, len(world.provider.calls)) == ("succeeded", 1)


def test_a_job_given_up_for_its_dead_workers_keeps_the_pictures_it_has():
    world = FanOut(4, max_attempts=100)
    with broken(world, Point("storage", "store_result", nth=3), Crash()), pytest.raises(Crash):
        world.deliver()
    for _ in range(MAX_DEATHS - 1):
        world.end_lease()
        with broken(world, Point("storage", "fetch_source"), Crash()), pytest.raises(Crash):
            world.deliver()
    world.end_lease()

    assert world.deliver().state == "partial"

    assert world.manifest["error"]["code"] == "worker_died"
    assert len(world.manifest["results"]) == 2


def test_clocks_that_differ_by_half_a_minute_let_no_second_worker_in_while_a_call_is_under_way():
    def answer_at_the_last_moment(call):
        fast_clock = FINISH_SECONDS - 1
        world.clock.now += SECONDS - FINISH_SECONDS + fast_clock
        with pytest.raises(JobRunning):
            world.jobs.begin(world.order, lease_seconds=SECONDS)
        world.clock.now -= fast_clock
        return paint(call)

    world = World([answer_at_the_last_moment])

    assert world.deliver().state == "succeeded"
