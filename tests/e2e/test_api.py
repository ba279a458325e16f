"""The API of the deployed stack, asked with the official OpenAI SDK."""

import openai
import pytest


@pytest.fixture
def client(stack):
    with openai.OpenAI(base_url=stack["api_url"], api_key=stack["api_key"], max_retries=0) as client:
        yield client


def test_the_openai_sdk_lists_the_image_models(client):
    (model,) = client.models.list()

    assert (model.id, model.object, model.owned_by) == ("local-style-transfer", "model", "local")


def test_the_openai_sdk_retrieves_one_model(client):
    assert client.models.retrieve("local-style-transfer").id == "local-style-transfer"


def test_an_unknown_model_is_the_sdks_not_found_error(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-image-1")

    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize("key", ["sk-wrong", "x"])
def test_a_wrong_key_is_the_sdks_authentication_error(stack, key):
    with (
        openai.OpenAI(base_url=stack["api_url"], api_key=key, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()
