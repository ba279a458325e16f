"""GET /v1/models, GET /v1/models/{model}: the provider's image models; GET /v1/openapi.json: what the API takes."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.dialects.manner import resolve
from variations.dialects.sizes import to_be_had
from variations.errors import ConfigurationError, ModelNotFound
from variations.http_api import answer, json_response, resolver
from variations.model import ImageModel, Listing
from variations.models_list import warn_of_end
from variations.telemetry import logger

app = resolver()
PROVIDER_SECONDS = 20.0  # API Gateway gives up after 29


@app.get("/models")
def list_models() -> Response[str]:
    """List the models that make variations, and those that may; `?all=true` lists every model of the provider."""
    everything = app.current_event.get_query_string_value("all", "") == "true"
    listing = fetch_listing()
    models = [model for model in listing.models if everything or may_vary(model)]
    models.sort(key=lambda model: not model.image)  # stable: the provider's order, with the sure ones first
    return json_response(app, {"object": "list", "data": [to_openai(model, listing) for model in models]})


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
    listing = fetch_listing()
    for model in listing.models:
        if model.id == wanted:
            return json_response(app, to_openai(model, listing))
    raise ModelNotFound(f"The model {wanted[:200]!r} does not exist. GET /v1/models lists them.", param="model")


def fetch_listing() -> Listing:
    """Ask the provider for its models, within the time that API Gateway allows."""
    return wiring.provider().list_models(deadline=time.monotonic() + PROVIDER_SECONDS)


def may_vary(model: ImageModel) -> bool:
    """Tell whether a model belongs on the list: surely, or perhaps where nothing is known of the provider."""
    return bool(model.image) or (model.image is None and wiring.known_provider() is None)


def to_openai(model: ImageModel, listing: Listing) -> dict[str, Any]:
    """Write a model as OpenAI does, with one object more: `image`, what it is to us."""
    known = "unknown" if model.image is None else model.image
    image: dict[str, Any] = {"variations": known, "shutdown_date": model.shutdown_date}
    warning = warn_of_end(model.id, model.shutdown_date, datetime.now(UTC).date())
    try:
        manner = resolve(wiring.settings().provider_dialect, wiring.known_provider(), listing, model.id)
    except ConfigurationError as error:  # a provider that can list, and no more
        image |= {"variations": False, "dialect": None, "sizes": [], "images_per_call": 0}
        warning = error.message
    else:
        sizes = to_be_had(manner.dialect.sizes(model.id))
        image |= {"dialect": manner.dialect.name, "sizes": sizes, "images_per_call": manner.images_per_call}
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "shutdown_date": model.shutdown_date,
        "image": image | ({"warning": warning} if warning else {}),
    }


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway."""
    return answer(app, event, context)
