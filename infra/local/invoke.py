"""Send one of the example events to the local stack: `make invoke EVENT=events/generate_variations.json`.

The event goes the way it goes on AWS: what is for the worker through the jobs queue, all else straight into the
function of its name. The names in it are those of no real stack, so they are replaced by those of the one that is up,
and the picture it speaks of is put where it says.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from infra.local.build import ROOT
from infra.local.demo import EXAMPLE
from infra.local.processes import StackError
from infra.local.running import RunningStack

WAIT_SECONDS = 120.0
PREFIX = "invoked/"  # instead of the upload prefix, below which a picture would start a job by itself
KEYS = ("a b+c%20ü(1).jpg", "second.jpg")


def function_of(event: Path, functions: dict[str, str]) -> str:
    """Return the logical name of the function that an event file is for: the file's name begins with it.

    Raises:
        StackError: there is no such file or function.
    """
    if not event.is_file():
        raise StackError(f"There is no file {event}. Say EVENT=events/... with one of those there.")
    words = event.stem.split("_")
    for count in range(len(words), 0, -1):
        name = "".join(word.capitalize() for word in words[:count]) + "Function"
        if name in functions:
            return name
    raise StackError(f"No function is called like {event.name}.")


def fill_in(text: str, stack: RunningStack) -> Any:
    """Replace the names in an event by those of the stack."""
    text = text.replace("uploads-bucket", stack["uploads_bucket"]).replace("uploads/", PREFIX)
    return json.loads(text.replace("Bearer sk-local", f"Bearer {stack['api_key']}"))


def deliver(stack: RunningStack, batch: dict[str, Any]) -> None:
    """Put the messages of a batch on the jobs queue, and show what became of them."""
    before, dead = stack.manifests(PREFIX), stack.waiting("dead_letter_queue_url")
    for record in batch["Records"]:
        stack.sqs.send_message(QueueUrl=stack["jobs_queue_url"], MessageBody=record["body"])
    for _ in stack.work_off(WAIT_SECONDS):
        pass
    after = stack.manifests(PREFIX)
    new = [key for key in after if before.get(key) != after[key]]
    for key in new:
        manifest = stack.read_manifest(key)
        shown = {name: manifest[name] for name in ("job_id", "state", "caller", "error")}
        print(json.dumps({**shown, "manifest": f"s3://{stack['results_bucket']}/{key}"}, indent=2))
    if set_aside := stack.waiting("dead_letter_queue_url") - dead:
        print(f"{set_aside} set aside on the dead-letter queue.")
    if not new and not set_aside:
        print("Nothing to do: it was done before, or was never meant to make a picture.")


def invoke(stack: RunningStack, function: str, event: Any) -> bool:
    """Invoke a function, show its answer, and return whether it went well."""
    answered = stack.client("lambda").invoke(FunctionName=stack["functions"][function], Payload=json.dumps(event))
    print(json.dumps(json.loads(answered["Payload"].read()), indent=2, ensure_ascii=False))
    return "FunctionError" not in answered


def main() -> None:
    """Send an event from the command line."""
    parser = argparse.ArgumentParser(description="Send an event to the local stack.")
    parser.add_argument("event", type=Path)
    parser.add_argument("--folder", type=Path, default=ROOT / ".local")
    options = parser.parse_args()
    try:
        stack = RunningStack(options.folder / "stack.json")
        function = function_of(options.event, stack["functions"])
        event = fill_in(options.event.read_text(encoding="utf-8"), stack)
        for key in KEYS:
            stack.upload(EXAMPLE, PREFIX + key)
        if function == "ProcessJobsFunction":
            deliver(stack, event)
        else:
            sys.exit(not invoke(stack, function, event))
    except StackError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
