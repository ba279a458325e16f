"""Write functions/openapi.json from the code: `python -m infra.openapi`; with --check, say whether it is up to date.

What a field takes comes from `options.FIELDS`, what an error means from `http_api.STATUS`: the document cannot say
anything else than the code does.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "functions"))

from create_variations import CONTENT_TYPE  # noqa: E402
from get_job import DEFAULT_LIMIT, LIMIT  # noqa: E402
from variations import errors  # noqa: E402
from variations.http_api import STATUS  # noqa: E402
from variations.job_answers import MAX_LISTED_PROMPT  # noqa: E402
from variations.model import MAX_N  # noqa: E402
from variations.options import FIELDS  # noqa: E402
from variations.orders import JOB_ID_LETTERS  # noqa: E402

TARGET = ROOT / "functions" / "openapi.json"
Schema = dict[str, Any]

GATEWAY_REFUSALS = {
    401: "No client key, or an unknown one.",
    429: "Too many requests at once, or in a minute, or the images of the day are used up.",
    500: "A fault of ours.",
}
IMAGE = "The picture: PNG, JPEG, WebP, GIF, AVIF or HEIC."
IMAGE_TEXT = f"{IMAGE} As base64, a data: URL, s3://bucket/key of an allowed bucket, or https URL of an allowed host."


def document() -> Schema:
    """Return the OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "image-variations",
            "version": "1",
            "description": "Variations of a picture with any OpenAI-compatible image API, in OpenAI's wire format.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"ClientKey": []}],
        "paths": {
            "/models": {"get": _list_models()},
            "/models/{model}": {"get": _retrieve_model()},
            "/images/variations": {"post": _create_variations()},
            "/uploads": {"post": _create_upload()},
            "/jobs": {"get": _list_jobs()},
            "/jobs/{job_id}": {"get": _get_job()},
            "/openapi.json": {
                "get": _operation("describe_api", "This document.", {"200": _json({"type": "object"})}, ())
            },
        },
        "components": {
            "securitySchemes": {"ClientKey": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _error(),
                "Model": _model(),
                "Pictures": _pictures(),
                "Job": _job(),
                "ListedJob": _listed_job(),
                "Options": {"type": "object", "properties": _options()},
            },
        },
    }


def _list_models() -> Schema:
    listed = {"type": "object", "required": ["object", "data"], "properties": {"data": _array(_ref("Model"))}}
    operation = _operation(
        "list_models", "List the image models that the provider offers.", {"200": _json(listed)}, (400, *PROVIDER)
    )
    everything = {"type": "boolean", "description": "List every model, also those that make no variations."}
    return operation | {"parameters": [_parameter("all", "query", everything)]}


def _retrieve_model() -> Schema:
    operation = _operation(
        "retrieve_model", "Describe one model.", {"200": _json(_ref("Model"))}, (400, 404, *PROVIDER)
    )
    return operation | {"parameters": [_parameter("model", "path", {"type": "string", "minLength": 1})]}


def _create_variations() -> Schema:
    binary = {"type": "string", "contentMediaType": "application/octet-stream", "description": IMAGE}
    text = {"type": "string", "minLength": 1, "description": IMAGE_TEXT}
    answers = {
        "200": _json({"oneOf": [_ref("Job"), _ref("Pictures")]}),
        "202": _json(_ref("Job")) | {"headers": {"Location": _header("Where the job can be asked for.")}},
    }
    failures = sorted(set(STATUS.values()) - {401})
    operation = _operation("create_variations", "Make variations of a picture, and wait for them.", answers, failures)
    wait = {"type": "string", "description": "respond-async, or wait=N: answer 202 at once, or after N seconds."}
    key = {"type": "string", "maxLength": 255, "description": "The same key means the same job for 24 hours."}
    return operation | {
        "parameters": [_parameter("Prefer", "header", wait), _parameter("Idempotency-Key", "header", key)],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": _with_options({"image": binary})},
                "application/json": {"schema": _with_options({"image": text})},
            },
        },
    }


def _create_upload() -> Schema:
    form = {
        "type": "object",
        "required": ["job_id", "url", "fields"],
        "properties": {
            "job_id": {"type": "string"},
            "url": {"type": "string", "description": "Where to POST the form, the picture in its last field, `file`."},
            "fields": {"type": "object", "additionalProperties": {"type": "string"}},
            "warnings": _array({"type": "string"}),
        },
    }
    own = {
        "filename": {"type": "string", "pattern": "^[^/\\x00-\\x1f]{1,200}$", "default": "picture"},
        "content_type": {**CONTENT_TYPE.schema(), "default": "image/png"},
    }
    operation = _operation(
        "create_upload",
        "Get a form that uploads a larger picture; its upload starts the job.",
        {"201": _json(form)},
        (400, 413, 500, 503),
    )
    body = {"type": "object", "properties": {**own, **_options()}}
    return operation | {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}


def _list_jobs() -> Schema:
    listed = {
        "type": "object",
        "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": _array(_ref("ListedJob")) | {"maxItems": LIMIT.maximum},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"], "description": "The next page comes after it."},
            "has_more": {"type": "boolean"},
        },
    }
    operation = _operation(
        "list_jobs", "List your own jobs, the newest first.", {"200": _json(listed)}, (400, 500, 503)
    )
    limit = LIMIT.schema() | {"default": DEFAULT_LIMIT, "description": LIMIT.description}
    after = {
        "type": "string",
        "pattern": f"^[0-9a-f]{{{JOB_ID_LETTERS}}}$",
        "description": "Id of the last job of the page before, which is its `last_id`.",
    }
    return operation | {"parameters": [_parameter("limit", "query", limit), _parameter("after", "query", after)]}


def _get_job() -> Schema:
    answers = {"200": _json({"oneOf": [_ref("Job"), _ref("Pictures")]})}
    operation = _operation("get_job", "See what became of a job, with fresh URLs.", answers, (400, 404, 413, 500, 503))
    options = [_parameter(name, "query", FIELDS[name].schema()) for name in ("response_format", "simplify")]
    return operation | {"parameters": [_parameter("job_id", "path", {"type": "string", "minLength": 1}), *options]}


PROVIDER = (500, 502, 503, 504)


def _operation(name: str, summary: str, answers: Schema, failures: Any) -> Schema:
    refused = {status: GATEWAY_REFUSALS.get(status) or _meanings(status) for status in {*failures, *GATEWAY_REFUSALS}}
    failed = {str(status): _json(_ref("Error")) | {"description": refused[status]} for status in sorted(refused)}
    return {"operationId": name, "summary": summary, "responses": {**answers, **failed}}


def _meanings(status: int) -> str:
    return " ".join((kind.__doc__ or "").partition("\n")[0] for kind, known in STATUS.items() if known == status)


def _with_options(image: Schema) -> Schema:
    return {"type": "object", "required": ["image"], "properties": {**image, **_options()}}


def _options() -> Schema:
    return {name: field.schema() | {"description": field.description} for name, field in FIELDS.items()}


def _pictures() -> Schema:
    url = {"type": "string", "description": "Valid for an hour at most."}
    picture = {"type": "object", "properties": {"url": url, "b64_json": {"type": "string"}}}
    return _array(picture) | {"maxItems": MAX_N}


STATES = {"enum": ["queued", "running", "succeeded", "partial", "failed"]}


def _listed_job() -> Schema:
    code = {"type": "string", "description": "Why it failed; GET /jobs/{job_id} has the message."}
    prompt = {"type": "string", "maxLength": MAX_LISTED_PROMPT, "description": "How it begins, where you set one."}
    return {
        "type": "object",
        "required": ["id", "object", "status", "created", "model", "n", "error"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "image.variations.job"},
            "status": STATES,
            "created": {"type": "integer", "description": "Seconds since the epoch."},
            "model": {"type": "string"},
            "n": {"type": "integer", "minimum": 1, "maximum": MAX_N},
            "prompt": prompt,
            "size": {"type": "string"},
            "filename": {"type": "string", "description": "Of a picture that lies in S3."},
            "error": {"type": ["object", "null"], "properties": {"code": code}},
        },
    }


def _job() -> Schema:
    return {
        "type": "object",
        "required": ["created", "data", "job_id", "status"],
        "properties": {
            "created": {"type": "integer", "description": "Seconds since the epoch."},
            "data": _ref("Pictures"),
            "id": {"type": "string"},
            "job_id": {"type": "string"},
            "object": {"const": "image.variations.job"},
            "status": STATES,
            "model": {"type": ["string", "null"]},
            "usage": {"type": ["object", "null"]},
            "warnings": _array({"type": "string"}),
            "adjustments": _array({"type": "object"}),
            "error": {"type": ["object", "null"]},
        },
    }


def _model() -> Schema:
    image = {
        "type": "object",
        "required": ["variations", "dialect", "sizes", "images_per_call", "shutdown_date"],
        "properties": {
            "variations": {"enum": [True, "unknown", False], "description": "Whether it makes variations."},
            "dialect": {"type": ["string", "null"], "description": "How the provider is asked."},
            "sizes": _array({"type": "string"}) | {"description": "Those of the usual sizes that can be had."},
            "images_per_call": {"type": "integer", "description": "More are made in several calls."},
            "shutdown_date": {"type": ["string", "null"]},
            "warning": {"type": "string", "description": "What to do before the model dies."},
        },
    }
    return {
        "type": "object",
        "required": ["id", "object", "created", "owned_by"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
            "shutdown_date": {"type": ["string", "null"]},
            "image": image,
        },
    }


def _error() -> Schema:
    codes = sorted({kind.code for kind in STATUS} | {kind.code for kind in errors.ProviderError.__subclasses__()})
    inner = {
        "message": {"type": "string"},
        "type": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "code": {"type": "string", "examples": codes},
    }
    error = {"type": "object", "required": list(inner), "properties": inner}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _json(schema: Schema) -> Schema:
    return {"description": "As asked.", "content": {"application/json": {"schema": schema}}}


def _header(description: str) -> Schema:
    return {"description": description, "schema": {"type": "string"}}


def _parameter(name: str, place: str, schema: Schema) -> Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def main() -> None:
    """Write the document, or compare it."""
    text = json.dumps(document(), indent=1) + "\n"
    if "--check" not in sys.argv:
        TARGET.write_text(text)
    elif TARGET.read_text() != text:
        sys.exit("functions/openapi.json is not what the code says. Run `make openapi`.")


if __name__ == "__main__":
    main()
