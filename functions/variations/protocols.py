"""Say what a service needs of the world outside: real parts in AWS, or the fakes of the tests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from .model import Attempt, Job, Order, Picture, SourceLocation, SourceObject, Variation


class Storage(Protocol):
    """Where pictures and manifests are kept: `storage.Storage`, or a fake."""

    def fetch_source(self, location: SourceLocation, *, max_bytes: int) -> SourceObject:
        """Read a source; raise SourceNotFound or SourceTooLarge."""

    def store_result(self, prefix: str, number: int, picture: Picture, metadata: Mapping[str, str]) -> Variation:
        """Write one variation, once."""

    def list_results(self, prefix: str) -> dict[int, Variation]:
        """Return what is stored already, by number."""

    def store_manifest(self, prefix: str, manifest: Mapping[str, Any]) -> None:
        """Write the manifest."""

    def read_manifest(self, prefix: str) -> dict[str, Any]:
        """Read the manifest back."""

    def read_manifests_beside(self, source_key: str) -> Iterator[dict[str, Any]]:
        """Read the manifests of all ended jobs whose results lie beside a source."""


class Jobs(Protocol):
    """Where the books are kept: `jobs.Jobs`, or a fake."""

    def begin(self, order: Order, *, lease_seconds: float) -> Job:
        """Take a job, or return it finished; raise JobRunning while another worker has it."""

    def record_attempt(self, job: Job, variations: Sequence[int]) -> Job:
        """Write down a paid call before it is made."""

    def record_outcome(self, job: Job, attempt: Attempt) -> Job:
        """Write down how it ended."""

    def release(self, job: Job) -> None:
        """Give the job back to the queue."""

    def release_after_stumble(self, job: Job) -> None:
        """Give the job back, and count that the worker stumbled over it."""

    def finish(self, job: Job, state: str, error: str | None = None) -> Job:
        """End the job for good."""

    def record_announcement(self, job: Job) -> None:
        """Write down that its event went out."""


class Budget(Protocol):
    """Where images are counted before they are paid for: `budget.Budget`, or a fake."""

    def reserve(self, caller: str, images: int) -> str:
        """Count images, and return for which day; raise BudgetExhausted when they are too many."""

    def give_back(self, day: str, caller: str, images: int) -> None:
        """Take back what was counted on a day and surely not billed."""
