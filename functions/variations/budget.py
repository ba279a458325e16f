"""Count the images of a day before they are paid for, in the whole stack and for each caller.

One item of the jobs table per UTC day, and one per day and caller. The count goes up in one conditional write before
a call is made and down again by what was surely not billed; a worker that dies in between leaves it too high, never
too low.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from .errors import BudgetExhausted, StorageFailed, VariationError
from .table import ConditionFailed, Table

DAY_SECONDS = 86_400
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
            self.table.update(
                key,
                "SET images = if_not_exists(images, :none) + :images, expires_at = :expires_at",
                "(attribute_not_exists(images) AND :images <= :limit) OR images <= :room",
                none=0,
                images=images,
                limit=limit,
                room=limit - images,
                expires_at=int(now) + KEEP_DAYS * DAY_SECONDS,
            )
        except ConditionFailed:
            raise BudgetExhausted(
                f"Today's {limit} images are used up ({parameter}). They start anew at midnight UTC; what failed "
                "meanwhile can be put back with `make redrive`, see docs/operations.md.",
                retry_after_seconds=DAY_SECONDS - now % DAY_SECONDS,
            ) from None

    def _take_back(self, key: str, images: int, limit: int) -> None:
        if limit:
            with contextlib.suppress(ConditionFailed):  # there is no limit any more, or was none when it was counted
                self.table.update(key, "SET images = images - :images", "images >= :images", images=images)


def _key(day: str, caller: str | None = None) -> str:
    return f"budget#{day}" if caller is None else f"budget#{day}#{caller}"
