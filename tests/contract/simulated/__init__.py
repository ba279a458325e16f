"""Image servers as they behave on the wire, one per family of providers, for the contract tests of our client."""

from .ark import VolcengineArk
from .calls import Call, Sent
from .dead_ends import Ollama, TextToImageOnly, VariationsOnly
from .gateways import LiteLLM, LLMGateway, Relay, VercelAIGateway
from .json_apis import XAI, Together
from .local_servers import Lemonade, LocalAI, StableDiffusionCpp
from .openai_family import AzureOpenAI, OpenAI
from .python_servers import SGLang, VllmOmni
from .routers import DeepInfra, NanoGPT, OpenRouter
from .server import Family, serve

FAMILIES: tuple[type[Family], ...] = (
    OpenAI,
    AzureOpenAI,
    LiteLLM,
    Relay,
    Lemonade,
    StableDiffusionCpp,
    LocalAI,
    VllmOmni,
    SGLang,
    XAI,
    Together,
    DeepInfra,
    OpenRouter,
    NanoGPT,
    VercelAIGateway,
    LLMGateway,
    VolcengineArk,
    VariationsOnly,
    Ollama,
    TextToImageOnly,
)

__all__ = [
    "FAMILIES",
    "XAI",
    "AzureOpenAI",
    "Call",
    "DeepInfra",
    "Family",
    "LLMGateway",
    "Lemonade",
    "LiteLLM",
    "LocalAI",
    "NanoGPT",
    "Ollama",
    "OpenAI",
    "OpenRouter",
    "Relay",
    "SGLang",
    "Sent",
    "StableDiffusionCpp",
    "TextToImageOnly",
    "Together",
    "VariationsOnly",
    "VercelAIGateway",
    "VllmOmni",
    "VolcengineArk",
    "serve",
]
