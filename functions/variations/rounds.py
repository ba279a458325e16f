"""Ask for the variations that a job lacks, round by round: each paid call counted and on record before it is made."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import quote

from . import images
from .dialects.call import ProviderCall
from .errors import (
    OutOfTime,
    ProviderFailed,
    ProviderTimeout,
    StorageFailed,
    UnsupportedImage,
    VariationError,
    error_from,
)
from .interpreter import Conversation
from .manifest import SURELY_NOT_BILLED, Work, add_usage
from .model import Answer, Attempt, Variation
from .protocols import Budget, Jobs, Storage
from .storing import StoringPool

CALLS_AT_ONCE = 3  # of one job, at a provider that makes fewer pictures a call than are wanted


@dataclass
class PaidCall:
    """A paid call that is on its way: its attempt on record, the day it counts for, and what it has brought so far.

    `stored` has the variation that each picture becomes, and a warning if it is not what was asked for.
    """

    attempt: Attempt
    day: str
    seconds: float = 0.0  # that it took
    stored: dict[int, Future[tuple[Variation, str | None]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rounds:
    """The paid calls of one job in one invocation.

    `until` and `last_call` are `time.monotonic()` seconds: by the one the provider must have answered, after the other
    no call is begun. With `strip`, results keep no metadata.
    """

    work: Work
    conversation: Conversation
    storage: Storage
    storing: StoringPool
    jobs: Jobs
    budget: Budget
    max_attempts: int
    clock: Callable[[], float]
    strip: bool
    until: float
    last_call: float

    def run(self) -> None:
        """Ask for every missing variation once, in as few calls as the provider makes of it.

        Raises:
            OutOfTime: too little time is left for another round.
            VariationError: of a call that failed; what the others brought is stored.
        """
        work, asked = self.work, set[int]()
        while to_ask := [number for number in work.missing if number not in asked]:
            affordable = [number for number in to_ask if work.calls_lost(number) < self.max_attempts]
            if not affordable:
                raise _spent(work, to_ask[0])
            if time.monotonic() > self.last_call:
                raise OutOfTime("The rest is asked for by the next delivery.", retry_after_seconds=1)
            most = self.conversation.manner.images_per_call
            parts = [affordable[start : start + most] for start in range(0, len(affordable), most)][:CALLS_AT_ONCE]
            for part in self._ask_at_once(parts):
                asked.update(part)
        if not work.results:
            raise ProviderFailed("The provider's answer holds no picture that can be read.")

    def _ask_at_once(self, parts: list[list[int]]) -> Iterator[list[int]]:
        """Make some paid calls side by side, each on record before and after, and store what they bring as it comes.

        Yields the variations that each call was really for. When any of them fails, the others are still brought
        home; the failure is raised in the end.
        """
        failures: list[VariationError] = []
        calls: dict[Future[Answer], PaidCall] = {}
        with ThreadPoolExecutor(len(parts)) as pool:
            try:
                for part in parts:
                    call, paid = self._begin(part)
                    calls[pool.submit(self._send, call, paid)] = paid
            except VariationError as error:
                failures.append(error)
            for ended in as_completed(calls):
                try:
                    yield self._end(calls[ended], ended)
                except VariationError as error:
                    failures.append(error)
        if failures:
            raise next((error for error in failures if error.retryable), failures[0])

    def _begin(self, part: list[int]) -> tuple[ProviderCall, PaidCall]:
        """Count and write down a paid call, before it is made."""
        work, order = self.work, self.work.job.order
        call = self.conversation.write(len(part), _seed(order.job_id, part[0]))
        day = self.budget.reserve(order.caller, len(part))
        try:
            work.job = self.jobs.record_attempt(work.job, part)
        except VariationError:
            self._give_back(day, len(part))
            raise
        return call, PaidCall(work.job.attempts[-1], day)

    def _give_back(self, day: str, images: int) -> None:
        """Take back from the day's count what was surely not billed, if that can be done just now."""
        if images > 0:
            with contextlib.suppress(StorageFailed):
                self.budget.give_back(day, self.work.job.order.caller, images)

    def _send(self, call: ProviderCall, paid: PaidCall) -> Answer:
        started = time.monotonic()
        try:
            return self.conversation.send(call, deadline=self.until, take=partial(self._store, paid))
        finally:
            paid.seconds = time.monotonic() - started

    def _store(self, paid: PaidCall, place: int, content: bytes) -> None:
        """Have a picture stored that has just come, under the number that it was asked for.

        Raises:
            JobRunning: this worker's lease is over, and somebody else has the job.
        """
        if place < len(paid.attempt.variations):
            if self.clock() > self.work.lease_ends:  # pictures must not turn up beside a job that another has ended
                with contextlib.suppress(StorageFailed):
                    self.jobs.record_outcome(self.work.job, paid.attempt)
            number = paid.attempt.variations[place]
            paid.stored[number] = self.storing.submit(len(content), partial(self._store_now, number, content))

    def _store_now(self, number: int, content: bytes) -> tuple[Variation, str | None]:
        order, request = self.work.job.order, self.conversation.request
        picture = images.finish(content, request.dimensions, request.output_format, strip=self.strip)
        marks = {"job-id": order.job_id, "model": quote(request.model, safe="/:@")}
        stored = self.storage.store_result(order.results_prefix, number, picture, marks)
        return stored, images.scaled_up(content, picture)

    def _end(self, paid: PaidCall, ended: "Future[Answer]") -> list[int]:
        """Put the end of a paid call on record, and return the variations that it was really for."""
        work, attempt = self.work, paid.attempt
        try:
            answer = ended.result()
        except VariationError as error:
            self._settle(paid, replace(attempt, outcome=error.code, request_id=error.provider_request_id))
            if error.code in SURELY_NOT_BILLED:
                self._give_back(paid.day, len(attempt.variations) - len(paid.stored))
            if len(paid.stored) < len(attempt.variations):
                raise
            work.warnings.append(error.message)  # every picture had come before
            return list(attempt.variations)
        # A provider that makes one whatever n is was asked, and paid, for the first one alone.
        numbers = attempt.variations[:1] if answer.came == 1 else attempt.variations
        self._settle(paid, replace(attempt, outcome="answered", request_id=answer.request_id, variations=numbers))
        work.usage = add_usage(work.usage, answer.usage)
        work.warnings.extend(answer.warnings)
        if (brought := answer.came - len(answer.warnings)) != len(numbers):
            work.warnings.append(f"The provider sent {brought} pictures where {len(numbers)} were asked for.")
        self._give_back(paid.day, len(attempt.variations) - answer.came)
        return list(numbers)

    def _settle(self, paid: PaidCall, attempt: Attempt) -> None:
        """Write down how a call ended, and wait until everything is stored that it brought.

        Raises:
            VariationError: the job is another worker's now, or something could not be stored.
        """
        attempt = replace(attempt, milliseconds=round(paid.seconds * 1000))
        try:
            with contextlib.suppress(StorageFailed):  # the pictures are here and paid for: they come first of all
                self.work.job = self.jobs.record_outcome(self.work.job, attempt)
        finally:
            self._collect(paid)

    def _collect(self, paid: PaidCall) -> None:
        """Wait until everything is stored or failed, and only then raise what failed."""
        wait(paid.stored.values())
        failure: VariationError | None = None
        for number, stored in paid.stored.items():
            try:
                self.work.results[number], smaller = stored.result()
            except UnsupportedImage as error:
                self.work.warnings.append(f"Variation {number}: {error.message}")
            except VariationError as error:
                failure = error
            else:
                self.work.stored += 1
                if smaller:
                    self.work.warnings.append(f"Variation {number}: {smaller}")
        if failure:
            raise failure


def _spent(work: Work, number: int) -> VariationError:
    """Say that a variation had all its calls, and how the last one ended."""
    last = next(attempt for attempt in reversed(work.job.attempts) if number in attempt.variations)
    why, again = f"{work.calls_lost(number)} paid calls", "Hand the picture in again to start anew."
    if last.outcome in {None, "answered"}:
        return ProviderTimeout(f"{why} were lost on their way (MaxAttempts), so no further one is made. {again}")
    message = f"{why} were made, which is all that MaxAttempts allows; the last one ended as {last.outcome}. {again}"
    error = error_from(str(last.outcome), message)
    error.retryable = False
    return error


def _seed(job_id: str, number: int) -> int:
    """Return what a server starts from for one variation: the same for the same one, another for every other."""
    return int.from_bytes(hashlib.sha256(f"{job_id}/{number}".encode()).digest()[:4]) >> 1
