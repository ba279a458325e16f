"""Read the stack's configuration from the environment into one frozen object.

The template checks its parameters at deploy; what is checked again here protects against hand-made changes, and
every message names the template parameter.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigurationError, InvalidRequest
from .options import parse_options

API_VERSION = re.compile(r"(api-version=[A-Za-z0-9.-]{1,40})?")  # what Azure's older form has behind the URL
MAY_BE_EMPTY = {"default_model", "watched_bucket", "allowed_source_buckets", "allowed_source_hosts", "cors_origin"}
MAY_BE_ZERO = {"daily_image_limit", "daily_image_limit_per_caller", "requests_per_minute"}  # which stands for no limit


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
    source_metadata: str
    result_metadata: str
    max_attempts: int
    daily_image_limit: int
    daily_image_limit_per_caller: int
    requests_per_minute: int
    provider_calls: str
    result_expiration_days: int
    results_bucket: str
    jobs_table: str
    event_bus: str
    jobs_queue_url: str
    dead_letter_queue_url: str
    uploads_bucket: str
    upload_prefix: str
    watched_bucket: str
    allowed_source_buckets: tuple[str, ...]
    allowed_source_hosts: tuple[str, ...]
    api_timeout_seconds: int
    cors_origin: str

    @property
    def source_buckets(self) -> set[str]:
        """Return the buckets that workers take pictures from."""
        return {self.uploads_bucket, self.results_bucket, self.watched_bucket, *self.allowed_source_buckets}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read settings from environment variables named like the fields, in capitals.

        Raises:
            ConfigurationError: one is missing or malformed; the message names the template parameter.
        """
        texts = {name: environ.get(name.upper(), "") for name in cls.__dataclass_fields__}
        missing = sorted(name for name in texts.keys() - MAY_BE_EMPTY if not texts[name])
        if missing:
            raise ConfigurationError(f"{_parameter(missing[0])} is not set. Deploy the stack again.")
        if not _is_base_url(texts["provider_base_url"]):
            raise ConfigurationError(
                "ProviderBaseUrl must be like https://api.openai.com/v1, without user or query "
                "(but for Azure's older form, which ends in ?api-version=...)."
            )
        read = {name: READERS[cls.__annotations__[name]](name, text) for name, text in texts.items()}
        try:
            parse_options({"n": read["upload_variations"], "size": read["default_size"]}, model="any", n=1, size="auto")
        except InvalidRequest as error:
            parameter = {"n": "UploadVariations", "size": "DefaultSize"}[error.param or "n"]
            raise ConfigurationError(f"{parameter} is wrong: {error.message}") from error
        return cls(**read)


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return (
        url.scheme in {"https", "http"}
        and bool(url.hostname)
        and "@" not in url.netloc
        and bool(API_VERSION.fullmatch(url.query))
        and not url.fragment
    )


def _whole_number(name: str, text: str) -> int:
    least = 0 if name in MAY_BE_ZERO else 1
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ConfigurationError(f"{_parameter(name)} must be a whole number from {least}, not {text!r}.")
    return int(text)


def _parameter(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _names(_: str, text: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


READERS: dict[Any, Callable[[str, str], Any]] = {
    int: _whole_number,
    str: lambda _, text: text,
    tuple[str, ...]: _names,
}
