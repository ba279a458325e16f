"""A provider's list of models is read in its order, in every form; what each makes is told by the list or its name."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.errors import ProviderFailed
from variations.model import ImageModel, Listing
from variations.models_list import parse_models, says_nothing_but_names, warn_of_end


def parsed(*lists):
    return parse_models(*(json.dumps(listed).encode() for listed in lists))


def listed(*entries):
    return list(parsed({"object": "list", "data": entries}).models)


def family(*entries):
    return parsed({"object": "list", "data": entries}).family


def makes_images(name, **said):
    (model,) = listed({"id": name, **said})
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


@pytest.mark.parametrize(
    "body",
    [b'{"data": []}', b'{"data": null}', b"[]", b'{"models": []}', b'{"models": null}'],
    ids=["data", "null as of Ollama", "bare array", "models", "null under another name"],
)
def test_a_provider_without_models_is_no_failure(body):
    assert parse_models(body) == Listing()


def test_a_model_whose_id_is_no_text_is_listed_by_what_it_would_be_as_one():
    assert listed({"id": 7}) == [ImageModel("7", 0, "unknown", image=None)]


# The forms that are about


@pytest.mark.parametrize(
    "shape",
    [
        {"object": "list", "data": [{"id": "a"}, {"id": "b"}]},
        [{"id": "a"}, {"id": "b"}],
        {"models": [{"id": "a"}, {"id": "b"}]},
    ],
    ids=["openai", "bare array as of together", "models as of xai"],
)
def test_a_list_is_read_in_every_form_that_is_about(shape):
    assert [model.id for model in parsed(shape).models] == ["a", "b"]


def test_a_model_is_known_by_its_name_where_it_has_no_id():
    entry = {"model_name": "gpt-image-2", "model_info": {"mode": "image_generation"}}

    assert [model.id for model in listed(entry)] == ["gpt-image-2"]


def test_of_two_lists_every_model_comes_once_and_the_first_list_tells_what_it_is():
    telling = {"models": [{"id": "grok-x", "input_modalities": ["text", "image"], "output_modalities": ["image"]}]}
    plain = {"data": [{"id": "grok-4"}, {"id": "grok-x", "created": 7, "owned_by": "xai"}]}

    assert parsed(telling, plain).models == (
        ImageModel("grok-x", 0, "unknown", image=True),
        ImageModel("grok-4", 0, "unknown", image=None),
    )


def test_a_model_that_is_listed_twice_comes_once():
    assert [model.id for model in listed({"id": "a"}, {"id": "b"}, {"id": "a", "created": 7})] == ["a", "b"]


@pytest.mark.parametrize("name", ["shutdown_date", "expiration_date"])
def test_the_day_a_model_dies_is_read_under_both_names(name):
    (model,) = listed({"id": "some-model", name: "2026-12-01"})

    assert model.shutdown_date == "2026-12-01"


# What a model makes, where the list says it (bodies of the research of 2026-11-25)


@pytest.mark.parametrize(
    ("said", "image"),
    [
        ({"architecture": {"input_modalities": ["text", "image"], "output_modalities": ["image"]}}, True),
        ({"architecture": {"input_modalities": ["text"], "output_modalities": ["image"]}}, False),
        ({"architecture": {"input_modalities": ["image"], "output_modalities": ["text"]}}, False),
        ({"architecture": {"output_modalities": ["image"]}}, True),
        ({"input_modalities": ["TEXT", "IMAGE"], "output_modalities": ["IMAGE"]}, True),
        ({"mode": "image_generation"}, True),
        ({"mode": "image_edit"}, True),
        ({"mode": "chat"}, False),
        ({"mode": "embedding"}, False),
        ({"type": "image"}, True),
        ({"type": "language"}, False),
        ({"modelType": "image"}, True),
        ({"model_type": "image", "model_ability": ["text2image", "image2image", "inpainting"]}, True),
        ({"model_type": "image", "model_ability": ["image2image"]}, True),
        ({"model_type": "image", "model_ability": ["text2image"]}, False),
        ({"model_type": "image", "model_ability": ["ocr"]}, False),
        ({"model_type": "LLM", "model_ability": ["chat"]}, False),
        ({"labels": ["image", "edit"]}, True),
        ({"labels": ["image", "upscaling"]}, False),
        ({"capabilities": ["image"]}, True),
        ({"capabilities": {"image_generation": True, "image_to_image": True, "inpainting": False}}, True),
        ({"capabilities": {"image_generation": True, "image_to_image": False, "inpainting": False}}, False),
        ({"supported_task_types": ["T2I", "I2I"]}, True),
        ({"supported_task_types": ["T2I"]}, False),
        ({"task_type": "TI2I"}, True),
        ({"task_type": "T2I", "supported_task_types": None}, False),
    ],
    ids=[
        "openrouter, of pictures",
        "openrouter, of texts only",
        "openrouter, a model that sees",
        "openrouter, of what is not said",
        "in capitals",
        "litellm, generation",
        "litellm, edit",
        "litellm, chat",
        "litellm, embedding",
        "together and vercel",
        "vercel, language",
        "vercel, another name",
        "xinference",
        "xinference, of pictures only",
        "xinference, of texts only",
        "xinference, ocr",
        "xinference, language",
        "lemonade",
        "lemonade, upscaler",
        "localai",
        "nanogpt, of pictures",
        "nanogpt, of texts only",
        "sglang, several tasks",
        "sglang, another task",
        "sglang, one task",
        "sglang, one other task",
    ],
)
@pytest.mark.parametrize("name", ["some-model", "gpt-image-2"], ids=["any name", "a name of an image model"])
def test_what_a_list_says_of_a_model_counts_more_than_its_name(name, said, image):
    assert makes_images(name, **said) is image


AZURE = {"fine_tune": True, "inference": True, "completion": False, "chat_completion": True, "embeddings": False}


@pytest.mark.parametrize(
    "said",
    [
        {"capabilities": AZURE},
        {"capabilities": {"vision": True}},
        {"labels": ["hot"]},
        {"architecture": None},
        {"architecture": {"output_modalities": []}},
        {"type": ""},
        {"mode": None},
        {"supported_task_types": None, "task_type": None},
    ],
    ids=[
        "abilities without a word for pictures",
        "other abilities",
        "other labels",
        "no architecture",
        "no modalities",
        "empty type",
        "no mode",
        "no task",
    ],
)
@pytest.mark.parametrize(("name", "image"), [("some-model", None), ("gpt-image-2", True)], ids=["any", "image"])
def test_where_a_list_does_not_say_it_the_name_tells(name, image, said):
    assert makes_images(name, **said) is image


# Who is it


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"id": "gpt-image-2", "owned_by": "openai", "mode": "image_generation"}, "LiteLLM"),
        ({"id": "sd-cpp-local", "object": "model", "owned_by": "local"}, "stable-diffusion.cpp"),
        ({"id": "SD-Turbo", "created": 1234567890, "owned_by": "lemonade", "labels": ["image"]}, "Lemonade"),
        ({"id": "Qwen/Qwen-Image-Edit", "owned_by": "sglang", "task_type": "I2I"}, "SGLang"),
        ({"id": "Qwen/Qwen-Image-Edit", "owned_by": "vllm", "max_model_len": None}, "vLLM-Omni"),
        ({"id": "flux", "created": 0, "owned_by": "xinference", "model_ability": ["image2image"]}, "Xinference"),
        ({"id": "flux", "owned_by": "OVMS"}, "OpenVINO Model Server"),
        ({"id": "flux", "object": "model", "capabilities": ["image"]}, "LocalAI"),
        ({"id": "llama3", "owned_by": "library"}, "Ollama"),
        ({"id": "koboldcpp/llama", "owned_by": "koboldcpp"}, "KoboldCpp"),
        ({"id": "gpt-image-2", "owned_by": "openai"}, None),
        ({"id": "gpt-image-2", "capabilities": {"inference": True}}, None),
        ({"id": "gpt-image-2", "owned_by": "system", "mode": None}, None),
    ],
)
def test_a_list_gives_away_who_wrote_it(entry, name):
    assert family({"id": "another"}, entry) == name


def test_an_empty_list_gives_nobody_away():
    assert family() is None


# What is only names


@pytest.mark.parametrize(
    ("listed", "only_names"),
    [
        ([{"id": "a", "object": "model"}, {"id": "b"}], True),
        ([{"id": "a", "object": "model", "created": 7}], False),
        ([{"id": "a"}, {"id": "b", "owned_by": "library"}], False),
        ([], False),
    ],
    ids=["names", "name and day", "name and owner", "nothing"],
)
def test_a_list_says_nothing_but_names_or_more(listed, only_names):
    assert says_nothing_but_names(json.dumps({"data": listed}).encode()) is only_names


# When a model dies

TODAY = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2026-11-26", "The provider shuts gpt-image-1.5 down on 2026-11-26."),
        ("2027-01-24", "The provider shuts gpt-image-1.5 down on 2027-01-24."),
        ("2026-11-25", "The provider has shut gpt-image-1.5 down on 2026-11-25."),
        ("2026-10-23", "The provider has shut gpt-image-1.5 down on 2026-10-23."),
    ],
    ids=["tomorrow", "in sixty days", "today", "a month ago"],
)
def test_a_model_that_dies_soon_or_is_dead_is_warned_of(day, words):
    warning = warn_of_end("gpt-image-1.5", day, TODAY)

    assert warning == f"{words} Name another model, or set DefaultModel; GET /v1/models lists them."


@pytest.mark.parametrize("day", ["2027-01-25", None, "", "soon"], ids=["in 61 days", "never", "empty", "in words"])
def test_a_model_that_lives_on_is_not_warned_of(day):
    assert warn_of_end("gpt-image-2", day, TODAY) is None


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
        b"null",
        b"7",
        b'{"result": []}',
        b'{"data": 7}',
        b'{"data": "abc"}',
        b'{"data": ["gpt-image-2"]}',
        b'{"data": [{"name": "gpt-image-2"}]}',
        b'{"models": [{"name": "gpt-image-2"}]}',
        b'["gpt-image-2"]',
        b"\xff\xfe\xfa",
    ],
    ids=[
        "empty",
        "html",
        "cut off",
        "null",
        "number",
        "another name",
        "number inside",
        "text inside",
        "names",
        "no id",
        "no id under another name",
        "bare names",
        "not text",
    ],
)
def test_anything_but_a_list_of_models_is_a_failure_of_the_provider(body):
    with pytest.raises(ProviderFailed, match="Check ProviderBaseUrl"):
        parse_models(body)


def test_one_list_nobody_can_read_is_a_failure_though_the_other_is_good():
    with pytest.raises(ProviderFailed, match="Check ProviderBaseUrl"):
        parse_models(b'{"data": [{"id": "a"}]}', b"<html>")


def test_a_list_nested_too_deep_is_a_failure_of_the_provider():
    with pytest.raises(ProviderFailed):
        parse_models(b"[" * 100_000)


NAMES = ["data", "models", "id", "model_name", "created", "owned_by", "shutdown_date", "type", "mode", "architecture"]
NAMES += ["capabilities", "labels", "input_modalities", "output_modalities", "supported_task_types", "task_type"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)


BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode())


@given(st.lists(BODIES, min_size=1, max_size=2))
def test_whatever_is_answered_is_a_list_of_models_or_a_failure(bodies):
    try:
        listing = parse_models(*bodies)
    except ProviderFailed:
        return

    assert listing.family is None or isinstance(listing.family, str)
    assert all(isinstance(model.id, str) and model.image in {True, False, None} for model in listing.models)


@given(BODIES)
def test_whatever_is_answered_says_more_than_names_or_does_not_or_is_a_failure(body):
    try:
        said = says_nothing_but_names(body)
    except ProviderFailed:
        return

    assert said in {True, False}


ENTRIES = st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(["image", ["image"], {"image": True}]))


@given(st.lists(ENTRIES, max_size=3))
def test_whatever_a_model_is_said_to_be_every_one_is_listed(entries):
    entries = [{**entry, "id": f"model-{number}"} for number, entry in enumerate(entries)]

    assert [model.id for model in listed(*entries)] == [entry["id"] for entry in entries]
