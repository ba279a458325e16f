"""The books keep the same promises over a dict (the fake of the unit tests) and over DynamoDB."""

from dataclasses import dataclass, replace

import pytest
from botocore.exceptions import ConnectTimeoutError, NoCredentialsError
from botocore.stub import Stubber
from variations.errors import ConfigurationError, JobRunning, StorageFailed
from variations.jobs import Jobs
from variations.model import Attempt, Order, SourceLocation
from variations.table import Table

from tests.contract.conftest import TABLE
from tests.fakes import Clock, FakeJobs

LEASE = 600.0
SOURCE = SourceLocation("uploads", "a b+c%20ü(1).png", version_id="v7", etag="abc")
ORDER = Order("job-1", SOURCE, "a b+c%20ü(1).png/job-1", caller="s3:upload")


def end(jobs, job, outcome, **told):
    """Write down how the last paid call of a job ended."""
    return jobs.record_outcome(job, replace(job.attempts[-1], outcome=outcome, **told))


@dataclass
class Books:
    """The books under test and the clock they read."""

    jobs: Jobs | FakeJobs
    clock: Clock

    def begin(self, order=ORDER):
        return self.jobs.begin(order, lease_seconds=LEASE)

    def take_over(self, order=ORDER):
        """Begin a job after the lease of whoever holds it has ended."""
        self.clock.now += LEASE + 1
        return self.begin(order)


@pytest.fixture(name="real")
def _real(table):
    clock = Clock()
    return Books(Jobs(Table(table, TABLE), 30, clock), clock)


@pytest.fixture(name="fake")
def _fake():
    clock = Clock()
    return Books(FakeJobs(clock), clock)


@pytest.fixture(name="books", params=["fake", "real"])
def _books(request):
    return request.getfixturevalue(request.param)


# The life of a job


def test_a_new_job_is_running_for_whoever_begins_it(books):
    job = books.begin()

    assert (job.order, job.state, job.attempts) == (ORDER, "running", ())
    assert job.created_at == int(books.clock.now)
    assert not job.announced
    assert not job.is_finished


def test_an_order_without_version_and_etag_comes_back_as_it_was(books):
    order = replace(ORDER, source=SourceLocation("uploads", "cat.png"))

    assert books.begin(order).order == order


def test_a_lease_keeps_others_out_until_it_ends(books):
    first = books.begin()

    with pytest.raises(JobRunning) as busy:
        books.begin()
    assert busy.value.retryable
    wait = busy.value.retry_after_seconds
    assert LEASE <= wait <= LEASE + 1
    books.clock.now += wait - 1
    with pytest.raises(JobRunning) as still:
        books.begin()
    assert still.value.retry_after_seconds == 1
    books.clock.now += 1
    assert books.begin().run != first.run


def test_jobs_do_not_keep_each_other_out(books):
    books.begin()

    assert books.begin(replace(ORDER, job_id="job-2")).state == "running"


def test_a_job_that_is_taken_over_keeps_its_age_and_its_attempts(books):
    job = books.begin()
    job = books.jobs.record_attempt(job, [1, 2, 3, 4])
    lost = books.jobs.record_attempt(end(books.jobs, job, "provider_busy"), [1, 3, 4])

    taken = books.take_over()

    assert taken.created_at == job.created_at
    assert taken.attempts == lost.attempts
    assert [(attempt.number, attempt.variations, attempt.outcome) for attempt in taken.attempts] == [
        (1, (1, 2, 3, 4), "provider_busy"),
        (2, (1, 3, 4), None),
    ]


def test_an_attempt_and_its_outcome_are_told_to_the_worker_and_written_down(books):
    job = books.jobs.record_attempt(books.begin(), [1, 2])
    assert job.attempts == (Attempt(1, variations=(1, 2), started_at=int(books.clock.now)),)

    job = end(books.jobs, job, "answered", request_id="req_1", milliseconds=1234)
    assert job.attempts == (Attempt(1, (1, 2), int(books.clock.now), "answered", "req_1", 1234),)

    taken = books.take_over()
    assert taken.attempts == job.attempts
    assert type(taken.attempts[0].milliseconds) is int  # DynamoDB's Decimal is no JSON


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_attempts_that_are_open_together_get_their_outcomes_in_any_order(books, order):
    job = books.begin()
    for number in (1, 2, 3):
        job = books.jobs.record_attempt(job, [number])
    opened = job.attempts
    assert [(attempt.number, attempt.variations, attempt.outcome) for attempt in opened] == [
        (1, (1,), None),
        (2, (2,), None),
        (3, (3,), None),
    ]

    for place in order:
        ended = replace(opened[place], outcome="answered", request_id=f"req_{place + 1}")
        job = books.jobs.record_outcome(job, ended)
        assert job.attempts[place] == ended

    assert [(attempt.number, attempt.outcome, attempt.request_id) for attempt in job.attempts] == [
        (1, "answered", "req_1"),
        (2, "answered", "req_2"),
        (3, "answered", "req_3"),
    ]
    assert books.take_over().attempts == job.attempts


def test_of_two_open_attempts_one_may_stay_without_an_outcome(books):
    job = books.jobs.record_attempt(books.jobs.record_attempt(books.begin(), [1]), [2, 3])

    job = books.jobs.record_outcome(job, replace(job.attempts[0], outcome="provider_timeout"))

    assert [attempt.outcome for attempt in books.take_over().attempts] == ["provider_timeout", None]
    assert [attempt.outcome for attempt in job.attempts] == ["provider_timeout", None]


def test_a_further_attempt_may_begin_while_another_is_open(books):
    job = books.jobs.record_attempt(books.jobs.record_attempt(books.begin(), [1]), [2])
    job = end(books.jobs, job, "answered")

    job = books.jobs.record_attempt(job, [3])

    assert [(attempt.number, attempt.outcome) for attempt in job.attempts] == [(1, None), (2, "answered"), (3, None)]
    assert books.take_over().attempts == job.attempts


def test_an_outcome_may_say_that_a_call_was_for_fewer_variations(books):
    job = books.jobs.record_attempt(books.begin(), [2, 5, 7])

    job = end(books.jobs, job, "answered", variations=(2,))

    assert [attempt.variations for attempt in books.take_over().attempts] == [(2,)]
    assert job.attempts[0].variations == (2,)


def test_what_the_caller_knows_the_request_by_comes_back_as_it_was(books):
    order = replace(ORDER, request_id="caller/7:é=+")

    books.begin(order)

    assert books.take_over(order).order == order


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda jobs, job: jobs.record_attempt(job, [1]), id="an attempt"),
        pytest.param(lambda jobs, job: end(jobs, job, "answered"), id="an outcome"),
        pytest.param(lambda jobs, job: jobs.release(job), id="a release"),
        pytest.param(lambda jobs, job: jobs.finish(job, "failed"), id="an end"),
    ],
)
def test_after_a_takeover_the_old_worker_can_write_nothing(books, write):
    old = books.jobs.record_attempt(books.begin(), [1])
    new = books.take_over()

    with pytest.raises(JobRunning) as refused:
        write(books.jobs, old)

    assert refused.value.retry_after_seconds > 0
    assert books.take_over().attempts == new.attempts == old.attempts


def test_a_released_job_can_be_begun_again_at_once_and_knows_its_attempts(books):
    job = books.jobs.record_attempt(books.begin(), [1])
    job = end(books.jobs, job, "provider_busy")

    books.jobs.release(job)

    again = books.begin()
    assert (again.state, again.attempts) == ("running", job.attempts)
    assert again.run != job.run


def test_a_worker_that_released_its_job_holds_it_no_more(books):
    job = books.begin()
    books.jobs.release(job)

    with pytest.raises(JobRunning):
        books.jobs.record_attempt(job, [1])
    with pytest.raises(JobRunning):
        books.jobs.finish(job, "succeeded")


@pytest.mark.parametrize("state", ["succeeded", "partial", "failed"])
def test_a_finished_job_is_returned_unchanged_however_often_it_is_begun(books, state):
    job = books.jobs.record_attempt(books.begin(), [1])
    finished = books.jobs.finish(end(books.jobs, job, "answered", request_id="req_1"), state)
    assert (finished.state, finished.is_finished) == (state, True)

    assert books.begin() == finished
    assert books.take_over(replace(ORDER, caller="somebody else")) == finished


def test_the_end_of_a_job_leaves_its_attempts_on_record_whatever_the_worker_that_ends_it_knows_of_them(books):
    begun = books.begin()
    job = end(books.jobs, books.jobs.record_attempt(begun, [1]), "answered", request_id="req_1")

    finished = books.jobs.finish(begun, "succeeded")

    assert finished == replace(begun, state="succeeded")
    assert books.begin().attempts == job.attempts


def test_a_finished_job_never_changes_not_even_by_the_worker_that_finished_it(books):
    job = books.begin()
    finished = books.jobs.finish(job, "failed")

    for write in (
        lambda: books.jobs.record_attempt(finished, [1]),
        lambda: books.jobs.release(finished),
        lambda: books.jobs.finish(finished, "succeeded"),
    ):
        with pytest.raises(JobRunning):
            write()

    assert books.begin() == finished


def test_an_announcement_is_remembered_and_changes_nothing_else(books):
    finished = books.jobs.finish(books.begin(), "succeeded")

    books.jobs.record_announcement(finished)

    assert books.begin() == replace(finished, announced=True)


# Deaths, ends and new beginnings


def test_each_takeover_counts_a_death(books):
    assert books.begin().deaths == 0

    assert [books.take_over().deaths for _ in range(3)] == [1, 2, 3]


def test_a_worker_that_gives_its_job_back_has_not_died(books):
    books.jobs.release(books.begin())
    books.clock.now += LEASE + 1

    assert books.begin().deaths == 0


def test_a_worker_that_stumbled_gives_its_job_back_at_once_and_counts_as_a_dead_one(books):
    books.begin()
    job = books.jobs.record_attempt(books.take_over(), [1])

    books.jobs.release_after_stumble(job)

    again = books.begin()
    assert (again.deaths, again.attempts, again.run != job.run) == (2, job.attempts, True)


def test_a_worker_that_stumbles_after_a_takeover_counts_for_nothing(books):
    old = books.begin()
    new = books.take_over()

    with pytest.raises(JobRunning):
        books.jobs.release_after_stumble(old)
    with pytest.raises(JobRunning):
        books.begin()
    assert books.jobs.record_attempt(new, [1]).deaths == 1
    assert books.take_over().deaths == 2


@pytest.mark.parametrize("error", ["provider_denied", None], ids=str)
def test_a_failed_job_keeps_the_code_of_its_error(books, error):
    finished = books.jobs.finish(books.begin(), "failed", error)

    assert finished.error == error
    assert books.begin().error == error


def fail(books, order=ORDER, attempts=2):
    """Let a job fail after some paid calls and a death, and announce it."""
    books.begin(order)
    job = books.take_over(order)
    for _ in range(attempts):
        job = end(books.jobs, books.jobs.record_attempt(job, [1, 2]), "provider_denied")
    job = books.jobs.finish(job, "failed", "provider_denied")
    books.jobs.record_announcement(job)
    return job


def test_a_redrive_begins_a_failed_job_anew_and_forgives_its_calls_and_deaths(books):
    failed = fail(books)

    job = books.begin(replace(ORDER, redrive=1))

    assert (job.state, job.redrives, job.forgiven, job.deaths, job.announced) == ("running", 1, 2, 0, False)
    assert (job.attempts, job.created_at) == (failed.attempts, failed.created_at)
    assert job.run != failed.run


def test_calls_after_a_redrive_come_after_those_that_were_forgiven(books):
    fail(books)
    job = books.begin(replace(ORDER, redrive=1))

    job = end(books.jobs, books.jobs.record_attempt(job, [1]), "answered")
    finished = books.jobs.finish(job, "succeeded")

    found = books.begin()
    assert [attempt.number for attempt in found.attempts] == [1, 2, 3]
    assert (found.state, found.error, found.forgiven) == ("succeeded", None, 2)
    assert found == finished


def test_a_redrive_begins_a_job_once_however_often_it_comes(books):
    fail(books)
    again = replace(ORDER, redrive=1)
    job = books.begin(again)

    with pytest.raises(JobRunning):
        books.begin(again)
    books.jobs.finish(job, "failed", "provider_denied")

    for order in (again, ORDER):
        found = books.begin(order)
        assert (found.state, found.redrives, found.run) == ("failed", 1, job.run)
    assert books.begin(replace(ORDER, redrive=2)).redrives == 2


def test_a_worker_from_before_a_redrive_can_write_nothing(books):
    old = fail(books)
    books.begin(replace(ORDER, redrive=1))

    for write in (
        lambda: books.jobs.record_attempt(old, [1]),
        lambda: books.jobs.release(old),
        lambda: books.jobs.finish(old, "failed", "provider_denied"),
    ):
        with pytest.raises(JobRunning):
            write()


@pytest.mark.parametrize("state", ["succeeded", "partial"])
def test_a_job_that_ended_well_is_not_begun_again_by_a_redrive(books, state):
    finished = books.jobs.finish(books.begin(), state)

    assert books.begin(replace(ORDER, redrive=1)) == finished


def test_a_redrive_of_a_job_that_runs_waits_for_its_lease_and_forgives_nothing(books):
    job = books.jobs.record_attempt(books.begin(), [1])
    again = replace(ORDER, redrive=1)
    with pytest.raises(JobRunning):
        books.begin(again)

    taken = books.take_over(again)

    assert (taken.redrives, taken.forgiven, taken.deaths, taken.attempts) == (0, 0, 1, job.attempts)


# What only the table knows


def lose_first_answer(client, operation):
    """Let botocore believe that its first try of an operation got no answer, though it had its effect."""
    tries = []

    def ask_again(attempts, **_):
        tries.append(attempts)
        return 0 if attempts == 1 else None

    client.meta.events.register_first(f"needs-retry.dynamodb.{operation}", ask_again)
    return tries


def test_a_write_that_botocore_repeats_is_one_attempt(real, table):
    tries = lose_first_answer(table, "UpdateItem")

    job = real.begin()
    job = real.jobs.record_attempt(job, [1, 2, 3, 4])
    job = end(real.jobs, job, "provider_busy")
    job = real.jobs.record_attempt(job, [1, 2, 3, 4])
    finished = real.jobs.finish(end(real.jobs, job, "answered"), "succeeded")

    assert tries == [1, 2] * 6
    assert [attempt.outcome for attempt in finished.attempts] == ["provider_busy", "answered"]
    assert real.begin() == finished


def test_a_release_that_botocore_repeats_is_a_release(real, table):
    job = real.begin()
    tries = lose_first_answer(table, "UpdateItem")

    real.jobs.release(job)

    assert tries == [1, 2]
    assert real.begin().run != job.run


def test_the_record_expires_some_days_after_the_job_was_last_begun(real, table):
    real.begin()

    item = table.get_item(TableName=TABLE, Key={"job_id": {"S": "job-1"}})["Item"]
    assert item["expires_at"] == {"N": str(int(real.clock.now) + 30 * 86_400)}


OPERATIONS = [
    pytest.param(lambda jobs, job: jobs.begin(ORDER, lease_seconds=LEASE), id="begin"),
    pytest.param(lambda jobs, job: jobs.record_attempt(job, [1]), id="attempt"),
    pytest.param(lambda jobs, job: end(jobs, job, "answered"), id="outcome"),
    pytest.param(lambda jobs, job: jobs.release(job), id="release"),
    pytest.param(lambda jobs, job: jobs.finish(job, "failed"), id="finish"),
    pytest.param(lambda jobs, job: jobs.record_announcement(job), id="announcement"),
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_missing_table_is_a_wrong_configuration(real, table, operation):
    job = real.jobs.record_attempt(real.begin(), [1])
    table.delete_table(TableName=TABLE)

    with pytest.raises(ConfigurationError, match="jobs table") as failure:
        operation(real.jobs, job)
    assert not failure.value.retryable


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ProvisionedThroughputExceededException", 400),
        ("ThrottlingException", 400),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_a_table_that_fails_for_a_moment_is_tried_again(real, table, operation, code, status):
    job = real.jobs.record_attempt(real.begin(), [1])

    with Stubber(table) as stub:
        stub.add_client_error("update_item", code, http_status_code=status)
        with pytest.raises(StorageFailed, match=code) as failure:
            operation(real.jobs, job)
    assert failure.value.retryable


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_table_that_does_not_pick_up_is_tried_again(real, table, operation):
    job = real.jobs.record_attempt(real.begin(), [1])

    def hang_up(**_):
        raise ConnectTimeoutError(endpoint_url="https://dynamodb.invalid")

    table.meta.events.register_first("before-call.dynamodb.UpdateItem", hang_up)
    with pytest.raises(StorageFailed, match="ConnectTimeoutError"):
        operation(real.jobs, job)


def test_a_missing_permission_is_a_wrong_configuration(real, table):
    with Stubber(table) as stub:
        stub.add_client_error("update_item", "AccessDeniedException", http_status_code=400)
        with pytest.raises(ConfigurationError, match="AccessDenied"):
            real.begin()


def test_a_read_that_fails_is_tried_again(real, table):
    real.begin()

    def fail(**_):
        raise NoCredentialsError

    table.meta.events.register_first("before-call.dynamodb.GetItem", fail)
    with pytest.raises(StorageFailed):
        real.begin()


def test_a_record_that_expires_while_it_is_begun_is_tried_again(real, table):
    real.begin()
    # The record is there when the write is refused, and gone when it is read.
    table.meta.events.register_first(
        "before-call.dynamodb.GetItem",
        lambda params, **_: params.update(body=params["body"].replace(b"job-1", b"job-0")),
    )

    with pytest.raises(JobRunning):
        real.begin()
