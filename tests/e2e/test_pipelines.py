"""Whatever can put an event, a message or a task somewhere makes variations; and is told when they are made."""

import json
import uuid

import pytest

from infra.local.demo import EXAMPLE

PICTURE = EXAMPLE.read_bytes()
OPTIONS = {"n": 1, "size": "256x256"}
WATCHED = "archive-of-ours"


class Pipelines:
    """The stack with everything of its pipelines switched on, and a queue that hears what the topics tell."""

    def __init__(self, stack):
        self.stack = stack
        stack.reload(WatchedBucket=WATCHED, WatchedPrefix="in/", CompletionTopic="yes", ExampleWorkflow="yes")
        self.sns, self.events = stack.client("sns"), stack.client("events")
        self.engine, self.functions = stack.client("stepfunctions"), stack.client("lambda")

    def put(self, key):
        """Put a picture where no upload rule sees it."""
        self.stack.s3.put_object(Bucket=self.stack["uploads_bucket"], Key=key, Body=PICTURE)
        return {"bucket": self.stack["uploads_bucket"], "key": key}

    def send(self, message):
        self.stack.sqs.send_message(QueueUrl=self.stack["jobs_queue_url"], MessageBody=json.dumps(message))

    def arn(self, queue):
        found = self.stack.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        return found["Attributes"]["QueueArn"]

    def topic_into(self, queue, topic=None):
        """Let a queue hear a topic, a new one if none is named."""
        topic = topic or self.sns.create_topic(Name=f"topic-{uuid.uuid4().hex}")["TopicArn"]
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn(queue))
        return topic

    def new_queue(self):
        queue = self.stack.sqs.create_queue(QueueName=f"told-{uuid.uuid4().hex}")["QueueUrl"]
        allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": "*"}]}
        self.stack.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
        return queue

    def hear(self, queue, wanted):
        """Wait for a message that holds some text; returns its SNS notification."""
        heard = []

        def arrived():
            heard.extend(json.loads(message["Body"]) for message in self.receive(queue))
            return any(wanted in notification["Message"] for notification in heard)

        self.stack.wait_until(arrived)
        return next(notification for notification in heard if wanted in notification["Message"])

    def receive(self, queue, **options):
        """Take what a queue holds."""
        messages = self.stack.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, **options).get("Messages", [])
        for message in messages:
            self.stack.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def execute(self, machine, request):
        """Run a state machine to its end."""
        started = self.engine.start_execution(stateMachineArn=self.stack[machine], input=json.dumps(request))
        described = lambda: self.engine.describe_execution(executionArn=started["executionArn"])  # noqa: E731
        self.stack.wait_until(lambda: described()["status"] != "RUNNING")
        return described()

    def invoke(self, event):
        """Invoke the function directly; returns what it answered, or the error it raised."""
        name = self.stack["functions"]["GenerateVariationsFunction"]
        answered = self.functions.invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answered["Payload"].read())


@pytest.fixture(scope="module")
def switched_on(running_stack):
    running_stack.s3.create_bucket(Bucket=WATCHED)
    running_stack.s3.put_bucket_notification_configuration(
        Bucket=WATCHED, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    yield Pipelines(running_stack)
    running_stack.reload(WatchedBucket="", WatchedPrefix="", CompletionTopic="no", ExampleWorkflow="no")


@pytest.fixture
def pipelines(switched_on, stack):
    return switched_on


def test_a_notification_of_s3_itself_starts_a_job(pipelines):
    stack = pipelines.stack
    configuration = {
        "EventBridgeConfiguration": {},
        "QueueConfigurations": [
            {
                "QueueArn": pipelines.arn(stack["jobs_queue_url"]),
                "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "native/"}]}},
            }
        ],
    }
    stack.s3.put_bucket_notification_configuration(  # also sends an s3:TestEvent
        Bucket=stack["uploads_bucket"], NotificationConfiguration=configuration
    )
    pipelines.put("native/a b+c%20ü(1).jpg")

    (manifest,) = stack.wait_for("native/a b+c%20ü(1).jpg")
    assert (manifest["state"], manifest["caller"]) == ("succeeded", "s3:upload")
    stack.s3.delete_object(Bucket=stack["uploads_bucket"], Key="native/a b+c%20ü(1).jpg")
    stack.wait_until(lambda: not stack.waiting("jobs_queue_url"))
    assert not stack.waiting("dead_letter_queue_url")


def test_a_notification_of_s3_by_way_of_sns_starts_a_job(pipelines):
    stack = pipelines.stack
    topic = pipelines.topic_into(stack["jobs_queue_url"])
    stack.s3.put_bucket_notification_configuration(
        Bucket=stack["uploads_bucket"],
        NotificationConfiguration={
            "EventBridgeConfiguration": {},
            "TopicConfigurations": [
                {
                    "TopicArn": topic,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "by-sns/"}]}},
                }
            ],
        },
    )
    pipelines.put("by-sns/cat & dog.jpg")

    (manifest,) = stack.wait_for("by-sns/cat & dog.jpg")
    assert manifest["state"] == "succeeded"


def test_an_event_of_eventbridge_by_way_of_sns_starts_a_job(pipelines):
    topic = pipelines.topic_into(pipelines.stack["jobs_queue_url"])
    pattern = {
        "source": ["aws.s3"],
        "detail": {
            "bucket": {"name": [pipelines.stack["uploads_bucket"]]},
            "object": {"key": [{"prefix": "by-rule/"}]},
        },
    }
    pipelines.events.put_rule(Name="by-rule", EventPattern=json.dumps(pattern))
    pipelines.events.put_targets(Rule="by-rule", Targets=[{"Id": "topic", "Arn": topic}])
    pipelines.put("by-rule/a b+c%20ü(1).jpg")

    (manifest,) = pipelines.stack.wait_for("by-rule/a b+c%20ü(1).jpg")
    assert (manifest["state"], manifest["caller"]) == ("succeeded", "s3:upload")


def test_a_request_published_on_a_topic_starts_a_job(pipelines):
    request = {"source": pipelines.put("elsewhere/topic.jpg"), **OPTIONS}
    pipelines.sns.publish(TopicArn=pipelines.topic_into(pipelines.stack["jobs_queue_url"]), Message=json.dumps(request))

    (manifest,) = pipelines.stack.wait_for("elsewhere/topic.jpg")
    assert (manifest["state"], len(manifest["results"])) == ("succeeded", 1)


def test_a_request_on_the_bus_starts_a_job_of_whoever_asks(pipelines):
    detail = {"source": pipelines.put("elsewhere/bus.jpg"), **OPTIONS, "prompt": "a red one"}
    entry = {
        "Source": "my.shop",
        "DetailType": "Variations Requested",
        "Detail": json.dumps(detail),
        "EventBusName": pipelines.stack["event_bus"],
    }
    pipelines.events.put_events(Entries=[entry])

    (manifest,) = pipelines.stack.wait_for("elsewhere/bus.jpg")
    assert (manifest["state"], manifest["caller"]) == ("succeeded", "event:my.shop")
    assert manifest["request"]["prompt"] == "a red one"


def test_one_bad_source_of_several_goes_to_the_dead_letter_queue_and_the_others_are_made(pipelines):
    stack = pipelines.stack
    sources = [pipelines.put("elsewhere/one.jpg"), {"bucket": 7}, pipelines.put("elsewhere/two.jpg")]

    pipelines.send({"sources": sources, **OPTIONS})

    for key in ("elsewhere/one.jpg", "elsewhere/two.jpg"):
        (manifest,) = stack.wait_for(key)
        assert manifest["state"] == "succeeded"
    (dead,) = pipelines.receive(stack["dead_letter_queue_url"], MessageAttributeNames=["All"])
    assert json.loads(dead["Body"])["source"] == {"bucket": 7}
    assert "Name the picture" in dead["MessageAttributes"]["reason"]["StringValue"]


def test_a_message_nobody_can_read_is_set_aside_at_once(pipelines):
    pipelines.send({"hello": "world"})

    pipelines.stack.wait_until(lambda: pipelines.stack.waiting("dead_letter_queue_url"))
    (dead,) = pipelines.receive(pipelines.stack["dead_letter_queue_url"], MessageAttributeNames=["All"])
    assert json.loads(dead["Body"]) == {"hello": "world"}
    pipelines.stack.wait_until(lambda: not pipelines.stack.waiting("jobs_queue_url"))


def test_presets_beside_the_pictures_choose_and_metadata_wins(pipelines):
    stack = pipelines.stack
    stack.upload("shoes/variations.json", b'{"n": 2, "size": "256x256", "output_format": "webp"}')

    first = stack.vary("shoes/red.jpg", PICTURE)
    second = stack.vary("shoes/blue.jpg", PICTURE, n="1")

    assert [result["content_type"] for result in first["results"]] == ["image/webp"] * 2
    assert [(result["content_type"], result["width"]) for result in second["results"]] == [("image/webp", 256)]
    assert not stack.manifests("uploads/shoes/variations.json")


def test_bad_presets_make_a_failed_job_that_says_which(pipelines):
    pipelines.stack.upload("hats/variations.json", b'{"n": "many"}')

    manifest = pipelines.stack.vary("hats/red.jpg", PICTURE)

    assert (manifest["state"], manifest["error"]["param"]) == ("failed", "n")
    assert "uploads/hats/variations.json" in manifest["error"]["message"]
    assert pipelines.stack.calls() == []


def test_a_bucket_that_was_there_before_is_watched(pipelines):
    stack = pipelines.stack
    for key in ("out/not-watched.jpg", "in/watched.jpg"):
        stack.s3.put_object(Bucket=WATCHED, Key=key, Body=PICTURE, Metadata={"n": "1", "size": "256x256"})

    (manifest,) = stack.wait_for("in/watched.jpg")
    assert (manifest["state"], manifest["source"]["bucket"]) == ("succeeded", WATCHED)
    assert not stack.manifests("out/not-watched.jpg")


def test_the_topic_tells_of_jobs_that_ended_well_and_of_those_that_did_not(pipelines):
    told = pipelines.new_queue()
    pipelines.topic_into(told, pipelines.stack["completion_topic"])

    for name, content, kind in (
        ("good.jpg", PICTURE, "Variations Completed"),
        ("bad.jpg", b"no picture", "Variations Failed"),
    ):
        manifest = pipelines.stack.vary(f"told/{name}", content, n="1", size="256x256")
        heard = json.loads(pipelines.hear(told, manifest["job_id"])["Message"])
        assert heard["detail-type"] == kind
        assert heard["detail"]["source"]["key"] == f"uploads/told/{name}"


def test_a_function_invoked_directly_answers_the_manifest_and_pays_once_for_one_id(pipelines):
    request = {"resource": "image", "operation": "variation", "id": "order 7", **OPTIONS}
    request["source"] = pipelines.put("elsewhere/direct.jpg")

    first, second = pipelines.invoke(request), pipelines.invoke(request)

    assert first == second
    assert (first["state"], len(first["results"])) == ("succeeded", 1)
    assert first["manifest"]["bucket"] == pipelines.stack["results_bucket"]
    assert len(pipelines.stack.calls()) == 1


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"resource": "audio"}, "UnsupportedResource", 'The resource "audio" is not supported!'),
        ({"source": {"bucket": "uploads"}}, "InvalidRequest", "Name the picture"),
        ({"n": 11}, "InvalidRequest", "n must be from 1 to 10"),
        ({"source": {"bucket": "nobodys", "key": "a.jpg"}}, "InvalidRequest", "AllowedSourceBuckets"),
    ],
    ids=["resource", "source", "n", "bucket"],
)
def test_a_request_that_makes_no_sense_is_an_error_by_its_name(pipelines, change, kind, message):
    answered = pipelines.invoke({"source": pipelines.put("elsewhere/direct.jpg"), **OPTIONS, **change})

    assert answered["errorType"] == kind
    assert message in answered["errorMessage"]


def test_the_example_starts_when_a_job_has_ended_and_chooses_without_making_more(pipelines):
    told = pipelines.new_queue()
    pipelines.topic_into(told, pipelines.stack["example_topic"])

    manifest = pipelines.stack.vary("example/upload.jpg", PICTURE, n="2", size="256x256")

    chosen = json.loads(pipelines.hear(told, manifest["job_id"])["Message"])
    assert chosen["chosen"] == f"s3://{pipelines.stack['results_bucket']}/{manifest['results'][0]['key']}"
    assert len(pipelines.stack.calls()) == 1


def test_the_example_generates_chooses_and_notifies(pipelines):
    told = pipelines.new_queue()
    pipelines.topic_into(told, pipelines.stack["example_topic"])
    pipelines.stack.fault(status=429, headers={"Retry-After": "1"}, times=1)

    ended = pipelines.execute("example_state_machine", {"source": pipelines.put("elsewhere/example.jpg"), **OPTIONS})

    assert ended["status"] == "SUCCEEDED", ended
    (manifest,) = pipelines.stack.wait_for("elsewhere/example.jpg")
    chosen = json.loads(pipelines.hear(told, manifest["job_id"])["Message"])
    assert chosen["chosen"].endswith(manifest["results"][0]["key"])
    assert [attempt["outcome"] for attempt in manifest["attempts"]] == ["provider_busy", "answered"]
    assert not pipelines.receive(told), "its own completion does not start it again"


def test_the_example_tells_by_the_errors_name_why_there_are_no_variations(pipelines):
    told = pipelines.new_queue()
    pipelines.topic_into(told, pipelines.stack["example_topic"])
    source = {"bucket": pipelines.stack["uploads_bucket"], "key": "elsewhere/nowhere.jpg"}

    ended = pipelines.execute("example_state_machine", {"source": source})

    assert (ended["status"], ended["error"]) == ("FAILED", "NoVariations")
    assert json.loads(pipelines.hear(told, "SourceNotFound")["Message"])["error"] == "SourceNotFound"
