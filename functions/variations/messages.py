"""Read whatever lies on the jobs queue, and write the events that tell that a job has ended.

What the queue takes, each as it is or inside an SNS notification:

    S3 event from EventBridge       {"source": "aws.s3", "detail-type": "Object Created", ...}; its key is raw
    S3's own notification           {"Records": [...]}; keys are encoded as in forms; may hold several pictures
    "Variations Requested" event    {"detail-type": "Variations Requested", "detail": a plain request}
    plain request                   {"source": ..., "n": 2, ...}, or {"sources": [...], ...}; see orders.py
    order                           {"order": ...}, which our own front door writes
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from .errors import InvalidRequest
from .model import Order, SourceLocation, is_text
from .orders import order_of_request, order_of_upload, read_order

EVENT_SOURCE = "image-variations"
REQUESTED = "Variations Requested"
MAX_CALLER_BYTES = 256
MAX_ERROR_CHARACTERS = 1_000
UNREADABLE = (
    "The queue takes S3 events, 'Variations Requested' events and requests that name a source, "
    "and this is none of them. docs/events.md shows each."
)


@dataclass(frozen=True, slots=True)
class Message:
    """What one message holds: orders, and those parts of it that nobody can read, each with the reason."""

    orders: list[Order] = field(default_factory=list)
    unreadable: list[tuple[str, InvalidRequest]] = field(default_factory=list)


def parse_message(body: str, delivery_id: str) -> Message:
    """Read one message of the queue; what is wrong with one part of it does not touch the others.

    Keys are taken as each form writes them (Powertools' data classes decode those of EventBridge, which are raw, and
    do not decode those of S3's own notifications).

    Args:
        body: of the message.
        delivery_id: of the message, the same when it comes again.

    Returns:
        Its orders and its unreadable parts; neither for what is no work: S3's test event, a removed object, a folder.
    """
    message = Message()
    try:
        parts = list(_parts(json.loads(body), delivery_id))
    except (ValueError, TypeError, RecursionError):
        return Message(unreadable=[(body, InvalidRequest(UNREADABLE))])
    for part, part_id in parts:
        try:
            order = _read_part(part, part_id)
        except InvalidRequest as error:
            message.unreadable.append((json.dumps(part), error))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            message.unreadable.append((json.dumps(part), InvalidRequest(UNREADABLE)))
        else:
            message.orders.extend([order] if order else [])
    return message


def _parts(body: Any, delivery_id: str, *, notified: bool = False) -> Iterator[tuple[Any, str]]:
    """Yield each part of a message that stands for one picture, out of its envelope, with its delivery's id."""
    match body:
        case {"Type": "Notification", "TopicArn": _, "Message": str(inner)} if not notified:
            yield from _parts(json.loads(inner), str(body.get("MessageId") or delivery_id), notified=True)
        case {"Records": [_, *_] as records}:
            yield from (({"Records": [record]}, delivery_id) for record in records)
        case {"detail-type": "Variations Requested", "detail": {"sources": [_, *_]} as request}:
            for single, _ in _parts(request, delivery_id):
                yield {**body, "detail": single}, delivery_id
        case {"sources": [_, *_] as sources} if "detail-type" not in body:
            shared = {name: value for name, value in body.items() if name != "sources"}
            yield from (({**shared, "source": source}, delivery_id) for source in sources)
        case _:
            yield body, delivery_id


def _read_part(part: Any, delivery_id: str) -> Order | None:
    match part:
        case {"order": order}:
            return read_order(order)
        case {"Event": "s3:TestEvent"}:
            return None
        case {"Records": [{"eventSource": "aws:s3", "eventName": str(name)} as record]}:
            return _read_notification(record) if name.startswith("ObjectCreated:") else None
        case {"source": "aws.s3", "detail-type": kind, "detail": detail}:
            return _read_s3_event(detail) if kind == "Object Created" else None
        case {"detail-type": "Variations Requested", "id": str(event_id), "source": str(source), "detail": request}:
            if not is_text(source, MAX_CALLER_BYTES):
                raise InvalidRequest(f"The event's source must be a text of at most {MAX_CALLER_BYTES} bytes.")
            return order_of_request(request, caller=f"event:{source}", delivery_id=event_id)
        case {"source": _} if "detail-type" not in part:
            return order_of_request(part, caller="sqs:request", delivery_id=delivery_id)
    raise InvalidRequest(UNREADABLE)


def _read_s3_event(detail: Mapping[str, Any]) -> Order | None:
    uploaded = detail["object"]
    source = _source(detail["bucket"]["name"], uploaded["key"], uploaded.get("version-id"), uploaded.get("etag"))
    return order_of_upload(source, uploaded.get("sequencer"), detail.get("request-id"))


def _read_notification(record: Mapping[str, Any]) -> Order | None:
    uploaded = record["s3"]["object"]
    key = unquote_plus(uploaded["key"], errors="strict")
    source = _source(record["s3"]["bucket"]["name"], key, uploaded.get("versionId"), uploaded.get("eTag"))
    request_id = record.get("responseElements", {}).get("x-amz-request-id")
    return order_of_upload(source, uploaded.get("sequencer"), request_id)


def _source(bucket: Any, key: Any, version_id: Any, etag: Any) -> SourceLocation:
    source = SourceLocation(bucket, key, version_id or None, etag or None)
    if not source.is_whole:
        raise TypeError("bucket, key, version and etag must be texts")
    return source


def write_completion(manifest: Mapping[str, Any], results_bucket: str, prefix: str) -> dict[str, Any]:
    """Write the event that a job has ended, as an entry for EventBridge's PutEvents.

    Returns:
        Detail type `Variations Completed` (all or some of the pictures) or `Variations Failed`; the detail sums up the
        manifest and says where it lies. It stays below 128 KB, as every text in it is bounded, and EventBridge takes
        256 KB at least: user guide, "PutEvents", read 2026-11-25.
    """
    error = manifest["error"]
    shown = ("content_type", "width", "height")
    detail = {
        "job_id": manifest["job_id"],
        "state": manifest["state"],
        "caller": manifest["caller"],
        "request_id": manifest["request_id"],
        "model": manifest["model"],
        "source": {name: manifest["source"][name] for name in ("bucket", "key", "version_id", "etag")},
        "manifest": {"bucket": results_bucket, "key": f"{prefix}/manifest.json"},
        "results": [
            {"bucket": results_bucket, "key": result["key"], **{name: result[name] for name in shown}}
            for result in manifest["results"]
        ],
        "error": error and {**error, "message": error["message"][:MAX_ERROR_CHARACTERS]},
    }
    failed = manifest["state"] == "failed"
    return {
        "Source": EVENT_SOURCE,
        "DetailType": "Variations Failed" if failed else "Variations Completed",
        "Detail": json.dumps(detail),
    }
