"""Every family of providers makes variations, however it wants to be asked: the whole service over HTTP.

The worker's service, interpreter and provider client are the real ones; what they ask is a server that behaves like
one of its family and refuses what that refuses. Those found by their host are made known by name here, as all of
them listen on this machine.
"""

import io
import itertools
from dataclasses import replace

import pytest
from PIL import Image
from variations.dialects.known import known_by_host, known_by_name
from variations.interpreter import Interpreter
from variations.keys import ProviderKey, Secret
from variations.model import Order, SourceLocation
from variations.provider import Provider
from variations.service import Service

from tests.contract import simulated
from tests.contract.scripted import Secrets
from tests.contract.simulated import serve
from tests.fakes import FakeBudget, FakeJobs, FakeStorage
from tests.unit.test_service import make_settings

DEAD_ENDS = {simulated.Ollama, simulated.TextToImageOnly}
WORKING = [family for family in simulated.FAMILIES if family not in DEAD_ENDS]
EVERY_FAMILY = pytest.mark.parametrize("family", WORKING, ids=lambda family: family.NAME)


def draw(size=(96, 64), file_format="PNG", mode="RGB"):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, file_format)
    return buffer.getvalue()


class Worker:
    """One container of a worker, pointed at a server."""

    def __init__(self, server, **chosen):
        # A row with hosts is found by them; all others must be found out.
        known = known_by_name(server.NAME)
        self.server, self.known = server, known if known and known.hosts and known.dialect else None
        provider = Provider(server.base_url, ProviderKey(Secret(Secrets(server.key), "provider")), self.known)
        self.settings = make_settings(default_model=server.MODEL, **chosen)
        self.storage, self.jobs, self.events = FakeStorage(), FakeJobs(), []
        interpreter = Interpreter(provider, self.known, self.settings.provider_dialect)
        parts = (interpreter, self.storage, self.jobs, FakeBudget(), self.events.append, lambda *_: None, self.settings)
        self.service = Service(*parts)
        self.numbers = itertools.count(1)

    def vary(self, content=None, **options):
        """Work a new job off; returns its manifest."""
        prefix = f"job-{next(self.numbers)}"
        stored = self.storage.put("uploads", prefix, content or draw(), "image/png", options)
        location = SourceLocation("uploads", prefix, stored.version_id, stored.etag)
        self.service.process(Order(prefix, location, prefix, "s3:upload"), seconds=600)
        return self.storage.read_manifest(prefix)

    def pictures(self, manifest):
        return [self.storage.get("results", result["key"]).content for result in manifest["results"]]


def size_of(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.size


@EVERY_FAMILY
@pytest.mark.parametrize("size", ["256x256", "512x512", "640x400"])
@pytest.mark.parametrize("n", [1, 4, 10])
def test_every_family_makes_as_many_pictures_as_asked_for_of_just_the_size(family, n, size):
    with serve(family) as server:
        worker = Worker(server)

        for quality, style in itertools.product([None, "hd"], [None, "vivid"]):
            said = {name: value for name, value in (("quality", quality), ("style", style)) if value}
            manifest = worker.vary(n=str(n), size=size, **said)

            pictures = worker.pictures(manifest)
            assert (manifest["state"], len(pictures)) == ("succeeded", n), manifest["error"]
            assert {size_of(picture) for picture in pictures} == {tuple(map(int, size.split("x")))}
            assert len(set(pictures)) == n, "every picture is another"
            # What was said is sent, mapped, or among the adjustments.
            told = {change["parameter"] for change in manifest["adjustments"]}
            assert {"style"} & said.keys() <= told
            assert "quality" not in said or "quality" in told

        assert server.text_to_image == 0
        assert sum(len(attempts_of(worker, job)) for job in worker.jobs.jobs) == server.paid


def attempts_of(worker, job):
    return [attempt for attempt in worker.jobs.jobs[job].attempts if attempt.outcome == "answered"]


@pytest.mark.parametrize(
    "family", [family for family in WORKING if known_by_name(family.NAME)], ids=lambda family: family.NAME
)
def test_what_is_known_of_a_provider_pleases_it_at_once(family):
    size = "1024x1024" if family is simulated.AzureOpenAI else "300x200"  # a deployment hides what its model makes
    with serve(family) as server:
        manifest = Worker(server).vary(n="1", size=size, quality="hd", style="vivid", user="ada")

        assert (manifest["state"], [call.outcome for call in server.calls]) == ("succeeded", ["made"])


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("black-forest-labs/FLUX.1-kontext-pro", "image_url"),
        ("black-forest-labs/FLUX.2-pro", "reference_images"),
        ("black-forest-labs/FLUX.2-dev", "reference_images"),
    ],
)
def test_together_gets_the_picture_in_the_field_that_the_model_knows(model, field):
    with serve(simulated.Together) as server:
        manifest = Worker(server).vary(n="2", size="512x512", model=model)

        assert (manifest["state"], server.text_to_image) == ("succeeded", 0)
        assert {sent.field for call in server.calls for sent in call.pictures} == {field}


@EVERY_FAMILY
def test_what_a_worker_learnt_it_does_not_learn_again(family):
    with serve(family) as server:
        worker = Worker(server)
        worker.vary(n="1", size="256x256", quality="hd", user="ada")
        before = len(server.calls)

        worker.vary(n="1", size="256x256", quality="hd", user="ada")

        assert [call.outcome for call in server.calls[before:]] == ["made"]
        assert server.listed <= 3


@EVERY_FAMILY
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"], ids=["colour", "transparent", "grey"])
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF"])
def test_every_family_gets_a_picture_that_it_reads(family, file_format, mode):
    with serve(family) as server:
        manifest = Worker(server).vary(draw((90, 60), file_format, mode), n="1", size="256x256")

        assert manifest["state"] == "succeeded", manifest["error"]
        assert server.text_to_image == 0


@EVERY_FAMILY
def test_every_family_takes_all_that_a_request_can_say(family):
    said = {"strength": "strong", "quality": "standard", "user": "ada", "style": "natural", "output_format": "webp"}
    with serve(family) as server:
        manifest = Worker(server).vary(n="2", size="auto", **said)

        assert manifest["state"] == "succeeded", manifest["error"]
        assert {result["content_type"] for result in manifest["results"]} == {"image/webp"}


@EVERY_FAMILY
def test_a_picture_that_is_moderated_is_a_refusal_and_costs_no_second_call(family):
    with serve(family, moderate=True) as server:
        manifest = Worker(server).vary(n="1", size="256x256")

        assert (manifest["state"], manifest["error"]["code"]) == ("failed", "provider_refused")
        assert server.paid <= 1


@pytest.mark.parametrize("way", ["entry", "error"])
def test_xai_moderates_in_other_ways_too(way):
    with serve(simulated.XAI, moderate=way) as server:
        manifest = Worker(server).vary(n="2", size="256x256")

        assert manifest["error"]["code"] == "provider_refused"
        assert server.paid == 1


@EVERY_FAMILY
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "provider_denied"), (402, "provider_denied"), (502, "provider_failed"), (504, "provider_failed")],
)
def test_the_error_of_every_family_becomes_one_of_ours_and_is_not_tried_again(family, status, code):
    with serve(family, fail=status) as server:
        manifest = Worker(server).vary(n="1", size="256x256")

        assert (manifest["state"], manifest["error"]["code"]) == ("failed", code)
        assert len([call for call in server.calls if call.outcome != "404"]) == 1


@EVERY_FAMILY
def test_a_provider_that_makes_fewer_has_made_a_part(family):
    with serve(family, fewer=2) as server:
        worker = Worker(server)

        manifest = worker.vary(n="4", size="256x256")

        one_a_call = worker.known and worker.known.images_per_call == 1
        expected = ("succeeded", 4, 4) if one_a_call else ("partial", 2, 1)  # no further call may pay again for two
        assert (manifest["state"], len(manifest["results"]), len(manifest["attempts"])) == expected


@EVERY_FAMILY
def test_a_provider_that_ignores_n_is_asked_one_by_one_from_then_on(family):
    with serve(family, ignore_n=True) as server:
        worker = Worker(server)

        manifest = worker.vary(n="4", size="256x256")

        assert (manifest["state"], len(set(worker.pictures(manifest)))) == ("succeeded", 4)
        assert server.paid == 4
        assert sorted(number for attempt in manifest["attempts"] for number in attempt["variations"]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "family",
    [simulated.OpenRouter, simulated.LLMGateway, simulated.DeepInfra],
    ids=lambda family: family.NAME,
)
def test_a_provider_that_rejects_n_is_asked_one_by_one(family):
    with serve(family, reject_n=True) as server:
        manifest = Worker(server).vary(n="4", size="256x256")

        assert (manifest["state"], server.paid, server.images) == ("succeeded", 4, 4)


@pytest.mark.parametrize(
    "family",
    [
        simulated.Relay,
        simulated.LocalAI,
        simulated.XAI,
        simulated.Together,
        simulated.NanoGPT,
        simulated.VolcengineArk,
        simulated.VariationsOnly,
    ],
    ids=lambda family: family.NAME,
)
def test_pictures_that_a_family_answers_as_urls_are_fetched(family):
    with serve(family, by_url=True) as server:
        manifest = Worker(server).vary(n="2", size="256x256")

        assert manifest["state"] == "succeeded", manifest["error"]


# Finding out


@pytest.mark.parametrize(
    ("family", "dialect", "reason"),
    [
        (simulated.OpenAI, "edits", "OpenAI, by its host"),
        (simulated.LiteLLM, "edits", "LiteLLM, by its list of models"),
        (simulated.Relay, "edits", "nothing else is known of this provider"),
        (simulated.StableDiffusionCpp, "edits_local", "stable-diffusion.cpp, by its list of models"),
        (simulated.Lemonade, "edits_local", "Lemonade, by its list of models"),
        (simulated.LocalAI, "localai", "LocalAI, by its list of models"),
        (simulated.VllmOmni, "edits_local", "vLLM-Omni, by its list of models"),
        (simulated.SGLang, "edits_local", "SGLang, by its list of models"),
        (simulated.XAI, "xai", "xAI, by its host"),
        (simulated.VariationsOnly, "variations", "images/edits is not served (HTTP 404)"),
    ],
    ids=lambda value: getattr(value, "NAME", None),
)
def test_the_manifest_says_which_dialect_was_spoken_and_why(family, dialect, reason):
    with serve(family) as server:
        manifest = Worker(server).vary(n="1", size="256x256")

        assert (manifest["dialect"], manifest["dialect_reason"]) == (dialect, reason)


@pytest.mark.parametrize("family", [simulated.VercelAIGateway, simulated.LLMGateway], ids=lambda family: family.NAME)
def test_a_gateway_nobody_knows_is_found_out_by_its_refusals(family):
    with serve(family) as server:
        worker = Worker(server)
        worker.service.interpreter.known = worker.service.interpreter.provider.known = None

        manifest = worker.vary(n="2", size="256x256")

        assert manifest["state"] == "succeeded", manifest["error"]
        assert manifest["dialect"] in {"edits", "edits_json"}


def test_a_dialect_that_the_stack_names_is_spoken_and_no_other():
    with serve(simulated.VariationsOnly) as server:
        manifest = Worker(server, provider_dialect="edits").vary(n="1", size="256x256")

        assert (manifest["state"], manifest["error"]["code"]) == ("failed", "provider_failed")
        assert [call.path for call in server.calls] == ["/v1/images/edits"]


def test_a_provider_that_only_makes_pictures_from_text_is_never_asked_to():
    with serve(simulated.TextToImageOnly) as server:
        manifest = Worker(server).vary(n="1", size="256x256")

        assert manifest["state"] == "failed"
        assert "images/edits, images/variations" in manifest["error"]["message"]
        assert "LiteLLM" in manifest["error"]["message"]
        assert (server.paid, server.text_to_image) == (0, 0)


def test_a_provider_that_cannot_is_named_with_a_way_out_before_anything_is_sent():
    with serve(simulated.Ollama) as server:
        manifest = Worker(server).vary(n="1", size="256x256")

        assert (manifest["state"], manifest["error"]["code"]) == ("failed", "configuration_error")
        assert "Ollama" in manifest["error"]["message"]
        assert "LiteLLM" in manifest["error"]["message"]
        assert server.calls == []


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bfl.ai/v1",
        "https://api.fireworks.ai/inference/v1",
        "https://api.stability.ai/v2beta",
        "https://api.mistral.ai/v1",
    ],
)
def test_hosts_that_cannot_are_known(url):
    known = known_by_host(url)

    assert known.dialect is None
    assert known.name in known.hint


# Azure's two forms


@pytest.mark.parametrize(
    ("tail", "path", "query"),
    [
        ("/openai/v1", "/openai/v1/images/edits", {}),
        ("/openai?api-version=2025-04-01-preview", "/openai/deployments/my-images/images/edits", True),
        ("/openai/deployments/my-images?api-version=2025-04-01-preview", None, True),
    ],
    ids=["v1", "api-version", "deployment"],
)
def test_azure_is_asked_at_each_of_its_addresses(tail, path, query):
    with serve(simulated.AzureOpenAI) as server:
        worker = Worker(server)
        provider = worker.service.interpreter.provider
        provider.base_url = server.url + tail

        manifest = worker.vary(n="2", size="512x512")

        assert manifest["state"] == "succeeded", manifest["error"]
        assert server.calls[-1].path == (path or "/openai/deployments/my-images/images/edits")
        assert bool(server.calls[-1].query) == bool(query)
        assert server.listed == 1


def test_the_sizes_of_old_gpt_image_models_are_found_by_refusals_where_their_name_is_hidden():
    with serve(simulated.AzureOpenAI) as server:
        worker = Worker(server)

        manifest = worker.vary(n="1", size="512x512")

        assert manifest["state"] == "succeeded"
        (size,) = [change for change in manifest["adjustments"] if change["parameter"] == "size"]
        assert (size["asked"], size["sent"]) == ("512x512", "1024x1024")


@pytest.mark.parametrize(
    "family",
    [family for family in WORKING if family not in {simulated.StableDiffusionCpp, simulated.SGLang}],  # have one model
    ids=lambda family: family.NAME,
)
def test_a_model_nobody_knows_there_costs_nothing(family):
    with serve(family) as server:
        worker = Worker(server)
        worker.service = replace(worker.service, settings=replace(worker.settings, default_model="nobodys-model"))

        manifest = worker.vary(n="1", size="256x256")

        assert manifest["state"] == "failed"
        assert server.paid == 0
