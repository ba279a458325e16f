"""Make variations behind POST /images/variations, with FastAPI on Lambda by Mangum and with the OpenAI SDK."""

import base64
import functools
import json
import os

import boto3
from fastapi import FastAPI
from mangum import Mangum
from openai import OpenAI
from pydantic import BaseModel, Field

s3 = boto3.client("s3")
secrets = boto3.client("secretsmanager")


@functools.cache
def read_key() -> str:
    """Return the provider's key, read when it is first needed."""
    key: str = secrets.get_secret_value(SecretId=os.environ["PROVIDER_SECRET"])["SecretString"]
    return key


openai = OpenAI(api_key=read_key, base_url=os.environ["PROVIDER_BASE_URL"])
app = FastAPI()


class VariationRequest(BaseModel):
    """What a caller asks for."""

    bucket: str
    key: str
    n: int = Field(default=1, ge=1, le=10)


class Variations(BaseModel):
    """Where the results lie."""

    results: list[str]


@app.post("/images/variations")
def create_variations(request: VariationRequest) -> Variations:
    """Store variations of a picture beside its key, and a manifest that names them."""
    source = s3.get_object(Bucket=request.bucket, Key=request.key)
    answer = openai.images.edit(
        model=os.environ["DEFAULT_MODEL"],
        image=("image.png", source["Body"].read(), source["ContentType"]),
        prompt="Make a variation of this picture.",
        n=request.n,
        size="1024x1024",
    )
    stored = []
    for number, image in enumerate(answer.data or [], 1):
        name = f"{request.key}/variation-{number:02}.png"
        store(name, base64.b64decode(image.b64_json or ""), "image/png")
        stored.append(name)
    manifest = {"source": {"bucket": request.bucket, "key": request.key}, "results": stored}
    store(f"{request.key}/manifest.json", json.dumps(manifest).encode(), "application/json")
    return Variations(results=stored)


@app.get("/models")
def list_models() -> list[str]:
    """List the provider's models."""
    return [model.id for model in openai.models.list()]


def store(key: str, content: bytes, content_type: str) -> None:
    """Put an object into the results bucket."""
    s3.put_object(Bucket=os.environ["RESULTS_BUCKET"], Key=key, Body=content, ContentType=content_type)


handler = Mangum(app, lifespan="off")
