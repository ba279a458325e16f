"""Talk to the local stack that is up, as its users do: through the AWS services and nothing else."""

import json
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.local.deploy import session
from infra.local.processes import StackError

Manifest = dict[str, Any]


class RunningStack:
    """The stack that a `stack.json` tells of, with a client for each AWS service that is needed."""

    def __init__(self, description: Path) -> None:
        if not description.exists():
            raise StackError("The local stack is not up. Start it with `make up`.")
        self.described: dict[str, Any] = json.loads(description.read_text())

    def __getitem__(self, name: str) -> Any:
        return self.described[name]

    def client(self, service: str) -> Any:
        """Return a client of an AWS service, e.g. `lambda`."""
        return session().client(service, endpoint_url=self["aws_endpoint"])  # type: ignore[call-overload]

    @cached_property
    def s3(self) -> Any:
        """Return the client of S3."""
        return self.client("s3")

    @cached_property
    def sqs(self) -> Any:
        """Return the client of SQS."""
        return self.client("sqs")

    def upload(self, path: Path, key: str, **metadata: str) -> None:
        """Put a file into the uploads bucket."""
        self.s3.upload_file(str(path), self["uploads_bucket"], key, ExtraArgs={"Metadata": metadata})

    def manifests(self, prefix: str) -> dict[str, str]:
        """Return the keys of all manifests below a prefix of the results bucket, each with its time of writing."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self["results_bucket"], Prefix=prefix)
        entries = (entry for page in pages for entry in page.get("Contents", []))
        return {
            entry["Key"]: str(entry["LastModified"]) for entry in entries if entry["Key"].endswith("/manifest.json")
        }

    def read(self, key: str) -> bytes:
        """Read an object of the results bucket."""
        content: bytes = self.s3.get_object(Bucket=self["results_bucket"], Key=key)["Body"].read()
        return content

    def read_manifest(self, key: str) -> Manifest:
        """Read a manifest."""
        manifest: Manifest = json.loads(self.read(key))
        return manifest

    def waiting(self, queue: str = "jobs_queue_url") -> int:
        """Count the messages of a queue, in sight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self[queue], AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def work_off(self, seconds: float) -> Iterator[int]:
        """Yield how many messages the jobs queue still holds, until it holds none.

        Raises:
            StackError: it holds some after so many seconds.
        """
        deadline = time.monotonic() + seconds
        while left := self.waiting():
            if time.monotonic() > deadline:
                raise StackError(f"After {seconds:.0f} seconds {left} messages still wait on the queue.")
            yield left
            time.sleep(0.5)
