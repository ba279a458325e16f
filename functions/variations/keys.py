"""Read the provider's key and the callers' keys from Secrets Manager, and notice when they are rotated."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .errors import ConfigurationError, StorageFailed

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

PASSING = {"ThrottlingException", "InternalServiceError", "InternalServiceErrorException", "ServiceUnavailable"}
KEY_MAX_AGE_SECONDS = 300  # after a rotation the old key is used at most this long, unless the provider says 401


@dataclass
class Secret:
    """A Secrets Manager secret, kept for KEY_MAX_AGE_SECONDS.

    Own code, because Powertools' parameter cache makes its own session and cannot be refreshed safely by stage.
    """

    client: "SecretsManagerClient"
    secret_id: str
    clock: Callable[[], float] = time.monotonic
    _text: str | None = field(default=None, repr=False)
    _read_at: float = 0.0

    def text(self) -> str:
        """Return the secret string, read anew when it is older than KEY_MAX_AGE_SECONDS.

        Raises:
            ConfigurationError: there is no such secret, or we may not read it.
            StorageFailed: Secrets Manager does not answer just now.
        """
        if self._text is None or self.clock() - self._read_at > KEY_MAX_AGE_SECONDS:
            self.refresh()
        return self._text or ""

    def refresh(self) -> None:
        """Read the secret again now, as after a 401."""
        try:
            self._text = self.client.get_secret_value(SecretId=self.secret_id)["SecretString"]
        except (ClientError, KeyError) as error:
            code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else "it holds no text"
            if code in PASSING:
                raise StorageFailed(f"Secrets Manager failed: {code}.") from error
            raise ConfigurationError(f"The secret {self.secret_id} cannot be read: {code}.") from error
        except BotoCoreError as error:
            raise StorageFailed(f"Secrets Manager failed: {type(error).__name__}.") from error
        self._read_at = self.clock()


KEY_FORMS = 'must be the bare key, without blanks or accents, or JSON like {"apiKey": "..."}.'


@dataclass(frozen=True)
class ProviderKey:
    """The provider's API key: the secret holds it bare, or as JSON `{"apiKey": "..."}`; empty means no key."""

    secret: Secret

    def value(self) -> str:
        """Return the key, or "" for a provider that wants none."""
        key = self.secret.text().strip()
        if key.startswith("{"):
            try:
                key = json.loads(key)["apiKey"].strip()
            except (ValueError, KeyError, AttributeError) as error:
                raise ConfigurationError(f"The provider secret {KEY_FORMS}") from error
        if not key.isascii() or any(character.isspace() for character in key):
            raise ConfigurationError(f"The provider secret {KEY_FORMS}")
        return key


@dataclass(frozen=True)
class ClientKeys:
    """The keys of those who may call the API: JSON `{caller name: key}`."""

    secret: Secret

    def by_caller(self) -> dict[str, str]:
        """Return caller name -> key.

        Raises:
            ConfigurationError: the secret is not a JSON object of texts.
        """
        try:
            keys = json.loads(self.secret.text())
        except ValueError:
            keys = None
        if not isinstance(keys, dict) or not all(isinstance(key, str) and key for key in keys.values()):
            raise ConfigurationError('The client keys secret must be JSON like {"caller name": "key"}.')
        if odd := [name for name in keys if ":" in name]:
            raise ConfigurationError(f"The name of a caller may have no colon, as {odd[0]!r} has.")
        return keys
