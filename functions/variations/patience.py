"""Let a large picture take its time on a slow line: urllib3 gives the whole upload no longer than the connecting."""

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

SEND_SECONDS = 120.0  # for up to 50 MB, between a short connect timeout and the long wait for an answer


class _PatientHTTPConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(SEND_SECONDS)


class _PatientHTTPSConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(SEND_SECONDS)


class _PatientHTTPPool(HTTPConnectionPool):
    ConnectionCls = _PatientHTTPConnection


class _PatientHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PatientHTTPSConnection


class PatientAdapter(HTTPAdapter):
    """A requests adapter whose connect timeout is for connecting only."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections, which requests does on mounting."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PatientHTTPPool, "https": _PatientHTTPSPool}
