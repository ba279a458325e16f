"""List the providers whose ways are known: the one table to edit for a new one.

A row is found by the host of ProviderBaseUrl, or by a mark that the provider's own list of models bears. Sources,
and what is verified of each: docs/providers.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from .dialect import JPEG, PNG, Dialect, SourceForm
from .edits import EDITS
from .edits_json import EDITS_JSON
from .edits_local import EDITS_LOCAL, SD_CPP
from .generations import ARK, LOCALAI, TOGETHER
from .openrouter import NANOGPT, OPENROUTER
from .xai import XAI

NOTHING: Mapping[str, str] = MappingProxyType({})
IN_FRONT = "Put a gateway that does in front of it, such as LiteLLM, and give its address as ProviderBaseUrl."


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """One provider and its ways.

    Args:
        name: for messages and the manifest.
        dialect: how it wants to be asked; None for one that cannot make variations in any OpenAI-like form.
        hosts: the host of its base URL, or what it ends in where it begins with a dot.
        mark: (member, value) that an entry of its list of models has; an empty value means any.
        lists: where it lists models, below the base URL; entries of the first one win.
        key_header: which header takes the bare key, instead of `Authorization: Bearer`.
        headers: sent with every call.
        images_per_call: how many pictures it makes at most in one call.
        adds: fields it wants that the dialect does not send.
        without: fields of the dialect that it does not take.
    """

    name: str
    dialect: Dialect | None
    hosts: tuple[str, ...] = ()
    mark: tuple[str, str] | None = None
    lists: tuple[str, ...] = ("models",)
    key_header: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    images_per_call: int = 10
    adds: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    without: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """Say what to do with a provider that cannot."""
        return f"{self.name} has no OpenAI-compatible route that makes variations of a picture. {IN_FRONT}"


# MicrosoftDocs dall-e.md: PNG and JPEG in, no WebP out.
AZURE_EDITS = replace(EDITS, source=SourceForm(frozenset({PNG, JPEG})))

KNOWN_PROVIDERS = (
    KnownProvider("OpenAI", EDITS, hosts=("api.openai.com",)),
    KnownProvider(
        "Azure OpenAI",
        AZURE_EDITS,
        hosts=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
        key_header="api-key",
        without=("output_format",),
    ),
    KnownProvider("xAI", XAI, hosts=("api.x.ai",), lists=("image-generation-models", "models")),
    KnownProvider("Together", TOGETHER, hosts=("api.together.xyz", "api.together.ai"), images_per_call=1),
    KnownProvider("DeepInfra", EDITS_LOCAL, hosts=("api.deepinfra.com",), images_per_call=1, without=("seed",)),
    KnownProvider("OpenRouter", OPENROUTER, hosts=("openrouter.ai",), lists=("images/models", "models")),
    KnownProvider("NanoGPT", NANOGPT, hosts=("nano-gpt.com",), lists=("images/models", "models")),
    KnownProvider("Vercel AI Gateway", EDITS_JSON, hosts=("ai-gateway.vercel.sh",)),
    KnownProvider("LLM Gateway", EDITS_JSON, hosts=("api.llmgateway.io",)),
    KnownProvider("Volcengine Ark", ARK, hosts=(".volces.com", ".bytepluses.com"), images_per_call=1),
    KnownProvider("AIMLAPI", EDITS, hosts=("api.aimlapi.com",), images_per_call=1),
    # A gateway that repeats calls by itself would pay for them again.
    KnownProvider("Cloudflare", EDITS, hosts=("gateway.ai.cloudflare.com",), headers={"cf-aig-max-attempts": "1"}),
    KnownProvider("LiteLLM", EDITS, mark=("mode", "")),
    KnownProvider("stable-diffusion.cpp", SD_CPP, mark=("id", "sd-cpp-local"), images_per_call=8, without=("model",)),
    KnownProvider("Lemonade", EDITS_LOCAL, mark=("owned_by", "lemonade"), images_per_call=8),
    KnownProvider("SGLang", EDITS_LOCAL, mark=("owned_by", "sglang")),
    KnownProvider("vLLM-Omni", EDITS_LOCAL, mark=("owned_by", "vllm")),
    # Answers URLs by default, which are paths on its own disk.
    KnownProvider("Xinference", EDITS_LOCAL, mark=("owned_by", "xinference"), adds={"response_format": "b64_json"}),
    KnownProvider("OpenVINO Model Server", EDITS_LOCAL, mark=("owned_by", "OVMS")),
    KnownProvider("LocalAI", LOCALAI, mark=("capabilities", "")),
    KnownProvider("Black Forest Labs", None, hosts=("api.bfl.ai", "api.bfl.ml", ".bfl.ai")),
    KnownProvider("Fireworks", None, hosts=("api.fireworks.ai",)),
    KnownProvider("Stability", None, hosts=("api.stability.ai",)),
    KnownProvider("Mistral", None, hosts=("api.mistral.ai",)),
    KnownProvider("Replicate", None, hosts=("api.replicate.com",)),
    KnownProvider("fal", None, hosts=("fal.run", ".fal.run")),
    KnownProvider("Infomaniak", None, hosts=("api.infomaniak.com",)),
    KnownProvider("Google Gemini", None, hosts=("generativelanguage.googleapis.com",)),
    KnownProvider("Ollama", None, hosts=("ollama.com",), mark=("owned_by", "library")),
    KnownProvider("KoboldCpp", None, mark=("owned_by", "koboldcpp")),
)


def known_by_host(base_url: str) -> KnownProvider | None:
    """Return the row that the host of a base URL fits."""
    host = urlsplit(base_url).hostname or ""
    for row in KNOWN_PROVIDERS:
        if any(host.endswith(name) if name.startswith(".") else host == name for name in row.hosts):
            return row
    return None


def known_by_name(name: str | None) -> KnownProvider | None:
    """Return the row of that name."""
    return next((row for row in KNOWN_PROVIDERS if row.name == name), None)


def known_by_mark(entries: list[dict[str, Any]]) -> KnownProvider | None:
    """Return the row whose mark any entry of a list of models bears."""
    for row in KNOWN_PROVIDERS:
        if row.mark:
            member, value = row.mark
            said = [entry.get(member) for entry in entries]
            if value in said if value else any(isinstance(what, str | list) for what in said):
                return row
    return None
