"""The stack's AWS side on moto, and the embedded image server as its provider."""

import base64
import functools
import io
import json
import threading
from dataclasses import dataclass, replace
from types import SimpleNamespace

import boto3
import create_variations
import get_job
import process_jobs
import pytest
import requests
from moto import mock_aws
from PIL import Image
from variations import aws_clients, telemetry, wiring

from infra.local.image_server import create_app, create_server
from infra.local.template import read_template
from tests.conftest import ROOT, event
from tests.fakes import Clock

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


@functools.cache
def described_table():
    """The keys and indexes of the jobs table, as the template has them."""
    properties = read_template(ROOT / "template.yaml")["Resources"]["JobsTable"]["Properties"]
    names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {name: properties[name] for name in names}


class Aws:
    """The stack's resources on moto."""

    def __init__(self, session):
        self.s3 = session.client("s3")
        self.sqs = session.client("sqs")
        self.secrets = session.client("secretsmanager")
        self.dynamodb = session.client("dynamodb")
        for bucket in ("uploads-bucket", "results-bucket"):
            self.s3.create_bucket(Bucket=bucket)
        self.queue_url = self.sqs.create_queue(QueueName="jobs-queue")["QueueUrl"]
        self.dead_letter_url = self.sqs.create_queue(QueueName="dead-letter-queue")["QueueUrl"]
        # What is put on the bus lands on a queue, where tests can read it.
        self.told_url = self.sqs.create_queue(QueueName="told")["QueueUrl"]
        events = session.client("events")
        events.create_event_bus(Name="events-bus")
        events.put_rule(Name="all", EventBusName="events-bus", EventPattern='{"source": ["image-variations"]}')
        arn = self.sqs.get_queue_attributes(QueueUrl=self.told_url, AttributeNames=["QueueArn"])
        target = {"Id": "told", "Arn": arn["Attributes"]["QueueArn"]}
        events.put_targets(Rule="all", EventBusName="events-bus", Targets=[target])
        self.secrets.create_secret(Name="provider-secret", SecretString=json.dumps({"apiKey": KEY}))
        self.secrets.create_secret(Name="client-keys", SecretString=json.dumps({"default": KEY, "shop": "sk-shop"}))
        self.dynamodb.create_table(TableName="jobs-table", **described_table())

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

    def manifests(self):
        """All manifests, by their keys."""
        return {key: json.loads(content) for key, content in self.results().items() if key.endswith("/manifest.json")}

    def told(self):
        """The events that were published."""
        messages = self.sqs.receive_message(QueueUrl=self.told_url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]

    def set_aside(self):
        """The messages on the dead-letter queue, each with the reason."""
        wanted = {"QueueUrl": self.dead_letter_url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        messages = self.sqs.receive_message(**wanted).get("Messages", [])
        return [(message["Body"], message["MessageAttributes"]["reason"]["StringValue"]) for message in messages]

    def waiting(self):
        """How many messages of the jobs queue a worker could take, and how many have one already."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return tuple(int(found[name]) for name in names)


@pytest.fixture(scope="session")
def session():
    """One for all tests, as it reads the descriptions of the AWS services only once."""
    return boto3.Session("test", "test", region_name="us-east-1")


@pytest.fixture
def aws(environment, session):
    shared = SimpleNamespace(create_client=session.client)
    environment.setattr(aws_clients, "_session", functools.cache(lambda: shared))
    with mock_aws():
        yield Aws(session)


def picture(file_format="JPEG", size=(300, 200), mode="RGB", **options):
    """A picture with a gradient, so that it is no flat colour."""
    image = Image.radial_gradient("L").resize(size).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.fixture
def printed(capsys, monkeypatch):
    """Everything a handler printed, logs included: Powertools keeps the stdout of its import.

    The logs have a stream of their own, as capsys closes the stdout of a test's setup before the test.
    """
    logged = io.StringIO()
    (written,) = telemetry.logger.handlers
    monkeypatch.setattr(written, "stream", logged)
    return lambda: logged.getvalue() + "".join(capsys.readouterr())


def lines(printed):
    """The lines of the log among what was printed, and those of metrics."""
    read = [json.loads(line) for line in printed().splitlines() if '"timestamp"' in line]
    return [line for line in read if "message" in line], [line for line in read if "_aws" in line]


def counted(printed):
    """What became of jobs and messages, by the metrics among what was printed: name -> sum, if it is none of zero."""
    sums = {}
    for emitted in lines(printed)[1]:
        (told,) = emitted["_aws"]["CloudWatchMetrics"]
        for metric in told["Metrics"]:
            sums[metric["Name"]] = sums.get(metric["Name"], 0) + sum(emitted[metric["Name"]])
    asked = {name for name in sums if name.startswith(("Jobs", "Messages")) or name == "ImagesToday"}
    return {name: sums[name] for name in asked if sums[name]}


class Hours(Clock):
    """The front door's clock: it stands still but while the door sleeps, and then somebody may work."""

    def __init__(self):
        super().__init__()
        self.meanwhile = lambda: None

    def sleep(self, seconds):
        self.now += seconds
        self.meanwhile()


@dataclass(frozen=True)
class Answered:
    """What API Gateway hands back to a caller."""

    status: int
    headers: dict
    text: str

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def error(self):
        assert self.json.keys() == {"error"}
        assert self.json["error"].keys() == {"message", "type", "param", "code"}
        return self.json["error"]


class Api:
    """The HTTP side of the stack: API Gateway's events through the real handlers, and a worker at its queue.

    The worker works while the front door sleeps, unless a test tells it not to.
    """

    def __init__(self, aws, hours, context):
        self.aws, self.hours, self.context = aws, hours, context
        hours.meanwhile = self.work

    def send(self, name, *, caller="default", headers=None, **changes):
        """Send the event of that name, with some of it changed."""
        sent = {**event(name), **changes}
        sent["headers"] = {**sent["headers"], **(headers or {})}
        sent["multiValueHeaders"] = {header: [value] for header, value in sent["headers"].items()}
        query = sent["queryStringParameters"]
        sent["multiValueQueryStringParameters"] = {key: [value] for key, value in query.items()} if query else None
        sent["requestContext"] = {**sent["requestContext"], "authorizer": {"caller": caller, "principalId": caller}}
        handler = get_job.handler if name.startswith("get_job") else create_variations.handler
        answered = handler(sent, self.context)
        assert answered["isBase64Encoded"] is False
        sent_back = {header.lower(): value for header, (value,) in answered["multiValueHeaders"].items()}
        return Answered(answered["statusCode"], sent_back, answered["body"])

    def create(self, image=None, *, caller="default", headers=None, **options):
        """Ask for variations with a JSON body."""
        content = picture() if image is None else image
        text = content if isinstance(content, str) else base64.b64encode(content).decode()
        body = json.dumps({"image": text, **options})
        return self.send("create_variations", caller=caller, headers=headers, body=body)

    def post_form(self, content_type, content, **headers):
        """Ask for variations with a form, which API Gateway hands over as base64."""
        return self.send(
            "create_variations_multipart",
            headers={"Content-Type": content_type, **headers},
            body=base64.b64encode(content).decode(),
        )

    def upload_form(self, caller="default", **fields):
        """Ask for a form to upload a picture with."""
        where = {"path": "/uploads", "resource": "/uploads"}
        return self.send("create_variations", caller=caller, body=json.dumps(fields), **where)

    def job(self, job_id, *, caller="default", **query):
        """Read a job."""
        where = {"path": f"/jobs/{job_id}", "pathParameters": {"job_id": job_id}}
        return self.send("get_job", caller=caller, queryStringParameters=query or None, **where)

    def jobs(self, *, caller="default", **query):
        """List jobs."""
        return self.send("get_job_list", caller=caller, queryStringParameters=query or None)

    def queued(self):
        """How many messages wait on the jobs queue."""
        return self.aws.waiting()[0]

    def work(self):
        """Let a worker take what is on the queue."""
        received = self.aws.sqs.receive_message(QueueUrl=self.aws.queue_url, MaxNumberOfMessages=10)
        (usual,) = event("process_jobs")["Records"]
        for message in received.get("Messages", []):
            named = {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"]}
            record = {**usual, **named, "body": message["Body"]}
            if not process_jobs.handler({"Records": [record]}, self.context)["batchItemFailures"]:
                self.aws.sqs.delete_message(QueueUrl=self.aws.queue_url, ReceiptHandle=message["ReceiptHandle"])

    def rest(self):
        """Let no worker work."""
        self.hours.meanwhile = lambda: None

    def fetch(self, url):
        """Follow a URL that was answered."""
        answered = requests.get(url, timeout=5)
        answered.raise_for_status()
        return answered

    def size_of(self, url):
        """The size in pixels of the picture at a URL."""
        with Image.open(io.BytesIO(self.fetch(url).content)) as image:
            return image.size


@pytest.fixture
def hours(monkeypatch):
    """A clock that all books and the front door read."""
    hours, build = Hours(), wiring.front_door
    monkeypatch.setattr(wiring, "time", SimpleNamespace(time=hours))
    made = functools.cache(lambda: replace(build.__wrapped__(), clock=hours, sleep=hours.sleep))
    monkeypatch.setattr(wiring, "front_door", made)
    return hours


@pytest.fixture
def api(aws, image_server, hours, context):
    return Api(aws, hours, context)
