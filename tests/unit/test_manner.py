"""How a provider is asked: by the parameter, its host, its list, the model, or as most are; and why is told."""

import re
from pathlib import Path

import pytest
from variations.dialects.edits import EDITS
from variations.dialects.edits_local import EDITS_LOCAL, SD_CPP
from variations.dialects.known import KNOWN_PROVIDERS, known_by_name
from variations.dialects.manner import DIALECTS, Manner, resolve
from variations.dialects.openrouter import NANOGPT
from variations.dialects.variations import VARIATIONS
from variations.dialects.xai import XAI
from variations.errors import ConfigurationError
from variations.model import Adjustment, Listing, Picture, VariationRequest

from infra.local.template import read_template

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Picture(b"picture", "image/png", 64, 64)
NOTHING = Listing()
LITELLM, OLLAMA, SGLANG = (Listing(family=name) for name in ("LiteLLM", "Ollama", "SGLang"))


def resolved(parameter="auto", host=None, listing=NOTHING, model="gpt-image-2"):
    return resolve(parameter, known_by_name(host), listing, model)


@pytest.mark.parametrize(
    ("how", "dialect", "why"),
    [
        ({}, EDITS, "nothing else is known of this provider"),
        ({"model": "dall-e-2"}, VARIATIONS, "dall-e-2 knows nothing else"),
        ({"model": "openai/dall-e-2"}, VARIATIONS, "openai/dall-e-2 knows nothing else"),
        ({"listing": SGLANG}, EDITS_LOCAL, "SGLang, by its list of models"),
        ({"listing": Listing(family="Klingon")}, EDITS, "nothing else is known of this provider"),
        ({"host": "xAI"}, XAI, "xAI, by its host"),
        ({"host": "xAI", "listing": SGLANG}, XAI, "xAI, by its host"),
        ({"host": "xAI", "model": "dall-e-2"}, VARIATIONS, "dall-e-2 knows nothing else"),
        ({"parameter": "edits_local", "host": "xAI", "listing": SGLANG}, EDITS_LOCAL, "ProviderDialect says so"),
        ({"parameter": "edits", "model": "dall-e-2"}, EDITS, "ProviderDialect says so"),
        ({"parameter": "variations"}, VARIATIONS, "ProviderDialect says so"),
        ({"parameter": "edits", "listing": OLLAMA}, EDITS, "ProviderDialect says so"),
    ],
    ids=[
        "nothing known",
        "model",
        "model of a gateway",
        "list",
        "list of nobody",
        "host",
        "host over list",
        "model of old on a known host",
        "parameter over host and list",
        "parameter over model",
        "parameter alone",
        "parameter over a list of one that cannot",
    ],
)
def test_the_parameter_wins_then_the_host_the_list_and_the_model_and_it_is_told_why(how, dialect, why):
    manner = resolved(**how)

    assert (manner.dialect, manner.why) == (dialect, why)
    assert manner.fixed == ("parameter" in how)


@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-3", "dall-e-20", "my-dall-e-2", "dall-e-2-hd", "anything"])
def test_any_other_model_is_asked_for_edits(model):
    assert resolved(model=model).dialect is EDITS


@pytest.mark.parametrize("how", [{"host": "Mistral"}, {"listing": OLLAMA}], ids=["host", "list"])
@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-2"])
def test_a_provider_that_cannot_is_refused_before_anything_is_sent_with_what_to_do(how, model):
    with pytest.raises(ConfigurationError, match=r"has no OpenAI-compatible route .* LiteLLM"):
        resolved(model=model, **how)


def test_a_provider_that_cannot_is_asked_all_the_same_where_the_stack_says_how():
    assert resolved("edits", host="Mistral").dialect is EDITS


def test_a_dialect_nobody_speaks_is_refused_with_those_that_are_spoken():
    with pytest.raises(ConfigurationError) as caught:
        resolved("klingon")

    assert caught.value.message == (
        "ProviderDialect is 'klingon'; this version speaks auto, ark, edits, edits_json, edits_local, localai, "
        "openrouter, together, variations, xai."
    )


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_can_be_chosen_by_its_name(name):
    assert resolved(name).dialect.name == name


@pytest.mark.parametrize(
    ("how", "images"),
    [
        ({}, 10),
        ({"host": "Together"}, 1),
        ({"host": "xAI"}, 10),
        ({"listing": Listing(family="Lemonade")}, 8),
        ({"parameter": "edits_local", "host": "DeepInfra"}, 1),
        ({"model": "MAI-Image-2.5"}, 1),
        ({"model": "azure_ai/mai-image-2.5", "listing": LITELLM}, 1),
        ({"model": "my-mai-image"}, 10),
    ],
    ids=["nothing known", "together", "xai", "lemonade", "dialect of the stack", "mai", "mai of a gateway", "not mai"],
)
def test_no_more_pictures_are_asked_for_in_one_call_than_are_made(how, images):
    assert resolved(**how).images_per_call == images


def test_a_manner_of_one_by_one_asks_for_one_picture_and_is_the_same_otherwise():
    manner = resolved(host="xAI")

    assert (manner.one_by_one().images_per_call, manner.one_by_one().dialect) == (1, XAI)


def write(manner, n=1, **options):
    return manner.write(VariationRequest("flux", **options), PICTURE, n, 7)


def test_what_a_provider_wants_besides_is_added():
    assert write(resolved(listing=Listing(family="Xinference"))).fields["response_format"] == "b64_json"


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"listing": Listing(family="stable-diffusion.cpp")}, "model"),
        ({"host": "DeepInfra"}, "seed"),
    ],
    ids=["sd.cpp", "deepinfra"],
)
def test_what_a_provider_does_not_take_is_left_out(how, field):
    assert field not in write(resolved(**how)).fields


def test_azure_is_not_asked_for_a_file_format_and_nobody_misses_it():
    request = VariationRequest("gpt-image-2", output_format="webp")
    call = resolved(host="Azure OpenAI").write(request, PICTURE, 1, 7)

    assert "output_format" not in call.fields
    assert call.adjustments == ()


def test_sd_cpp_that_is_known_by_its_list_is_asked_in_its_own_form_of_the_dialect():
    assert resolved(listing=Listing(family="stable-diffusion.cpp")).dialect is SD_CPP
    assert resolved(host="NanoGPT").dialect is NANOGPT


def test_a_manner_writes_what_its_dialect_writes():
    assert write(Manner(EDITS, "so"), n=3) == EDITS.build(VariationRequest("flux"), PICTURE, 3, 7)


def test_a_manner_may_call_the_field_of_the_picture_otherwise():
    assert write(Manner(EDITS, "so", picture_field="image[]")).picture_field == "image[]"


@pytest.mark.parametrize(("instead", "fields"), [("auto", {"auto"}), (None, set())], ids=["auto", "none"])
def test_a_size_that_was_refused_is_asked_otherwise_and_told_of(instead, fields):
    call = write(Manner(EDITS, "so", sizes={"512x512": instead}), size="512x512")

    assert {call.fields[name] for name in ("size",) if name in call.fields} == fields
    assert call.adjustments == (
        Adjustment("size", "512x512", instead, "the provider refuses this size; the result is scaled"),
    )


def test_a_size_that_was_not_refused_is_asked_as_it_is():
    assert write(Manner(EDITS, "so", sizes={"512x512": "auto"}), size="256x256").fields["size"] == "256x256"


def test_what_is_left_out_is_told_of_with_its_reason():
    call = write(Manner(EDITS, "so", without={"user": "the provider refuses it"}), user="ann")

    assert call.adjustments == (Adjustment("user", "ann", None, "the provider refuses it"),)


# What the template and the documentation say


def test_the_template_takes_every_dialect_and_auto_and_nothing_else():
    allowed = read_template(ROOT / "template.yaml")["Parameters"]["ProviderDialect"]["AllowedValues"]

    assert sorted(allowed) == sorted(["auto", *DIALECTS])


@pytest.mark.parametrize("row", KNOWN_PROVIDERS, ids=lambda row: row.name)
def test_the_documentation_names_every_provider(row):
    assert re.search(rf"\b{re.escape(row.name)}\b", (ROOT / "docs" / "providers.md").read_text())


@pytest.mark.parametrize("name", DIALECTS)
def test_the_documentation_names_every_dialect(name):
    assert f"`{name}`" in (ROOT / "docs" / "providers.md").read_text()
