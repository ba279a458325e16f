"""Work off the jobs queue: each message becomes variations and a manifest in the results bucket.

A job that fails for good is a job done: its manifest says why. Only what must wait goes back to the queue.
"""

import random
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.errors import VariationError
from variations.messages import parse_message

logger = Logger(service="image-variations")
metrics = Metrics(namespace="ImageVariations", service="image-variations")
# A batch that fails as a whole is no failure of the function: its messages wait on the queue.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
FIRST_WAIT_SECONDS = 15.0
MAX_WAIT_SECONDS = 900.0
LEASE_MARGIN_SECONDS = 5


def process_record(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Process one message; put it back for as long as the error asks when it has to wait."""
    metrics.add_metric("MessagesReceived", MetricUnit.Count, 1)
    seconds = lambda_context.get_remaining_time_in_millis() / 1000
    try:
        # Should this worker die, the message comes again when its lease has ended, and not an hour later.
        hide(record, round(seconds) + LEASE_MARGIN_SECONDS)
        for order in parse_message(record.body):
            logger.append_keys(job_id=order.job_id, request_id=order.request_id)
            job = wiring.service().process(order, seconds=seconds)
            logger.append_keys(request_id=job.order.request_id)  # the record of a job wins over its message
            logger.info(
                "job ended",
                state=job.state,
                caller=job.order.caller,
                key=order.source.key,
                provider_request_ids=[attempt.request_id for attempt in job.attempts if attempt.request_id],
            )
            metrics.add_metric(f"Jobs{job.state.capitalize()}", MetricUnit.Count, 1)
    except Exception as error:
        wait = seconds_to_wait(error, int(record.attributes.approximate_receive_count))
        log = logger.warning if isinstance(error, VariationError) else logger.exception
        log("message goes back to the queue", reason=repr(error), seconds=wait)
        metrics.add_metric("JobsReturned", MetricUnit.Count, 1)
        hide(record, wait)
        raise


def seconds_to_wait(error: Exception, receive_count: int) -> int:
    """Return how long a message waits: what we were told, else doubling from 15 seconds, with up to 20% on top.

    The jitter keeps the jobs that one busy provider turned away from coming back all at once.
    """
    told = error.retry_after_seconds if isinstance(error, VariationError) else None
    wait = told or min(FIRST_WAIT_SECONDS * 2 ** (receive_count - 1), MAX_WAIT_SECONDS)
    return round(wait * random.uniform(1.0, 1.2))  # noqa: S311 - no secret hangs on it


def hide(record: SQSRecord, seconds: int) -> None:
    """Make a message come again after `seconds`, instead of after the queue's own long timeout."""
    wiring.client("sqs").change_message_visibility(
        QueueUrl=wiring.settings().jobs_queue_url, ReceiptHandle=record.receipt_handle, VisibilityTimeout=seconds
    )


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Process a batch from SQS, and name the messages that must come again."""
    return process_partial_response(event, process_record, processor, context)
