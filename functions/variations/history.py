"""List a caller's own jobs, the newest first, by an index of the jobs table that holds all that the list tells.

Only records that `Jobs.new_record` made are on it, which are those of the API's callers: claims, counts and the jobs of
uploads lack the attributes that the index is keyed by, and cost it nothing. It follows the table within a moment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .errors import InvalidRequest
from .jobs import order_of
from .model import Order
from .orders import is_job_id
from .table import KEY, Table

INDEX = "by-caller"
INDEX_KEYS = ("listed_for", "listed_at")


@dataclass(frozen=True, slots=True)
class Entry:
    """What the list tells of a job; `error` is the code of a failed one."""

    order: Order
    state: str
    created_at: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of the list, and whether there are older ones."""

    entries: tuple[Entry, ...]
    has_more: bool


@dataclass(frozen=True)
class History:
    """The lists of the jobs table."""

    table: Table
    clock: Callable[[], float]

    def page(self, caller: str, *, limit: int, after: str | None = None) -> Page:
        """Return the newest jobs of a caller whose records have not expired.

        Args:
            caller: whose jobs.
            limit: how many at most, from 1.
            after: id of the last job of the page before; None for the first page.

        Raises:
            InvalidRequest: `after` is no job of this caller; one that never was, and anybody else's, look the same.
            StorageFailed, ConfigurationError: as `Table.query`.
        """
        found = self.table.query(
            INDEX,
            f"{INDEX_KEYS[0]} = :caller",
            "expires_at > :now",  # DynamoDB deletes what has expired within some days
            start=self._place_of(after, caller) if after else None,
            enough=limit + 1,
            caller=caller,
            now=int(self.clock()),
        )
        entries = tuple(_entry(item) for item in islice(found, limit + 1))
        return Page(entries[:limit], len(entries) > limit)

    def _place_of(self, job_id: str, caller: str) -> dict[str, Any]:
        """Return where on the index a job stands."""
        item = self.table.get(job_id) if is_job_id(job_id) else None  # others name counts, or are no keys at all
        if item is None or item.get(INDEX_KEYS[0]) != caller:
            raise InvalidRequest(
                f"after must be the id of a job on your list, not {job_id[:64]!r}. Its record may have expired: leave "
                "after out to begin with the newest job.",
                param="after",
            )
        return {name: item[name] for name in (KEY, *INDEX_KEYS)}


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(order_of(item), item["job_state"], int(item["created_at"]), item.get("job_error"))
