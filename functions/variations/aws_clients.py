"""Make the clients of AWS services: one for each service, on first use, all from one session."""

import functools
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore import handlers, httpsession
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .errors import StorageFailed

# One retry mode for all: three tries with jitter; the default "legacy" mode would hammer a throttled table.
CLIENT_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
# For URLs that others use: botocore would sign with the retired version 2, and for the global host, which sends
# those who come for a new bucket in another region elsewhere, where the signature is not valid.
S3_CONFIG = CLIENT_CONFIG.merge(
    Config(
        signature_version="s3v4",
        s3={
            "addressing_style": "virtual",
            "us_east_1_regional_endpoint": "regional",
            "payload_signing_enabled": False,  # every object goes with a checksum that is signed, over TLS
        },
    )
)
MAKING_CLIENTS = threading.Lock()  # the messages of a batch run side by side, and a session bears one at a time


class OnceLoadedContext(ssl.SSLContext):
    """A TLS context that reads each file of authorities once.

    urllib3 has them read for every connection, which takes 15 ms (measured 2026-11-22), and a cold worker makes eight.
    """

    @functools.cached_property
    def loaded(self) -> set[Any]:
        """Return which files were read."""
        return set()

    def load_verify_locations(self, *files: Any) -> None:
        """Read authorities, unless that was done."""
        if files not in self.loaded:
            super().load_verify_locations(*files)
            self.loaded.add(files)


# botocore has no setting for it: all its connections share one context, with the options it gives it.
httpsession.SSLContext = OnceLoadedContext  # type: ignore[attr-defined]
httpsession.create_urllib3_context = functools.cache(httpsession.create_urllib3_context)


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()  # boto3's own would only add what no function uses


@functools.cache
def client(name: str) -> Any:
    """Return the one client of an AWS service, e.g. `s3`; all share one session."""
    with MAKING_CLIENTS:
        if name != "s3":
            return _session().create_client(name, config=CLIENT_CONFIG)
        made = _session().create_client(name, config=S3_CONFIG)
    # botocore makes a file of every body, sends it in pieces of 16 KB, and waits for S3 to ask for it (100-continue).
    made.meta.events.unregister("before-parameter-build.s3.PutObject", handlers.convert_body_to_file_like_object)
    return made


@contextmanager
def aws_failures(service: str) -> Iterator[None]:
    """Raise StorageFailed for whatever botocore says of a service."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StorageFailed(f"{service} failed.", detail=type(error).__name__) from error
