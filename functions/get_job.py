"""GET /v1/jobs/{job_id}: what became of a job, with fresh URLs at every read."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.http_api import answer, caller_of, json_response, resolver
from variations.job_answers import describe
from variations.options import parse_options
from variations.telemetry import logger

app = resolver()
LOOK_AGAIN_SECONDS = 2


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
