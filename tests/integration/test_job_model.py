"""Whatever happens around the workers, and in whatever order: each job ends, and nothing is paid for without need.

Hypothesis plays the world: a queue that delivers twice and late, workers that die or lose a write at any step, or sleep
through the end of their lease while another one has their job, a provider in every mood, days that pass, an operator
who puts failed jobs back. The books and the budget are the real ones, over DynamoDB on moto; all else stands still
unless a rule moves it, so that every run of the test plays the same games.
"""

import functools
import io
import json
import sys
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from moto import mock_aws
from PIL import Image
from variations import rounds, service
from variations.aws_clients import CLIENT_CONFIG
from variations.budget import Budget
from variations.errors import (
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    StorageFailed,
    VariationError,
)
from variations.interpreter import Interpreter
from variations.jobs import Jobs
from variations.model import Answer, Job, Listing, Order, SourceLocation
from variations.service import REDRIVABLE, Service
from variations.settings import Settings
from variations.table import Table

from tests.conftest import ENVIRONMENT
from tests.fakes import Clock, FakeStorage, OneByOne

SECONDS = 600.0  # that a worker lives, and holds its job for
LATE_SECONDS = 12 * 3600  # as process_jobs.py has it
DAY_SECONDS = 86_400
MOST_JOBS = 4
CALLERS = ["s3:upload", "shop"]
LIMITS = [(1000, 1000), (0, 0), (9, 0), (9, 6)]  # images a day, of the stack and of each caller

GOOD = "all"
MOODS = {  # of the provider -> the error it answers with, and whether the call was surely not billed
    "busy": (ProviderBusy("Later."), True),
    "unreachable": (ProviderUnreachable("No connection."), True),
    "failed": (ProviderFailed("HTTP 502"), False),
    "failed for a moment": (ProviderFailed("HTTP 500", retryable=True), False),
    "too slow": (ProviderTimeout("No answer in time."), False),
    "refuses": (ProviderRefused("Moderated."), False),
    "denies": (ProviderDenied("No such key."), False),
}
ANSWERS = [GOOD, GOOD, "fewer", "one"]

# The moments at which a worker may die, and those at which what it talks to may fail, before or after its effect.
WRITES = [
    "jobs.begin",
    "budget.reserve",
    "jobs.record_attempt",
    "jobs.record_outcome",
    "budget.give_back",
    "storage.store_result",
    "storage.store_manifest",
    "jobs.finish",
    "jobs.release",
    "jobs.release_after_stumble",
    "world.set_aside",
    "world.publish",
    "jobs.record_announcement",
]
READS = ["storage.fetch_source", "storage.list_results", "storage.read_manifest"]
MOMENTS = [f"{when} {what}" for what in WRITES for when in ("before", "after")] + [f"before {what}" for what in READS]
CALL = ["before provider.send", "after provider.send"]  # on record, and nothing of its end is


class Crash(BaseException):
    """The worker is gone."""


class Stumble(Exception):
    """The worker meets what nobody thought of."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong when a worker is at a moment for the n-th time: it dies, sleeps, stumbles, or AWS fails."""

    moment: str
    nth: int
    what: str


@dataclass(frozen=True)
class Plan:
    """How one delivery goes: the moods of the provider, call by call, how long it takes, and what goes wrong.

    `meanwhile` is how it goes with the worker that gets the job while this one sleeps.
    """

    moods: tuple[str, ...] = (GOOD,)
    call_seconds: int = 0
    faults: tuple[Fault, ...] = ()
    meanwhile: "Plan | None" = None


WELL = Plan()
nth = st.sampled_from([1, 1, 1, 2, 3])
deaths = st.builds(Fault, st.sampled_from(MOMENTS + CALL), nth, st.just("dies"))
losses = st.builds(Fault, st.sampled_from(MOMENTS), nth, st.sampled_from(["fails", "fails", "stumbles"]))
sleeps = st.builds(Fault, st.sampled_from(CALL), st.just(1), st.just("sleeps"))
deaths_at_work = st.builds(  # which leave the job to nobody, with calls on record
    Fault,
    st.sampled_from([*CALL, "after jobs.record_attempt", "before jobs.record_outcome", "after storage.store_result"]),
    st.just(1),
    st.just("dies"),
)
moods = st.lists(st.sampled_from(ANSWERS + list(MOODS)), min_size=1, max_size=4).map(tuple)


def plans(*faults, **further):
    """How a delivery may go, in which one of each of these faults happens if its moment comes."""
    return st.builds(Plan, moods, st.sampled_from([0, 120]), st.tuples(*faults), **further)


@dataclass(frozen=True, eq=False)
class Message:
    """An order on a queue, and when it was put there."""

    order: Order
    sent_at: float


class Call(Future):
    """A paid call of a pool, which is made when somebody waits for its end."""

    def __init__(self, make):
        super().__init__()
        self.make_call = make

    def make(self):
        if not self.done():
            try:
                self.set_result(self.make_call())
            except BaseException as failure:
                self.set_exception(failure)
        return self


class Pool:
    """Makes calls one after the other, in the same order in every run, where the real pool makes them side by side."""

    def __init__(self, workers):
        self.calls = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for call in self.calls:  # a real pool waits for them too
            call.make()

    def submit(self, function, *arguments, **named):
        self.calls.append(Call(functools.partial(function, *arguments, **named)))
        return self.calls[-1]


def in_order(calls):
    """Yield calls as they end."""
    return (call.make() for call in list(calls))


@functools.cache
def draw(number):
    """A picture like no other."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256 % 256, 99)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Staged:
    """A part of a worker, around whose methods things go wrong."""

    name: str
    part: object
    worker: "Worker"

    def __getattr__(self, method):
        return functools.partial(self.worker.do, f"{self.name}.{method}", getattr(self.part, method))


@dataclass
class Worker:
    """One delivery in a new container: a service over the shared world, and what is planned for it."""

    world: "World"
    message: Message
    plan: Plan
    times: Counter = field(default_factory=Counter)
    attempts: dict = field(default_factory=dict)  # seed of a call -> what this worker wrote down of it
    sent: int = 0
    has_slept: bool = False

    def run(self):
        """Work the message off as process_jobs does: it stays on the queue unless the job is done."""
        world, late = self.world, self.world.clock.now - self.message.sent_at > LATE_SECONDS
        parts = {name: Staged(name, getattr(world, name), self) for name in ("jobs", "budget", "storage")}
        provider = SimpleNamespace(list_models=lambda **_: Listing(), send=self.send)
        worker = Service(
            Interpreter(provider, None, "auto", world.clock),
            publish=functools.partial(self.do, "world.publish", world.publish),
            set_aside=functools.partial(self.do, "world.set_aside", world.set_aside),
            settings=world.settings,
            clock=world.clock,
            storing=OneByOne(),
            **parts,
        )
        try:
            job = worker.process(self.message.order, seconds=SECONDS, late=late)
        except (Crash, Stumble):
            return
        except VariationError as error:
            if not error.retryable:
                raise
            return
        assert job.is_finished
        if self.message in world.queue:  # else another worker was done with it first
            world.queue.remove(self.message)

    def do(self, what, method, *arguments, **named):
        """Call a method of a part, if nothing goes wrong before; something may go wrong after."""
        self.reach(f"before {what}")
        if self.has_slept and what.startswith("jobs.") and isinstance(arguments[0], Job):
            answer = self.world.refuse_a_worker_that_lost_its_lease(method, *arguments, **named)
        else:
            answer = method(*arguments, **named)
        self.world.saw(what, answer, *arguments)
        if what == "jobs.record_attempt":
            attempt = answer.attempts[-1]
            self.attempts[rounds._seed(answer.order.job_id, attempt.variations[0])] = attempt
        self.reach(f"after {what}")
        return answer

    def reach(self, moment):
        """Let happen what is planned for a moment."""
        self.times[moment] += 1
        for fault in self.plan.faults:
            if (fault.moment, fault.nth) == (moment, self.times[moment]):
                if fault.what == "dies":
                    raise Crash
                if fault.what == "stumbles":
                    raise Stumble
                if fault.what == "fails":
                    raise StorageFailed(f"AWS failed {moment}.")
                self.sleep()

    def sleep(self):
        """Sleep until the lease is over, while another worker gets the same message if it is there still."""
        self.has_slept = True
        self.world.clock.now += SECONDS + 1
        if self.plan.meanwhile:
            Worker(self.world, self.message, self.plan.meanwhile).run()

    def send(self, call, *, deadline, take):
        """Make a paid call: the provider answers in the mood that comes next."""
        mood = self.plan.moods[min(self.sent, len(self.plan.moods) - 1)]
        self.sent += 1
        paid = self.world.note_call(self.message.order.job_id, self.attempts[call.seed], call.n)
        self.reach("before provider.send")
        self.world.clock.now += self.plan.call_seconds
        if mood in MOODS:
            error, paid.is_surely_free = MOODS[mood]
            answer = None
        else:
            images = {"all": call.n, "fewer": max(1, call.n - 1), "one": 1}[mood]
            answer = Answer(images, f"req_{len(self.world.calls)}")
            for place in range(images):
                take(place, draw(next(self.world.pictures)))
            paid.answered = images
        self.reach("after provider.send")
        if answer is None:
            raise error
        return answer


@dataclass
class PaidCall:
    """What the provider knows of a call: for which variations of which job, and what came of it."""

    job_id: str
    attempt: int
    variations: tuple[int, ...]
    day: str
    answered: int = 0
    is_surely_free: bool = False

    def asked(self):
        """Return the variations it was paid for: a provider that makes one whatever is asked makes the first."""
        return self.variations[:1] if self.answered == 1 else self.variations


@dataclass
class End:
    """A job as it ended: its record, its manifest and its pictures."""

    job: Job
    objects: dict


class World:
    """The shared world of all workers, with what it saw of them."""

    def __init__(self, table, clock, max_attempts, limits):
        self.clock, self.limits = clock, limits
        self.jobs = Jobs(table, 30, clock)
        self.budget = Budget(table, *limits, clock)
        self.storage = FakeStorage()
        environment = {**ENVIRONMENT, "MAX_ATTEMPTS": str(max_attempts)}
        environment |= {"UPLOADS_BUCKET": "uploads", "RESULTS_BUCKET": "results"}
        self.settings = Settings.from_env(environment)
        self.pictures = count()
        self.queue, self.dead_letters = [], []
        self.orders, self.records, self.calls, self.days = {}, {}, [], {}
        self.ends, self.told, self.kept = {}, Counter(), set()

    # What workers tell and keep

    def publish(self, event):
        detail = json.loads(event["Detail"])
        self.told[detail["job_id"], self.jobs.get(detail["job_id"]).redrives, detail["state"]] += 1

    def set_aside(self, order, reason):
        self.kept.add((order.job_id, order.redrive))
        self.dead_letters.append(Message(order, self.clock.now))

    # What is seen of them

    def saw(self, what, answer, *arguments):
        """Look at what a worker has just done."""
        if what == "jobs.record_attempt":
            attempt, job_id = answer.attempts[-1], answer.order.job_id
            self.days[job_id, attempt.number] = self.day
            assert not set(attempt.variations) & set(self.stored(job_id)), "a stored picture is asked for again"
        if what == "jobs.finish":
            self.compare(self.jobs.get(answer.order.job_id))

    def note_call(self, job_id, attempt, n):
        """Remember a call that the provider gets: it is on record, once, and was made by no other worker."""
        assert attempt.number not in {paid.attempt for paid in self.calls if paid.job_id == job_id}
        assert self.jobs.get(job_id).attempts[attempt.number - 1] == attempt
        assert len(attempt.variations) == n
        paid = PaidCall(job_id, attempt.number, attempt.variations, self.days[job_id, attempt.number])
        self.calls.append(paid)
        return paid

    def refuse_a_worker_that_lost_its_lease(self, write, job, *arguments, **named):
        """Let a worker write that has slept; if the job is another's now, it must change nothing."""
        found = self.jobs.get(job.order.job_id)
        try:
            return write(job, *arguments, **named)
        finally:
            if found.run != job.run:
                assert self.jobs.get(job.order.job_id) == found, "a worker that lost its lease wrote to the record"

    def look_at_all(self):
        """Look at all jobs, whichever was worked on."""
        for job_id in self.orders:
            if job := self.jobs.get(job_id):
                self.records[job_id] = job
                self.compare(job)

    def compare(self, job):
        """Compare a job that had ended with how it ended, and remember how one has ended just now."""
        job_id = job.order.job_id
        before = self.ends.get(job_id)
        if before and job.redrives == before.job.redrives:
            assert replace(job, announced=before.job.announced) == before.job, "a job changed after its end"
            assert self.objects(job_id) == before.objects, "results changed after the end"
        elif before:
            assert before.job.state == "failed"
            assert (job_id, job.redrives) in self.kept
        if job.is_finished and (before is None or before.job.redrives < job.redrives):
            self.check_end(job)
            self.ends[job_id] = End(job, self.objects(job_id))

    def check_end(self, job):
        """Check that a job's manifest tells how it ended, and that all results are there that it names."""
        manifest = self.storage.read_manifest(job.order.results_prefix)
        assert manifest["state"] == job.state
        assert job.error == (manifest["error"]["code"] if job.state == "failed" else None)
        if job.error != "worker_died":  # which looks at nothing any more
            named = [result["key"] for result in manifest["results"]]
            stored = self.stored(job.order.job_id)
            assert named == [stored[number].key for number in sorted(stored)], "a stored picture is not in the manifest"
        for result in manifest["results"]:
            found = self.storage.get("results", result["key"])
            assert len(found.content) == result["bytes"]

    def objects(self, job_id):
        prefix = self.orders[job_id].results_prefix
        results = self.storage.buckets["results"]
        return {key: results[key][-1].content for key in results if key.startswith(f"{prefix}/")}

    def stored(self, job_id):
        return self.storage.list_results(self.orders[job_id].results_prefix)

    @property
    def day(self):
        return datetime.fromtimestamp(self.clock.now, UTC).date().isoformat()

    def counted(self, day):
        """The images that the budget has counted on a day."""
        noon = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
        return replace(self.budget, clock=lambda: noon).counted()


class JobsAndWorkers(RuleBasedStateMachine):
    """Rules for what may happen, and what holds after each of them."""

    client, clock, tables = None, Clock(), count()

    def __init__(self):
        super().__init__()
        self.world = None

    def deliver_one(self, which, plan):
        message = self.world.queue[which % len(self.world.queue)]
        Worker(self.world, message, plan).run()
        self.world.look_at_all()

    has_room = precondition(lambda self: len(self.world.orders) < MOST_JOBS)
    has_messages = precondition(lambda self: self.world.queue)
    has_dead_letters = precondition(lambda self: self.world.dead_letters)
    # What may happen

    @initialize(max_attempts=st.integers(1, 3), limits=st.sampled_from(LIMITS))
    def deploy(self, max_attempts, limits):
        name = f"jobs-{next(self.tables)}"
        self.client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "job_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
        )
        self.clock.now = Clock().now
        self.world = World(Table(self.client, name), self.clock, max_attempts, limits)

    @has_room
    @rule(n=st.integers(1, 4), caller=st.sampled_from(CALLERS), is_complete=st.booleans(), copies=st.integers(1, 2))
    def upload(self, n, caller, is_complete, copies):
        """Hand in a picture: as an upload, or as the API does, which says all with the order."""
        world, number = self.world, len(self.world.orders) + 1
        options = {"n": str(n), "size": "64x64"}
        stored = world.storage.put("uploads", f"{number}.png", draw(0), "image/png", {} if is_complete else options)
        source = SourceLocation("uploads", f"{number}.png", stored.version_id, stored.etag)
        said = options if is_complete else {}
        order = Order(f"job-{number}", source, f"{number}.png/job-{number}", caller, said, complete=is_complete)
        world.orders[order.job_id] = order
        world.queue.extend(Message(order, world.clock.now) for _ in range(copies))

    @has_messages
    @rule(which=st.integers(0, 5), plan=plans())
    def deliver(self, which, plan):
        self.deliver_one(which, plan)

    @has_messages
    @rule(which=st.integers(0, 5), plan=plans(losses))
    def deliver_while_aws_fails(self, which, plan):
        self.deliver_one(which, plan)

    @has_messages
    @rule(which=st.integers(0, 5), plan=plans(deaths) | plans(deaths_at_work, losses), is_over=st.booleans())
    def deliver_to_a_worker_that_dies(self, which, plan, is_over):
        self.deliver_one(which, plan)
        self.world.clock.now += is_over * (SECONDS + 1)

    @has_messages
    @rule(
        which=st.integers(0, 5),
        plan=plans(sleeps, meanwhile=plans() | plans(deaths_at_work)) | plans(sleeps, losses, meanwhile=plans(deaths)),
    )
    def deliver_to_a_worker_that_sleeps(self, which, plan):
        self.deliver_one(which, plan)

    @has_messages
    @rule(which=st.integers(0, 5))
    def duplicate(self, which):
        queue = self.world.queue
        queue.append(replace(queue[which % len(queue)]))

    @precondition(lambda self: self.world.orders)
    @rule(seconds=st.sampled_from([1, SECONDS + 1, LATE_SECONDS + 1, 5 * DAY_SECONDS, None]))
    def let_time_pass(self, seconds):
        """Let so many seconds pass, or all until half a minute before midnight."""
        clock = self.world.clock
        clock.now += DAY_SECONDS - clock.now % DAY_SECONDS - 30 if seconds is None else seconds

    @has_dead_letters
    @rule(which=st.integers(0, 5))
    def redrive(self, which):
        """Put a dead letter back, which then is a new message."""
        letters = self.world.dead_letters
        letter = letters.pop(which % len(letters))
        self.world.queue.append(replace(letter, sent_at=self.world.clock.now))

    # What holds whatever happened

    @invariant()
    def every_job_has_ended_or_somebody_is_told_of_it(self):
        world = self.world
        waiting = {message.order.job_id for message in world.queue + world.dead_letters}
        assert world.orders.keys() <= waiting | world.ends.keys()

    @invariant()
    def no_call_is_made_that_is_not_on_record(self):
        world = self.world
        for job_id, calls in Counter(paid.job_id for paid in world.calls).items():
            assert calls <= len(world.records[job_id].attempts)

    @invariant()
    def nothing_is_paid_for_more_often_than_allowed(self):
        world, lost = self.world, Counter()
        for paid in world.calls:
            if not paid.is_surely_free and paid.attempt > world.records[paid.job_id].forgiven:
                lost.update((paid.job_id, number) for number in paid.asked())
        assert max(lost.values(), default=0) <= world.settings.max_attempts

    @invariant()
    def a_picture_never_changes(self):
        for key, versions in self.world.storage.buckets["results"].items():
            assert key.endswith("/manifest.json") or len(versions) == 1

    @invariant()
    def the_budget_counts_all_that_was_billed_and_no_more_than_its_limit(self):
        world, billed = self.world, Counter()
        limit = world.limits[0]
        if not limit:
            return
        for paid in world.calls:
            billed[paid.day] += paid.answered
        for day in {*billed, world.day}:
            assert billed[day] <= world.counted(day) <= limit

    # How it ends

    def teardown(self):
        """Let everything come to its end, unless the game was lost before."""
        if sys.exc_info()[0] is None:
            self.come_to_an_end()

    def come_to_an_end(self):
        world = self.world
        for _ in range(20):
            if not world.queue:
                break
            for message in list(world.queue):
                Worker(world, message, WELL).run()
            world.look_at_all()
            world.clock.now += SECONDS + 1
        assert not world.queue, "a message never ends"
        for job_id, order in world.orders.items():
            job = world.jobs.get(job_id)
            assert job.is_finished
            assert job.announced
            assert world.told[job_id, job.redrives, job.state], "nobody was told of the end"
            world.check_end(job)
            if job.error in REDRIVABLE and not order.complete:
                assert (job_id, job.redrives + 1) in world.kept, "an order is lost that could be put back"


@pytest.fixture(name="games")
def _games(session, monkeypatch):
    """The machine, with the clock and the order of calls in its hands."""
    monkeypatch.setattr(rounds, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(rounds, "as_completed", in_order)
    for module in (rounds, service):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=JobsAndWorkers.clock))
    with mock_aws():
        monkeypatch.setattr(JobsAndWorkers, "client", session.client("dynamodb", config=CLIENT_CONFIG))
        yield JobsAndWorkers


def test_whatever_happens_each_job_ends_and_nothing_is_paid_for_without_need(games):
    run_state_machine_as_test(
        games,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
