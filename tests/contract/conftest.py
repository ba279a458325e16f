"""What several contract tests share: AWS on moto, and the scripted servers."""

import threading

import boto3
import pytest
from moto import mock_aws
from variations.aws_clients import CLIENT_CONFIG

from tests.contract.scripted import _elsewhere, _scripted

__all__ = ["TABLE", "OneAtATime", "_elsewhere", "_scripted"]
TABLE = "jobs"


class OneAtATime:
    """A client whose calls are atomic, as DynamoDB's are; moto checks a condition and writes in steps."""

    def __init__(self, client):
        self.client = client
        self.lock = threading.Lock()

    def __getattr__(self, name):
        def call(**arguments):
            with self.lock:
                return getattr(self.client, name)(**arguments)

        return call


@pytest.fixture(scope="session", name="session")
def _session():
    """One for all tests, as it reads the descriptions of the AWS services only once."""
    return boto3.Session("test", "test", region_name="us-east-1")


@pytest.fixture(name="table")
def _table(session):
    """An empty jobs table in this process; returns the client."""
    with mock_aws():
        client = session.client("dynamodb", config=CLIENT_CONFIG)
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "job_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
        )
        yield client
