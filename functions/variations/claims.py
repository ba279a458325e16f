"""Let identical requests share one job: who asks again gets the job that is under way, and pays nothing.

A claim is an item of the jobs table whose key names a request: by the caller's Idempotency-Key, or else by what
was asked. It points to the job that answers it. Claim and job record are written together or not at all, so of
two identical requests that race, exactly one makes a job.
"""

import hashlib
from dataclasses import dataclass

from .jobs import DAY_SECONDS, Jobs
from .model import Order
from .table import ConditionFailed, Table


@dataclass(frozen=True, slots=True)
class Claim:
    """That the request called `name`, whose content has this fingerprint, is answered by this job."""

    name: str
    fingerprint: str
    job_id: str


def fingerprint(*parts: str) -> str:
    """Return a name for parts that no other parts share."""
    return hashlib.sha256("\0".join(hashlib.sha256(part.encode()).hexdigest() for part in parts).encode()).hexdigest()


@dataclass(frozen=True)
class Claims:
    """The claims of the jobs table."""

    table: Table
    jobs: Jobs

    def find(self, name: str) -> Claim | None:
        """Return the claim of that name; one that has expired is none."""
        item = self.table.get(_key(name))
        if item is None or int(item["expires_at"]) <= self.jobs.clock():
            return None
        return Claim(name, item["fingerprint"], item["claimed_job"])

    def take(self, claim: Claim, order: Order, *, days: int, instead_of: Claim | None) -> bool:
        """Write a claim and its new job, unless somebody else was faster.

        Args:
            claim: naming `order.job_id`.
            order: what the new job is to do.
            days: how long the claim stands.
            instead_of: the claim that `find` returned before, which must still stand.

        Returns:
            False where the claim has changed since; then nothing was written.
        """
        now = int(self.jobs.clock())
        key = _key(claim.name)
        content = {
            "fingerprint": claim.fingerprint,
            "claimed_job": claim.job_id,
            "expires_at": now + days * DAY_SECONDS,
        }
        unchanged = "claimed_job = :old" if instead_of else "attribute_not_exists(job_id) OR expires_at <= :now"
        try:
            self.table.put_together(
                {key: content, claim.job_id: self.jobs.new_record(order)},
                {key: unchanged},
                old=instead_of.job_id if instead_of else "",
                now=now,
            )
        except ConditionFailed:
            return False
        return True


def _key(name: str) -> str:
    return f"claim-{name}"
