"""Put the dead letters of the local stack back on the jobs queue: `make redrive`.

The same as `aws sqs start-message-move-task` does on AWS, which the emulator lacks: jobs that failed begin again, and
what is stored of them is not asked for again. What nobody can read comes back.
"""

import argparse
import sys
from pathlib import Path

from botocore.exceptions import ClientError

from infra.local.build import ROOT
from infra.local.processes import StackError
from infra.local.running import RunningStack

WAIT_SECONDS = 600.0


def redrive(stack: RunningStack) -> int:
    """Move every dead letter to the jobs queue, and return how many there were."""
    moved, dead = 0, {"QueueUrl": stack["dead_letter_queue_url"]}
    while messages := stack.sqs.receive_message(**dead, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            stack.sqs.send_message(QueueUrl=stack["jobs_queue_url"], MessageBody=message["Body"])
            stack.sqs.delete_message(**dead, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def main() -> None:
    """Redrive from the command line."""
    parser = argparse.ArgumentParser(description="Put the dead letters of the local stack back on the jobs queue.")
    parser.add_argument("--folder", type=Path, default=ROOT / ".local")
    options = parser.parse_args()
    try:
        stack = RunningStack(options.folder / "stack.json")
        print(f"{redrive(stack)} messages put back.")
        for _ in stack.work_off(WAIT_SECONDS):
            pass
    except (StackError, ClientError) as error:
        sys.exit(f"{error}")
    print(f"Worked off; {stack.waiting('dead_letter_queue_url')} messages are set aside now.")


if __name__ == "__main__":
    main()
