"""Fixtures that every suite shares: a clean environment, the events, a Lambda context."""

import json
import os
from pathlib import Path

import pytest
from variations import wiring

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {  # what the template gives every function
    "PROVIDER_BASE_URL": "http://127.0.0.1:9/v1",
    "PROVIDER_DIALECT": "auto",
    "PROVIDER_SECRET": "provider-secret",
    "CLIENT_KEYS_SECRET": "client-keys",
    "DEFAULT_MODEL": "local-style-transfer",
    "DEFAULT_SIZE": "256x256",
    "UPLOAD_VARIATIONS": "2",
    "MAX_SOURCE_BYTES": "52428800",
    "MAX_SOURCE_MEGAPIXELS": "50",
    "SOURCE_METADATA": "strip",
    "RESULT_METADATA": "keep",
    "MAX_ATTEMPTS": "2",
    "DAILY_IMAGE_LIMIT": "0",
    "DAILY_IMAGE_LIMIT_PER_CALLER": "0",
    "REQUESTS_PER_MINUTE": "0",
    "PROVIDER_CALLS": "allowed",
    "RESULT_EXPIRATION_DAYS": "30",
    "RESULTS_BUCKET": "results-bucket",
    "JOBS_TABLE": "jobs-table",
    "JOBS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/jobs-queue",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letter-queue",
    "EVENT_BUS": "events-bus",
    "UPLOADS_BUCKET": "uploads-bucket",
    "UPLOAD_PREFIX": "uploads/",
    "WATCHED_BUCKET": "",
    "ALLOWED_SOURCE_BUCKETS": "",
    "ALLOWED_SOURCE_HOSTS": "",
    "API_TIMEOUT_SECONDS": "29",
    "CORS_ORIGIN": "",
    "POWERTOOLS_SERVICE_NAME": "image-variations",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The environment of a fresh container: nothing of this machine's AWS, nothing cached."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "POWERTOOLS_")) or name in ENVIRONMENT:
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    wiring.forget()
    yield monkeypatch
    wiring.forget()


class LambdaContext:
    """What handlers read of the Lambda context."""

    function_name = "function"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def __init__(self, seconds=600.0):
        self.seconds = seconds

    def get_remaining_time_in_millis(self):
        return int(self.seconds * 1000)


@pytest.fixture
def context():
    return LambdaContext()


def event(name):
    """Read an event of events/, e.g. `process_jobs`."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())
