"""Read what arrives on the jobs queue, and write the events that tell that a job has ended."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidRequest
from .model import Order, SourceLocation

EVENT_SOURCE = "image-variations"
JOB_ID_LETTERS = 32
MAX_KEY_BYTES = 1024  # S3 user guide, "Naming objects", read 2026-11-22
LONGEST_RESULT_NAME = "/variation-10.jpeg"


def parse_message(body: str) -> list[Order]:
    """Read the orders out of one queue message: an S3 "Object Created" event as EventBridge sends it.

    The key is taken as it stands: EventBridge does not encode it, other than S3's own notifications (which is
    why Powertools' data class, which decodes it, is not used).

    Returns:
        One order; none for the empty objects that stand for folders.

    Raises:
        InvalidRequest: it is no such message.
    """
    try:
        event = json.loads(body)
        if event["source"] != "aws.s3" or event["detail-type"] != "Object Created":
            raise InvalidRequest(f"The queue takes S3 'Object Created' events, not {event['detail-type']!r}.")
        return _orders_of_upload(event["detail"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest("The message is not an S3 'Object Created' event from EventBridge.") from error


def _orders_of_upload(detail: Mapping[str, Any]) -> list[Order]:
    bucket, uploaded = str(detail["bucket"]["name"]), detail["object"]
    key = str(uploaded["key"])
    if key.endswith("/"):
        return []
    version_id = uploaded.get("version-id") or None
    # Version or sequencer tell two uploads of one key apart; an event delivered twice has the same.
    job_id = _hash(bucket, key, version_id or uploaded["sequencer"])
    source = SourceLocation(bucket, key, version_id=version_id, etag=uploaded.get("etag") or None)
    return [Order(job_id, source, _results_prefix(key, job_id), caller="s3")]


def _results_prefix(source_key: str, job_id: str) -> str:
    """Put results beside the source's key, or under jobs/ where S3 has no room for such a key."""
    beside = f"{source_key}/{job_id}"
    fits = len((beside + LONGEST_RESULT_NAME).encode()) <= MAX_KEY_BYTES
    return beside if fits else f"jobs/{job_id}"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:JOB_ID_LETTERS]


def write_completion(manifest: Mapping[str, Any], results_bucket: str, prefix: str) -> dict[str, Any]:
    """Write the event that a job has ended, as an entry for EventBridge's PutEvents.

    Returns:
        Detail type `Variations Completed` (all or some of the pictures) or `Variations Failed`; the detail sums
        up the manifest and says where it lies.
    """
    detail = {
        "job_id": manifest["job_id"],
        "state": manifest["state"],
        "source": {name: manifest["source"][name] for name in ("bucket", "key")},
        "manifest": {"bucket": results_bucket, "key": f"{prefix}/manifest.json"},
        "results": [{"bucket": results_bucket, "key": result["key"]} for result in manifest["results"]],
        "error": manifest["error"],
    }
    failed = manifest["state"] == "failed"
    return {
        "Source": EVENT_SOURCE,
        "DetailType": "Variations Failed" if failed else "Variations Completed",
        "Detail": json.dumps(detail, ensure_ascii=False),
    }
