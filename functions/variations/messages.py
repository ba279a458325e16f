"""Read and write what lies on the jobs queue, and write the events that tell that a job has ended."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .errors import InvalidRequest
from .model import Order, SourceLocation

EVENT_SOURCE = "image-variations"
UPLOADER = "s3:upload"  # the caller of jobs that come from the bucket; no client key may be called so
JOB_ID_LETTERS = 32
API_UPLOAD = re.compile(r"/api/([0-9a-f]{32})/[^/]+$")
MAX_KEY_BYTES = 1024  # S3 user guide, "Naming objects", read 2026-11-22
LONGEST_RESULT_NAME = "/variation-10.jpeg"


def parse_message(body: str) -> list[Order]:
    """Read the orders out of one queue message: an S3 "Object Created" event from EventBridge, or one order.

    The key is taken as it stands: EventBridge does not encode it, other than S3's own notifications (which is
    why Powertools' data class, which decodes it, is not used).

    Returns:
        One order; none for the empty objects that stand for folders.

    Raises:
        InvalidRequest: it is no such message.
    """
    try:
        event = json.loads(body)
        if "order" in event:
            return [_order(event["order"])]
        if event["source"] != "aws.s3" or event["detail-type"] != "Object Created":
            raise InvalidRequest(f"The queue takes S3 'Object Created' events, not {event['detail-type']!r}.")
        return _orders_of_upload(event["detail"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequest("The message is neither an S3 'Object Created' event nor an order.") from error


def write_order(order: Order) -> str:
    """Write the message that brings an order to a worker."""
    return json.dumps({"order": asdict(order)})


def _order(fields: Mapping[str, Any]) -> Order:
    return Order(**{**fields, "source": SourceLocation(**fields["source"])})


def upload_key(upload_prefix: str, job_id: str, filename: str) -> str:
    """Return the key of a picture that is uploaded for a job which is on record already."""
    return f"{upload_prefix}api/{job_id}/{filename}"


def job_prefix(job_id: str) -> str:
    """Return where everything of a job lies that has no upload of its own."""
    return f"jobs/{job_id}"


def _orders_of_upload(detail: Mapping[str, Any]) -> list[Order]:
    bucket, uploaded = detail["bucket"]["name"], detail["object"]
    key, etag = uploaded["key"], uploaded.get("etag") or None
    if not all(isinstance(name, str) and name for name in (bucket, key, etag or "none")):
        raise TypeError("bucket, key and etag must be texts")
    if key.endswith("/"):
        return []
    if announced := API_UPLOAD.search(key):
        job_id = announced[1]  # its record knows the rest, and wins over this
        return [Order(job_id, SourceLocation(bucket, key), job_prefix(job_id), caller=UPLOADER)]
    version_id = uploaded.get("version-id") or None
    # Version or sequencer tell two uploads of one key apart; an event delivered twice has the same.
    job_id = _hash(bucket, key, version_id or uploaded["sequencer"])
    source = SourceLocation(bucket, key, version_id=version_id, etag=etag)
    request_id = detail.get("request-id")  # S3's own name for the upload, which its client was told too
    request_id = request_id if isinstance(request_id, str) else None
    return [Order(job_id, source, _results_prefix(key, job_id), caller=UPLOADER, request_id=request_id)]


def _results_prefix(source_key: str, job_id: str) -> str:
    """Put results beside the source's key, or under jobs/ where S3 has no room for such a key."""
    beside = f"{source_key}/{job_id}"
    fits = len((beside + LONGEST_RESULT_NAME).encode()) <= MAX_KEY_BYTES
    return beside if fits else job_prefix(job_id)


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
        "Detail": json.dumps(detail),
    }
