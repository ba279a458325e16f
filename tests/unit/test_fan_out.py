"""Of a provider that makes fewer pictures a call than are wanted, several calls are made side by side.

Each is on record before it is made, each brings home what it paid for whatever becomes of the others, and no
variation is asked for more often than it may be. What may cost twice is checked within the provider, for every call.
"""

import functools
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import repeat

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from variations.dialects.edits import EDITS
from variations.dialects.known import KnownProvider
from variations.errors import (
    Complaint,
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    StorageFailed,
)
from variations.rounds import CALLS_AT_ONCE

from tests.fakes import Sent
from tests.unit.test_service import PREFIX, Crash, Point, World, asked_of, broken, draw, paint

ONE_A_CALL = KnownProvider("One a call", EDITS, images_per_call=1)
NOT_BILLED = (ProviderBusy, ProviderUnreachable)


def colour_of(call):
    """The colour that stands for what a server would make of a seed."""
    return tuple(call.seed.to_bytes(4)[1:])


def answer_one(call):
    return Sent((draw((64, 64), colour_of(call)),), "req_1")


@functools.cache
def colours():
    """The colour of each variation of the job, by its number: one job that went well shows them."""
    world = World(repeat(answer_one), known=ONE_A_CALL)
    world.upload(n="10")
    assert world.deliver().state == "succeeded"
    return {world.colour(number): number for number in world.stored}


class FanOut(World):
    """A provider that makes one picture a call, and fails for a variation as often as `failures` say."""

    def __init__(self, n, failures=None, known=ONE_A_CALL, **chosen):
        super().__init__(repeat(self.make), known, **chosen)
        self.failures = {number: list(errors) for number, errors in (failures or {}).items()}
        self.asked_for, self.billed, self.wrong = [], Counter(), []
        self.upload(n=str(n))

    def make(self, call):
        number = colours()[colour_of(call)]
        self.asked_for.append(number)
        if asked_of(call) != 1:
            self.wrong.append(f"{asked_of(call)} pictures in one call")
        if f"{PREFIX}/variation-{number:02}.png" in self.storage.buckets["results"]:
            self.wrong.append(f"{number} is stored already")
        if not any(a.variations == (number,) and a.outcome is None for a in self.attempts):
            self.wrong.append(f"{number} is not on record")
        error = next(iter(self.failures.get(number, ())), None)
        if not isinstance(error, NOT_BILLED):
            self.billed[number] += 1
        if error:
            self.failures[number].remove(error)
            raise error
        return Sent((draw((64, 64), colour_of(call)),), f"req_{number}", {"total_tokens": 7})

    @property
    def attempts(self):
        return self.jobs.jobs["job-1"].attempts if "job-1" in self.jobs.jobs else ()

    @property
    def outcomes_by_number(self):
        return {number: attempt.outcome for attempt in self.attempts for number in attempt.variations}

    def check(self):
        """No money was wasted so far."""
        assert self.wrong == []
        on_record = Counter(number for a in self.attempts for number in a.variations if self.may_be_billed(a))
        for number, times in self.billed.items():
            assert times <= on_record[number] <= self.settings.max_attempts

    def may_be_billed(self, attempt):
        return attempt.outcome not in {error.code for error in NOT_BILLED}


# A job that goes well


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10])
def test_n_pictures_are_n_calls_each_on_record_before_it_is_made(n):
    world = FanOut(n)

    assert world.deliver().state == "succeeded"

    world.check()
    assert sorted(world.asked_for) == world.stored == list(range(1, n + 1))
    assert [attempt.variations for attempt in world.attempts] == [(number,) for number in world.stored]
    assert world.outcomes == ["answered"] * n
    assert world.manifest["provider_request_ids"] == [f"req_{number}" for number in world.stored]
    assert world.manifest["usage"] == {"total_tokens": 7 * n}


def test_every_picture_is_stored_under_the_number_it_was_asked_for():
    world = FanOut(10)

    world.deliver()

    assert [colours()[world.colour(number)] for number in world.stored] == world.stored


def test_every_variation_has_a_seed_of_its_own():
    world = FanOut(10)

    world.deliver()

    assert len({call.seed for call in world.provider.calls}) == 10
    assert all(0 <= call.seed < 2**31 for call in world.provider.calls)


def test_the_same_variation_asked_for_again_has_the_same_seed():
    world = FanOut(3, {2: [ProviderBusy("Later.")]})
    with pytest.raises(ProviderBusy):
        world.deliver()

    world.deliver()

    assert Counter(world.asked_for) == {1: 1, 2: 2, 3: 1}
    assert sorted(Counter(call.seed for call in world.provider.calls).values()) == [1, 1, 2]


def test_another_job_starts_from_other_seeds():
    one, other = FanOut(3), World(known=ONE_A_CALL)
    other.order = replace(other.order, job_id="job-2")

    one.deliver()
    other.deliver()

    assert not {call.seed for call in one.provider.calls} & {call.seed for call in other.provider.calls}


def test_what_a_call_for_several_pictures_did_not_bring_is_asked_for_with_another_seed():
    world = World()
    with broken(world, Point("storage", "store_result", 2), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    world.deliver()

    assert world.asked == [3, 2]
    assert len({call.seed for call in world.provider.calls}) == 2


@pytest.mark.parametrize(
    ("most", "n", "asked"), [(1, 3, [1, 1, 1]), (4, 10, [2, 4, 4]), (4, 4, [4]), (8, 10, [2, 8]), (10, 10, [10])]
)
def test_as_few_calls_are_made_as_the_provider_makes_of_it(most, n, asked):
    world = World(known=replace(ONE_A_CALL, images_per_call=most))
    world.upload(n=str(n))

    assert world.deliver().state == "succeeded"

    assert sorted(world.asked) == asked
    assert sorted(number for a in world.manifest["attempts"] for number in a["variations"]) == list(range(1, n + 1))


# Side by side


def test_calls_are_made_side_by_side_but_never_more_than_the_limit_at_once():
    together, lock = threading.Barrier(CALLS_AT_ONCE, timeout=30), threading.Lock()
    now, most = 0, 0

    def count(call):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()  # nobody goes on alone
        with lock:
            now -= 1
        return paint(call)

    world = World(repeat(count), known=ONE_A_CALL)
    world.upload(n=str(3 * CALLS_AT_ONCE))

    assert world.deliver().state == "succeeded"

    assert (most, len(world.asked)) == (CALLS_AT_ONCE, 3 * CALLS_AT_ONCE)


def test_a_call_is_on_record_as_ended_only_when_it_has_ended():
    first_is_on_record = threading.Event()

    def answer_in_turn(call):
        if colours()[colour_of(call)] != 1:
            first_is_on_record.wait(timeout=30)
            open_or_not.append(world.outcomes)
        return paint(call)

    open_or_not = []
    world = World(repeat(answer_in_turn), known=ONE_A_CALL)
    world.upload(n="2")
    record_outcome = world.jobs.record_outcome

    def record_and_tell(*arguments):
        recorded = record_outcome(*arguments)
        first_is_on_record.set()
        return recorded

    world.jobs.record_outcome = record_and_tell

    assert world.deliver().state == "succeeded"
    assert open_or_not == [["answered", None]]
    assert world.outcomes == ["answered", "answered"]


def test_calls_side_by_side_learn_the_same_thing_from_their_refusals():
    def refuse_users(call):
        if "user" in call.fields:
            error = ProviderRefused("The provider refused the request (HTTP 400).")
            error.complaint = Complaint("Unknown parameter: 'user'.", param="user", status=400)
            raise error
        return paint(call)

    world = World(repeat(refuse_users), known=ONE_A_CALL)
    world.upload(n="5", user="ada")

    assert world.deliver().state == "succeeded"

    assert world.outcomes == ["answered"] * 5
    assert len([call for call in world.provider.calls if "user" not in call.fields]) == 5
    assert len([call for call in world.provider.calls if "user" in call.fields]) <= CALLS_AT_ONCE
    assert [change["parameter"] for change in world.manifest["adjustments"]] == ["user"]


# One of them fails


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    "error",
    [
        ProviderBusy("Later.", retry_after_seconds=77),
        ProviderUnreachable("No connection."),
        ProviderFailed("HTTP 500", retryable=True),
    ],
    ids=lambda error: error.code,
)
def test_of_a_call_that_may_be_made_again_only_the_missing_picture_is_asked_for_again(error, number):
    world = FanOut(3, {number: [error]})

    with pytest.raises(type(error)) as raised:
        world.deliver()

    assert raised.value is error
    assert (world.jobs.jobs["job-1"].state, world.events) == ("queued", [])
    assert world.stored == [other for other in (1, 2, 3) if other != number]
    assert world.outcomes_by_number == {1: "answered", 2: "answered", 3: "answered", number: error.code}
    before = len(world.asked_for)
    assert world.deliver().state == "succeeded"
    assert world.asked_for[before:] == [number]
    assert world.stored == [1, 2, 3]
    world.check()


def test_when_a_call_may_be_made_again_the_rounds_after_it_wait_for_the_next_delivery():
    world = FanOut(7, {2: [ProviderBusy("Later.")]})

    with pytest.raises(ProviderBusy):
        world.deliver()

    assert (sorted(world.asked_for), world.stored) == ([1, 2, 3], [1, 3])
    assert world.deliver().state == "succeeded"
    assert Counter(world.asked_for) == {**dict.fromkeys(range(1, 8), 1), 2: 2}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    "error",
    [
        ProviderRefused("The provider finds the picture or the prompt unacceptable."),
        ProviderTimeout("The provider did not answer in time."),
        ProviderFailed("The provider failed (HTTP 502)."),
        ProviderDenied("The provider refused our key."),
        ModelNotFound("The provider does not know this model.", param="model"),
    ],
    ids=lambda error: error.code,
)
def test_a_call_that_must_not_be_made_again_ends_the_job_with_what_its_round_brought(error, number):
    world = FanOut(5, {number: [error]})

    assert world.deliver().state == "partial"

    assert sorted(world.asked_for) == [1, 2, 3], "no further round"
    assert world.stored == [other for other in (1, 2, 3) if other != number]
    assert world.outcomes_by_number == {1: "answered", 2: "answered", 3: "answered", number: error.code}
    assert world.manifest["error"] == {"code": error.code, "message": error.message, "param": error.param}
    assert [event["DetailType"] for event in world.events] == ["Variations Completed"]
    assert world.deliver().state == "partial"
    assert len(world.asked_for) == 3


def test_a_job_all_of_whose_calls_fail_is_failed():
    world = FanOut(3, {number: [ProviderRefused("Moderated.")] for number in (1, 2, 3)})

    assert world.deliver().state == "failed"

    assert world.outcomes == ["provider_refused"] * 3
    assert world.manifest["error"]["code"] == "provider_refused"


def test_the_providers_name_for_a_call_that_failed_is_on_record_too():
    error = ProviderRefused("Moderated.")
    error.provider_request_id = "req_refused"
    world = FanOut(3, {2: [error]})

    world.deliver()

    assert sorted(world.manifest["provider_request_ids"]) == ["req_1", "req_3", "req_refused"]


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_refusal_beside_a_busy_provider_is_heard_out_at_most_max_attempts_times(max_attempts):
    world = FanOut(3, {2: [ProviderRefused("Moderated.")] * 2, 3: [ProviderBusy("Later.")]}, max_attempts=max_attempts)
    with pytest.raises(ProviderBusy):
        world.deliver()
    assert world.stored == [1]

    assert world.deliver().state == "partial"

    assert world.stored == [1, 3]
    assert world.billed[2] == max_attempts
    world.check()


@pytest.mark.parametrize("max_attempts", [1, 2, 3])
def test_max_attempts_counts_for_every_variation_by_itself(max_attempts):
    failures = {2: [ProviderFailed("HTTP 500", retryable=True) for _ in range(9)]}
    world = FanOut(3, failures, max_attempts=max_attempts)
    for _ in range(max_attempts - 1):
        with pytest.raises(ProviderFailed):
            world.deliver()

    assert world.deliver().state == "partial"

    assert world.billed == {1: 1, 2: max_attempts, 3: 1}
    assert (world.stored, world.manifest["error"]["code"]) == ([1, 3], "provider_failed")
    world.check()


def test_variations_that_were_never_asked_for_are_made_though_another_had_all_its_calls():
    world = FanOut(5, {2: [ProviderFailed("HTTP 500", retryable=True)]}, max_attempts=1)
    with pytest.raises(ProviderFailed):
        world.deliver()

    assert world.deliver().state == "partial"

    assert world.stored == [1, 3, 4, 5]
    assert sorted(world.asked_for) == [1, 2, 3, 4, 5]
    world.check()


def test_calls_that_were_surely_not_billed_are_repeated_beyond_max_attempts():
    world = FanOut(3, {2: [ProviderBusy("Later.") for _ in range(5)]}, max_attempts=1)
    for _ in range(5):
        with pytest.raises(ProviderBusy):
            world.deliver()

    assert world.deliver().state == "succeeded"

    assert Counter(world.asked_for) == {1: 1, 2: 6, 3: 1}
    world.check()


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_picture_that_cannot_be_stored_just_now_costs_the_others_nothing(nth):
    world = FanOut(3)
    with broken(world, Point("storage", "store_result", nth), StorageFailed("S3 failed.")):
        with pytest.raises(StorageFailed):
            world.deliver()
        assert len(world.stored) == 2

    assert world.deliver().state == "succeeded"

    assert sorted(Counter(world.asked_for).values()) == [1, 1, 2]
    world.check()


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_call_that_cannot_be_put_on_record_is_not_made_and_the_others_are_brought_home(nth):
    world = FanOut(3)
    with (
        broken(world, Point("jobs", "record_attempt", nth), StorageFailed("The jobs table failed.")),
        pytest.raises(StorageFailed),
    ):
        world.deliver()

    assert sorted(world.asked_for) == world.stored == list(range(1, nth))
    assert world.deliver().state == "succeeded"
    assert Counter(world.asked_for) == {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_an_answer_whose_outcome_cannot_be_written_down_is_stored_all_the_same(nth):
    world = FanOut(3)
    with broken(world, Point("jobs", "record_outcome", nth), StorageFailed("The jobs table failed.")):
        assert world.deliver().state == "succeeded"

    assert Counter(world.asked_for) == {1: 1, 2: 1, 3: 1}
    assert world.stored == [1, 2, 3]


# Crashes

STEPS = [
    ("jobs", "record_attempt"),
    ("provider", "send"),
    ("jobs", "record_outcome"),
    ("storage", "store_result"),
]
ONCE = [
    ("jobs", "begin"),
    ("storage", "fetch_source"),
    ("storage", "store_manifest"),
    ("jobs", "finish"),
    ("world", "publish"),
    ("jobs", "record_announcement"),
]
POINTS = [
    Point(part, method, nth, before=before)
    for steps, times in ((STEPS, 4), (ONCE, 1))
    for part, method in steps
    for nth in range(1, times + 1)
    for before in (True, False)
]


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_job_whose_worker_crashed_is_brought_to_its_end_by_the_next(point):
    world = FanOut(4)
    with broken(world, point, Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()
    world.check()
    kept = {number: world.storage.get("results", f"{PREFIX}/variation-{number:02}.png") for number in world.stored}

    assert world.deliver().state == "succeeded"

    world.check()
    assert world.stored == [1, 2, 3, 4]
    assert [colours()[world.colour(number)] for number in world.stored] == [1, 2, 3, 4]
    assert {number: world.storage.get("results", f"{PREFIX}/variation-{number:02}.png") for number in kept} == kept
    assert world.manifest["state"] == "succeeded"
    assert {event["DetailType"] for event in world.events} == {"Variations Completed"}


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_where_no_variation_may_be_asked_for_twice_a_crash_costs_pictures_and_no_money(point):
    world = FanOut(4, max_attempts=1)
    with broken(world, point, Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    job = world.deliver()

    world.check()
    state = {4: "succeeded", 0: "failed"}.get(len(world.stored), "partial")
    assert job.state == world.manifest["state"] == state
    assert (world.manifest["error"] or {}).get("code") == (None if state == "succeeded" else "provider_timeout")


@settings(deadline=None, database=None, derandomize=True, max_examples=100)
@given(
    points=st.lists(st.sampled_from(POINTS), max_size=5),
    max_attempts=st.integers(1, 3),
    n=st.integers(1, 5),
)
@example(points=[Point("provider", "send", 2, before=False)] * 3, max_attempts=2, n=4)
def test_however_often_workers_crash_a_job_ends_and_no_variation_is_paid_for_more_than_max_attempts_times(
    points, max_attempts, n
):
    world = FanOut(n, max_attempts=max_attempts)
    for point in points:
        with broken(world, point, Crash()), suppress(Crash):
            world.deliver()
        world.end_lease()
        world.check()

    job = world.deliver()

    world.check()
    state = "succeeded" if len(world.stored) == n else "partial" if world.stored else "failed"
    assert job.state == world.manifest["state"] == state
    assert (world.manifest["error"] is None) == (state == "succeeded")


@settings(deadline=None, database=None, derandomize=True, max_examples=60)
@given(
    failures=st.dictionaries(
        st.integers(1, 5),
        st.lists(
            st.sampled_from(
                [
                    ProviderBusy("Later."),
                    ProviderUnreachable("No connection."),
                    ProviderFailed("HTTP 500", retryable=True),
                    ProviderFailed("HTTP 502"),
                    ProviderTimeout("Late."),
                    ProviderRefused("Moderated."),
                    Crash(),
                ]
            ),
            max_size=3,
        ),
    ),
    max_attempts=st.integers(1, 3),
)
def test_whatever_becomes_of_each_call_no_variation_is_paid_for_more_than_max_attempts_times(failures, max_attempts):
    world = FanOut(5, failures, max_attempts=max_attempts)
    for _ in range(sum(map(len, failures.values())) + 1):
        with suppress(Crash, ProviderBusy, ProviderUnreachable, ProviderFailed):
            if world.deliver().is_finished:
                break
        world.end_lease()
        world.check()

    assert world.jobs.jobs["job-1"].is_finished
    world.check()


# A provider that makes one whatever it is asked for


def test_a_provider_that_ignores_n_is_asked_for_the_rest_one_by_one_and_no_variation_twice():
    world = World(repeat(answer_one), max_attempts=1)
    world.upload(n="4")

    assert world.deliver().state == "succeeded"

    assert world.asked == [4, 1, 1, 1]
    assert [attempt.variations for attempt in world.jobs.jobs["job-1"].attempts] == [(1,), (2,), (3,), (4,)]
    assert [colours()[world.colour(number)] for number in world.stored] == [1, 2, 3, 4]
    assert world.manifest["warnings"] == []


def test_a_crash_before_it_is_known_that_n_was_ignored_counts_for_every_variation():
    world = World(repeat(answer_one), max_attempts=1)
    with broken(world, Point("jobs", "record_outcome"), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    assert world.deliver().state == "partial"

    assert (world.asked, world.stored, world.manifest["error"]["code"]) == ([3], [1], "provider_timeout")


def test_a_crash_after_it_is_known_that_n_was_ignored_counts_for_the_first_alone():
    world = World(repeat(answer_one), max_attempts=1)
    with broken(world, Point("jobs", "record_outcome", before=False), Crash()), pytest.raises(Crash):
        world.deliver()
    world.end_lease()

    assert world.deliver().state == "succeeded"

    assert (world.asked, world.stored) == ([3, 2, 1], [1, 2, 3])


def test_a_single_picture_that_cannot_be_read_is_one_picture_all_the_same():
    world = World([Sent((b"<html>",)), answer_one, answer_one])

    assert world.deliver().state == "partial"

    assert (world.asked, world.stored) == ([3, 1, 1], [2, 3])


def test_a_picture_that_could_not_be_fetched_beside_a_good_one_is_asked_for_by_nobody():
    world = World([Sent((draw((64, 64)),), warnings=("A picture cannot be read.",))])
    world.upload(n="2")

    assert world.deliver().state == "partial"

    assert world.asked == [2]
    assert "A picture cannot be read." in world.manifest["warnings"]
