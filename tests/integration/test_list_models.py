"""GET /v1/models through the real handler, with the embedded image server as provider."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import list_models
import pytest
from variations.model import ImageModel, Listing
from variations.provider import Provider

from tests.conftest import event


@pytest.fixture
def get(aws, image_server, context):
    def get(path="/models", query=None, headers=None):
        request = {**event("list_models"), "path": path, "queryStringParameters": query}
        request["headers"] = {**request["headers"], **(headers or {})}
        request["multiValueQueryStringParameters"] = {name: [value] for name, value in (query or {}).items()}
        request["pathParameters"] = {"model": path.removeprefix("/models/")} if path != "/models" else None
        answer = list_models.handler(request, context)
        return answer["statusCode"], json.loads(answer["body"]), answer["multiValueHeaders"]

    return get


def test_models_are_listed_in_openais_shape_with_what_they_are_to_us(get):
    status, body, headers = get()

    assert status == 200
    assert body["object"] == "list"
    first = body["data"][0]
    assert first.keys() == {"id", "object", "created", "owned_by", "shutdown_date", "image"}
    assert (first["id"], first["object"], first["shutdown_date"]) == ("local-style-transfer", "model", None)
    assert first["image"] == {
        "variations": True,
        "dialect": "edits",
        "sizes": first["image"]["sizes"],
        "images_per_call": 10,
        "shutdown_date": None,
    }
    assert first["image"]["sizes"]
    assert headers["x-request-id"] == ["c6af9ac6-7b61-11e6-9a41-93e8deadbeef"]


def test_of_a_provider_nobody_knows_the_models_that_may_do_are_listed_behind_the_sure_ones(get):
    _, body, _ = get()

    assert [(model["id"], model["image"]["variations"]) for model in body["data"]] == [
        ("local-style-transfer", True),
        ("local-text-only", "unknown"),
    ]


@pytest.fixture
def offer(environment):
    """Let the provider list these models."""

    def offer(*models, family=None, base_url=None):
        if base_url:
            environment.setenv("PROVIDER_BASE_URL", base_url)
        environment.setattr(Provider, "list_models", lambda *_, **__: Listing(models, family))

    return offer


MODELS = (
    ImageModel("gpt-5", 1, "openai", image=None),
    ImageModel("gpt-image-1.5", 2, "openai", image=True),
    ImageModel("gpt-audio", 3, "openai", image=False),
)


def test_of_a_known_provider_only_sure_models_are_listed_unless_all_are_asked_for(get, offer):
    offer(*MODELS, base_url="https://api.openai.com/v1")

    assert [model["id"] for model in get()[1]["data"]] == ["gpt-image-1.5"]
    assert [model["id"] for model in get(query={"all": "true"})[1]["data"]] == ["gpt-image-1.5", "gpt-5", "gpt-audio"]


def test_of_a_provider_nobody_knows_a_model_that_surely_does_not_is_left_out(get, offer):
    offer(*MODELS)

    assert [model["id"] for model in get()[1]["data"]] == ["gpt-image-1.5", "gpt-5"]


def test_a_model_that_cannot_make_variations_says_so(get, offer):
    offer(*MODELS)

    assert get("/models/gpt-audio")[1]["image"]["variations"] is False


@pytest.mark.parametrize(
    ("shutdown_date", "words"),
    [("2026-12-01", "shuts"), ("2020-01-01", "has shut")],
    ids=["soon", "past"],
)
def test_a_model_that_dies_has_a_warning(get, offer, environment, shutdown_date, words):
    environment.setattr(list_models, "datetime", SimpleNamespace(now=lambda _: datetime(2026, 11, 22, tzinfo=UTC)))
    offer(ImageModel("gpt-image-1", 1, "openai", image=True, shutdown_date=shutdown_date))

    (model,) = get()[1]["data"]

    assert model["shutdown_date"] == model["image"]["shutdown_date"] == shutdown_date
    assert f"{words} gpt-image-1 down on {shutdown_date}" in model["image"]["warning"]


@pytest.mark.parametrize("shutdown_date", [None, "2030-01-01", "some day"])
def test_a_model_that_lives_on_has_no_warning(get, offer, environment, shutdown_date):
    environment.setattr(list_models, "datetime", SimpleNamespace(now=lambda _: datetime(2026, 11, 22, tzinfo=UTC)))
    offer(ImageModel("gpt-image-1", 1, "openai", image=True, shutdown_date=shutdown_date))

    (model,) = get()[1]["data"]

    assert "warning" not in model["image"]


@pytest.mark.parametrize(
    ("family", "dialect", "images_per_call"), [("LocalAI", "localai", 10), ("Lemonade", "edits_local", 8)]
)
def test_how_a_model_is_asked_follows_from_whose_list_it_is(get, offer, family, dialect, images_per_call):
    offer(ImageModel("mine", 1, "me", image=True), family=family)

    (model,) = get()[1]["data"]

    assert (model["image"]["dialect"], model["image"]["images_per_call"]) == (dialect, images_per_call)


def test_the_models_of_a_provider_that_cannot_make_variations_say_what_to_do(get, offer):
    offer(ImageModel("llama", 1, "library", image=None), family="Ollama")

    (model,) = get(query={"all": "true"})[1]["data"]

    warning = model["image"].pop("warning")
    assert "Ollama" in warning
    assert "LiteLLM" in warning
    assert model["image"] == {
        "variations": False,
        "dialect": None,
        "sizes": [],
        "images_per_call": 0,
        "shutdown_date": None,
    }


def test_the_callers_own_name_for_its_request_is_in_the_answer(get, environment):
    _, _, headers = get(headers={"x-request-id": "caller-7"})

    assert headers["x-request-id"] == ["caller-7"]


def test_all_true_lists_every_model(get):
    _, body, _ = get(query={"all": "true"})

    assert {model["id"]: model["image"]["variations"] for model in body["data"]} == {
        "local-style-transfer": True,
        "local-text-only": "unknown",
    }


def test_one_model_is_described(get):
    status, body, _ = get("/models/local-style-transfer")

    assert (status, body["id"]) == (200, "local-style-transfer")


@pytest.mark.parametrize("path", ["/models/gpt-image-1", "/models/black-forest-labs/flux", "/models/a%2Fb"])
def test_an_unknown_model_is_404_in_openais_envelope(get, path):
    status, body, _ = get(path)

    assert status == 404
    assert body["error"]["code"] == "model_not_found"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["param"] == "model"


def test_an_unknown_route_is_404_in_openais_envelope(get):
    status, body, _ = get("/files")

    assert (status, body["error"]["code"]) == (404, "not_found")


def test_a_dead_provider_is_502_and_no_empty_list(get, environment):
    environment.setenv("PROVIDER_BASE_URL", "http://127.0.0.1:9/v1")

    status, body, _ = get()

    assert (status, body["error"]["code"]) == (502, "provider_unreachable")


def test_a_provider_that_wants_us_to_wait_is_429_with_retry_after(get, image_server):
    image_server.fault(path="/v1/models", status=429, headers={"Retry-After": "7"})

    status, body, headers = get()

    assert (status, body["error"]["type"], headers["Retry-After"]) == (429, "rate_limit_error", ["7"])


def test_a_wrong_parameter_is_500_and_names_it(get, environment):
    environment.setenv("MAX_ATTEMPTS", "many")

    status, body, _ = get()

    assert status == 500
    assert "MaxAttempts" in body["error"]["message"]


def test_a_bug_of_ours_is_500_without_a_trace_in_the_answer(get, monkeypatch, printed):
    monkeypatch.setattr(list_models, "to_openai", lambda model, listing: {}["missing"])

    status, body, _ = get()

    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert "KeyError" not in json.dumps(body)
    assert "KeyError" in printed()
