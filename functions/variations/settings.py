"""Read the stack's configuration from the environment into one frozen object.

The template checks its parameters at deploy; what is checked again here protects against hand-made changes, and
every message names the template parameter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import ConfigurationError

MAY_BE_EMPTY = {"default_model"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The stack's parameters and resource names, read once per container."""

    provider_base_url: str
    provider_dialect: str
    provider_secret: str
    client_keys_secret: str
    default_model: str
    default_size: str
    upload_variations: int
    max_source_bytes: int
    max_source_megapixels: int
    max_attempts: int
    result_expiration_days: int
    results_bucket: str
    jobs_table: str
    event_bus: str
    jobs_queue_url: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read settings from environment variables named like the fields, in capitals.

        Raises:
            ConfigurationError: one is missing or malformed; the message names the template parameter.
        """
        texts = {name: environ.get(name.upper(), "") for name in cls.__dataclass_fields__}
        numbers = {name: _whole_number(name, text) for name, text in texts.items() if _is_number(name)}
        missing = sorted(name for name in texts.keys() - MAY_BE_EMPTY if not texts[name])
        if missing:
            raise ConfigurationError(f"{_parameter(missing[0])} is not set. Deploy the stack again.")
        url = urlsplit(texts["provider_base_url"])
        if url.scheme not in {"https", "http"} or not url.hostname or url.username or url.query:
            raise ConfigurationError("ProviderBaseUrl must be like https://api.openai.com/v1, without user or query.")
        return cls(**{**texts, **numbers})  # type: ignore[arg-type]


def _is_number(name: str) -> bool:
    return Settings.__annotations__[name] is int


def _whole_number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigurationError(f"{_parameter(name)} must be a whole number from 1, not {text!r}.")
    return int(text)


def _parameter(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
