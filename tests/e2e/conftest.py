"""One local stack for the whole suite, or for each half of it that runs at once: template.yaml on the emulator."""

import functools
import io
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from PIL import Image

from infra.local.build import ROOT
from infra.local.deploy import STACK_NAME, session
from infra.local.stack import LocalStack
from tests.e2e.leaks import leaks
from tests.e2e.storm import HIDDEN_SECONDS, LEASE_SECONDS

WAIT_SECONDS = 120.0


class Stack:
    """What a user of the stack can do, and what tests may see besides."""

    def __init__(self, local):
        self.local = local
        self.reload()
        self.set_aside = []  # what was on the dead-letter queue before a test cleared it
        self._ear = self._listen()

    def reload(self, **parameters):
        """Deploy (again), with template parameters that differ from the defaults."""
        self.described = self.local.up(parameters)
        self.s3, self.sqs = self.client("s3"), self.client("sqs")

    @functools.cached_property
    def session(self):
        return session()

    @functools.cache  # noqa: B019 - there is one stack
    def client(self, service):
        return self.session.client(service, endpoint_url=self["aws_endpoint"])

    def physical(self, name):
        """Return the physical id of a resource of the template."""
        resource = self.client("cloudformation").describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=name)
        return resource["StackResourceDetail"]["PhysicalResourceId"]

    def __getitem__(self, name):
        return self.described[name]

    def fault(self, **switches):
        """Switch faults of the image server on; without any, the pictures are cheap ones."""
        url = f"{self['image_server_url']}/_faults"
        requests.put(url, json={"fast": True, **switches}, timeout=5).raise_for_status()

    def calls(self):
        answer = requests.get(f"{self['image_server_url']}/_calls", timeout=5).json()
        return [call for call in answer["calls"] if call["path"].startswith("/v1/images/")]

    def reset(self):
        self.fault()
        self.set_aside += self.messages(self["dead_letter_queue_url"])
        for queue in ("dead_letter_queue_url", "jobs_queue_url"):  # where the test before may have left some that wait
            self.sqs.purge_queue(QueueUrl=self[queue])
        requests.delete(f"{self['image_server_url']}/_calls", timeout=5).raise_for_status()

    def upload(self, name, content, **metadata):
        """Upload a picture under the prefix; returns its key."""
        key = f"{self['upload_prefix']}{name}"
        self.s3.put_object(Bucket=self["uploads_bucket"], Key=key, Body=content, Metadata=metadata)
        return key

    def results(self, prefix=""):
        """The keys of everything in the results bucket below a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self["results_bucket"], Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def manifests(self, key):
        return [json.loads(self.read(key)) for key in self.results(f"{key}/") if key.endswith("/manifest.json")]

    def records(self):
        """Everything the jobs table holds."""
        table = self.session.resource("dynamodb", endpoint_url=self["aws_endpoint"]).Table(self["jobs_table"])
        page = table.scan()
        found = page["Items"]
        while "LastEvaluatedKey" in page:
            page = table.scan(ExclusiveStartKey=page["LastEvaluatedKey"])
            found += page["Items"]
        return found

    def events(self):
        """Every event that went over the stack's bus since it was asked last."""
        found = []
        while messages := self.messages(self._ear):
            found += messages
            for message in messages:
                self.sqs.delete_message(QueueUrl=self._ear, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in found]

    def messages(self, queue):
        """Up to ten messages of a queue; for a moment nobody else sees them."""
        return self.sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=1, MessageAttributeNames=["All"]
        ).get("Messages", [])

    def _listen(self):
        """Let a queue hear everything that is told on the stack's bus."""
        queue = self.sqs.create_queue(QueueName="ear")["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": attributes["QueueArn"]}]}
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
        events, bus = self.client("events"), self["event_bus"]
        everything = json.dumps({"source": [{"prefix": ""}]})
        events.put_rule(Name="ear", EventBusName=bus, EventPattern=everything)
        events.put_targets(Rule="ear", EventBusName=bus, Targets=[{"Id": "ear", "Arn": attributes["QueueArn"]}])
        return queue

    def wait_for(self, key, count=1):
        """Wait until so many jobs of a key have their manifest; returns the manifests."""
        self.wait_until(lambda: len(self.manifests(key)) >= count)
        return self.manifests(key)

    def wait_until(self, holds):
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail(f"waited in vain; the emulator's log ends with:\n{self.local.emulator.last_lines(20)}")
            time.sleep(0.1)

    def vary(self, name, content, **metadata):
        """Upload a picture and wait for its one manifest."""
        (manifest,) = self.wait_for(self.upload(name, content, **metadata))
        return manifest

    def vary_all(self, pictures):
        """Upload pictures all at once and wait for all of their manifests."""
        with ThreadPoolExecutor(len(pictures)) as pool:
            return list(pool.map(lambda picture: self.vary(*picture), pictures))

    def read(self, key):
        return self.s3.get_object(Bucket=self["results_bucket"], Key=key)["Body"].read()

    def pictures(self, manifest):
        return [Image.open(io.BytesIO(self.read(result["key"]))) for result in manifest["results"]]

    def waiting(self, queue):
        """How many messages a queue holds, in sight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self[queue], AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


@pytest.fixture(scope="session")
def running_stack():
    local = LocalStack(ROOT / ".local" / f"e2e{os.environ.get('PYTEST_XDIST_WORKER', '')}")
    local.down()  # what an aborted run may have left
    try:
        stack = Stack(local)
        yield stack
        assert leaks(stack) == []
    finally:
        local.down()


@pytest.fixture
def stack(running_stack):
    running_stack.reset()
    return running_stack


@pytest.fixture
def short_lease(stack):
    """Let what a killed worker held come again within a test, wherever in its life it died; call it after a reload."""
    name, functions = stack["functions"]["ProcessJobsFunction"], stack.client("lambda")
    queue = {"QueueUrl": stack["jobs_queue_url"]}
    usual = functions.get_function_configuration(FunctionName=name)["Timeout"]
    hidden = stack.sqs.get_queue_attributes(**queue, AttributeNames=["VisibilityTimeout"])["Attributes"]

    def shorten():
        functions.update_function_configuration(FunctionName=name, Timeout=LEASE_SECONDS)
        stack.sqs.set_queue_attributes(**queue, Attributes={"VisibilityTimeout": str(HIDDEN_SECONDS)})

    shorten()
    yield shorten
    functions.update_function_configuration(FunctionName=name, Timeout=usual)
    stack.sqs.set_queue_attributes(**queue, Attributes=hidden)
