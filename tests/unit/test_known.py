"""The table of providers: each is found by its host or by a mark in its list, and nobody else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.dialects.known import KNOWN_PROVIDERS, known_by_host, known_by_mark, known_by_name

HOSTS = {
    "api.openai.com": "OpenAI",
    "name.openai.azure.com": "Azure OpenAI",
    "name.services.ai.azure.com": "Azure OpenAI",
    "name.cognitiveservices.azure.com": "Azure OpenAI",
    "api.x.ai": "xAI",
    "api.together.xyz": "Together",
    "api.together.ai": "Together",
    "api.deepinfra.com": "DeepInfra",
    "openrouter.ai": "OpenRouter",
    "nano-gpt.com": "NanoGPT",
    "ai-gateway.vercel.sh": "Vercel AI Gateway",
    "api.llmgateway.io": "LLM Gateway",
    "ark.cn-beijing.volces.com": "Volcengine Ark",
    "ark.ap-southeast.bytepluses.com": "Volcengine Ark",
    "api.aimlapi.com": "AIMLAPI",
    "gateway.ai.cloudflare.com": "Cloudflare",
    "api.bfl.ai": "Black Forest Labs",
    "api.bfl.ml": "Black Forest Labs",
    "api.eu.bfl.ai": "Black Forest Labs",
    "api.fireworks.ai": "Fireworks",
    "api.stability.ai": "Stability",
    "api.mistral.ai": "Mistral",
    "api.replicate.com": "Replicate",
    "fal.run": "fal",
    "queue.fal.run": "fal",
    "api.infomaniak.com": "Infomaniak",
    "generativelanguage.googleapis.com": "Google Gemini",
    "ollama.com": "Ollama",
}
MARKS = {
    "LiteLLM": {"mode": "image_generation"},
    "stable-diffusion.cpp": {"id": "sd-cpp-local"},
    "Lemonade": {"owned_by": "lemonade"},
    "SGLang": {"owned_by": "sglang"},
    "vLLM-Omni": {"owned_by": "vllm"},
    "Xinference": {"owned_by": "xinference"},
    "OpenVINO Model Server": {"owned_by": "OVMS"},
    "LocalAI": {"capabilities": ["image"]},
    "Ollama": {"owned_by": "library"},
    "KoboldCpp": {"owned_by": "koboldcpp"},
}


@pytest.mark.parametrize(("host", "name"), HOSTS.items(), ids=HOSTS)
def test_a_provider_is_found_by_the_host_of_its_base_url(host, name):
    for url in (f"https://{host}/v1", f"https://{host}:443", f"https://{host.upper()}/v1/", f"http://{host}?a=b"):
        assert known_by_host(url).name == name


def test_every_host_of_the_table_has_a_case_here():
    for row in KNOWN_PROVIDERS:
        for host in row.hosts:
            assert any(case == host or (host.startswith(".") and case.endswith(host)) for case in HOSTS), host


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com.evil.test",
        "evil.test/api.openai.com",
        "api.openai.com@evil.test",
        "notapi.openai.com",
        "openai.com",
        "eu.api.openai.com",
        "notopenai.azure.com",
        "name.notopenai.azure.com",
        "openai.azure.com",
        "name.openai.azure.com.evil.test",
        "api.x.ai.evil.test",
        "xapi.x.ai",
        "notvolces.com",
        "ark.cn-beijing.volces.com.evil.test",
        "notbfl.ai",
        "notfal.run",
        "myfal.run.evil.test",
        "api.openrouter.ai",
        "127.0.0.1:8080",
        "[::1]:8080",
        "localhost",
    ],
)
def test_a_host_that_only_looks_like_one_of_the_table_is_nobody(host):
    assert known_by_host(f"https://{host}/v1") is None


@pytest.mark.parametrize("url", ["", "api.openai.com/v1", "/v1", "https://"])
def test_a_url_without_a_host_is_nobody(url):
    assert known_by_host(url) is None


@given(st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), st.sampled_from(sorted(HOSTS)))
def test_whatever_stands_behind_a_host_of_the_table_it_is_another_one(label, host):
    assert known_by_host(f"https://{host}.{label.strip('.-') or 'x'}.test/v1") is None


@pytest.mark.parametrize(("name", "mark"), MARKS.items(), ids=MARKS)
def test_a_server_of_ones_own_is_found_by_a_mark_in_its_list(name, mark):
    entries = [{"id": "another", "owned_by": "somebody"}, {"id": "flux", **mark}]

    assert known_by_mark(entries).name == name
    assert known_by_mark(entries[::-1]).name == name


def test_every_mark_of_the_table_has_a_case_here():
    assert {row.name for row in KNOWN_PROVIDERS if row.mark} == MARKS.keys()


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [{}],
        [{"id": "gpt-image-2", "owned_by": "openai"}],
        [{"id": "a", "mode": None}],
        [{"id": "a", "capabilities": {"inference": True}}],
        [{"id": "my-sd-cpp-local", "owned_by": "local"}],
        [{"id": "a", "owned_by": "VLLM"}],
        [{"id": "a", "owned_by": ["vllm"]}],
        [{"id": "vllm"}],
    ],
    ids=[
        "nothing",
        "empty entry",
        "openai",
        "mode not set",
        "abilities of azure and nanogpt",
        "another id",
        "other letters",
        "a list",
        "a mark in another member",
    ],
)
def test_a_list_without_a_mark_is_nobodys(entries):
    assert known_by_mark(entries) is None


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({"a": True})


@given(st.lists(st.dictionaries(st.sampled_from(["id", "owned_by", "mode", "capabilities"]), JSON), max_size=4))
def test_whatever_is_listed_it_is_somebody_of_the_table_or_nobody(entries):
    assert known_by_mark(entries) in (None, *KNOWN_PROVIDERS)


def test_every_row_has_a_name_of_its_own_and_a_way_to_be_found():
    names = [row.name for row in KNOWN_PROVIDERS]

    assert len(set(names)) == len(names)
    assert all(row.hosts or row.mark for row in KNOWN_PROVIDERS)
    assert [known_by_name(name) for name in names] == list(KNOWN_PROVIDERS)


@pytest.mark.parametrize("name", [None, "", "openai", "Klingon"])
def test_a_name_that_is_not_in_the_table_is_nobody(name):
    assert known_by_name(name) is None


def test_no_host_stands_in_two_rows():
    hosts = [host for row in KNOWN_PROVIDERS for host in row.hosts]

    assert len(set(hosts)) == len(hosts)


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("OpenAI", "edits"),
        ("Azure OpenAI", "edits"),
        ("xAI", "xai"),
        ("Together", "together"),
        ("DeepInfra", "edits_local"),
        ("OpenRouter", "openrouter"),
        ("NanoGPT", "openrouter"),
        ("Vercel AI Gateway", "edits_json"),
        ("LLM Gateway", "edits_json"),
        ("Volcengine Ark", "ark"),
        ("AIMLAPI", "edits"),
        ("Cloudflare", "edits"),
        ("LiteLLM", "edits"),
        ("stable-diffusion.cpp", "edits_local"),
        ("Lemonade", "edits_local"),
        ("SGLang", "edits_local"),
        ("vLLM-Omni", "edits_local"),
        ("Xinference", "edits_local"),
        ("OpenVINO Model Server", "edits_local"),
        ("LocalAI", "localai"),
    ],
)
def test_a_provider_that_makes_variations_is_asked_in_its_dialect(name, dialect):
    assert known_by_name(name).dialect.name == dialect


CANNOT = ["Black Forest Labs", "Fireworks", "Stability", "Mistral", "Replicate", "fal", "Infomaniak", "Google Gemini"]
CANNOT += ["Ollama", "KoboldCpp"]


def test_the_providers_that_cannot_are_these():
    assert [row.name for row in KNOWN_PROVIDERS if row.dialect is None] == CANNOT


@pytest.mark.parametrize("name", CANNOT)
def test_of_a_provider_that_cannot_it_is_said_what_to_do(name):
    assert known_by_name(name).hint == (
        f"{name} has no OpenAI-compatible route that makes variations of a picture. Put a gateway that does in front "
        "of it, such as LiteLLM, and give its address as ProviderBaseUrl."
    )


def test_azure_takes_the_bare_key_in_a_header_of_its_own_and_no_webp():
    row = known_by_name("Azure OpenAI")

    assert row.key_header == "api-key"
    assert row.dialect.source.types == {"image/png", "image/jpeg"}
    assert [row.name for row in KNOWN_PROVIDERS if row.key_header] == ["Azure OpenAI"]


def test_a_gateway_that_repeats_calls_is_told_not_to():
    assert known_by_name("Cloudflare").headers == {"cf-aig-max-attempts": "1"}


@pytest.mark.parametrize(
    ("name", "lists"),
    [
        ("xAI", ("image-generation-models", "models")),
        ("OpenRouter", ("images/models", "models")),
        ("NanoGPT", ("images/models", "models")),
        ("OpenAI", ("models",)),
    ],
)
def test_the_most_telling_list_of_a_provider_is_read_first(name, lists):
    assert known_by_name(name).lists == lists


def test_providers_that_make_fewer_than_ten_pictures_a_call_are_these():
    assert {row.name: row.images_per_call for row in KNOWN_PROVIDERS if row.images_per_call != 10} == {
        "Together": 1,
        "DeepInfra": 1,
        "Volcengine Ark": 1,
        "AIMLAPI": 1,
        "stable-diffusion.cpp": 8,
        "Lemonade": 8,
    }
