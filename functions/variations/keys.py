"""Read the provider's key and the callers' keys from Secrets Manager, and notice when they are rotated."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .errors import ConfigurationError, StorageFailed

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

logger = logging.getLogger(__name__)
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
            return self.refresh()
        return self._text

    def refresh(self) -> str:
        """Read the secret again now, as after a 401, and return it."""
        self._text = self._read()
        self._read_at = self.clock()
        return self._text

    def previous(self) -> str:
        """Return what the secret held before it was last changed; "" if nothing, or if that cannot be read."""
        try:
            return self._read(VersionStage="AWSPREVIOUS")
        except (ConfigurationError, StorageFailed):  # a last resort, which must not hide why it was needed
            return ""

    def _read(self, **version: str) -> str:
        try:
            return self.client.get_secret_value(SecretId=self.secret_id, **version)["SecretString"]
        except (ClientError, KeyError) as error:
            code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else "it holds no text"
            if code in PASSING:
                raise StorageFailed("Secrets Manager failed.", detail=code) from error
            raise ConfigurationError(f"The secret of a key cannot be read: {code}.", detail=self.secret_id) from error
        except BotoCoreError as error:
            raise StorageFailed("Secrets Manager failed.", detail=type(error).__name__) from error


KEY_FORMS = 'must be the bare key, without blanks or accents, or JSON like {"apiKey": "..."}.'


@dataclass(frozen=True)
class ProviderKey:
    """The provider's API key: the secret holds it bare, or as JSON `{"apiKey": "..."}`; empty means no key."""

    secret: Secret

    def values(self) -> Iterator[str]:
        """Yield the keys to try one after the other for as long as the provider refuses them; "" where it wants none.

        The key as it was read last; the key as it is now, as it may have been rotated; and the one before, as a new
        key may be in the secret before the provider lets it in. None of them twice.

        Raises:
            ConfigurationError: no header can carry the key.
        """
        yield (known := self._parse(self.secret.text()))
        if (current := self._parse(self.secret.refresh())) != known:
            yield current
        with suppress(ConfigurationError):
            previous = self._parse(self.secret.previous())
            if current and previous and previous not in {known, current}:  # an empty secret is meant to be so
                logger.warning("The provider refuses the key in %s; the one before is tried.", self.secret.secret_id)
                yield previous

    @staticmethod
    def _parse(secret: str) -> str:
        key = secret.strip()
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
    """The keys of those who may call the API: JSON `{caller name: key}`, or a list of keys while one is replaced."""

    secret: Secret

    def by_caller(self) -> dict[str, list[str]]:
        """Return caller name -> keys.

        Raises:
            ConfigurationError: the secret is not a JSON object of texts or of lists of texts.
        """
        secret = self.secret.text()
        try:
            callers = {name: keys if isinstance(keys, list) else [keys] for name, keys in json.loads(secret).items()}
        except (ValueError, AttributeError):
            callers = {"": [None]}
        if not all(isinstance(key, str) and key for keys in callers.values() for key in keys):
            raise ConfigurationError(
                'The client keys secret must be JSON like {"caller name": "key"}, or {"caller name": ["new", "old"]}.'
            )
        if odd := [name for name in callers if ":" in name]:
            raise ConfigurationError(f"The name of a caller may have no colon, as {odd[0]!r} has.")
        return callers
