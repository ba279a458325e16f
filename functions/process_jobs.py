"""Work off the jobs queue: each message becomes variations and a manifest in the results bucket.

A job that fails for good is a job done: its manifest says why. What must wait goes back to the queue, what nobody
can read to the dead-letter queue. A message with several pictures is dealt out, so that each fails or succeeds alone;
the messages of a batch are worked off side by side.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.aws_clients import aws_failures, client
from variations.errors import StorageFailed, VariationError
from variations.messages import parse_message
from variations.model import Order
from variations.orders import UPLOADER, write_order
from variations.telemetry import count, emit, logger, tell_end

FIRST_WAIT_SECONDS = 15.0
MAX_WAIT_SECONDS = 900.0
LEASE_MARGIN_SECONDS = 5
MAX_HIDDEN_SECONDS = 9 * 3600  # SQS hides a message for 12 hours at most, from when it was received
LATE_SECONDS = 12 * 3600  # a message of that age may be of a job whose record has expired
MAX_SURPRISES = 20  # deliveries after which a message over which we stumble is set aside; jobs count for themselves


def process_record(record: SQSRecord, context: LambdaContext) -> bool:
    """Process one message, and return whether it is done; hide one that must come again for as long as it has to."""
    logger.thread_safe_append_keys(message_id=record.message_id)
    count("MessagesReceived")
    try:
        process_message(record, context.get_remaining_time_in_millis() / 1000)
    except VariationError as error:
        return put_back(record, error)
    except Exception as error:
        logger.exception("a message made us stumble")
        count("Stumbles")
        return put_back(record, error) if receive_count(record) < MAX_SURPRISES else give_up(record, error)
    finally:
        logger.thread_safe_clear_keys()
    return True


def process_message(record: SQSRecord, seconds: float) -> None:
    """Work off what a message holds, within the seconds that this invocation has left."""
    # Should this worker die, the message comes again when its lease has ended, and not an hour later.
    hide(record, round(seconds) + LEASE_MARGIN_SECONDS)
    message = parse_message(record.body, record.message_id)
    for part, unreadable in message.unreadable:
        set_aside(part, unreadable.message)
    if len(message.orders) > 1:
        for order in message.orders:
            wiring.send(order)
        return
    age = time.time() - int(record.attributes.sent_timestamp) / 1000
    if message.orders and receive_count(record) == 1:  # later on it waited for something else than a worker
        emit({"QueueAge": max(0, round(age * 1000))})
    for order in message.orders:
        process_order(order, seconds, late=age > LATE_SECONDS)


def process_order(order: Order, seconds: float, *, late: bool) -> None:
    """Bring one job to its end."""
    logger.thread_safe_append_keys(job_id=order.job_id, request_id=order.request_id, caller=order.caller)
    if order.caller == UPLOADER and order.source.bucket == wiring.settings().results_bucket:
        set_aside(write_order(order), "The results bucket is not to be watched: its pictures would breed without end.")
        return
    service = wiring.service()
    if order.only_missing and service.has_variations(order):
        logger.info("picture has its variations", key=order.source.key)
        count("JobsSkipped")
        return
    tell_end(service.process(order, seconds=seconds, late=late))


def put_back(record: SQSRecord, error: Exception) -> bool:
    """Let a message come again when its error says so, and return that it is not done."""
    wait = seconds_to_wait(error, receive_count(record))
    logger.warning("message goes back to the queue", reason=repr(error), seconds=wait)
    count("JobsReturned")
    with suppress(StorageFailed):  # then it comes again when it was to be hidden until
        hide(record, wait)
    return False


def give_up(record: SQSRecord, error: Exception) -> bool:
    """Set a message aside, and return whether that was done."""
    try:
        set_aside(record.body, f"The worker stumbles over it: {repr(error)[:500]}")
    except VariationError as failure:
        return put_back(record, failure)
    return True


def seconds_to_wait(error: Exception, receives: int) -> int:
    """Return how long a message waits: what we were told, else doubling from 15 seconds, with up to 20% on top.

    The jitter keeps the jobs that one busy provider turned away from coming back all at once.
    """
    told = error.retry_after_seconds if isinstance(error, VariationError) else None
    wait = told or min(FIRST_WAIT_SECONDS * 2 ** min(receives - 1, 10), MAX_WAIT_SECONDS)
    return round(min(wait, MAX_HIDDEN_SECONDS) * random.uniform(1.0, 1.2))  # noqa: S311 - no secret hangs on it


def receive_count(record: SQSRecord) -> int:
    """Return how often a message was delivered, this time included."""
    return int(record.attributes.approximate_receive_count)


def hide(record: SQSRecord, seconds: int) -> None:
    """Make a message come again after `seconds`, instead of after the queue's own long timeout.

    Raises:
        StorageFailed: the queue did not do so.
    """
    with aws_failures("The jobs queue"):
        client("sqs").change_message_visibility(
            QueueUrl=wiring.settings().jobs_queue_url, ReceiptHandle=record.receipt_handle, VisibilityTimeout=seconds
        )


def set_aside(body: str, reason: str) -> None:
    """Put what cannot be worked off onto the dead-letter queue, at once and with the reason."""
    wiring.set_aside(body, reason)
    logger.warning("message set aside", reason=reason)
    count("MessagesUnreadable")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Process a batch from SQS, and name the messages that must come again."""
    records = [SQSRecord(record) for record in event["Records"]]
    with ThreadPoolExecutor(len(records)) as pool:
        done = list(pool.map(partial(process_record, context=context), records))
    failed = [record.message_id for record, is_done in zip(records, done, strict=True) if not is_done]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
