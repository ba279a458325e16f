"""GET /v1/models, GET /v1/models/{model}: the provider's image models; GET /v1/openapi.json: what the API takes."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.errors import ModelNotFound
from variations.http_api import answer, json_response, resolver
from variations.model import ImageModel

logger = Logger(service="image-variations")
app = resolver()
PROVIDER_SECONDS = 20.0  # API Gateway gives up after 29


@app.get("/models")
def list_models() -> Response[str]:
    """List the image models; `?all=true` lists every model of the provider."""
    everything = app.current_event.get_query_string_value("all", "") == "true"
    models = [model for model in fetch_models() if everything or model.image]
    return json_response(app, {"object": "list", "data": [to_openai(model) for model in models]})


@app.get("/openapi.json")
def describe_api() -> Response[str]:
    """Answer the OpenAPI document, which `make openapi` writes from the code."""
    return json_response(app, json.loads(Path(__file__).with_name("openapi.json").read_text()))


@app.get("/models/.+")  # not <model>, which stops at a slash, and ids such as black-forest-labs/flux have one
def retrieve_model() -> Response[str]:
    """Describe one model.

    Raises:
        ModelNotFound: the provider does not list it.
    """
    wanted = unquote(app.current_event.path_parameters["model"])
    for model in fetch_models():
        if model.id == wanted:
            return json_response(app, to_openai(model))
    raise ModelNotFound(f"The model {wanted[:200]!r} does not exist. GET /v1/models lists them.", param="model")


def fetch_models() -> list[ImageModel]:
    """Ask the provider for its models, within the time that API Gateway allows."""
    return wiring.provider().list_models(deadline=time.monotonic() + PROVIDER_SECONDS)


def to_openai(model: ImageModel) -> dict[str, Any]:
    """Write a model as OpenAI does, with one object more: `image`, what it is to us."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "shutdown_date": model.shutdown_date,
        "image": {"variations": model.image if model.image is not None else "unknown"},
    }


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway."""
    return answer(app, event, context)
