"""The stack's AWS side on moto, and the embedded image server as its provider."""

import io
import json
import logging
import sys
import threading

import boto3
import pytest
import requests
from moto import mock_aws
from PIL import Image

from infra.local.image_server import create_app, create_server

KEY = "sk-local"


class ImageServer:
    """The embedded image server in a thread, with its switches."""

    def __init__(self, port):
        self.origin = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.origin}/v1"

    def fault(self, **switches):
        requests.put(f"{self.origin}/_faults", json={"fast": True, **switches}, timeout=5).raise_for_status()

    def paid(self):
        return requests.get(f"{self.origin}/_calls", timeout=5).json()["paid"]

    def calls(self):
        listed = requests.get(f"{self.origin}/_calls", timeout=5).json()["calls"]
        return [call for call in listed if call["path"].startswith("/v1/images/")]


@pytest.fixture(scope="session")
def running_image_server():
    app = create_app(KEY)
    server = create_server(app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield ImageServer(server.port)
    app.stop()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def image_server(running_image_server, environment):
    running_image_server.fault()
    requests.delete(f"{running_image_server.origin}/_calls", timeout=5).raise_for_status()
    environment.setenv("PROVIDER_BASE_URL", running_image_server.base_url)
    return running_image_server


class Aws:
    """The stack's resources on moto."""

    def __init__(self):
        self.s3 = boto3.client("s3")
        self.sqs = boto3.client("sqs")
        self.secrets = boto3.client("secretsmanager")
        self.dynamodb = boto3.client("dynamodb")
        for bucket in ("uploads-bucket", "results-bucket"):
            self.s3.create_bucket(Bucket=bucket)
        self.queue_url = self.sqs.create_queue(QueueName="jobs-queue")["QueueUrl"]
        # What is put on the bus lands on a queue, where tests can read it.
        self.told_url = self.sqs.create_queue(QueueName="told")["QueueUrl"]
        events = boto3.client("events")
        events.create_event_bus(Name="events-bus")
        events.put_rule(Name="all", EventBusName="events-bus", EventPattern='{"source": ["image-variations"]}')
        arn = self.sqs.get_queue_attributes(QueueUrl=self.told_url, AttributeNames=["QueueArn"])
        target = {"Id": "told", "Arn": arn["Attributes"]["QueueArn"]}
        events.put_targets(Rule="all", EventBusName="events-bus", Targets=[target])
        self.secrets.create_secret(Name="provider-secret", SecretString=json.dumps({"apiKey": KEY}))
        self.secrets.create_secret(Name="client-keys", SecretString=json.dumps({"default": KEY, "shop": "sk-shop"}))
        self.dynamodb.create_table(
            TableName="jobs-table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "job_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
        )

    def upload(self, key, content, **metadata):
        return self.s3.put_object(Bucket="uploads-bucket", Key=key, Body=content, Metadata=metadata)

    def results(self):
        listed = self.s3.list_objects_v2(Bucket="results-bucket").get("Contents", [])
        return {entry["Key"]: self.read(entry["Key"]) for entry in listed}

    def read(self, key):
        return self.s3.get_object(Bucket="results-bucket", Key=key)["Body"].read()

    def manifest(self):
        """The one manifest there is."""
        (content,) = [content for key, content in self.results().items() if key.endswith("/manifest.json")]
        return json.loads(content)

    def told(self):
        """The events that were published."""
        messages = self.sqs.receive_message(QueueUrl=self.told_url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]


@pytest.fixture
def aws(environment):
    with mock_aws():
        yield Aws()


def picture(file_format="JPEG", size=(300, 200), mode="RGB", **options):
    """A picture with a gradient, so that it is no flat colour."""
    image = Image.radial_gradient("L").resize(size).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.fixture
def printed(capsys, monkeypatch):
    """Everything a handler printed, logs included: Powertools keeps the stdout of its import."""
    for handler in logging.getLogger("image-variations").handlers:
        monkeypatch.setattr(handler, "stream", sys.stdout)
    return lambda: "".join(capsys.readouterr())
