"""Everything that a stack writes, and whether a key, a picture or a prompt is in it that must not be."""

import json
import re
from collections.abc import Iterator

from infra.local.deploy import STACK_NAME

# PNG, JPEG and WebP, as they are and as base64; and base64 of anything that is long and has most of its alphabet.
HEADS = re.compile(rb"iVBORw0KGgo|/9j/[4-7]|UklGR[g-r]|\x89PNG\r\n|\xff\xd8\xff|RIFF.{4}WEBP", re.DOTALL)
LONG = re.compile(rb"[A-Za-z0-9+/]{1000,}")
MOST = 40  # of 64
SIGNATURES = re.compile(rb"[Ss]ignature=[0-9a-f]{16}")
PROMPT = "a prompt that stands in no log: five blue otters"
STRANGE_KEYS = ("sk-wrong", "sk-outdated", "sk-shop")  # which tests show at the door, or put into secrets


def leaks(stack) -> list[str]:
    """Say what was found where it must not be, and nothing of it."""
    found = []
    for place, content in written(stack):
        if any(key.encode() in content for key in keys(stack)):
            found.append(f"a key in {place}")
        if HEADS.search(content) or any(len(set(text)) > MOST for text in LONG.findall(content)):
            found.append(f"a picture in {place}")
        if place.startswith("the log") and (PROMPT.encode() in content or SIGNATURES.search(content)):
            found.append(f"a prompt or a signed URL in {place}")
    return found


def keys(stack) -> set[str]:
    """Return every key that is or was valid, or was shown."""
    secrets = stack.client("secretsmanager")
    texts = [
        secrets.get_secret_value(SecretId=stack[name])["SecretString"]
        for name in ("provider_secret", "client_keys_secret")
    ]
    return {*STRANGE_KEYS, *json.loads(texts[0]).values(), *json.loads(texts[1]).values()}


def written(stack) -> Iterator[tuple[str, bytes]]:
    """Yield all that was written, but for secrets and pictures: (where, what)."""
    yield "the log of the emulator", stack.local.emulator.log.read_bytes()
    logs = stack.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
        yield f"the log {name}", "\n".join(one["message"] for page in pages for one in page["events"]).encode()
    for key in stack.results():
        if not re.search(r"/variation-\d\d\.\w+$|/source$", key):
            yield f"{key} of the results bucket", stack.read(key)
    yield "the jobs table", json.dumps(stack.records(), default=str).encode()
    dead_letters = [*stack.set_aside, *stack.messages(stack["dead_letter_queue_url"])]
    yield "the dead letters", json.dumps(dead_letters).encode()
    yield "the events of the bus", json.dumps(stack.events()).encode()
    functions = stack.client("lambda")
    for name in stack["functions"].values():
        configured = functions.get_function_configuration(FunctionName=name)
        yield f"the configuration of {name}", json.dumps(configured, default=str).encode()
    cloudformation = stack.client("cloudformation")
    described = (
        cloudformation.describe_stacks(StackName=STACK_NAME),
        cloudformation.describe_stack_events(StackName=STACK_NAME),
    )
    yield "the description of the stack", json.dumps(described, default=str).encode()
