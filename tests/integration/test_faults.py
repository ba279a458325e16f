"""The fault matrix: one fault after the other on the way of a job through the real worker, and what becomes of it.

The last test writes what was seen into docs/reliability.md.
"""

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from textwrap import shorten
from types import SimpleNamespace

import process_jobs
import pytest
import requests
from aws_lambda_powertools.utilities.circuit_breaker import base as circuit
from aws_lambda_powertools.utilities.circuit_breaker.persistence import base as circuit_store
from aws_lambda_powertools.utilities.circuit_breaker.persistence import dynamodb as circuit_table
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws
from variations import aws_clients, wiring
from variations.messages import parse_message
from variations.provider import Provider

from tests.conftest import LambdaContext, event
from tests.contract.scripted import PNG, Scripted, in_base64, reply
from tests.documents import show_seen
from tests.integration.conftest import Aws, picture

KEY = "uploads/cat.jpg"
PICTURE = picture()
MOST_DELIVERIES = 12  # of a message that comes again and again; then its job is said to wait
QUEUE_SECONDS = 3600  # for which the queue hides a message that nobody hides otherwise
ONE, FOUR = (json.dumps(in_base64(*[PNG.content] * count)).encode() for count in (1, 4))
NO_LIST = reply(404)  # of models, for which every container asks first
PUT_BACK = "; can be put back"


class Killed(BaseException):
    """The end of a worker: its time is over, its memory too small, or its machine gone."""


@dataclass
class AwsFault:
    """Something that befalls the calls of one operation of AWS, for which `where` holds."""

    operation: str
    error: BaseException
    times: float
    after: bool  # the call is carried out, and then fails
    where: Callable[[dict], bool]

    def befalls(self, operation, parameters):
        if operation != self.operation or not self.where(parameters) or not self.times:
            return False
        self.times -= 1
        return True


@dataclass
class Message:
    """A message of the jobs queue."""

    body: str
    number: int
    sent: float
    receives: int = 0

    @property
    def record(self):
        self.receives += 1
        (usual,) = event("process_jobs")["Records"]
        told = {"ApproximateReceiveCount": str(self.receives), "SentTimestamp": str(int(self.sent * 1000))}
        named = {"messageId": f"message-{self.number}", "receiptHandle": "handle", "body": self.body}
        return {**usual, **named, "attributes": {**usual["attributes"], **told}}


def upload_of(key):
    """The message about an upload."""
    (record,) = event("process_jobs")["Records"]
    told = json.loads(record["body"])
    told["detail"]["object"].update(key=key)
    del told["detail"]["object"]["etag"]
    return json.dumps(told)


@dataclass
class Stage:
    """A stack with a worker, in which a fault can be played; what is seen in the end."""

    aws: object
    image_server: object
    hours: object
    environment: pytest.MonkeyPatch
    faults: list = field(default_factory=list)
    hooks: dict = field(default_factory=dict)
    scripted: Scripted | None = None
    hidden: float = QUEUE_SECONDS
    messages: int = 0
    deliveries: int = 0
    blown: int = 0  # how often the handler itself raised, and so sent back the whole batch

    def upload(self, key=KEY, content=PICTURE, **metadata):
        self.aws.upload(key, content, **metadata)

    def serve(self, *answers):
        """Have a provider that answers just so, and hangs up after it; it is asked for its models first."""
        self.scripted = Scripted().answer(NO_LIST, *answers)
        self.environment.setenv("PROVIDER_BASE_URL", self.scripted.base_url)

    def break_aws(self, operation, error, *, times=1, after=False, where=lambda parameters: True):
        """Let calls of one operation fail: by an exception, or by an error code that botocore's retries survived."""
        if isinstance(error, str):
            error = ClientError({"Error": {"Code": error, "Message": "A fault."}}, operation)
        self.faults.append(AwsFault(operation, error, times, after, where))

    def before(self, delivery, *steps):
        """Do something before that delivery."""
        self.hooks[delivery] = steps

    def configure(self, **names):
        """Deploy the stack with other parameters, which starts new containers."""
        for name, value in names.items():
            self.environment.setenv(name, value)
        self.start_container()

    def start_container(self):
        wiring.forget()
        for counts in (circuit._LOCAL_FAILURES, circuit._LOCAL_SUCCESSES, circuit._LAST_OBSERVED_STATE):
            counts.clear()

    def call_aws(self, really):
        """Return what stands between botocore and AWS."""

        def call(client, operation, parameters):
            fault = next((fault for fault in self.faults if fault.befalls(operation, parameters)), None)
            if fault and not fault.after:
                raise fault.error
            if operation == "ChangeMessageVisibility":
                self.hidden = parameters["VisibilityTimeout"]
                return {}
            answer = really(client, operation, parameters)
            if fault:
                raise fault.error
            return answer

        return call

    def send(self, body=None):
        self.messages += 1
        return Message(body or upload_of(KEY), self.messages, self.hours.now)

    def deliver(self, message=None):
        """Deliver a message as often as it comes again, each time when its wait is over."""
        message = message or self.send()
        for _ in range(MOST_DELIVERIES):
            self.deliveries += 1
            for step in self.hooks.get(self.deliveries, ()):
                step()
            self.hidden = QUEUE_SECONDS
            if self.is_done(message.record):
                break
            self.hours.now += self.hidden
        return message

    def is_done(self, record):
        try:
            return not process_jobs.handler({"Records": [record]}, LambdaContext())["batchItemFailures"]
        except Killed:
            self.start_container()
        except Exception:  # whatever it is, SQS delivers the whole batch again
            self.blown += 1
        return False

    def put_back(self):
        """Move the dead letters to the jobs queue, as `make redrive` does, and deliver them."""
        for body in self.aws.set_aside():
            self.deliver(self.send(body))

    def forget(self):
        """Let nothing be counted of what was before."""
        self.aws.told()
        self.aws.set_aside()
        requests.delete(f"{self.image_server.origin}/_calls", timeout=5).raise_for_status()
        self.deliveries = 0

    def forget_record(self):
        self.aws.dynamodb.delete_item(TableName="jobs-table", Key={"job_id": {"S": self.order.job_id}})

    @property
    def order(self):
        (order,) = parse_message(upload_of(KEY), "delivery").orders
        return order

    def pictures(self):
        """How many pictures of the job are stored."""
        prefix = f"{self.order.results_prefix}/variation-"
        return self.aws.s3.list_objects_v2(Bucket="results-bucket", Prefix=prefix)["KeyCount"]

    def calls(self):
        """How many calls the provider got, and how many of them made a picture."""
        if self.scripted:
            calls = sum(request.method == "POST" for request in self.scripted.requests)
            return calls, calls
        return len(self.image_server.calls()), self.image_server.paid()

    def what_became(self):
        """What became of the job, and what its user can read about it."""
        job = wiring.jobs().get(self.order.job_id)
        letters = self.aws.set_aside()
        if not job or not job.is_finished:
            return ("its message is set aside with the reason" if letters else "waits"), ""
        manifest = json.loads(self.aws.read(f"{job.order.results_prefix}/manifest.json"))
        error = manifest["error"] or {"message": " ".join(manifest["warnings"])}
        ended = f"{job.state} ({job.error})" if job.error else job.state
        return ended + PUT_BACK * bool(letters), error["message"]


class Stack(Aws):
    """A stack whose queues are empty once they were read."""

    def take(self, queue_url):
        received = self.sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", [])
        for message in received:
            self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return received

    def told(self):
        return [json.loads(message["Body"]) for message in self.take(self.told_url)]

    def set_aside(self):
        return [message["Body"] for message in self.take(self.dead_letter_url)]


@pytest.fixture(scope="module")
def stack(session):
    """One stack for all cases, as it takes longer to be made than a job."""
    with mock_aws():
        yield Stack(session)


@pytest.fixture
def aws(stack):
    """The stack, as empty as on its first day."""
    for bucket in ("uploads-bucket", "results-bucket"):
        for found in stack.s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            stack.s3.delete_object(Bucket=bucket, Key=found["Key"])
    for item in stack.dynamodb.scan(TableName="jobs-table")["Items"]:
        stack.dynamodb.delete_item(TableName="jobs-table", Key={"job_id": item["job_id"]})
    for queue in (stack.dead_letter_url, stack.told_url):
        while stack.take(queue):
            pass
    stack.secrets.put_secret_value(SecretId="provider-secret", SecretString="sk-local")
    return stack


@pytest.fixture(scope="module")
def kept(session):
    """A session that makes each client once: to make them for each container takes longer than the jobs."""
    return SimpleNamespace(create_client=functools.cache(session.client))


@pytest.fixture
def stage(aws, image_server, hours, environment, kept):
    stage = Stage(aws, image_server, hours, environment)
    now = SimpleNamespace(datetime=SimpleNamespace(now=lambda: datetime.fromtimestamp(hours.now, UTC)))
    for module in (circuit, circuit_store, circuit_table):
        environment.setattr(module, "dt", now)
    environment.setattr(process_jobs, "time", SimpleNamespace(time=hours))
    environment.setattr(aws_clients, "_session", functools.cache(lambda: kept))
    environment.setattr(BaseClient, "_make_api_call", stage.call_aws(BaseClient._make_api_call))
    stage.start_container()
    stage.upload()
    yield stage
    stage.start_container()
    if stage.scripted:
        stage.scripted.stop()


# How faults are played


def served(**switches):
    """The provider misbehaves."""

    def play(stage):
        stage.image_server.fault(**switches)
        stage.deliver()

    return play


def answered(*answers, n):
    """The provider answers just so when it is asked for n pictures."""

    def play(stage):
        stage.upload(n=str(n))
        stage.serve(*answers)
        stage.deliver()

    return play


def broken(operation, error, **which):
    """An AWS service fails."""

    def play(stage):
        stage.break_aws(operation, error, **which)
        stage.deliver()

    return play


def broken_after_502(operation, error, **which):
    """An AWS service fails when the job has failed already."""

    def play(stage):
        stage.image_server.fault(status=502)
        stage.break_aws(operation, error, **which)
        stage.deliver()

    return play


def killed(operation, **which):
    """The worker dies at a certain step."""
    return broken(operation, Killed(), **which)


def put_back(play, *steps):
    """What failed is put back when the reason is done away with."""

    def play_and_put_back(stage):
        play(stage)
        for step in steps:
            step(stage)
        stage.put_back()

    return play_and_put_back


def asked(**metadata):
    """The user asks for something else."""

    def play(stage):
        stage.upload(**metadata)
        stage.deliver()

    return play


def impatient(**switches):
    """The provider's answer is not there in time, which is within 0.8 seconds here."""

    def play(stage):
        send = Provider.send

        def send_hurriedly(self, call, *, deadline, take):
            return send(self, call, deadline=min(deadline, time.monotonic() + 0.8), take=take)

        stage.environment.setattr(Provider, "send", send_hurriedly)
        stage.image_server.fault(**switches)
        stage.deliver()

    return play


def repaired(stage):
    """Let the provider be well again."""
    stage.image_server.fault()


def with_key(key):
    """Put a key into the provider's secret."""
    return lambda stage: stage.aws.secrets.put_secret_value(SecretId="provider-secret", SecretString=key)


def tomorrow(stage):
    """Let a day pass."""
    stage.hours.now += 24 * 3600


def play_key_rotated_under_a_container(stage):
    with_key("sk-outdated")(stage)
    next(wiring.provider().key.values())
    with_key("sk-local")(stage)
    stage.deliver()


def play_key_of_tomorrow(stage):
    with_key("sk-of-tomorrow")(stage)
    stage.deliver()


def play_wrong_key(stage):
    with_key("sk-outdated")(stage)
    with_key("sk-wrong")(stage)
    stage.deliver()


def play_no_secret(stage):
    stage.break_aws("GetSecretValue", "ResourceNotFoundException", times=99)
    stage.deliver()


def restore_secret(stage):
    stage.faults.clear()


def play_unreachable(stage):
    stage.configure(PROVIDER_BASE_URL="http://127.0.0.1:9/v1")
    stage.deliver()


def play_unreachable_once(stage):
    stage.configure(PROVIDER_BASE_URL="http://127.0.0.1:9/v1")
    stage.before(2, lambda: stage.configure(PROVIDER_BASE_URL=stage.image_server.base_url))
    stage.deliver()


def play_one_picture_a_call_and_a_cut(stage):
    whole = reply(body=ONE)
    stage.upload(n="4")
    stage.serve(whole, whole, whole[:-20], whole)
    stage.deliver()


def play_fewer(stage):
    stage.upload(n="4")
    stage.image_server.fault(body="fewer")
    stage.deliver()


def play_picture_deleted(stage):
    stage.aws.s3.delete_object(Bucket="uploads-bucket", Key=KEY)
    stage.deliver()


def play_denied_for_a_while(stage):
    stage.break_aws("PutObject", "AccessDenied", times=99)
    stage.before(2, stage.faults.clear)
    stage.deliver()


def play_day_used_up(stage):
    stage.configure(DAILY_IMAGE_LIMIT="3")
    wiring.budget().reserve("s3:upload", 2)
    stage.deliver()


def play_calls_stopped(stage):
    stage.configure(PROVIDER_CALLS="stopped")
    stage.deliver()


def play_calls_stopped_for_a_while(stage):
    stage.configure(PROVIDER_CALLS="stopped")
    stage.before(3, lambda: stage.configure(PROVIDER_CALLS="allowed"))
    stage.deliver()


def after_five_failures(*answers):
    """Five jobs in a row failed before; this one is delivered for the first time, and then the provider is so."""

    def play(stage):
        stage.image_server.fault(status=502)
        for number in range(5):
            key = f"uploads/other-{number}.jpg"
            stage.upload(key)
            stage.deliver(stage.send(upload_of(key)))
        stage.forget()
        for delivery, switches in enumerate(answers, start=2):
            stage.before(delivery, functools.partial(stage.image_server.fault, **switches))
        stage.deliver()

    return play


def play_late_message(stage):
    message = stage.deliver()
    stage.forget_record()
    stage.hours.now += 13 * 3600
    stage.deliver(message)


def play_late_message_of_an_unfinished_job(stage):
    stage.break_aws("PutObject", Killed(), where=of_second_picture)
    stage.before(2, stage.forget_record, lambda: tomorrow(stage))
    stage.deliver()


def play_dying_while_prepared(stage):
    stage.break_aws("GetObject", Killed(), times=5, where=of_source)
    stage.deliver()


def play_wait_long_and_stay_visible(stage):
    stage.image_server.fault(status=429, times=5)
    stage.before(6, lambda: stage.break_aws("ChangeMessageVisibility", "InternalError"))
    stage.deliver()


def play_stumble_before_the_job_is_known(stage):
    message = stage.send()
    stage.break_aws("UpdateItem", ZeroDivisionError("a bug"), times=99, where=of_begin)
    stage.deliver(message)
    stage.deliver(message)


def play_stumble_without_dead_letters(stage):
    stage.break_aws("SendMessage", "InternalError", where=of_dead_letter)
    play_stumble_before_the_job_is_known(stage)


def play_same_event_twice(stage):
    for _ in range(2):
        stage.deliver()


def play_another_worker_at_it(stage):
    wiring.jobs().begin(stage.order, lease_seconds=600)
    stage.deliver()


# Which calls of AWS are meant


def of_source(parameters):
    return parameters["Key"] == KEY


def of_picture(parameters):
    return "/variation-" in parameters["Key"]


def of_second_picture(parameters):
    return "/variation-02" in parameters["Key"]


def of_manifest(parameters):
    return parameters["Key"].endswith("/manifest.json")


def of_begin(parameters):
    return ":until" in parameters["ExpressionAttributeValues"]


def of_attempt(parameters):
    return ":attempt" in parameters["ExpressionAttributeValues"]


def of_outcome(parameters):
    return of_attempt(parameters) and "outcome" in parameters["ExpressionAttributeValues"][":attempt"]["M"]


def of_end(parameters):
    return ":error" in parameters["ExpressionAttributeValues"]


def of_announcement(parameters):
    return "announced" in parameters["UpdateExpression"] and ":yes" in parameters["ExpressionAttributeValues"]


def of_dead_letter(parameters):
    return parameters["QueueUrl"].endswith("/dead-letter-queue")


@dataclass(frozen=True)
class Case:
    """A fault, and what must become of the job.

    `told` counts the events on the bus; `says` begins what its user can read; `calls` counts the calls that the
    provider got, where they are not all paid.
    """

    name: str
    play: Callable[[Stage], None]
    job: str
    says: str = ""
    paid: int = 1
    calls: int | None = None
    pictures: int = 2
    deliveries: int = 1
    told: int = 1


NOTHING = {"paid": 0, "pictures": 0}
SUCCEEDED, FAILED, CODE = "succeeded", "failed (provider_failed)" + PUT_BACK, "configuration_error"
UNREADABLE = "The provider answered with something that is not JSON, or is cut off."
CASES = [
    Case("nothing", served(), SUCCEEDED),
    # The provider's words
    Case("provider: 429 once", served(status=429, times=1), SUCCEEDED, calls=2, deliveries=2),
    Case("provider: 429 for ever", served(status=429), "waits", **NOTHING, calls=12, deliveries=12, told=0),
    Case(
        "provider: 429 with insufficient_quota",
        served(status=429, code="insufficient_quota"),
        "failed (provider_denied)" + PUT_BACK,
        "The provider account has no quota left; add credit there.",
        **NOTHING,
        calls=1,
    ),
    Case("provider: 500 once", served(status=500, times=1), SUCCEEDED, calls=2, deliveries=2),
    Case(
        "provider: 500 for ever",
        served(status=500),
        FAILED,
        "The provider failed (HTTP 500).",
        **NOTHING,
        calls=2,
        deliveries=2,
    ),
    Case("provider: 502", served(status=502), FAILED, "The provider failed (HTTP 502).", **NOTHING, calls=1),
    Case(
        "provider: 502, put back when the provider is well",
        put_back(served(status=502), repaired),
        SUCCEEDED,
        calls=2,
        deliveries=2,
        told=2,
    ),
    Case("provider: 503 once", served(status=503, times=1), SUCCEEDED, calls=2, deliveries=2),
    Case(
        "provider: moderation refuses the picture",
        served(status=400, code="moderation_blocked"),
        "failed (provider_refused)",
        "The provider finds the picture or the prompt unacceptable.",
        **NOTHING,
        calls=1,
    ),
    Case(
        "provider: a model that the provider does not have",
        asked(model="no-such-model"),
        "failed (model_not_found)",
        "The provider does not know this model.",
        **NOTHING,
        calls=1,
    ),
    Case(
        "provider: 200 with an error in it",
        served(body="error_in_200"),
        "failed (provider_refused)",
        "The provider refused the request (HTTP 422).",
        pictures=0,
    ),
    # The way there and back
    Case("provider: no connection once", play_unreachable_once, SUCCEEDED, deliveries=2),
    Case("provider: no connection for ever", play_unreachable, "waits", **NOTHING, calls=0, deliveries=12, told=0),
    Case(
        "provider: no answer in time",
        impatient(latency_seconds=3),
        "failed (provider_timeout)" + PUT_BACK,
        "The provider did not answer in time.",
        pictures=0,
    ),
    Case(
        "provider: an answer that drips, and is not whole in time",
        impatient(body="drip", latency_seconds=3),
        "failed (provider_timeout)" + PUT_BACK,
        "The provider did not answer in time.",
        pictures=0,
    ),
    Case("provider: an answer that drips, but is whole in time", served(body="drip", latency_seconds=0.3), SUCCEEDED),
    Case(
        "provider: a connection cut within picture 3 of 4 of one answer",
        answered(reply(body=FOUR)[: -len(FOUR) * 3 // 8], n=4),
        "partial",
        "The provider closed the connection before its answer was complete.",
        pictures=2,
    ),
    Case(
        "provider: a connection cut within picture 3 of 4, each of which is a call",
        play_one_picture_a_call_and_a_cut,
        "partial",
        "The provider closed the connection before its answer was complete.",
        paid=4,
        pictures=3,
    ),
    # The answer
    Case("provider: truncated JSON", served(body="truncated"), "partial", UNREADABLE, pictures=1),
    Case("provider: garbage", served(body="garbage"), FAILED, UNREADABLE, pictures=0),
    Case("provider: an HTML page", served(body="html"), FAILED, UNREADABLE, pictures=0),
    Case("provider: an empty answer", served(body="empty"), FAILED, UNREADABLE, pictures=0),
    Case(
        "provider: an answer without pictures",
        served(body="no_data"),
        "failed (provider_refused)",
        "The provider answered without any image; it may have moderated the picture.",
        pictures=0,
    ),
    Case(
        "provider: a picture that is none",
        served(body="not_an_image"),
        FAILED,
        "The provider's answer holds no picture that can be read.",
        pictures=0,
    ),
    Case(
        "provider: fewer pictures than the 4 asked for",
        play_fewer,
        "partial",
        "The provider sent 3 pictures where 4 were asked for.",
        pictures=3,
    ),
    Case(
        "provider: one picture where 2 were asked for, as a provider sends that ignores n",
        served(body="fewer", times=1),
        SUCCEEDED,
        paid=2,
    ),
    # Keys
    Case(
        "key: a wrong key",
        play_wrong_key,
        "failed (provider_denied)" + PUT_BACK,
        "The provider refused our key, account or credit (HTTP 401).",
        **NOTHING,
        calls=2,
    ),
    Case(
        "key: a wrong key, put back when it is right",
        put_back(play_wrong_key, with_key("sk-local")),
        SUCCEEDED,
        calls=4,
        deliveries=2,
        told=2,
    ),
    Case("key: a key rotated under a running container", play_key_rotated_under_a_container, SUCCEEDED),
    Case("key: a new key that the provider does not let in yet", play_key_of_tomorrow, SUCCEEDED, calls=2),
    Case(
        "key: no secret",
        play_no_secret,
        f"failed ({CODE})" + PUT_BACK,
        "The secret of a key cannot be read",
        **NOTHING,
    ),
    Case(
        "key: no secret, put back when there is one",
        put_back(play_no_secret, restore_secret),
        SUCCEEDED,
        deliveries=2,
        told=2,
    ),
    Case(
        "key: Secrets Manager is throttled once",
        broken("GetSecretValue", "ThrottlingException", times=2),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "key: Secrets Manager is throttled for three deliveries",
        broken("GetSecretValue", "ThrottlingException", times=4),
        SUCCEEDED,
        deliveries=4,
    ),
    # S3
    Case(
        "S3 fails on storing the first picture",
        broken("PutObject", "503", where=of_picture),
        SUCCEEDED,
        paid=2,
        deliveries=2,
    ),
    Case(
        "S3 fails on storing the second picture",
        broken("PutObject", "503", where=of_second_picture),
        SUCCEEDED,
        paid=2,
        deliveries=2,
    ),
    Case("S3 fails on storing the manifest", broken("PutObject", "503", where=of_manifest), SUCCEEDED, deliveries=2),
    Case("S3 fails on reading the picture", broken("GetObject", "503", where=of_source), SUCCEEDED, deliveries=2),
    Case(
        "the picture is deleted before its turn",
        play_picture_deleted,
        "failed (source_not_found)",
        "There is no object s3://uploads-bucket/uploads/cat.jpg any more.",
        **NOTHING,
    ),
    Case(
        "S3 denies us the picture",
        broken("GetObject", "AccessDenied", where=of_source),
        f"failed ({CODE})" + PUT_BACK,
        "S3 refuses s3://uploads-bucket/uploads/cat.jpg: AccessDenied.",
        **NOTHING,
    ),
    Case(
        "S3 denies us the picture, put back when it does not",
        put_back(broken("GetObject", "AccessDenied", where=of_source)),
        SUCCEEDED,
        deliveries=2,
        told=2,
    ),
    Case(
        "S3 denies us to store pictures",
        broken("PutObject", "AccessDenied", times=99, where=of_picture),
        f"failed ({CODE})" + PUT_BACK,
        "S3 refuses the results bucket: AccessDenied.",
        pictures=0,
    ),
    Case(
        "S3 denies us to store anything",
        broken("PutObject", "AccessDenied", times=99),
        "waits",
        paid=2,
        pictures=0,
        told=0,
        deliveries=12,
    ),
    Case("S3 denies us to store anything, then allows it", play_denied_for_a_while, SUCCEEDED, paid=2, deliveries=2),
    # DynamoDB
    Case(
        "DynamoDB is throttled as the job begins",
        broken("UpdateItem", "ThrottlingException", where=of_begin),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "DynamoDB is throttled as a call is written down",
        broken("UpdateItem", "ThrottlingException", where=of_attempt),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "DynamoDB is throttled as the end of a call is written down",
        broken("UpdateItem", "ThrottlingException", where=of_outcome),
        SUCCEEDED,
    ),
    Case(
        "DynamoDB is throttled as the job ends",
        broken("UpdateItem", "ThrottlingException", where=of_end),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "DynamoDB is throttled as the event is out",
        broken("UpdateItem", "ThrottlingException", where=of_announcement),
        SUCCEEDED,
        deliveries=2,
        told=2,
    ),
    Case("DynamoDB denies us the table once", broken("UpdateItem", "AccessDeniedException"), SUCCEEDED, deliveries=2),
    # The bus and the queues
    Case("the event bus is down once", broken("PutEvents", "InternalException"), SUCCEEDED, deliveries=2),
    Case(
        "the event bus is down once, and the job failed",
        broken_after_502("PutEvents", "InternalException"),
        FAILED,
        "The provider failed (HTTP 502).",
        **NOTHING,
        calls=1,
        deliveries=2,
    ),
    Case(
        "the dead-letter queue is down once as a job failed",
        broken_after_502("SendMessage", "InternalError", where=of_dead_letter),
        FAILED,
        "The provider failed (HTTP 502).",
        **NOTHING,
        calls=1,
        deliveries=2,
    ),
    Case(
        "the queue fails once as the message is hidden",
        broken("ChangeMessageVisibility", "InternalError"),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "the queue fails once as a message is hidden that has waited five times",
        play_wait_long_and_stay_visible,
        SUCCEEDED,
        calls=6,
        deliveries=7,
    ),
    Case("the same event comes twice", play_same_event_twice, SUCCEEDED, deliveries=2),
    Case("another worker has the job, and dies", play_another_worker_at_it, SUCCEEDED, deliveries=2),
    # The worker
    Case("worker: killed before a call is on record", killed("UpdateItem", where=of_attempt), SUCCEEDED, deliveries=2),
    Case(
        "worker: killed after a call is on record, before it is made",
        killed("UpdateItem", after=True, where=of_attempt),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "worker: killed when the answer has come, before that is on record",
        killed("UpdateItem", where=of_outcome),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "worker: killed during the call, twice",
        killed("PutObject", times=4, where=of_picture),
        "failed (provider_timeout)" + PUT_BACK,
        "2 paid calls were lost on their way (MaxAttempts)",
        paid=2,
        pictures=0,
        deliveries=3,
    ),
    Case(
        "worker: killed before the first picture is stored",
        killed("PutObject", where=of_picture),
        SUCCEEDED,
        paid=2,
        deliveries=2,
    ),
    Case(
        "worker: killed between two pictures",
        killed("PutObject", where=of_second_picture),
        SUCCEEDED,
        paid=2,
        deliveries=2,
    ),
    Case("worker: killed before the manifest", killed("PutObject", where=of_manifest), SUCCEEDED, deliveries=2),
    Case(
        "worker: killed before the job's end is on record", killed("UpdateItem", where=of_end), SUCCEEDED, deliveries=2
    ),
    Case("worker: killed before the event", killed("PutEvents"), SUCCEEDED, deliveries=2),
    Case("worker: killed after the event", killed("PutEvents", after=True), SUCCEEDED, deliveries=2, told=2),
    Case(
        "worker: killed five times over one job",
        play_dying_while_prepared,
        "failed (worker_died)",
        "5 workers died",
        **NOTHING,
        deliveries=6,
    ),
    Case(
        "worker: stumbles over the job once (a bug of ours)",
        broken("GetObject", ZeroDivisionError("a bug"), where=of_source),
        SUCCEEDED,
        deliveries=2,
    ),
    Case(
        "worker: stumbles over the job for ever",
        broken("GetObject", ZeroDivisionError("a bug"), times=99, where=of_source),
        "failed (worker_died)",
        "5 workers died or stumbled over this job",
        **NOTHING,
        deliveries=6,
    ),
    Case(
        "worker: stumbles over the message for ever",
        play_stumble_before_the_job_is_known,
        "its message is set aside with the reason",
        **NOTHING,
        deliveries=20,
        told=0,
    ),
    Case(
        "worker: stumbles over the message for ever, and the dead-letter queue is down once",
        play_stumble_without_dead_letters,
        "its message is set aside with the reason",
        **NOTHING,
        deliveries=21,
        told=0,
    ),
    # Time and money
    Case(
        "the images of the day are used up",
        play_day_used_up,
        "failed (budget_exhausted)" + PUT_BACK,
        "Today's 3 images are used up (DailyImageLimit).",
        **NOTHING,
    ),
    Case(
        "the images of the day are used up, put back the next day",
        put_back(play_day_used_up, tomorrow),
        SUCCEEDED,
        deliveries=2,
        told=2,
    ),
    Case("calls are stopped (`ProviderCalls`)", play_calls_stopped, "waits", **NOTHING, deliveries=12, told=0),
    Case("calls are stopped, then allowed", play_calls_stopped_for_a_while, SUCCEEDED, deliveries=3),
    Case("five jobs in a row failed before, so this one waits", after_five_failures({}), SUCCEEDED, deliveries=2),
    Case(
        "five jobs in a row failed before, so this one waits, and the provider is not well yet",
        after_five_failures(),
        FAILED,
        "The provider failed (HTTP 502).",
        **NOTHING,
        calls=1,
        deliveries=2,
    ),
    Case(
        "five jobs in a row failed before, so this one waits, and the provider is busy then",
        after_five_failures({"status": 429, "times": 1}),
        SUCCEEDED,
        calls=2,
        deliveries=4,
    ),
    Case(
        "the message comes again when the job's record has expired", play_late_message, SUCCEEDED, deliveries=2, told=2
    ),
    Case(
        "killed between two pictures, and the record expires before the message comes again",
        play_late_message_of_an_unfinished_job,
        SUCCEEDED,
        paid=2,
        deliveries=2,
    ),
]
SEEN: dict[str, list[str]] = {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_job_comes_to_its_end_whatever_befalls_it(stage, case):
    case.play(stage)

    stage.faults.clear()
    calls, paid = stage.calls()
    job, says = stage.what_became()
    told = len(stage.aws.told())
    pictures = stage.pictures()
    assert (job, paid, pictures, stage.deliveries) == (case.job, case.paid, case.pictures, case.deliveries)
    assert says.startswith(case.says)
    assert bool(says) == bool(case.says)
    assert (calls, told) == (case.paid if case.calls is None else case.calls, case.told)
    assert stage.blown == 0
    SEEN[case.name] = [
        case.name,
        job,
        str(paid) if paid == calls else f"{paid} of {calls}",
        str(pictures),
        f"{MOST_DELIVERIES} or more" if stage.deliveries == MOST_DELIVERIES else str(stage.deliveries),
        shorten(says, 120, placeholder=" ...") or "-",
    ]


def test_the_document_shows_what_was_seen():
    heads = ["what goes wrong", "what becomes of the job", "paid calls", "pictures", "deliveries", "what the user sees"]
    show_seen("reliability.md", "faults", heads, SEEN, [case.name for case in CASES])
