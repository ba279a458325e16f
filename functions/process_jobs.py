"""Work off the jobs queue: each message becomes variations and a manifest in the results bucket.

A job that fails for good is a job done: its manifest says why. What must wait goes back to the queue, what nobody
can read to the dead-letter queue. A message with several pictures is dealt out, so that each fails or succeeds alone.
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
from variations.model import Order
from variations.orders import UPLOADER, write_order

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
        message = parse_message(record.body, record.message_id)
        for part, error in message.unreadable:
            set_aside(part, error.message)
        if len(message.orders) > 1:
            for order in message.orders:
                wiring.send(order)
        else:
            for order in message.orders:
                process_order(order, seconds)
    except Exception as error:
        wait = seconds_to_wait(error, int(record.attributes.approximate_receive_count))
        log = logger.warning if isinstance(error, VariationError) else logger.exception
        log("message goes back to the queue", reason=repr(error), seconds=wait)
        metrics.add_metric("JobsReturned", MetricUnit.Count, 1)
        hide(record, wait)
        raise


def process_order(order: Order, seconds: float) -> None:
    """Bring one job to its end, within the seconds that this worker has left."""
    logger.append_keys(job_id=order.job_id, request_id=order.request_id)
    if order.caller == UPLOADER and order.source.bucket == wiring.settings().results_bucket:
        set_aside(
            write_order(order), "The results bucket is not to be watched: its pictures would multiply without end."
        )
        return
    service = wiring.service()
    if order.only_missing and service.has_variations(order):
        logger.info("picture has its variations", key=order.source.key)
        metrics.add_metric("JobsSkipped", MetricUnit.Count, 1)
        return
    job = service.process(order, seconds=seconds)
    logger.append_keys(request_id=job.order.request_id)  # the record of a job wins over its message
    logger.info(
        "job ended",
        state=job.state,
        caller=job.order.caller,
        key=order.source.key,
        provider_request_ids=[attempt.request_id for attempt in job.attempts if attempt.request_id],
    )
    metrics.add_metric(f"Jobs{job.state.capitalize()}", MetricUnit.Count, 1)


def set_aside(body: str, reason: str) -> None:
    """Put what cannot be worked off onto the dead-letter queue, at once and with the reason."""
    wiring.client("sqs").send_message(
        QueueUrl=wiring.settings().dead_letter_queue_url,
        MessageBody=body,
        MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
    )
    logger.warning("message set aside", reason=reason)
    metrics.add_metric("MessagesUnreadable", MetricUnit.Count, 1)


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
