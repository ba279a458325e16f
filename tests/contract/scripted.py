"""A server that knows nothing but its script, and so can break HTTP in every way; and a provider client for it."""

import base64
import contextlib
import email.policy
import io
import json
import socket
import threading
import time
from dataclasses import dataclass
from email.parser import BytesParser

import pytest
from PIL import Image
from variations.dialects import edits
from variations.errors import (
    VariationError,
)
from variations.exchange import trusted
from variations.keys import ProviderKey, Secret
from variations.model import Answer, Picture, VariationRequest
from variations.provider import Provider

LONG, SHORT = 30.0, 0.3  # seconds: time enough, and a deadline that is to pass
KEY = "sk-local"
EMBEDDED_MODEL = "local-style-transfer"


def draw(content_type="image/png", size=(40, 24)):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, content_type.removeprefix("image/"))
    return Picture(buffer.getvalue(), content_type, *size)


PNG = draw()
CALL = edits.build(VariationRequest(EMBEDDED_MODEL, n=2, size="256x256"), PNG, 2, 0)


def size_of(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.size


class Secrets:
    """Secrets Manager as far as we use it: each reading finds the next text, the last one for ever."""

    def __init__(self, *texts, previous=""):
        self.texts = list(texts)
        self.previous = previous
        self.readings = 0

    def get_secret_value(self, SecretId, VersionStage="AWSCURRENT"):  # noqa: N803 - botocore's names
        if VersionStage == "AWSPREVIOUS":
            return {"SecretString": self.previous}
        self.readings += 1
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if isinstance(text, Exception):
            raise text
        return {"SecretString": text}


def connect(base_url, *keys, previous="", known=None, context=trusted):
    """A client of a provider; `keys` are what the secret holds, reading after reading."""
    secrets = Secrets(*(keys or (KEY,)), previous=previous)
    return Provider(base_url, ProviderKey(Secret(secrets, "provider")), known, context)


@dataclass(frozen=True)
class Got:
    """What a provider answered, and the pictures that came with it."""

    answer: Answer
    places: dict[int, bytes]

    @property
    def images(self):
        return tuple(self.places[place] for place in sorted(self.places))

    def __getattr__(self, name):
        return getattr(self.answer, name)


def send(provider, call=CALL, *, seconds=LONG):
    places = {}
    answer = provider.send(call, deadline=time.monotonic() + seconds, take=places.__setitem__)
    return Got(answer, places)


def fail(provider, call=CALL, *, seconds=LONG):
    """Send a call that fails; return its error, which never tells the key."""
    with pytest.raises(VariationError) as failure:
        send(provider, call, seconds=seconds)
    assert KEY not in failure.value.message
    return failure.value


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: email.message.Message
    body: bytes

    @property
    def parts(self):
        """The parts of a multipart body: name -> (file name, content type, content)."""
        message = BytesParser(policy=email.policy.HTTP).parsebytes(
            f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + self.body
        )
        return {
            part.get_param("name", header="Content-Disposition"): (
                part.get_filename(),
                part.get_content_type() if "Content-Type" in part else None,
                part.get_payload(decode=True),
            )
            for part in message.iter_parts()
        }


class Scripted:
    """Answer each connection with the next step: raw bytes, or a function of the connection.

    Whatever comes after the script is hung up on, and counted like the rest.
    """

    def __init__(self, context=None):
        self.steps, self.requests, self.connections = [], [], 0
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._address = self._listener.getsockname()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self):
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self._address[1]}"

    @property
    def base_url(self):
        return f"{self.url}/v1"

    def answer(self, *steps):
        self.steps = list(steps)
        return self

    def pause(self, seconds):
        """Wait, but not beyond the end of the test."""
        self._stopping.wait(seconds)

    def stop(self):
        self._stopping.set()
        with contextlib.suppress(OSError), socket.create_connection(self._address):
            pass
        self._thread.join()
        self._listener.close()

    def leave(self):
        """Let nobody connect any more."""
        self._listener.close()

    def _serve(self):
        while self._listener.fileno() != -1:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                if self._stopping.is_set():
                    return
                self.connections += 1
                connection.settimeout(LONG)
                self._answer(connection)

    def _answer(self, connection):
        if self._context:
            plain = socket.socket(fileno=socket.dup(connection.fileno()))
            with plain, self._context.wrap_socket(connection, server_side=True) as connection:  # noqa: PLR1704
                self._play(connection, plain)
        else:
            self._play(connection, connection)

    def _play(self, connection, plain):
        step = self.steps.pop(0) if self.steps else b""
        if getattr(step, "unread", False):
            self.requests.append(None)
            step(connection)
            return
        with connection.makefile("rb") as stream:
            self.requests.append(read_request(stream))
        if callable(step):
            step(plain if getattr(step, "below_tls", False) else connection)
        else:
            connection.sendall(step)


def read_request(stream):
    method, path, _ = stream.readline().decode().split()
    head = b"".join(iter(stream.readline, b"\r\n"))
    headers = BytesParser(policy=email.policy.HTTP).parsebytes(head)
    return Received(method, path, headers, stream.read(int(headers.get("Content-Length", 0))))


@pytest.fixture(name="scripted")
def _scripted():
    server = Scripted()
    yield server
    server.stop()


@pytest.fixture(name="elsewhere")
def _elsewhere():
    """Another host than the provider's."""
    server = Scripted()
    yield server
    server.stop()


def reply(status=200, body=b"", content_type="application/json", **headers):
    """Write an HTTP answer; header names with `_` for `-`, and None leaves one out."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content_Type": content_type, "Content_Length": len(body), "Connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode() + body


def in_base64(*contents):
    return {"data": [{"b64_json": base64.b64encode(content).decode()} for content in contents]}


GOOD = in_base64(PNG.content)
REFUSAL = {"error": {"message": "No.", "type": "invalid_request_error", "param": "size", "code": "invalid_value"}}

WHOLE = json.dumps(GOOD).encode()


def hang(connection):
    """Say nothing until the client has gone."""
    connection.recv(1)


def drip(scripted, head):
    """Send a head, then a byte every now and then for as long as anybody listens."""

    def send_slowly(connection):
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b" ")
            scripted.pause(0.05)

    return send_slowly
