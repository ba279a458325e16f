"""What the functions are there for, one thing at a time: each ends well, or breaks."""

import base64
import io
import json
import uuid
from contextlib import contextmanager
from http import HTTPStatus

import requests
from PIL import Image

WATCHED, OTHER = "archive-of-permissions", "other-of-permissions"
OPTIONS = {"n": 1, "size": "256x256"}
CIRCUIT_FAILURES = 5


class Broken(Exception):
    """A journey did not end as it should."""


def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), uuid.uuid4().hex[:6].join(("#", ""))).save(buffer, "PNG")
    return buffer.getvalue()


def check(holds, what):
    if not holds:
        raise Broken(str(what)[:2000])


class Traveller:
    """One function, and how it is asked for things."""

    def __init__(self, stack, function):
        self.stack, self.function = stack, function
        self.name = stack["functions"][function]
        self.functions = stack.client("lambda")
        self.told = "the message comes again"

    @contextmanager
    def on_its_way(self):
        """Keep the queue from the worker, so that what it is given is ours alone."""
        (mapping,) = self.functions.list_event_source_mappings(
            FunctionName=self.stack["functions"]["ProcessJobsFunction"]
        )["EventSourceMappings"]
        worker = self.function == "ProcessJobsFunction"
        if worker:
            self.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            if worker:
                self.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def restart(self):
        """Let a fresh container do the next thing."""
        usual = self.functions.get_function_configuration(FunctionName=self.name)["Timeout"]
        self.functions.update_function_configuration(FunctionName=self.name, Timeout=usual)

    def invoke(self, event):
        answer = self.functions.invoke(FunctionName=self.name, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        check("FunctionError" not in answer, payload)
        return payload

    def ask(self, method, path, **options):
        """Send a request to the API, as a caller does."""
        headers = {"Authorization": f"Bearer {self.stack['api_key']}", **options.pop("headers", {})}
        return requests.request(method, f"{self.stack['api_url']}{path}", headers=headers, timeout=60, **options)

    def put(self, bucket):
        """Put a new picture into a bucket; returns where it is, as a source."""
        key = f"permissions/{uuid.uuid4().hex}.png"
        put = self.stack.s3.put_object(Bucket=bucket, Key=key, Body=picture())
        return {"bucket": bucket, "key": key, "version_id": put["VersionId"]}

    @contextmanager
    def faults(self, **switches):
        """Let the provider fail for a while."""
        self.stack.fault(**switches)
        try:
            yield
        finally:
            self.stack.fault()

    def give(self, request):
        """Give the worker a request, as Lambda or an invoker does; returns whether it took it without an error."""
        if self.function == "GenerateVariationsFunction":
            answer = self.functions.invoke(FunctionName=self.name, Payload=json.dumps(request))
            self.told = answer["Payload"].read().decode()
            return "FunctionError" not in answer
        self.stack.sqs.send_message(QueueUrl=self.stack["jobs_queue_url"], MessageBody=json.dumps(request))
        return self.hand_on()

    def hand_on(self):
        """Hand the worker the message that is on the queue; returns whether it is done with it."""
        (message,) = self.take()
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }
        try:
            return self.invoke({"Records": [record]}) == {"batchItemFailures": []}
        finally:
            self.forget(message)

    def take(self):
        """Receive what is on the jobs queue."""
        queue = self.stack["jobs_queue_url"]
        found = self.stack.sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        return found.get("Messages", [])

    def forget(self, message):
        self.stack.sqs.delete_message(QueueUrl=self.stack["jobs_queue_url"], ReceiptHandle=message["ReceiptHandle"])

    def manifest(self, key):
        """Return the manifest of the one job of a source."""
        manifests = self.stack.manifests(key)
        check(len(manifests) == 1, manifests)
        return manifests[0]


# What the workers do


def vary(bucket=None, *, version=False):
    """Return the journey to a variation of a picture in a bucket."""

    def journey(traveller):
        source = traveller.put(bucket or traveller.stack["uploads_bucket"])
        asked = source if version else {**source, "version_id": None}
        check(traveller.give({"source": asked, **OPTIONS}), traveller.told)
        check(traveller.manifest(source["key"])["state"] == "succeeded", traveller.manifest(source["key"]))

    return journey


def miss(bucket=None):
    """Return the journey to a picture that is not there."""

    def journey(traveller):
        key = f"permissions/{uuid.uuid4().hex}.png"
        traveller.give({"source": {"bucket": bucket or traveller.stack["uploads_bucket"], "key": key}, **OPTIONS})
        error = traveller.manifest(key)["error"]
        check(error["code"] == "source_not_found", error)

    return journey


def freshly(journey):
    """Return the same journey for a container that remembers nothing."""

    def started(traveller):
        traveller.restart()
        journey(traveller)

    return started


def go_on(traveller):
    request = {"source": traveller.put(traveller.stack["uploads_bucket"]), "id": uuid.uuid4().hex, **OPTIONS}
    with traveller.faults(status=500):
        check(not traveller.give(request), "the call was not lost")
    check(traveller.give(request), traveller.told)
    manifest = traveller.manifest(request["source"]["key"])
    check(manifest["state"] == "succeeded" and len(manifest["attempts"]) == 2, manifest)


def spare_the_provider(traveller):
    traveller.restart()  # as failures are counted by the container
    try:
        with traveller.faults(status=502):
            for _ in range(CIRCUIT_FAILURES):
                done = traveller.give({"source": traveller.put(traveller.stack["uploads_bucket"]), **OPTIONS})
                check(done or "ProviderFailed" in traveller.told, traveller.told)
            traveller.restart()  # another container knows it from the table alone
            before = len(traveller.stack.calls())
            check(before >= CIRCUIT_FAILURES, "no calls")
            taken = traveller.give({"source": traveller.put(traveller.stack["uploads_bucket"]), **OPTIONS})
            check(not taken and len(traveller.stack.calls()) == before, "a provider that is down was asked")
    finally:
        circuit = {"job_id": {"S": f"circuit#{traveller.stack['provider_base_url']}"}}
        traveller.stack.client("dynamodb").delete_item(TableName=traveller.stack["jobs_table"], Key=circuit)
        traveller.stack.reset()
        traveller.restart()


def set_aside(traveller):
    mark = uuid.uuid4().hex
    check(traveller.give({"nonsense": mark}), traveller.told)
    queue = traveller.stack["dead_letter_queue_url"]
    found = traveller.stack.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    check(any(mark in message["Body"] for message in found), "it is not on the dead-letter queue")


def deal_out(traveller):
    sources = [traveller.put(traveller.stack["uploads_bucket"]) for _ in range(2)]
    check(traveller.give({"sources": sources, **OPTIONS}), traveller.told)
    dealt = traveller.take()
    for message in dealt:
        traveller.forget(message)
    check(len(dealt) == len(sources), dealt)


def vary_over_http(traveller):
    asked = {"image": base64.b64encode(picture()).decode(), **OPTIONS}
    answer = traveller.ask("POST", "/images/variations", json=asked, headers={"Prefer": "respond-async"})
    check(answer.status_code == HTTPStatus.ACCEPTED, answer.text)
    check(traveller.hand_on(), traveller.told)
    job = traveller.ask("GET", f"/jobs/{answer.json()['job_id']}").json()
    check(job["status"] == "succeeded", job)


# What the API does


def answer_variations(traveller, image=None):
    asked = {"image": image or base64.b64encode(picture()).decode(), "response_format": "b64_json", **OPTIONS}
    answer = traveller.ask("POST", "/images/variations", json=asked)
    check(answer.status_code == HTTPStatus.OK, answer.text)
    check(len(answer.json()["data"]) == 1, answer.text)
    return answer.json()


def answer_variations_of(bucket=None):
    """Return the journey to variations of a picture in a bucket."""

    def journey(traveller):
        source = traveller.put(bucket or traveller.stack["uploads_bucket"])
        answer_variations(traveller, f"s3://{source['bucket']}/{source['key']}")

    return journey


def answer_that_there_is_none(bucket=None):
    """Return the journey to the answer that a picture is not there."""

    def journey(traveller):
        image = f"s3://{bucket or traveller.stack['uploads_bucket']}/permissions/{uuid.uuid4().hex}.png"
        answer = traveller.ask("POST", "/images/variations", json={"image": image, **OPTIONS})
        check(answer.status_code == HTTPStatus.NOT_FOUND, answer.text)

    return journey


def hand_out_a_form(traveller):
    form = traveller.ask("POST", "/uploads", json={"filename": "a.png", **OPTIONS}).json()
    check("url" in form, form)
    sent = requests.post(form["url"], data=form["fields"], files={"file": picture()}, timeout=30)
    check(sent.status_code == HTTPStatus.NO_CONTENT, sent.text)


def show_a_job(traveller):
    job_id = answer_variations(traveller)["job_id"]
    answer = traveller.ask("GET", f"/jobs/{job_id}", params={"response_format": "b64_json"})
    check(answer.status_code == HTTPStatus.OK, answer.text)


def list_jobs(traveller):
    forms = [traveller.ask("POST", "/uploads", json=OPTIONS).json()["job_id"] for _ in range(2)]
    answer = traveller.ask("GET", "/jobs", params={"limit": 2})
    check(answer.status_code == HTTPStatus.OK, answer.text)
    check([job["id"] for job in answer.json()["data"]] == forms[::-1], answer.text)


def list_models(traveller):
    traveller.restart()
    answer = traveller.ask("GET", "/models")
    check(answer.status_code == HTTPStatus.OK, answer.text)


def let_in(traveller):
    traveller.restart()
    arn = "arn:aws:execute-api:us-east-1:000000000000:api/v1/GET/models"
    policy = traveller.invoke(
        {"type": "TOKEN", "authorizationToken": f"Bearer {traveller.stack['api_key']}", "methodArn": arn}
    )
    check(policy["principalId"] == "default", policy)


JOURNEYS = {
    "vary a picture": vary(),
    "vary a picture, freshly started": freshly(vary()),
    "vary a version of a picture": vary(version=True),
    "vary a picture of the watched bucket": vary(WATCHED),
    "vary a version of a picture of the watched bucket": vary(WATCHED, version=True),
    "vary a picture of another bucket": vary(OTHER),
    "vary a version of a picture of another bucket": vary(OTHER, version=True),
    "say that a picture is missing": miss(),
    "say that a picture is missing in the watched bucket": miss(WATCHED),
    "say that a picture is missing in another bucket": miss(OTHER),
    "go on after a call that was lost": go_on,
    "spare a provider that is down": spare_the_provider,
    "set a message aside": set_aside,
    "deal out a message of several pictures": deal_out,
    "vary a picture that came over HTTP": vary_over_http,
    "answer variations": answer_variations,
    "answer variations of a picture in S3": answer_variations_of(),
    "answer variations of a picture in another bucket": answer_variations_of(OTHER),
    "answer that there is no such picture": answer_that_there_is_none(),
    "answer that there is no such picture in another bucket": answer_that_there_is_none(OTHER),
    "hand out a form": hand_out_a_form,
    "show a job": show_a_job,
    "list jobs": list_jobs,
    "list models, freshly started": list_models,
    "let a caller in, freshly started": let_in,
}
