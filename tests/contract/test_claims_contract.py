"""Identical requests that race make one job: real threads against DynamoDB in this process."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from botocore.stub import Stubber
from variations.claims import Claim, Claims, fingerprint
from variations.errors import ConfigurationError, IdempotencyKeyReused, StorageFailed
from variations.front_door import FrontDoor, Source
from variations.jobs import DAY_SECONDS, Jobs
from variations.model import Order, SourceLocation, VariationRequest
from variations.table import Table

from tests.contract.conftest import TABLE, OneAtATime
from tests.fakes import Clock

THREADS = 20
REQUEST = VariationRequest("model-1", n=2)
SOURCE = Source(content=b"picture")


@dataclass
class Entrance:
    """A front door over the real table, and what went through it."""

    table: object
    clock: Clock = field(default_factory=Clock)
    sent: list = field(default_factory=list)
    stored: list = field(default_factory=list)

    def __post_init__(self):
        self.jobs = Jobs(Table(OneAtATime(self.table), TABLE), 30, self.clock)
        self.claims = Claims(self.jobs.table, self.jobs)
        self.door = FrontDoor(
            self.jobs,
            self.claims,
            "results",
            store_source=lambda key, content: self.stored.append(key),
            send=self.sent.append,
            clock=self.clock,
        )

    def race(self, *requests):
        """Send all requests in the same moment, each from a thread of its own; return the ids of their jobs."""
        start = threading.Barrier(len(requests))

        def accept(request):
            start.wait(timeout=30)
            return self.door.accept(*request[:3], **(request[3] if len(request) > 3 else {})).order.job_id

        with ThreadPoolExecutor(len(requests)) as threads:
            return list(threads.map(accept, requests))

    def records(self):
        """The keys of the table's items: claims and jobs."""
        keys = [item["job_id"]["S"] for item in self.table.scan(TableName=TABLE)["Items"]]
        claims = {key for key in keys if key.startswith("claim-")}
        return claims, set(keys) - claims


@pytest.fixture(name="entrance")
def _entrance(table):
    return Entrance(table)


def order(job_id):
    return Order(job_id, SourceLocation("results", f"jobs/{job_id}/source"), f"jobs/{job_id}", "shop", {"n": 1})


# Racing requests


@pytest.mark.parametrize("options", [{}, {"idempotency_key": "order-7"}, {"is_retry": True}])
def test_twenty_identical_requests_in_one_moment_are_one_job_that_is_sent_once(entrance, options):
    ids = entrance.race(*[(REQUEST, SOURCE, "shop", options)] * THREADS)

    assert len(ids) == THREADS
    assert len(set(ids)) == 1
    assert [sent.job_id for sent in entrance.sent] == ids[:1]
    assert entrance.stored == [f"jobs/{ids[0]}/source"]
    claims, jobs = entrance.records()
    assert len(claims) == 1
    assert jobs == {ids[0]}  # those who came too late left nothing behind


def test_twenty_callers_in_one_moment_have_twenty_jobs(entrance):
    ids = entrance.race(*[(REQUEST, SOURCE, f"caller-{number}") for number in range(THREADS)])

    assert len(set(ids)) == THREADS
    assert sorted(sent.job_id for sent in entrance.sent) == sorted(ids)


def test_twenty_different_requests_in_one_moment_have_twenty_jobs(entrance):
    ids = entrance.race(*[(replace(REQUEST, prompt=f"cup {number}"), SOURCE, "shop") for number in range(THREADS)])

    assert len(set(ids)) == THREADS


def test_after_delivery_twenty_identical_requests_share_one_new_job(entrance):
    (first,) = set(entrance.race((REQUEST, SOURCE, "shop")))
    finish(entrance, first)

    ids = entrance.race(*[(REQUEST, SOURCE, "shop")] * THREADS)

    assert len(set(ids)) == 1
    assert ids[0] != first
    assert [sent.job_id for sent in entrance.sent] == [first, ids[0]]


def test_of_different_requests_that_race_for_one_idempotency_key_one_wins_and_the_rest_are_told(entrance):
    start = threading.Barrier(THREADS)

    def accept(number):
        start.wait(timeout=30)
        try:
            return entrance.door.accept(
                replace(REQUEST, prompt=f"cup {number}"), SOURCE, "shop", idempotency_key="order-7"
            ).order.job_id
        except IdempotencyKeyReused:
            return None

    with ThreadPoolExecutor(THREADS) as threads:
        ids = [job_id for job_id in threads.map(accept, range(THREADS)) if job_id]

    assert [sent.job_id for sent in entrance.sent] == ids
    assert len(ids) == 1


def finish(entrance, job_id):
    """Bring a job to its end, and the result to its caller."""
    job = entrance.jobs.begin(entrance.jobs.get(job_id).order, lease_seconds=60)
    entrance.jobs.finish(job, "succeeded")
    entrance.jobs.record_delivery(job)


def test_a_lost_job_may_be_sent_twice_but_stays_one_job(entrance):
    entrance.door.accept(REQUEST, SOURCE, "shop")
    (first,) = entrance.sent
    # As if the front door had died before it wrote down that the message was sent.
    entrance.table.update_item(
        TableName=TABLE, Key={"job_id": {"S": first.job_id}}, UpdateExpression="REMOVE dispatched"
    )
    entrance.clock.now += 31

    ids = entrance.race(*[(REQUEST, SOURCE, "shop")] * THREADS)

    assert set(ids) == {first.job_id}
    assert {sent.job_id for sent in entrance.sent} == {first.job_id}
    assert len(entrance.sent) > 1


# Claims


def test_a_claim_that_is_taken_is_found_with_its_job(entrance):
    claim = Claim("name", "content", "job-1")

    assert entrance.claims.find("name") is None
    assert entrance.claims.take(claim, order("job-1"), days=1, instead_of=None)
    assert entrance.claims.find("name") == claim
    job = entrance.jobs.get("job-1")
    assert (job.order, job.state, job.dispatched, job.delivered_at) == (order("job-1"), "queued", False, None)


def test_a_claim_that_stands_is_not_taken_and_no_job_is_written(entrance):
    entrance.claims.take(Claim("name", "content", "job-1"), order("job-1"), days=1, instead_of=None)

    assert not entrance.claims.take(Claim("name", "content", "job-2"), order("job-2"), days=1, instead_of=None)
    assert entrance.claims.find("name").job_id == "job-1"
    assert entrance.jobs.get("job-2") is None


def test_a_claim_is_replaced_only_while_it_stands_as_it_was_found(entrance):
    old = Claim("name", "content", "job-1")
    entrance.claims.take(old, order("job-1"), days=1, instead_of=None)

    assert entrance.claims.take(Claim("name", "content", "job-2"), order("job-2"), days=1, instead_of=old)
    assert not entrance.claims.take(Claim("name", "content", "job-3"), order("job-3"), days=1, instead_of=old)
    assert entrance.claims.find("name").job_id == "job-2"
    assert entrance.jobs.get("job-3") is None
    assert entrance.jobs.get("job-1")


def test_no_claim_is_written_for_a_job_that_exists(entrance):
    entrance.jobs.create(order("job-1"))

    assert not entrance.claims.take(Claim("name", "content", "job-1"), order("job-1"), days=1, instead_of=None)
    assert entrance.claims.find("name") is None


@pytest.mark.parametrize("days", [1, 30])
def test_a_claim_ends_after_its_days_even_before_dynamodb_deletes_it(entrance, days):
    entrance.claims.take(Claim("name", "content", "job-1"), order("job-1"), days=days, instead_of=None)

    entrance.clock.now += days * DAY_SECONDS - 1
    assert entrance.claims.find("name")
    assert not entrance.claims.take(Claim("name", "content", "job-2"), order("job-2"), days=1, instead_of=None)
    entrance.clock.now += 1
    assert entrance.claims.find("name") is None
    assert entrance.claims.take(Claim("name", "other", "job-2"), order("job-2"), days=1, instead_of=None)


def test_two_names_never_share_a_fingerprint_for_how_they_are_cut():
    cuts = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), ("ab\0c",), ("", "abc"), ("abc", "")]

    assert len({fingerprint(*cut) for cut in cuts}) == len(cuts)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("ThrottlingException", StorageFailed),
        ("InternalServerError", StorageFailed),
        ("ResourceNotFoundException", ConfigurationError),
        ("AccessDeniedException", ConfigurationError),
    ],
)
def test_a_table_that_fails_is_no_claim_that_stands(entrance, code, failure):
    with Stubber(entrance.table) as stub:
        stub.add_client_error("transact_write_items", code, http_status_code=400)
        with pytest.raises(failure):
            entrance.claims.take(Claim("name", "content", "job-1"), order("job-1"), days=1, instead_of=None)


@pytest.mark.parametrize("reason", ["ConditionalCheckFailed", "TransactionConflict"])
def test_a_transaction_that_somebody_else_won_is_a_claim_that_stands(entrance, reason):
    with Stubber(entrance.table) as stub:
        cancel(stub, reason)
        assert not entrance.claims.take(Claim("name", "content", "job-1"), order("job-1"), days=1, instead_of=None)


@pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded", "ValidationError"])
def test_a_transaction_that_nobody_won_is_a_table_that_fails(entrance, reason):
    with Stubber(entrance.table) as stub:
        cancel(stub, reason)
        with pytest.raises(StorageFailed):
            entrance.claims.take(Claim("name", "content", "job-1"), order("job-1"), days=1, instead_of=None)


def cancel(stub, reason):
    """What DynamoDB answers when it cancels a transaction of two items because of the first."""
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        http_status_code=400,
        modeled_fields={"CancellationReasons": [{"Code": reason}, {"Code": "None"}]},
    )
