"""The worker that everybody would write: S3 -> SQS -> variations -> S3, made idempotent as Powertools' guide shows.

It is the peer of process_jobs in tests/bench/storm.py, and is meant to be as good as such a worker gets without books
of its own. What it follows, each read 2026-11-25:

- https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/, "Integration with Batch Processor"
  (examples/idempotency/src/integrate_idempotency_with_batch_processor.py) and "Lambda timeouts";
- https://docs.aws.amazon.com/powertools/python/latest/utilities/batch/, "Processing messages from SQS";
- https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html: report batch item failures, and a
  redrive policy with a maxReceiveCount of at least 5.
"""

import base64
import os
from typing import Any
from urllib.parse import unquote_plus

import boto3
import requests
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

TIMEOUT = (5, 25)  # seconds to connect and to wait for bytes: the whole stays below the function's own 40
processor = BatchProcessor(event_type=EventType.SQS)
persistence = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
# The message id, as in the guide's example: it stays the same when SQS delivers a message again. A message without
# one must not slip through unguarded, which is what happens by default.
config = IdempotencyConfig(event_key_jmespath="messageId", raise_on_no_idempotency_key=True)
s3 = boto3.client("s3")


@idempotent_function(data_keyword_argument="record", config=config, persistence_store=persistence)
def make_variations(record: SQSRecord) -> dict[str, Any]:
    """Make the variations of the pictures that one message names; whatever fails raises, and so comes again."""
    if record.json_body.get("Event") == "s3:TestEvent":  # which S3 sends when the notification is set up
        return {"stored": []}
    stored = []
    for upload in record.decoded_nested_s3_event.records:
        key = unquote_plus(upload.s3.get_object.key)  # S3's own notifications encode keys as forms do
        source = s3.get_object(Bucket=upload.s3.bucket.name, Key=key)
        stored += _store(key, _ask(source["Body"].read(), source["ContentType"]))
    # Returned for a duplicate; keys and no pictures, as an item of DynamoDB holds 400 KB.
    return {"stored": stored}


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Process a batch, and report the messages that must come again."""
    # "Lambda timeouts": so that a record in progress expires when its worker must be dead, and does not lock for ever.
    config.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=make_variations, processor=processor, context=context)


def _ask(picture: bytes, content_type: str) -> list[bytes]:
    """Make the paid call, as OpenAI's reference has it: multipart, and base64 in the answer."""
    answer = requests.post(
        f"{os.environ['PROVIDER_BASE_URL']}/images/edits",
        headers={"Authorization": f"Bearer {os.environ['PROVIDER_API_KEY']}"},
        data={
            "model": os.environ["MODEL"],
            "prompt": "Make a variation of this picture.",
            "n": os.environ["VARIATIONS"],
            "size": os.environ["SIZE"],
        },
        files={"image": ("image.png", picture, content_type)},
        timeout=TIMEOUT,
    )
    answer.raise_for_status()
    return [base64.b64decode(made["b64_json"]) for made in answer.json()["data"]]


def _store(key: str, pictures: list[bytes]) -> list[str]:
    keys = [f"{key}/variation-{number:02}.png" for number in range(1, len(pictures) + 1)]
    for name, picture in zip(keys, pictures, strict=True):
        s3.put_object(Bucket=os.environ["RESULTS_BUCKET"], Key=name, Body=picture, ContentType="image/png")
    return keys
