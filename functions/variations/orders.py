"""Make orders of what comes in: tell which job it is, and where its results go.

What makes two deliveries the same job:

    an upload          bucket, key, and version or sequencer: an event that S3 sends twice is one job
    a plain request    bucket, key and options, and what pins it: the version or ETag of its source or its own id,
                       else the delivery, so that each message is a job of its own
    over HTTP          nothing: such a job has a random id, and claims.py tells who shares it
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote_plus

from .errors import InvalidRequest, UnsupportedResource
from .model import MAX_KEY_BYTES, Order, SourceLocation, is_text
from .options import layered

UPLOADER = "s3:upload"  # the caller of jobs that come from a bucket; no client key may be called so
INVOKER = "lambda:invoke"  # of jobs that a function was invoked for
PRESETS_NAME = "variations.json"  # options for the pictures of a folder; no picture itself
JOB_ID_LETTERS = 32
API_UPLOAD = re.compile(r"/api/([0-9a-f]{32})/[^/]+$")
MAX_OPTIONS_BYTES = 200_000  # a prompt may have 128,000; a record in DynamoDB 400 KB in all
MAX_ID_BYTES = 256
LONGEST_RESULT_NAME = "/variation-10.jpeg"
SOURCE_FIELDS = {"bucket", "key", "encoded_key", "version_id", "etag"}
NOT_OPTIONS = {"resource", "operation", "source", "sources", "id", "only_missing", "options", "row", *SOURCE_FIELDS}


def upload_key(upload_prefix: str, job_id: str, filename: str) -> str:
    """Return the key of a picture that is uploaded for a job which is on record already."""
    return f"{upload_prefix}api/{job_id}/{filename}"


def job_prefix(job_id: str) -> str:
    """Return where everything of a job lies that has no source of its own in S3."""
    return f"jobs/{job_id}"


def kept_source_key(job_id: str) -> str:
    """Return the key of our own copy of a picture that came in over HTTP itself."""
    return f"{job_prefix(job_id)}/source"


def presets_key(source_key: str) -> str:
    """Return the key of the presets beside a picture, whether there are any or not."""
    return "".join(source_key.rpartition("/")[:2]) + PRESETS_NAME


def is_job_id(text: str) -> bool:
    """Tell whether a text is a job id by its looks."""
    return bool(re.fullmatch(f"[0-9a-f]{{{JOB_ID_LETTERS}}}", text))


def order_of_upload(source: SourceLocation, sequencer: Any, request_id: Any) -> Order | None:
    """Return the order of an uploaded picture, None for what is no picture: a folder, or presets.

    Args:
        source: the object, with its version and ETag as far as S3 told them.
        sequencer: S3's number of the upload, which tells two of one key apart where there are no versions.
        request_id: S3's own name for the upload, which its client was told too.
    """
    if _is_no_picture(source.key):
        return None
    if announced := _announced_order(source):
        return announced
    job_id = _hash(source.bucket, source.key, source.version_id or sequencer)
    prefix = _results_prefix(source.key, job_id)
    return Order(job_id, source, prefix, caller=UPLOADER, request_id=_short(request_id))


def is_awaited(order: Order) -> bool:
    """Tell whether somebody waits for a job's end, over HTTP or as an invoker, and is told of it there."""
    return order.complete or order.caller == INVOKER


def order_of_request(request: Mapping[str, Any], *, caller: str, delivery_id: str) -> Order | None:
    """Return the order of a plain request, None for a source that is no picture: a folder, or presets.

    Args:
        request: `source` is `{"bucket", "key"}`, with `version_id` and `etag` where they are known, or an
            `s3://bucket/key` text; `encoded_key` may stand for a key as S3 Inventory writes it. `resource` and
            `operation` are `image` and `variation`. `id` is the caller's own name for the request. `only_missing`
            leaves out pictures that have variations already. All else are options, see options.py; they may also
            stand in `options`. `row` is a line of a list: parts of the source and options, which win.
        caller: who asks.
        delivery_id: of the message or invocation, the same when it comes again.

    Raises:
        UnsupportedResource: it asks for something else. InvalidRequest: its source cannot be read.
    """
    _check_kind(request)
    row = layered(_part(request, "row"))
    source = _read_source(_in_row(request, row) or request.get("source"))
    if _is_no_picture(source.key):
        return None
    options = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in layered(_part(request, "options"), request, row).items()
        if name not in NOT_OPTIONS
    }
    written = json.dumps(options, sort_keys=True, ensure_ascii=False)
    if not is_text(written, MAX_OPTIONS_BYTES):
        raise InvalidRequest(f"The options must be text of at most {MAX_OPTIONS_BYTES} bytes in all.")
    own_id = request.get("id") or ""
    if not is_text(own_id, MAX_ID_BYTES):
        raise InvalidRequest(f"id must be a text of at most {MAX_ID_BYTES} bytes.", param="id")
    only_missing = request.get("only_missing") in (True, "true")
    if only_missing and (announced := _announced_order(source)):
        return announced
    pin = source.version_id or source.etag or ("" if own_id or only_missing else delivery_id)
    job_id = _hash(source.bucket, source.key, pin, own_id, written)
    return Order(
        job_id,
        source,
        _results_prefix(source.key, job_id),
        caller,
        options,
        request_id=own_id or _short(delivery_id),
        only_missing=only_missing,
    )


def write_order(order: Order) -> str:
    """Write the message that brings an order to a worker."""
    return json.dumps({"order": asdict(order)})


def read_order(fields: Mapping[str, Any]) -> Order:
    """Read an order back out of its message."""
    return Order(**{**fields, "source": SourceLocation(**fields["source"])})


def _part(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a request that is made of fields, or no fields."""
    part = request.get(name) or {}
    if not isinstance(part, Mapping):
        raise InvalidRequest(f"{name} must be an object.", param=name)
    return part


def _in_row(request: Mapping[str, Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the source of a request with what its row says instead, or nothing where the row names no source."""
    named = {name: value for name, value in row.items() if name in SOURCE_FIELDS}
    if not named:
        return {}
    keys = {"key", "encoded_key"} if named.keys() & {"key", "encoded_key"} else set()
    rest = {name: value for name, value in _part(request, "source").items() if name not in keys}
    return {**rest, **named}


def _short(request_id: Any) -> str | None:
    """Return a name of a request that is short enough to be kept."""
    return request_id if is_text(request_id, MAX_ID_BYTES) else None


def _check_kind(request: Mapping[str, Any]) -> None:
    resource, operation = request.get("resource", "image"), request.get("operation", "variation")
    if resource != "image":
        raise UnsupportedResource(f"The resource {json.dumps(resource)[:100]} is not supported!", param="resource")
    if operation != "variation":
        shown = json.dumps(operation)[:100]
        raise UnsupportedResource(f"The operation {shown} is not supported for images!", param="operation")


def _read_source(source: Any) -> SourceLocation:
    found = None
    if isinstance(source, str):
        found = SourceLocation.from_url(source)
    elif isinstance(source, Mapping):
        encoded = source.get("encoded_key")
        key = _decoded(encoded) if isinstance(encoded, str) else source.get("key")
        etag = source.get("etag")
        etag = etag.strip('"') if isinstance(etag, str) else etag
        found = SourceLocation(source.get("bucket", ""), key or "", source.get("version_id") or None, etag or None)
    if found is None or not found.is_whole:
        raise InvalidRequest(
            'Name the picture as "source": {"bucket": "...", "key": "..."} or "s3://bucket/key".', param="source"
        )
    return found


def _decoded(key: str) -> str | None:
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return None


def _announced_order(source: SourceLocation) -> Order | None:
    """Return the order of a picture that was uploaded with a form of ours, if it is one."""
    if not (announced := API_UPLOAD.search(source.key)):
        return None
    job_id = announced[1]  # its record knows the rest, and wins over this
    return Order(job_id, SourceLocation(source.bucket, source.key), job_prefix(job_id), caller=UPLOADER)


def _is_no_picture(key: str) -> bool:
    return key.endswith("/") or key.rpartition("/")[2] == PRESETS_NAME


def _results_prefix(source_key: str, job_id: str) -> str:
    """Put results beside the source's key, or under jobs/ where S3 has no room for such a key."""
    beside = f"{source_key}/{job_id}"
    fits = len((beside + LONGEST_RESULT_NAME).encode()) <= MAX_KEY_BYTES
    return beside if fits else job_prefix(job_id)


def _hash(*parts: str) -> str:
    if not all(isinstance(part, str) for part in parts):
        raise TypeError("a job id is made of texts")
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:JOB_ID_LETTERS]
