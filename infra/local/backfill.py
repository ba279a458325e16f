"""Make variations of many pictures on the local stack: `make backfill PREFIX=archive/ IMAGES=~/pictures`.

It starts the same state machine that works through a bucket on AWS, and shows how the queue is worked off.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.local.build import ROOT
from infra.local.processes import StackError
from infra.local.running import RunningStack

QUEUE_SECONDS = 600.0
WORK_SECONDS = 24 * 3600.0
SHOWN_FAILURES = 5


def queue(stack: RunningStack, request: dict[str, Any]) -> dict[str, int]:
    """Run the backfill state machine.

    Returns:
        How many pictures (here: batches of pictures, as the emulator counts) were `found` and `queued`.

    Raises:
        StackError: it ended otherwise.
    """
    engine = stack.client("stepfunctions")
    started = engine.start_execution(stateMachineArn=stack["backfill_state_machine"], input=json.dumps(request))
    deadline = time.monotonic() + QUEUE_SECONDS
    while time.monotonic() < deadline:
        execution = engine.describe_execution(executionArn=started["executionArn"])
        if execution["status"] == "SUCCEEDED":
            counts: dict[str, int] = json.loads(execution["output"])
            return counts
        if execution["status"] != "RUNNING":
            raise StackError(f"The backfill ended as {execution['status']}: {execution.get('cause')}")
        time.sleep(0.2)
    raise StackError(f"The backfill was not on the queue after {QUEUE_SECONDS:.0f} seconds.")


def upload(stack: RunningStack, folder: Path, prefix: str) -> int:
    """Upload every file of a folder below the prefix, and return how many there were."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise StackError(f"There are no files in {folder}.")
    for path in files:
        stack.upload(path, prefix + path.relative_to(folder).as_posix())
    return len(files)


def run(stack: RunningStack, request: dict[str, Any], images: Path | None) -> bool:
    """Work through a prefix or a list, show the progress, and return whether nothing failed."""
    prefix = request.get("prefix", "")
    if images:
        print(f"Uploaded {upload(stack, images, prefix)} files to s3://{stack['uploads_bucket']}/{prefix}")
    before, started = stack.manifests(prefix), time.monotonic()
    queue(stack, request)
    print(f"On the queue after {time.monotonic() - started:.1f} s")
    for left in stack.work_off(WORK_SECONDS):
        if sys.stdout.isatty():
            print(f"\r\033[K{left} messages left", end="", flush=True)
    new = [key for key, written in stack.manifests(prefix).items() if before.get(key) != written]
    manifests = [stack.read_manifest(key) for key in new]
    states = Counter(manifest["state"] for manifest in manifests)
    told = ", ".join(f"{count} {state}" for state, count in states.items()) or "all were done before"
    print(f"Worked off after {time.monotonic() - started:.1f} s: {len(new)} jobs ended ({told}).")
    failed = [manifest for manifest in manifests if manifest["state"] == "failed"]
    for manifest in failed[:SHOWN_FAILURES]:
        print(f"  {manifest['source']['key']}: {manifest['error']['message']}")
    print(f"  in S3  s3://{stack['results_bucket']}/{prefix}")
    return not failed


def main() -> None:
    """Run a backfill from the command line."""
    parser = argparse.ArgumentParser(description="Make variations of many pictures on the local stack.")
    parser.add_argument("--prefix", help="of the pictures in the uploads bucket")
    parser.add_argument("--manifest", help="s3://bucket/list.csv or .jsonl instead")
    parser.add_argument("--images", type=Path, help="a folder to upload below the prefix first")
    parser.add_argument("--options", type=json.loads, default={}, help='for all of them, such as {"n": 2}')
    parser.add_argument("--id", default="", help="a new one tries again what failed")
    parser.add_argument("--folder", type=Path, default=ROOT / ".local")
    chosen = parser.parse_args()
    if not (chosen.prefix or chosen.manifest) or (chosen.images and not chosen.prefix):
        sys.exit("Say which pictures: make backfill PREFIX=archive/ [IMAGES=folder], or MANIFEST=s3://bucket/list.csv")
    named = {"prefix": chosen.prefix} if chosen.prefix else {"manifest": chosen.manifest}
    try:
        stack = RunningStack(chosen.folder / "stack.json")
        went_well = run(stack, {**named, "options": chosen.options, "id": chosen.id}, chosen.images)
    except (StackError, ClientError) as error:
        sys.exit(f"{error}")
    sys.exit(not went_well)


if __name__ == "__main__":
    main()
