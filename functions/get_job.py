"""GET /v1/jobs/{job_id}: what became of a job, with fresh URLs at every read; GET /v1/jobs: a caller's own jobs."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.fields import Number
from variations.http_api import answer, caller_of, json_response, resolver
from variations.job_answers import describe, describe_entry
from variations.options import parse_options
from variations.telemetry import logger

app = resolver()
LOOK_AGAIN_SECONDS = 2
LIMIT = Number("How many jobs.", 1, 100)
DEFAULT_LIMIT = 20  # as OpenAI's lists (openai-python 3.54.0 batch_list_params.py, read 2026-11-26)


@app.get("/jobs")
def list_jobs() -> Response[str]:
    """List a caller's own jobs, the newest first, in OpenAI's form; `?limit=` and `?after=JOB_ID` choose the page.

    Raises:
        InvalidRequest: limit is out of its bounds, or after no job of this caller.
    """
    query = app.current_event.get_query_string_value
    limit = LIMIT.read("limit", query("limit") or DEFAULT_LIMIT)
    page = wiring.history().page(caller_of(app), limit=limit, after=query("after") or None)
    jobs = [describe_entry(entry) for entry in page.entries]
    edges = {"first_id": jobs[0]["id"] if jobs else None, "last_id": jobs[-1]["id"] if jobs else None}
    return json_response(app, {"object": "list", "data": jobs, **edges, "has_more": page.has_more})


@app.get("/jobs/<job_id>")
def get_job(job_id: str) -> Response[str]:
    """Describe a caller's own job; `?response_format=b64_json` and `?simplify=true` say how.

    Raises:
        JobNotFound: there is no such job of this caller.
    """
    logger.thread_safe_append_keys(job_id=job_id[:100])
    job = wiring.front_door().find(job_id, caller_of(app))
    asked = {name: app.current_event.get_query_string_value(name) for name in ("response_format", "simplify")}
    request, _ = parse_options(asked, model="any", n=1, size="auto")
    described = describe(job, request)
    if job.is_finished:
        wiring.jobs().record_delivery(job)
    headers = {} if job.is_finished else {"Retry-After": str(LOOK_AGAIN_SECONDS)}
    return json_response(app, described["data"] if request.simplify else described, headers=headers)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway."""
    return answer(app, event, context)
