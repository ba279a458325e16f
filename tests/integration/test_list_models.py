"""GET /v1/models through the real handler, with the embedded image server as provider."""

import json

import list_models
import pytest

from tests.conftest import event


@pytest.fixture
def get(aws, image_server, context):
    def get(path="/models", query=None):
        request = {**event("list_models"), "path": path, "queryStringParameters": query}
        request["multiValueQueryStringParameters"] = {name: [value] for name, value in (query or {}).items()}
        request["pathParameters"] = {"model": path.removeprefix("/models/")} if path != "/models" else None
        answer = list_models.handler(request, context)
        return answer["statusCode"], json.loads(answer["body"]), answer["multiValueHeaders"]

    return get


def test_only_image_models_are_listed_in_openais_shape(get):
    status, body, headers = get()

    assert status == 200
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["local-style-transfer"]
    assert body["data"][0]["object"] == "model"
    assert body["data"][0]["image"] == {"variations": True}
    assert headers["x-request-id"] == ["c6af9ac6-7b61-11e6-9a41-93e8deadbeef"]


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
    monkeypatch.setattr(list_models, "to_openai", lambda model: {}["missing"])

    status, body, _ = get()

    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert "KeyError" not in json.dumps(body)
    assert "KeyError" in printed()
