"""Count the images of a day before they are paid for, in the whole stack and for each caller; and a caller's requests.

One item of the jobs table per UTC day, and one per day and caller. The count goes up in one conditional write before
a call is made and down again by what was surely not billed; a worker that dies in between leaves it too high, never
too low. Requests are counted in the same way, by minute and caller, and never given back.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from .errors import BudgetExhausted, StorageFailed, VariationError
from .table import ConditionFailed, Table

DAY_SECONDS = 86_400
MINUTE_SECONDS = 60
KEEP_DAYS = 3  # a count is of no use when its day has ended everywhere


@dataclass(frozen=True)
class Budget:
    """The images that may be made in a day; 0 stands for any number of them."""

    table: Table
    images_a_day: int
    images_a_day_and_caller: int
    clock: Callable[[], float]

    def counted(self) -> int:
        """Return how many images the whole stack has counted today."""
        return int((self.table.get(_key(self._today())) or {}).get("images", 0))

    def reserve(self, caller: str, images: int) -> str:
        """Count images that are about to be paid for.

        Returns:
            The day they count for, by which they can be given back.

        Raises:
            BudgetExhausted: they would be too many; `retry_after_seconds` is the time until the next UTC day.
            StorageFailed, ConfigurationError: as `Table.update`; nothing is counted for this stack then.
        """
        day = self._today()
        self._add(_key(day), images, self.images_a_day, "DailyImageLimit")
        try:
            self._add(_key(day, caller), images, self.images_a_day_and_caller, "DailyImageLimitPerCaller")
        except VariationError:
            with contextlib.suppress(StorageFailed):  # then it stays too high, which is the safe side
                self._take_back(_key(day), images, self.images_a_day)
            raise
        return day

    def give_back(self, day: str, caller: str, images: int) -> None:
        """Take back what was counted on a day and surely not billed."""
        self._take_back(_key(day), images, self.images_a_day)
        self._take_back(_key(day, caller), images, self.images_a_day_and_caller)

    def _today(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).date().isoformat()

    def _add(self, key: str, images: int, limit: int, parameter: str) -> None:
        if not limit:
            return
        now = self.clock()
        try:
            self.table.add(key, "images", images, limit=limit, expires_at=int(now) + KEEP_DAYS * DAY_SECONDS)
        except ConditionFailed:
            raise BudgetExhausted(
                f"Today's {limit} images are used up ({parameter}). They start anew at midnight UTC; the "
                "operator can put uploads that failed meanwhile back on the queue (docs/operations.md).",
                retry_after_seconds=DAY_SECONDS - now % DAY_SECONDS,
            ) from None

    def _take_back(self, key: str, images: int, limit: int) -> None:
        if limit:
            with contextlib.suppress(ConditionFailed):  # there is no limit any more, or was none when it was counted
                self.table.update(key, "SET images = images - :images", "images >= :images", images=images)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a request may be answered, and how many of `limit` are left until they start anew."""

    granted: bool
    limit: int
    remaining: int
    reset_seconds: int


@dataclass(frozen=True)
class RequestRate:
    """The requests that each caller may send in a minute of the clock; 0 stands for any number of them.

    Two minutes that touch let twice as many through in a few seconds, which a limit on what a day costs can bear.
    """

    table: Table
    requests_a_minute: int
    clock: Callable[[], float]

    def count(self, caller: str) -> Allowance | None:
        """Count one request; return what the caller has left of this minute, None where there is no limit.

        Raises:
            StorageFailed, ConfigurationError: as `Table.update`.
        """
        if not self.requests_a_minute:
            return None
        now, limit = self.clock(), self.requests_a_minute
        minute = int(now // MINUTE_SECONDS)
        reset_seconds = math.ceil((minute + 1) * MINUTE_SECONDS - now)
        try:
            used = self.table.add(
                f"rate#{minute}#{caller}", "requests", 1, limit=limit, expires_at=int(now) + DAY_SECONDS
            )
        except ConditionFailed:
            return Allowance(False, limit, 0, reset_seconds)
        return Allowance(True, limit, limit - used, reset_seconds)


def _key(day: str, caller: str | None = None) -> str:
    return f"budget#{day}" if caller is None else f"budget#{day}#{caller}"
