"""That nothing leaks is held at the end of the whole run (conftest.py); here, that the search finds what there is."""

import base64
import json

import pytest

from infra.local.demo import EXAMPLE
from infra.local.stack import LOCAL_KEY
from tests.e2e.leaks import PROMPT, leaks

MARK = "leak"


def put_into_a_manifest(stack, text):
    key = f"{MARK}/manifest.json"
    stack.s3.put_object(Bucket=stack["results_bucket"], Key=key, Body=text)
    return lambda: stack.s3.delete_object(Bucket=stack["results_bucket"], Key=key)


def put_into_the_table(stack, text):
    table, key = stack["jobs_table"], {"job_id": {"S": MARK}}
    client = stack.client("dynamodb")
    client.put_item(TableName=table, Item={**key, "error": {"S": text}})
    return lambda: client.delete_item(TableName=table, Key=key)


def set_aside(stack, text):
    stack.sqs.send_message(QueueUrl=stack["dead_letter_queue_url"], MessageBody=text)
    return lambda: stack.sqs.purge_queue(QueueUrl=stack["dead_letter_queue_url"])


def tell(stack, text):
    entry = {"Source": MARK, "DetailType": MARK, "Detail": json.dumps({"error": text})}
    stack.client("events").put_events(Entries=[{**entry, "EventBusName": stack["event_bus"]}])
    return lambda: None


def log(stack, text):
    logs, group = stack.client("logs"), f"/{MARK}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=MARK)
    logs.put_log_events(
        logGroupName=group, logStreamName=MARK, logEvents=[{"timestamp": 1800000000000, "message": text}]
    )
    return lambda: logs.delete_log_group(logGroupName=group)


def configure(stack, text):
    functions, name = stack.client("lambda"), stack["functions"]["GetJobFunction"]
    usual = functions.get_function_configuration(FunctionName=name)["Description"]
    functions.update_function_configuration(FunctionName=name, Description=text)
    return lambda: functions.update_function_configuration(FunctionName=name, Description=usual)


@pytest.mark.parametrize("leak", [put_into_a_manifest, put_into_the_table, set_aside, tell, log, configure])
def test_a_key_that_was_written_somewhere_is_found(stack, leak):
    for key in (LOCAL_KEY, stack["api_key"]):
        undo = leak(stack, f"Incorrect API key provided: {key}.")
        found = leaks(stack)
        undo()
        assert len(found) == 1
        assert found[0].startswith("a key in ")
        assert key not in found[0]


@pytest.mark.parametrize("leak", [put_into_a_manifest, put_into_the_table, log])
def test_a_picture_that_was_written_somewhere_is_found(stack, leak):
    undo = leak(stack, f"data: {base64.b64encode(EXAMPLE.read_bytes()).decode()[:600]}")
    found = leaks(stack)
    undo()
    assert len(found) == 1
    assert found[0].startswith("a picture in ")


@pytest.mark.parametrize("text", [PROMPT, "https://bucket/key?X-Amz-Signature=0123456789abcdef0123456789abcdef"])
def test_a_prompt_or_a_signed_url_in_a_log_is_found(stack, text):
    undo = log(stack, text)
    found = leaks(stack)
    undo()
    assert found == ["a prompt or a signed URL in the log /leak"]


def test_a_prompt_goes_the_whole_way_and_is_in_no_log(stack):
    manifest = stack.vary("leaks/prompt.jpg", EXAMPLE.read_bytes(), prompt=PROMPT, n="1", size="256x256")

    assert (manifest["state"], manifest["request"]["prompt"]) == ("succeeded", PROMPT)
    assert leaks(stack) == []
