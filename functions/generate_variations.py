"""Make variations when invoked directly, as Step Functions and the AWS SDKs do: a request in, its manifest out.

    {"resource": "image", "operation": "variation", "source": {"bucket": "...", "key": "..."}, "n": 2}

Whatever goes wrong is raised under the name of its class (see errors.py), which a Catch or Retry can match. An
invocation that AWS repeats, or one with the same `id`, continues its job and pays nothing again.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.errors import InvalidRequest, VariationError, error_from
from variations.orders import INVOKER, order_of_request
from variations.telemetry import count, logger, tell_end


def generate(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Work a request off, and return its manifest.

    Raises:
        VariationError: of whichever class.
    """
    seconds = context.get_remaining_time_in_millis() / 1000
    if not isinstance(event, dict):
        raise InvalidRequest('Send an object such as {"source": {"bucket": "...", "key": "..."}}.')
    order = order_of_request(event, caller=INVOKER, delivery_id=context.aws_request_id)
    if order and order.only_missing:
        raise InvalidRequest("only_missing is for requests on the queue.", param="only_missing")
    if order is None:
        raise InvalidRequest("This key names a folder or its presets, and no picture.", param="source")
    logger.thread_safe_append_keys(job_id=order.job_id, request_id=order.request_id)
    job = wiring.service().process(order, seconds=seconds)
    tell_end(job)
    prefix = job.order.results_prefix
    manifest = wiring.storage().read_manifest(prefix)
    if job.state == "failed":
        raise error_from(**manifest["error"])
    return {**manifest, "manifest": {"bucket": wiring.settings().results_bucket, "key": f"{prefix}/manifest.json"}}


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Return the manifest of a job that ended well, at least in part.

    Raises:
        VariationError: of whichever class; with `retryable` ones the same request may be sent again.
    """
    logger.thread_safe_append_keys(caller=INVOKER, request_id=context.aws_request_id)
    try:
        return generate(event, context)
    except VariationError as error:
        logger.warning("the invocation ends in an error", error=error.code, reason=error.message)
        raise
    except Exception:
        logger.exception("the invocation made us stumble")
        count("Stumbles")
        raise
