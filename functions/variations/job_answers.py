"""Write what callers get of a job: OpenAI's images answer, with the job's state beside."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from . import wiring
from .errors import ResponseTooLarge, error_from
from .history import Entry
from .http_api import error_response, json_response
from .model import Job, VariationRequest
from .orders import kept_source_key
from .table import without_none

# 6 MB is what Lambda may answer (Lambda quotas, read 2026-11-22); the rest is for everything but the pictures.
MAX_BASE64_CHARACTERS = 6 * 1024**2 - 256 * 1024
MAX_LISTED_PROMPT = 1000  # characters; a hundred whole prompts may have 13 MB


def deliver(app: APIGatewayRestResolver, job: Job, request: VariationRequest, warnings: Sequence[str]) -> Response[str]:
    """Give the caller what a finished job made, or why it made nothing; with that it counts as delivered."""
    described = describe(job, request, warnings)
    wiring.jobs().record_delivery(job)
    if not described["data"]:
        # Asking again would only find the same job.
        return error_response(app, error_from(**described["error"]), {"x-should-retry": "false"})
    return json_response(app, described["data"] if request.simplify else described)


def describe(job: Job, request: VariationRequest, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Write a job as OpenAI's images answer, with its state beside.

    Args:
        job: as the books have it.
        request: how the answer is to look.
        warnings: about the request that is being answered; those of the job itself are added.

    Raises:
        ResponseTooLarge: the pictures as base64 do not fit into one answer.
    """
    described: dict[str, Any] = {
        "created": job.created_at,
        "data": [],
        "id": job.order.job_id,
        "job_id": job.order.job_id,
        "object": "image.variations.job",
        "status": job.state,
        "error": None,
        "warnings": [*warnings],
    }
    if job.is_finished:
        manifest = wiring.storage().read_manifest(job.order.results_prefix)
        described["data"] = pictures_of(manifest, request.response_format)
        described |= {name: manifest[name] for name in ("model", "usage", "adjustments", "error")}
        described["warnings"] += manifest["warnings"]
    return described


def describe_entry(entry: Entry) -> dict[str, Any]:
    """Write a job as the list of its caller's jobs has it: what was asked for, and how it stands."""
    options, key = entry.order.options, entry.order.source.key
    own_copy = key == kept_source_key(entry.order.job_id)
    asked = {
        "prompt": options["prompt"][:MAX_LISTED_PROMPT] if "prompt" in options else None,
        "size": options.get("size"),
        "filename": None if own_copy else key.rpartition("/")[2],
    }
    return {
        "id": entry.order.job_id,
        "object": "image.variations.job",
        "status": entry.state,
        "created": entry.created_at,
        "model": options["model"],
        "n": options["n"],
        **without_none(asked),
        "error": {"code": entry.error} if entry.error else None,
    }


def pictures_of(manifest: Mapping[str, Any], response_format: str) -> list[dict[str, str]]:
    """Return `{"url"}` or `{"b64_json"}` for each result of a manifest."""
    storage, keys = wiring.storage(), [result["key"] for result in manifest["results"]]
    if response_format == "url":
        return [{"url": storage.presign_result(key)} for key in keys]
    _check_fits(manifest)
    return [{"b64_json": base64.b64encode(storage.read_result(key)).decode()} for key in keys]


def _check_fits(manifest: Mapping[str, Any]) -> None:
    characters = sum((result["bytes"] + 2) // 3 * 4 for result in manifest["results"])
    if characters > MAX_BASE64_CHARACTERS:
        raise ResponseTooLarge(
            f"The pictures are {characters / 1e6:.1f} MB as base64, and an answer holds 6 MB. Nothing is lost: send "
            f"the same request with response_format=url, or ask GET /v1/jobs/{manifest['job_id']}; that costs nothing.",
            param="response_format",
        )
