"""Make variations of each uploaded picture with the OpenAI SDK: clients at import, the key once, all straight."""

import base64
import functools
import json
import os
from typing import Any

import boto3
from openai import OpenAI

s3 = boto3.client("s3")
secrets = boto3.client("secretsmanager")


@functools.cache
def read_key() -> str:
    """Return the provider's key, read when it is first needed."""
    key: str = secrets.get_secret_value(SecretId=os.environ["PROVIDER_SECRET"])["SecretString"]
    return key


openai = OpenAI(api_key=read_key, base_url=os.environ["PROVIDER_BASE_URL"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Work off the messages of a queue, each about one uploaded picture."""
    for record in event["Records"]:
        upload = json.loads(record["body"])["detail"]
        make_variations(upload["bucket"]["name"], upload["object"]["key"])
    return {"batchItemFailures": []}


def make_variations(bucket: str, key: str) -> None:
    """Store variations of a picture beside its key, and a manifest that names them."""
    source = s3.get_object(Bucket=bucket, Key=key)
    answer = openai.images.edit(
        model=os.environ["DEFAULT_MODEL"],
        image=("image.png", source["Body"].read(), source["ContentType"]),
        prompt="Make a variation of this picture.",
        n=int(os.environ["UPLOAD_VARIATIONS"]),
        size="1024x1024",
    )
    stored = []
    for number, image in enumerate(answer.data or [], 1):
        name = f"{key}/variation-{number:02}.png"
        store(name, base64.b64decode(image.b64_json or ""), "image/png")
        stored.append(name)
    manifest = {"source": {"bucket": bucket, "key": key}, "results": stored}
    store(f"{key}/manifest.json", json.dumps(manifest).encode(), "application/json")


def store(key: str, content: bytes, content_type: str) -> None:
    """Put an object into the results bucket."""
    s3.put_object(Bucket=os.environ["RESULTS_BUCKET"], Key=key, Body=content, ContentType=content_type)
