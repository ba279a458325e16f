"""A provider's list of models is read in its order, and image models are told by their names."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.errors import ProviderFailed
from variations.model import ImageModel
from variations.models_list import parse_models


def listed(*entries):
    return parse_models(json.dumps({"object": "list", "data": entries}).encode())


def makes_images(name):
    (model,) = listed({"id": name})
    return model.image


def test_models_are_read_in_the_order_of_the_provider():
    models = listed({"id": "b"}, {"id": "a"}, {"id": "c"})

    assert [model.id for model in models] == ["b", "a", "c"]


def test_a_model_is_read_with_all_that_the_provider_tells():
    entry = {"id": "gpt-image-2", "created": 1700000000, "owned_by": "system", "shutdown_date": "2027-01-01"}

    assert listed(entry) == [ImageModel("gpt-image-2", 1700000000, "system", image=True, shutdown_date="2027-01-01")]


@pytest.mark.parametrize(
    "rest",
    [{}, {"created": None, "owned_by": None, "shutdown_date": None}, {"created": "today", "shutdown_date": 7}],
    ids=["absent", "null", "of another type"],
)
def test_what_a_provider_does_not_tell_properly_is_unknown(rest):
    assert listed({"id": "some-model", **rest}) == [ImageModel("some-model", 0, "unknown", image=None)]


def test_a_provider_without_models_is_no_failure():
    assert listed() == []


@pytest.mark.parametrize(
    "name",
    [
        "gpt-image-2",
        "chatgpt-image-latest",
        "dall-e-2",
        "openai/gpt-image-1.5",
        "grok-imagine-image-2.0",
        "grok-2-image",
        "black-forest-labs/FLUX.1-kontext-dev",
        "stable-diffusion-xl-base-1.0",
        "stabilityai/sdxl-turbo",
        "Qwen/Qwen-Image-Edit",
        "seedream-4-0",
        "models/gemini-2.5-flash-image",
        "imagen-4",
        "wan2.5-image",
        "sd-cpp-local",
        "local-style-transfer",
    ],
)
def test_a_model_named_like_an_image_model_is_one(name):
    assert makes_images(name) is True


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5",
        "whisper-1",
        "my-dall-e-2",
        "text-embedding-3-small",
        "gemini-2.5-flash",
        "grok-4",
        "grok-imagine-video",
        "flux-upscaler",
        "sdxl-caption",
        "wan2.5-video",
    ],
)
def test_of_any_other_model_nobody_knows(name):
    assert makes_images(name) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>504 Gateway Timeout</html>",
        b'{"data": [{"id": "a"}',
        b"[]",
        b"null",
        b'{"models": []}',
        b'{"data": null}',
        b'{"data": 7}',
        b'{"data": "abc"}',
        b'{"data": ["gpt-image-2"]}',
        b'{"data": [{"name": "gpt-image-2"}]}',
        b"\xff\xfe\xfa",
    ],
    ids=[
        "empty",
        "html",
        "cut off",
        "list",
        "null",
        "another name",
        "null inside",
        "number inside",
        "text inside",
        "names",
        "no id",
        "not text",
    ],
)
def test_anything_but_a_list_of_models_is_a_failure_of_the_provider(body):
    with pytest.raises(ProviderFailed, match="Check ProviderBaseUrl"):
        parse_models(body)


def test_a_list_nested_too_deep_is_a_failure_of_the_provider():
    with pytest.raises(ProviderFailed):
        parse_models(b"[" * 100_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "id", "created", "owned_by", "shutdown_date"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_answered_is_a_list_of_models_or_a_failure(body):
    try:
        models = parse_models(body)
    except ProviderFailed:
        return

    assert all(isinstance(model.id, str) and model.image in {True, None} for model in models)


@given(st.lists(st.fixed_dictionaries({"id": JSON}, optional={"created": JSON, "owned_by": JSON}), max_size=3))
def test_whatever_a_model_is_said_to_be_every_one_is_listed(entries):
    assert len(listed(*entries)) == len(entries)
