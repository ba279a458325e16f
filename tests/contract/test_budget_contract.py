"""The day's count keeps the same promises as a number (the fake of the unit tests) and in DynamoDB."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from botocore.stub import Stubber
from variations.budget import DAY_SECONDS, KEEP_DAYS, Budget, RequestRate
from variations.errors import BudgetExhausted, ConfigurationError, StorageFailed
from variations.table import Table

from tests.contract.conftest import TABLE, OneAtATime
from tests.fakes import Clock, FakeBudget

LIMIT = 5
THREADS = 16


@pytest.fixture(name="clock")
def _clock():
    return Clock()


@pytest.fixture(name="make", params=["fake", "real"])
def _make(request):
    """Make a budget of so many images a day."""
    if request.param == "fake":
        return FakeBudget
    table, clock = request.getfixturevalue("table"), request.getfixturevalue("clock")
    return lambda limit: Budget(Table(table, TABLE), limit, 0, clock)


@pytest.fixture(name="real")
def _real(table, clock):
    return Budget(Table(table, TABLE), LIMIT, 3, clock)


def is_refused(budget, images, caller="ada"):
    try:
        budget.reserve(caller, images)
    except BudgetExhausted:
        return True
    return False


# What holds for both


def test_images_are_counted_up_to_the_limit_and_not_beyond(make):
    budget = make(LIMIT)
    budget.reserve("ada", 2)
    budget.reserve("bob", 3)

    assert is_refused(budget, 1)


def test_a_reservation_that_does_not_fit_counts_nothing(make):
    budget = make(LIMIT)
    budget.reserve("ada", 3)
    assert is_refused(budget, 3)

    assert not is_refused(budget, 2)
    assert is_refused(budget, 1)


def test_the_first_reservation_of_a_day_may_not_be_beyond_the_limit_either(make):
    budget = make(LIMIT)

    assert is_refused(budget, LIMIT + 1)
    assert not is_refused(budget, LIMIT)


def test_what_is_given_back_may_be_reserved_again_and_no_more_than_that(make):
    budget = make(LIMIT)
    budget.reserve("ada", 2)
    day = budget.reserve("ada", 3)

    budget.give_back(day, "ada", 2)

    assert is_refused(budget, 3)
    assert not is_refused(budget, 2)
    assert is_refused(budget, 1)


def test_a_limit_of_zero_is_none(make):
    budget = make(0)
    day = budget.reserve("ada", 1_000_000)
    budget.give_back(day, "ada", 1_000_000)

    assert not is_refused(budget, 1_000_000)


def test_who_is_refused_is_told_to_come_back_another_day_and_not_retried_at_once(make):
    budget = make(LIMIT)

    with pytest.raises(BudgetExhausted) as refused:
        budget.reserve("ada", LIMIT + 1)

    assert not refused.value.retryable
    assert 0 < refused.value.retry_after_seconds <= DAY_SECONDS


# What only the table knows


def test_a_caller_has_a_limit_of_its_own_and_its_refusal_costs_the_stack_nothing(real):
    real.reserve("ada", 3)

    with pytest.raises(BudgetExhausted, match="DailyImageLimitPerCaller"):
        real.reserve("ada", 1)
    assert real.counted() == 3
    real.reserve("bob", 2)
    with pytest.raises(BudgetExhausted, match=r"DailyImageLimit\b"):
        real.reserve("bob", 1)
    assert real.counted() == LIMIT


def test_who_is_refused_by_the_stack_has_used_up_nothing_of_its_own(real):
    day = real.reserve("ada", 3)
    assert is_refused(real, 3, "bob")

    real.give_back(day, "ada", 3)

    assert not is_refused(real, 3, "bob")


def test_what_a_caller_gives_back_it_may_reserve_again(real):
    day = real.reserve("ada", 3)

    real.give_back(day, "ada", 1)

    assert not is_refused(real, 1)
    assert is_refused(real, 1)


def test_each_utc_day_begins_at_zero(real, clock):
    clock.now += 3600
    real.reserve("ada", 3)

    with pytest.raises(BudgetExhausted) as refused:
        real.reserve("ada", 1)
    assert refused.value.retry_after_seconds == DAY_SECONDS - 3600
    clock.now += refused.value.retry_after_seconds - 1
    assert is_refused(real, 1)
    clock.now += 1
    assert real.counted() == 0
    assert not is_refused(real, 3)


def test_what_is_given_back_after_midnight_leaves_the_new_day_alone(real, clock):
    yesterday = real.reserve("ada", 3)
    clock.now += DAY_SECONDS
    real.give_back(yesterday, "ada", 1)
    real.reserve("ada", 2)

    real.give_back(yesterday, "ada", 1)

    assert real.counted() == 2
    clock.now -= DAY_SECONDS
    assert real.counted() == 1


def test_what_was_counted_under_no_limit_can_be_given_back_under_one(real):
    day = replace(real, images_a_day=0, images_a_day_and_caller=0).reserve("ada", 2)

    real.give_back(day, "ada", 2)

    assert real.counted() == 0
    assert not is_refused(real, 3)


def test_more_is_never_given_back_than_was_counted(real):
    day = real.reserve("ada", 2)

    real.give_back(day, "ada", 3)

    assert real.counted() == 2


def test_the_counts_go_away_some_days_later(real, table, clock):
    real.reserve("ada", 1)

    items = table.scan(TableName=TABLE)["Items"]

    assert [item["expires_at"] for item in items] == [{"N": str(int(clock.now) + KEEP_DAYS * DAY_SECONDS)}] * 2


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", StorageFailed), ("AccessDeniedException", ConfigurationError)]
)
def test_a_table_that_fails_is_no_used_up_budget(real, table, code, error):
    with Stubber(table) as stub:
        stub.add_client_error("update_item", code, http_status_code=400)
        with pytest.raises(error):
            real.reserve("ada", 1)

    assert real.counted() == 0


def race(budget, callers):
    """Let all of them reserve two images at once; return who was given them, with the day."""
    start = threading.Barrier(len(callers))

    def reserve(caller):
        start.wait()
        try:
            return caller, budget.reserve(caller, 2)
        except BudgetExhausted:
            return None

    with ThreadPoolExecutor(len(callers)) as pool:
        return [given for given in pool.map(reserve, callers) if given]


def test_reservations_at_once_never_pass_the_limit(table, clock):
    budget = Budget(Table(OneAtATime(table), TABLE), 9, 0, clock)

    given = race(budget, ["ada"] * THREADS)

    assert (len(given), budget.counted()) == (4, 8)


def test_reservations_of_several_callers_at_once_pass_neither_limit(table, clock):
    budget = Budget(Table(OneAtATime(table), TABLE), 30, 5, clock)

    given = race(budget, ["ada", "bob"] * (THREADS // 2))

    assert [sum(caller == name for caller, _ in given) for name in ("ada", "bob")] == [2, 2]
    assert budget.counted() == 8


def test_what_is_given_back_at_once_is_all_given_back(table, clock):
    budget = Budget(Table(OneAtATime(table), TABLE), 100, 100, clock)
    given = race(budget, ["ada"] * THREADS)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda one: budget.give_back(one[1], one[0], 2), given))

    assert (len(given), budget.counted()) == (THREADS, 0)


# A caller's requests of a minute


@pytest.fixture(name="rate")
def _rate(table, clock):
    clock.now = clock.now // 60 * 60 + 10.0
    return RequestRate(Table(table, TABLE), LIMIT, clock)


def test_a_caller_may_send_so_many_requests_in_a_minute_and_is_told_what_is_left(rate):
    left = [rate.count("ada") for _ in range(LIMIT + 2)]

    assert [allowance.granted for allowance in left] == [True] * LIMIT + [False] * 2
    assert [allowance.remaining for allowance in left] == [4, 3, 2, 1, 0, 0, 0]
    assert {(allowance.limit, allowance.reset_seconds) for allowance in left} == {(LIMIT, 50)}


def test_one_callers_requests_leave_those_of_another_alone(rate):
    for _ in range(LIMIT):
        rate.count("ada")

    assert rate.count("bob").granted
    assert not rate.count("ada").granted


@pytest.mark.parametrize(("seconds", "granted"), [(49.9, False), (50.0, True)])
def test_requests_start_anew_with_the_next_minute(rate, clock, seconds, granted):
    for _ in range(LIMIT):
        rate.count("ada")
    clock.now += seconds

    assert rate.count("ada").granted is granted


def test_a_whole_second_is_waited_for_the_rest_of_one(rate, clock):
    clock.now += 49.9

    assert rate.count("ada").reset_seconds == 1


def test_requests_that_come_at_once_are_not_more_than_the_limit(table, clock):
    rate = RequestRate(Table(OneAtATime(table), TABLE), LIMIT, clock)

    with ThreadPoolExecutor(THREADS) as pool:
        granted = list(pool.map(lambda _: rate.count("ada").granted, range(THREADS)))

    assert sum(granted) == LIMIT


def test_a_count_of_requests_is_forgotten_within_a_day(rate, table, clock):
    rate.count("ada")

    (item,) = table.scan(TableName=TABLE)["Items"]
    assert clock.now < int(item["expires_at"]["N"]) <= clock.now + DAY_SECONDS


def test_without_a_limit_no_request_is_counted(table, clock):
    assert RequestRate(Table(table, TABLE), 0, clock).count("ada") is None
    assert table.scan(TableName=TABLE)["Items"] == []


def test_requests_that_cannot_be_counted_are_not_let_through(rate, table):
    with Stubber(table) as stub:
        stub.add_client_error("update_item", "InternalServerError")
        with pytest.raises(StorageFailed):
            rate.count("ada")
