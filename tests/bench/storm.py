"""Put our worker and the one that everybody would write through the same storm: `python -m tests.bench.storm`.

Both see the same pictures, faults, moments of death and leases, on the same emulator; each gets a stack of its own.
The table that is printed goes into docs/reliability.md too, between its storm markers. Takes about ten minutes, so it
is no part of `make test`; its folder holds no test_ modules, so pytest passes it by.
"""

import argparse
import io
import json
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import requests

from infra.local.build import ROOT, build_code
from infra.local.deploy import session
from infra.local.running import RunningStack
from infra.local.stack import LOCAL_KEY, VERSION, LocalStack
from tests.e2e.conftest import Stack
from tests.e2e.storm import (
    HIDDEN_SECONDS,
    KILLS,
    LEASE_SECONDS,
    PICTURES,
    SEED,
    SIZE,
    STORM_SECONDS,
    VARIATIONS,
    draw,
    rage,
)

DOCUMENT = ROOT / "docs" / "reliability.md"
PEER = Path(__file__).parent / "powertools_worker.py"
PEER_NAME = "powertools-peer"
MAX_RECEIVES = 5  # the least that AWS advises for a queue before a function
CONCURRENCY = 5  # as MaxConcurrency of template.yaml


@dataclass(frozen=True)
class Contender:
    """A deployed worker: how it is fed, and where to look at what became of it."""

    stack: Stack
    handler: str
    upload: Callable[[int], object]
    results_bucket: str
    queue_url: str
    dead_letter_queue_url: str
    unfinished: Callable[[], int]
    calls_on_record: Callable[[], int]


@dataclass(frozen=True)
class Outcome:
    """What a worker made of the storm."""

    killed: int
    lost: int
    paid: int
    delivered: int
    dead_letters: int
    unfinished: int
    unrecorded: int
    seconds: float

    @property
    def paid_in_vain(self) -> int:
        """Return how many images were paid for beyond those that are there."""
        return self.paid - self.delivered


def ours(stack: Stack, **parameters: str) -> Contender:
    """Deploy this package with short leases."""
    stack.reload(DailyImageLimit="0", **parameters)
    stack.client("lambda").update_function_configuration(
        FunctionName=stack["functions"]["ProcessJobsFunction"], Timeout=LEASE_SECONDS
    )
    stack.sqs.set_queue_attributes(
        QueueUrl=stack["jobs_queue_url"], Attributes={"VisibilityTimeout": str(HIDDEN_SECONDS)}
    )

    def jobs() -> list[dict[str, Any]]:
        return [item for item in items(stack, stack["jobs_table"]) if "job_order" in item]

    def calls_on_record() -> int:
        attempts = [attempt for job in jobs() for attempt in job["attempts"]]
        return sum(attempt.get("outcome") in {None, "answered"} for attempt in attempts)

    return Contender(
        stack,
        "process_jobs.handler",
        lambda number: stack.upload(name(number), draw(number), n=str(VARIATIONS), size=SIZE),
        stack["results_bucket"],
        stack["jobs_queue_url"],
        stack["dead_letter_queue_url"],
        lambda: sum(job["job_state"] in {"queued", "running"} for job in jobs()),
        calls_on_record,
    )


def peer(stack: Stack) -> Contender:
    """Deploy the peer beside this package: buckets, queue, table, function."""
    s3, sqs, functions = stack.s3, stack.sqs, stack.client("lambda")
    uploads, results, table = (f"{PEER_NAME}-{what}" for what in ("uploads", "results", "idempotency"))
    for bucket in (uploads, results):
        s3.create_bucket(Bucket=bucket)
    stack.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dead_letters = sqs.create_queue(QueueName=f"{PEER_NAME}-dead-letters")["QueueUrl"]
    redrive = {"deadLetterTargetArn": arn_of(sqs, dead_letters), "maxReceiveCount": MAX_RECEIVES}
    # AWS advises six times the timeout; as in our own storm it is just more than the lease, so that the wait is short.
    attributes = {"VisibilityTimeout": str(HIDDEN_SECONDS), "RedrivePolicy": json.dumps(redrive)}
    queue = sqs.create_queue(QueueName=PEER_NAME, Attributes=attributes)["QueueUrl"]
    functions.create_function(
        FunctionName=PEER_NAME,
        Runtime="provided.al2023",
        Role="arn:aws:iam::000000000000:role/powertools-peer",
        Handler="powertools_worker.handler",
        Code={"ZipFile": package()},
        Timeout=LEASE_SECONDS,
        MemorySize=1024,
        Environment={
            "Variables": {
                "RESULTS_BUCKET": results,
                "IDEMPOTENCY_TABLE": table,
                "PROVIDER_BASE_URL": f"{stack['image_server_url']}/v1",
                "PROVIDER_API_KEY": LOCAL_KEY,
                "MODEL": "local-style-transfer",
                "VARIATIONS": str(VARIATIONS),
                "SIZE": SIZE,
                "POWERTOOLS_SERVICE_NAME": PEER_NAME,
            }
        },
    )
    functions.create_event_source_mapping(
        FunctionName=PEER_NAME,
        EventSourceArn=arn_of(sqs, queue),
        BatchSize=1,  # as ours: paid calls take minutes, and one that is killed takes no others with it
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": CONCURRENCY},
    )
    s3.put_bucket_notification_configuration(
        Bucket=uploads,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn_of(sqs, queue), "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    return Contender(
        stack,
        "powertools_worker.handler",
        lambda number: s3.put_object(Bucket=uploads, Key=name(number), Body=draw(number), ContentType="image/png"),
        results,
        queue,
        dead_letters,
        lambda: sum(item["status"] == "INPROGRESS" for item in items(stack, table)),
        # A record that is overwritten or deleted tells nothing of the call before; the test event was none.
        lambda: sum(bool(json.loads(item.get("data", "{}")).get("stored")) for item in items(stack, table)),
    )


def package() -> bytes:
    """Zip the peer with the bootstrap that our own functions run with, and so with the same layer."""
    with zipfile.ZipFile(io.BytesIO(build_code(ROOT / ".local" / "build" / VERSION))) as built:
        bootstrap = built.getinfo("bootstrap")
        content = built.read(bootstrap)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(bootstrap, content)
        zipped.write(PEER, PEER.name)
    return archive.getvalue()


def name(number: int) -> str:
    """Return what a picture is called, below any prefix."""
    return f"storm/{number:03}.png"


def arn_of(sqs: Any, queue_url: str) -> str:
    """Return the ARN of a queue."""
    found = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    return str(found["Attributes"]["QueueArn"])


def items(stack: Stack, table: str) -> Iterator[dict[str, Any]]:
    """Yield everything a table holds."""
    client = session().resource("dynamodb", endpoint_url=stack["aws_endpoint"]).Table(table)
    page = client.scan()
    yield from page["Items"]
    while "LastEvaluatedKey" in page:
        page = client.scan(ExclusiveStartKey=page["LastEvaluatedKey"])
        yield from page["Items"]


def pictures_there(contender: Contender) -> list[str]:
    """Return the keys of all pictures in the results bucket."""
    pages = contender.stack.s3.get_paginator("list_objects_v2").paginate(Bucket=contender.results_bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [key for key in keys if key.endswith(".png")]


def weather(contender: Contender, seed: int) -> Outcome:
    """Put a worker through the storm, wait until its queue is empty, and count."""
    stack = contender.stack
    stack.reset()
    running, began = RunningStack(stack.local.description), time.monotonic()
    running.described = {**stack.described, "jobs_queue_url": contender.queue_url}
    killed = rage(stack, contender.handler, contender.upload, seed)
    for _ in running.work_off(STORM_SECONDS):
        pass
    seconds = time.monotonic() - began
    running.described["dead_letter_queue_url"] = contender.dead_letter_queue_url
    there = pictures_there(contender)
    whole = [number for number in range(PICTURES) if sum(f"{name(number)}/" in key for key in there) == VARIATIONS]
    counted = requests.get(f"{stack['image_server_url']}/_calls", timeout=30).json()
    return Outcome(
        killed=len(killed),
        lost=PICTURES - len(whole),
        paid=counted["images"],
        delivered=len(there),
        dead_letters=running.waiting("dead_letter_queue_url"),
        unfinished=contender.unfinished(),
        unrecorded=max(0, counted["paid"] - contender.calls_on_record()),
        seconds=seconds,
    )


@contextmanager
def fresh_stack() -> Iterator[Stack]:
    """Bring a stack up that nothing else uses, and take it down again."""
    local = LocalStack(ROOT / ".local" / "bench")
    local.down()
    try:
        yield Stack(local)
    finally:
        local.down()


CONTENDERS: dict[str, Callable[[Stack], Contender]] = {
    "this package, MaxAttempts 2 (the default)": partial(ours, MaxAttempts="2"),
    "this package, MaxAttempts 5": partial(ours, MaxAttempts="5"),
    "Powertools worker": peer,
}

ROWS: dict[str, Callable[[Outcome], object]] = {
    "uploads without all of their pictures in the end": lambda outcome: outcome.lost,
    "images delivered": lambda outcome: outcome.delivered,
    "images paid for": lambda outcome: outcome.paid,
    "images paid for in vain": lambda outcome: outcome.paid_in_vain,
    "paid calls that are on no record": lambda outcome: outcome.unrecorded,
    "messages on the dead-letter queue": lambda outcome: outcome.dead_letters,
    "records that stayed in progress": lambda outcome: outcome.unfinished,
    "seconds until the queue was empty": lambda outcome: round(outcome.seconds),
}


def table_of(outcomes: dict[str, Outcome], seed: int) -> str:
    """Write the outcomes side by side in Markdown, with how they came about."""
    today = datetime.now(UTC).date().isoformat()
    killed = ", ".join(str(outcome.killed) for outcome in outcomes.values())
    lines = [
        f"`python -m tests.bench.storm`, {today}, seed {seed}: {PICTURES} uploads at once of {VARIATIONS} variations "
        f"each, about a tenth of the provider's calls disturbed (503, 500, 429, late answers), {KILLS} workers killed "
        f"with SIGKILL (hit: {killed}), {CONCURRENCY} workers at a time, leases of {LEASE_SECONDS} seconds, on the "
        "local stack. The other worker is `tests/bench/powertools_worker.py`: SQS, Powertools' `BatchProcessor` and "
        f"`@idempotent_function` with DynamoDB as its guide shows them, {MAX_RECEIVES} receives.",
        "",
        f"| | {' | '.join(outcomes)} |",
        f"|---|{'---|' * len(outcomes)}",
    ]
    for title, value in ROWS.items():
        lines.append(f"| {title} | {' | '.join(str(value(outcome)) for outcome in outcomes.values())} |")
    return "\n".join(lines)


def write(text: str, document: Path) -> None:
    """Put a text between the storm markers of a document, and touch nothing else."""
    before = document.read_text(encoding="utf-8")
    after, count = re.subn(
        r"(<!-- storm -->\n).*?(<!-- /storm -->)",
        lambda found: f"{found[1]}{text}\n{found[2]}",
        before,
        flags=re.DOTALL,
    )
    if count != 1:
        sys.exit(f"{document} has no place for it: it wants one pair of <!-- storm --> and <!-- /storm -->.")
    document.write_text(after, encoding="utf-8")


def say(text: str) -> None:
    """Show a text now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the comparison, print its table, and write it down."""
    parser = argparse.ArgumentParser(description="Our worker and a Powertools worker in the same storm.")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", choices=list(CONTENDERS), help="one of them; then nothing is written down")
    options = parser.parse_args()
    outcomes = {}
    for title, deploy in CONTENDERS.items():
        if options.only in {None, title}:
            with fresh_stack() as stack:
                outcomes[title] = weather(deploy(stack), options.seed)
            say(f"{title}: {outcomes[title]}")
    text = table_of(outcomes, options.seed)
    say(text)
    if not options.only:
        write(text, DOCUMENT)


if __name__ == "__main__":
    main()
