"""The provider client over loopback: what arrives there, and what each failure becomes.

The first half talks to the development image server, a whole provider. The second half talks to a server that
knows nothing but its script, and so can break HTTP in every way; the tests count what it was sent.
"""

import base64
import contextlib
import datetime
import email.policy
import gc
import gzip
import io
import json
import socket
import ssl
import threading
import time
import warnings
from dataclasses import dataclass
from email.parser import BytesParser

import pytest
import requests
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from variations import provider as provider_module
from variations.dialects import edits, variations
from variations.dialects.call import ProviderCall
from variations.errors import (
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    StorageFailed,
    VariationError,
)
from variations.keys import ProviderKey, Secret
from variations.model import Picture, VariationRequest
from variations.provider import Provider

from infra.local.image_server import create_app, create_server

LONG, SHORT = 30.0, 0.3  # seconds: time enough, and a deadline that is to pass
KEY = "sk-local"
EMBEDDED_MODEL = "local-style-transfer"


def draw(content_type="image/png", size=(40, 24)):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, content_type.removeprefix("image/"))
    return Picture(buffer.getvalue(), content_type, *size)


PNG = draw()
CALL = edits.build(VariationRequest(EMBEDDED_MODEL, n=2, size="256x256"), PNG, 2)


def size_of(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.size


class Secrets:
    """Secrets Manager as far as we use it: each reading finds the next text, the last one for ever."""

    def __init__(self, *texts):
        self.texts = list(texts)
        self.readings = 0

    def get_secret_value(self, SecretId):  # noqa: N803 - botocore's name
        self.readings += 1
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if isinstance(text, Exception):
            raise text
        return {"SecretString": text}


def connect(base_url, *keys, **session):
    made = requests.Session()
    for name, value in session.items():
        setattr(made, name, value)
    return Provider(base_url, ProviderKey(Secret(Secrets(*(keys or (KEY,))), "provider")), made)


@contextlib.contextmanager
def calling(*providers):
    """Close the connections of providers, as the end of a container does."""
    try:
        yield
    finally:
        for one in providers:
            one.session.close()


def send(provider, call=CALL, *, seconds=LONG):
    with calling(provider):
        return provider.send(call, deadline=time.monotonic() + seconds)


def fail(provider, call=CALL, *, seconds=LONG):
    """Send a call that fails; return its error, which never tells the key."""
    with pytest.raises(VariationError) as failure:
        send(provider, call, seconds=seconds)
    assert KEY not in failure.value.message
    return failure.value


# A whole provider


@pytest.fixture(scope="module", name="server_url")
def _server_url():
    """The development image server, making pictures without its neural network."""
    server = create_server(create_app())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@dataclass
class Embedded:
    """The development image server, and how a test looks behind it."""

    url: str

    @property
    def base_url(self):
        return f"{self.url}/v1"

    def switch(self, **switches):
        assert requests.put(f"{self.url}/_faults", json={"fast": True, **switches}, timeout=30).status_code == 204

    @property
    def record(self):
        return requests.get(f"{self.url}/_calls", timeout=30).json()


@pytest.fixture(name="embedded")
def _embedded(server_url):
    requests.delete(f"{server_url}/_calls", timeout=30)
    embedded = Embedded(server_url)
    embedded.switch()
    return embedded


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "image/webp"])
def test_edits_give_as_many_pictures_as_asked_for_and_say_the_true_type(embedded, content_type):
    request = VariationRequest(EMBEDDED_MODEL, n=3, size="320x256", quality="hd", style="vivid", user="ada")
    picture = draw(content_type)

    answer = send(connect(embedded.base_url), edits.build(request, picture, 3))

    assert [size_of(image) for image in answer.images] == [(320, 256)] * 3
    assert len(set(answer.images)) == 3
    assert answer.request_id.startswith("req_")
    assert answer.usage["total_tokens"] > 0
    (call,) = embedded.record["calls"]
    assert (call["path"], call["outcome"]) == ("/v1/images/edits", "ok")
    assert (call["content_type"], call["bytes"]) == (content_type, len(picture.content))
    assert call["fields"].keys() == {"model", "prompt", "n", "size", "quality", "user", "image"}


def test_variations_give_as_many_pictures_as_asked_for(embedded):
    request = VariationRequest(EMBEDDED_MODEL, n=2, size="256x256", prompt="Bluer.", user="ada")

    answer = send(connect(embedded.base_url), variations.build(request, PNG, 2))

    assert [size_of(image) for image in answer.images] == [(256, 256)] * 2
    (call,) = embedded.record["calls"]
    assert (call["path"], call["outcome"]) == ("/v1/images/variations", "ok")
    assert call["fields"].keys() == {"model", "n", "size", "response_format", "user", "image"}


def test_pictures_that_are_answered_as_urls_of_the_provider_are_fetched(embedded):
    call = ProviderCall("images/variations", {"size": "256x256", "n": "2", "response_format": "url"}, "image", PNG)

    answer = send(connect(embedded.base_url), call)

    assert [size_of(image) for image in answer.images] == [(256, 256)] * 2


def test_the_neural_network_makes_pictures_for_the_client_too(embedded):
    embedded.switch(fast=False)

    answer = send(connect(embedded.base_url), edits.build(VariationRequest(EMBEDDED_MODEL, size="256x256"), PNG, 1))

    assert [size_of(image) for image in answer.images] == [(256, 256)]


def test_the_models_of_the_provider_are_listed(embedded):
    provider = connect(embedded.base_url)

    with calling(provider):
        models = provider.list_models(deadline=time.monotonic() + LONG)

    assert {model.id: model.image for model in models} == {EMBEDDED_MODEL: True, "local-text-only": None}


@pytest.mark.parametrize(
    ("switches", "error", "retryable", "paid"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, ProviderBusy, True, 0),
        ({"status": 500}, ProviderFailed, True, 0),
        ({"status": 502}, ProviderFailed, False, 0),
        ({"status": 400, "code": "moderation_blocked"}, ProviderRefused, False, 0),
        ({"status": 404}, ModelNotFound, False, 0),
        ({"body": "truncated"}, ProviderFailed, False, 1),
        ({"body": "cut"}, ProviderFailed, False, 1),
        ({"body": "garbage"}, ProviderFailed, False, 1),
        ({"body": "html"}, ProviderFailed, False, 1),
        ({"body": "empty"}, ProviderFailed, False, 1),
        ({"body": "error_in_200"}, ProviderRefused, False, 1),
        ({"body": "no_data"}, ProviderRefused, False, 1),
        ({"body": "drip", "latency_seconds": 5}, ProviderTimeout, False, 1),
        ({"latency_seconds": 5}, ProviderTimeout, False, 1),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_a_provider_that_misbehaves_is_called_once(embedded, switches, error, retryable, paid):
    embedded.switch(times=1, **switches)

    failure = fail(connect(embedded.base_url), seconds=2 if "latency_seconds" in switches else LONG)

    assert (type(failure), failure.retryable) == (error, retryable)
    record = embedded.record
    assert (len(record["calls"]), record["paid"]) == (1, paid)


@pytest.mark.parametrize("body", ["fewer", "not_an_image"])
def test_what_the_pictures_are_worth_is_for_others_to_judge(embedded, body):
    embedded.switch(body=body)

    answer = send(connect(embedded.base_url))

    assert len(answer.images) == (1 if body == "fewer" else 2)


def test_a_key_the_provider_does_not_know_is_denied(embedded):
    failure = fail(connect(embedded.base_url, "sk-wrong"))

    assert type(failure) is ProviderDenied
    assert embedded.record["paid"] == 0


# A server that knows nothing but its script


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
            self.requests.append(_read_request(stream))
        if callable(step):
            step(plain if getattr(step, "below_tls", False) else connection)
        else:
            connection.sendall(step)


def _read_request(stream):
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


# What arrives


def test_the_call_arrives_as_multipart_with_the_right_names_and_the_true_type(scripted):
    scripted.answer(reply(body=GOOD, x_request_id="req_1"))
    picture = draw("image/webp")
    call = ProviderCall(
        "images/edits", {"model": "m", "prompt": 'Ünder "quotes"\r\nand lines', "n": "2"}, "image", picture
    )

    answer = send(connect(scripted.base_url), call)

    assert (answer.images, answer.request_id) == ((PNG.content,), "req_1")
    (request,) = scripted.requests
    assert (request.method, request.path) == ("POST", "/v1/images/edits")
    assert request.headers["Authorization"] == "Bearer sk-local"
    assert request.headers["User-Agent"] == "image-variations"
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert request.parts == {
        "model": (None, None, b"m"),
        "prompt": (None, None, 'Ünder "quotes"\r\nand lines'.encode()),
        "n": (None, None, b"2"),
        "image": ("source.webp", "image/webp", picture.content),
    }


@pytest.mark.parametrize(
    ("content_type", "name"), [("image/png", "source.png"), ("image/jpeg", "source.jpg"), ("image/webp", "source.webp")]
)
def test_the_file_name_fits_the_type_of_the_picture(scripted, content_type, name):
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url), ProviderCall("images/edits", {}, "image", draw(content_type)))

    assert scripted.requests[0].parts["image"][:2] == (name, content_type)


def test_a_provider_that_wants_no_key_gets_none(scripted):
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url, ""))

    assert "Authorization" not in scripted.requests[0].headers


def test_a_slash_at_the_end_of_the_base_url_changes_nothing(scripted):
    scripted.answer(reply(body=GOOD))

    send(connect(f"{scripted.base_url}/"))

    assert scripted.requests[0].path == "/v1/images/edits"


def test_the_environment_changes_neither_the_key_nor_the_way(scripted, elsewhere, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login test password test\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", elsewhere.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url))

    assert scripted.requests[0].headers["Authorization"] == "Bearer sk-local"
    assert elsewhere.requests == []


def test_every_call_asks_for_a_connection_of_its_own(scripted):
    scripted.answer(reply(body=GOOD), reply(body=GOOD))
    provider = connect(scripted.base_url)

    with calling(provider):
        for _ in range(2):
            provider.send(CALL, deadline=time.monotonic() + LONG)

    assert scripted.connections == 2
    assert [request.headers["Connection"] for request in scripted.requests] == ["close"] * 2


def test_every_call_has_a_connection_of_its_own_even_when_the_server_would_keep_it(scripted):
    kept = reply(body=GOOD, Connection=None)

    def keep(connection):
        connection.sendall(kept)
        with connection.makefile("rb") as stream:
            if stream.peek(1):
                scripted.requests.append(_read_request(stream))
                connection.sendall(kept)

    scripted.answer(keep, keep)
    provider = connect(scripted.base_url)

    with calling(provider):
        for _ in range(2):
            provider.send(CALL, deadline=time.monotonic() + LONG)

    assert (len(scripted.requests), scripted.connections) == (2, 2)


# Statuses

STATUSES = [
    (400, ProviderRefused, False),
    (401, ProviderDenied, False),
    (402, ProviderDenied, False),
    (403, ProviderDenied, False),
    (404, ProviderFailed, False),
    (405, ProviderFailed, False),
    (408, ProviderFailed, False),
    (409, ProviderRefused, False),
    (413, ProviderRefused, False),
    (415, ProviderRefused, False),
    (422, ProviderRefused, False),
    (429, ProviderBusy, True),
    (500, ProviderFailed, True),
    (501, ProviderFailed, False),
    (502, ProviderFailed, False),
    (503, ProviderFailed, True),
    (504, ProviderFailed, False),
    (520, ProviderFailed, False),
    (524, ProviderFailed, False),
]
BODIES = {
    "error object": {"error": {"message": "No.", "type": "server_error", "param": None, "code": None}},
    "html": b"<html><body><h1>Whatever</h1></body></html>",
    "empty": b"",
    "truncated": b'{"error": {"message": "N',
}


@pytest.mark.parametrize(("status", "error", "retryable"), STATUSES)
@pytest.mark.parametrize("body", BODIES)
def test_a_status_becomes_one_error_whatever_its_body_and_is_asked_once(scripted, status, error, retryable, body):
    scripted.answer(reply(status, BODIES[body]))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (error, retryable)
    assert "<" not in failure.message
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "51.84"}, 51.84),
        ({"Retry_After": "0"}, 1),
        ({"Retry_After": "-5"}, 1),
        ({"Retry_After": "1000000"}, 3600),
        ({"Retry_After": "Sun, 22 Nov 2026 12:00:00 GMT"}, 30),
        ({"Retry_After": "soon"}, 30),
        ({"Retry_After": "nan"}, 30),
        ({"Retry_After": "inf"}, 30),
        ({}, 30),
    ],
    ids=str,
)
def test_a_busy_provider_says_when_to_come_back(scripted, headers, seconds):
    scripted.answer(reply(429, REFUSAL, **headers))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retry_after_seconds) == (ProviderBusy, seconds)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(("headers", "seconds"), [({"Retry_After": "7"}, 7), ({}, None)], ids=str)
def test_a_provider_that_is_down_may_say_when_to_come_back(scripted, headers, seconds):
    scripted.answer(reply(503, b"", **headers))

    assert fail(connect(scripted.base_url)).retry_after_seconds == seconds


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("field", ["code", "type"])
def test_an_unknown_model_is_not_found_whatever_the_status(scripted, status, field):
    scripted.answer(reply(status, {"error": {"message": "The model 'x' does not exist.", field: "model_not_found"}}))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.param, failure.retryable) == (ModelNotFound, "model", False)
    assert "The model 'x' does not exist." in failure.message
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "insufficient_quota"), (400, "billing_hard_limit_reached"), (429, "billing_not_active")],
)
@pytest.mark.parametrize("field", ["code", "type"])
def test_an_account_without_money_is_denied_and_not_asked_again(scripted, status, code, field):
    scripted.answer(reply(status, {"error": {"message": "No credit.", field: code}}, Retry_After="1"))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderDenied, False)
    assert "quota" in failure.message
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param({"error": {"message": "No.", "code": "x"}}, "No.", id="an object"),
        pytest.param({"error": "No."}, "No.", id="a text"),
        pytest.param({"code": "blocked", "error": "No."}, "No.", id="a text beside a code"),
        pytest.param({"detail": "No."}, "No.", id="a detail"),
        pytest.param({"detail": [{"loc": ["body", "n"], "msg": "No."}]}, "No.", id="a list of details"),
        pytest.param({"detail": {"error": "No."}}, "No.", id="an error in a detail"),
        pytest.param({"message": "No."}, "No.", id="a message"),
        pytest.param({"error": {"message": {"deep": "No."}}}, None, id="a message that is no text"),
        pytest.param({"error": {}}, None, id="an empty object"),
        pytest.param({"error": None, "detail": []}, None, id="nothing at all"),
        pytest.param([{"error": "No."}], None, id="a list"),
        pytest.param("No.", None, id="a JSON text"),
        pytest.param(b"\xff\xfe\x00", None, id="bytes"),
        pytest.param(b"No.", None, id="plain text"),
    ],
)
def test_the_providers_own_words_are_found_in_every_envelope(scripted, body, said):
    scripted.answer(reply(422, body))

    failure = fail(connect(scripted.base_url))

    assert type(failure) is ProviderRefused
    assert failure.message.endswith(f" It says: {said}" if said else "(HTTP 422).")
    assert len(scripted.requests) == 1


def test_the_parameter_that_the_provider_names_is_passed_on(scripted):
    scripted.answer(reply(400, REFUSAL))

    assert fail(connect(scripted.base_url)).param == "size"


def test_a_provider_that_talks_for_ever_is_cut_short(scripted):
    scripted.answer(reply(400, {"error": {"message": "x" * 100_000}}))

    assert len(fail(connect(scripted.base_url)).message) < 1000


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(scripted, elsewhere, status):
    scripted.answer(reply(status, b"", Location=f"{elsewhere.base_url}/images/edits"))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert (len(scripted.requests), elsewhere.connections) == (1, 0)


def test_a_refusal_that_comes_before_the_whole_picture_was_sent_is_heard(scripted):
    def refuse_early(connection):
        connection.sendall(reply(413, {"error": "Too large."}))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    refuse_early.unread = True
    scripted.answer(refuse_early)
    large = Picture(bytes(8_000_000), "image/png", 1, 1)

    failure = fail(connect(scripted.base_url), ProviderCall("images/edits", {}, "image", large))

    assert (type(failure), failure.retryable) == (ProviderRefused, False)


# Keys


def test_a_key_that_was_rotated_is_read_again_and_the_call_repeated_once(scripted):
    scripted.answer(reply(401, REFUSAL), reply(body=GOOD))

    assert send(connect(scripted.base_url, KEY, "sk-rotated")).images == (PNG.content,)

    assert [request.headers["Authorization"] for request in scripted.requests] == [
        "Bearer sk-local",
        "Bearer sk-rotated",
    ]
    assert scripted.requests[0].parts == scripted.requests[1].parts


def test_a_rotated_key_that_is_refused_too_is_not_tried_a_third_time(scripted):
    scripted.answer(reply(401, REFUSAL), reply(401, REFUSAL))

    failure = fail(connect(scripted.base_url, KEY, "sk-rotated", "sk-rotated-again"))

    assert (type(failure), failure.retryable) == (ProviderDenied, False)
    assert len(scripted.requests) == 2


def test_a_key_that_is_refused_and_was_not_rotated_is_not_tried_again(scripted):
    scripted.answer(reply(401, REFUSAL))

    assert type(fail(connect(scripted.base_url))) is ProviderDenied
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 502])
@pytest.mark.parametrize("quoted", ["sk-local", "Bearer sk-local", "'sk-local'."])
def test_a_key_that_the_provider_quotes_is_masked(scripted, status, quoted):
    scripted.answer(reply(status, {"error": {"message": f"Incorrect API key provided: {quoted}", "code": "x"}}))

    failure = fail(connect(scripted.base_url))

    assert KEY not in f"{failure} {failure!r} {failure.message} {failure.param}"


def test_a_key_that_the_provider_quotes_under_status_200_is_masked(scripted):
    scripted.answer(reply(200, {"error": {"message": "Incorrect API key provided: sk-local"}}))

    assert type(fail(connect(scripted.base_url))) is ProviderRefused


def test_a_key_that_looks_like_no_other_is_masked_too(scripted):
    scripted.answer(reply(400, {"error": {"message": "Unknown token fakefakefakefake."}}))

    assert "fakefakefakefake" not in fail(connect(scripted.base_url, "fakefakefakefake")).message


def test_a_secret_that_cannot_be_read_for_a_moment_is_tried_again(scripted):
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue")

    failure = fail(connect(scripted.base_url, throttled))

    assert (type(failure), failure.retryable) == (StorageFailed, True)


# Answers that cannot be used


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param({"error": {"message": "Moderated."}}, ProviderRefused, id="an error object"),
        pytest.param({"error": "Moderated.", "data": []}, ProviderRefused, id="an error text"),
        pytest.param({"data": None}, ProviderRefused, id="data null"),
        pytest.param({"data": []}, ProviderRefused, id="data empty"),
        pytest.param({"created": 1}, ProviderRefused, id="no data"),
        pytest.param({"data": [{}]}, ProviderFailed, id="an empty entry"),
        pytest.param({"data": [None]}, ProviderFailed, id="an entry null"),
        pytest.param({"data": [{"b64_json": None, "url": None}]}, ProviderFailed, id="an entry of nulls"),
        pytest.param({"data": [{"b64_json": "not base64!"}]}, ProviderFailed, id="no base64"),
        pytest.param([], ProviderFailed, id="a list"),
        pytest.param(b"null", ProviderFailed, id="null"),
        pytest.param(b"<html>Welcome to nginx!</html>", ProviderFailed, id="html"),
        pytest.param(b"", ProviderFailed, id="empty"),
        pytest.param(b"\x00\xff{", ProviderFailed, id="bytes"),
        pytest.param(json.dumps(GOOD).encode()[:-9], ProviderFailed, id="cut off"),
        pytest.param(
            b'{"data": ' + b"[" * 200_000,
            ProviderFailed,
            id="very deep",
        ),
    ],
)
def test_an_answer_without_pictures_is_asked_for_once(scripted, body, error):
    scripted.answer(reply(200, body))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (error, False)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_only_status_200_is_an_answer(scripted, status):
    scripted.answer(reply(status, b"" if status == 204 else GOOD))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)


def test_an_answer_beyond_all_measure_is_not_read_to_its_end(scripted, monkeypatch):
    monkeypatch.setattr(provider_module, "MAX_ANSWER_BYTES", 2 * 1024**2)
    scripted.answer(reply(body=gzip.compress(bytes(3 * 1024**2)), Content_Encoding="gzip"))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert "larger than 2 MiB" in failure.message


# Ways to send a body


def chunked(body, *, size=1000):
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in [*chunks, b""])


WHOLE = json.dumps(GOOD).encode()
CHUNKS = {"Transfer_Encoding": "chunked", "Content_Length": None}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(body=WHOLE), id="with its length"),
        pytest.param(reply(body=WHOLE, Content_Length=None), id="until the connection ends"),
        pytest.param(reply(body=chunked(WHOLE), **CHUNKS), id="chunked"),
        pytest.param(reply(body=gzip.compress(WHOLE), Content_Encoding="gzip"), id="gzip"),
        pytest.param(reply(body=chunked(gzip.compress(WHOLE), size=7), Content_Encoding="gzip", **CHUNKS), id="both"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + reply(body=WHOLE), id="after a 100"),
        pytest.param(reply(body=WHOLE, content_type=None), id="without its type"),
    ],
)
def test_an_answer_is_read_however_it_is_framed(scripted, answer):
    scripted.answer(answer)

    assert send(connect(scripted.base_url)).images == (PNG.content,)


def reset(connection):
    """Hang up with a RST, as a crashed process or a load balancer does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


BROKEN = [
    pytest.param(b"", id="cut before the status"),
    pytest.param(reset, id="reset before the status"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", id="cut in the head"),
    pytest.param(reply(body=WHOLE)[:-20], id="cut in the body"),
    pytest.param(reply(body=WHOLE, Content_Length=len(WHOLE) + 5), id="a length too large"),
    pytest.param(reply(body=WHOLE, Content_Length=len(WHOLE) - 5), id="a length too small"),
    pytest.param(reply(body=WHOLE, Content_Length=None)[:-20], id="cut without a length"),
    pytest.param(reply(body=chunked(WHOLE)[:-30], **CHUNKS), id="cut in a chunk"),
    pytest.param(reply(body=chunked(WHOLE)[:-5], **CHUNKS), id="no last chunk"),
    pytest.param(reply(body=b"zz\r\n" + WHOLE, **CHUNKS), id="no chunk at all"),
    pytest.param(reply(body=WHOLE, Content_Encoding="gzip"), id="no gzip"),
    pytest.param(reply(body=gzip.compress(WHOLE)[:-40], Content_Encoding="gzip"), id="cut gzip"),
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="no HTTP"),
    pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", id="too many headers"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 70_000 + b"\r\n\r\n", id="a header too long"),
]


@pytest.mark.parametrize("answer", BROKEN)
def test_a_broken_answer_may_have_been_billed_and_is_asked_for_once(scripted, answer):
    scripted.answer(answer)

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert len(scripted.requests) == scripted.connections == 1


def test_an_answer_with_two_lengths_may_have_been_billed_and_is_asked_for_once(scripted):
    scripted.answer(reply(body=WHOLE, Content_Length="7, 8"))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # urllib3 leaves this connection to the garbage collector
        failure = fail(connect(scripted.base_url))
        gc.collect()

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert len(scripted.requests) == 1


# Time


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


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(None, id="no answer"),
        pytest.param(reply(Content_Length=1000), id="a body that never comes to its end"),
        pytest.param(reply(500, Content_Length=1000), id="an error that never comes to its end"),
        pytest.param(
            reply(Content_Length=None),
            id="a body without a length",
        ),
    ],
)
def test_an_answer_that_is_not_whole_by_the_deadline_is_waited_for_no_longer(scripted, head):
    scripted.answer(hang if head is None else drip(scripted, head))

    failure = fail(connect(scripted.base_url), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderTimeout, False)
    assert len(scripted.requests) == 1


def test_an_answer_that_stops_is_waited_for_no_longer_than_the_deadline(scripted):
    def send_half(connection):
        connection.sendall(reply(body=WHOLE[:50], Content_Length=1000))
        hang(connection)

    scripted.answer(send_half)

    failure = fail(connect(scripted.base_url), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderTimeout, False)
    for alarm in threading.enumerate():  # it rings just when the socket gives up by itself
        if isinstance(alarm, threading.Timer):
            alarm.join()


def test_an_alarm_that_rings_when_the_answer_has_just_ended_does_no_harm(scripted, monkeypatch):
    class Late:
        def __init__(self, seconds, ring, arguments):
            self.cancel = lambda: ring(*arguments)

        def start(self):
            pass

    monkeypatch.setattr(provider_module.threading, "Timer", Late)
    scripted.answer(reply(body=GOOD))

    assert send(connect(scripted.base_url)).images == (PNG.content,)


def test_the_deadline_holds_for_the_repetition_after_a_rotation_too(scripted):
    scripted.answer(reply(401, REFUSAL), hang)

    assert type(fail(connect(scripted.base_url, KEY, "sk-rotated"), seconds=SHORT)) is ProviderTimeout
    assert len(scripted.requests) == 2


def test_a_call_whose_deadline_has_passed_is_not_sent(scripted):
    failure = fail(connect(scripted.base_url), seconds=-1)

    assert not scripted.requests
    assert type(failure) is ProviderUnreachable


def test_a_call_whose_deadline_has_passed_was_not_billed_and_may_be_made_later(scripted):
    failure = fail(connect(scripted.base_url), seconds=-1)

    assert failure.retryable
    assert "may have been billed" not in failure.message


def test_a_provider_that_takes_a_large_picture_slowly_is_given_time_until_the_deadline(scripted, monkeypatch):
    monkeypatch.setattr(provider_module, "CONNECT_SECONDS", SHORT)

    def read_slowly(connection):
        scripted.pause(3 * SHORT)
        with connection.makefile("rb") as stream:
            scripted.requests[-1] = _read_request(stream)
        connection.sendall(reply(body=GOOD))

    read_slowly.unread = True
    scripted.answer(read_slowly)
    large = Picture(bytes(20_000_000), "image/png", 1, 1)

    answer = send(connect(scripted.base_url), ProviderCall("images/edits", {}, "image", large))

    assert answer.images == (PNG.content,)


# No connection


def test_a_provider_where_nothing_listens_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    failure = fail(connect(f"http://127.0.0.1:{port}/v1"))

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert "127.0.0.1" in failure.message
    assert "ProviderBaseUrl" in failure.message


def test_a_provider_whose_name_nobody_knows_is_unreachable():
    failure = fail(connect("http://provider.invalid/v1"))

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert "provider.invalid" in failure.message


def test_a_provider_that_does_not_pick_up_is_unreachable(monkeypatch):
    monkeypatch.setattr(provider_module, "CONNECT_SECONDS", SHORT)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as queue:
        for _ in range(4):  # fill the queue of those who wait, as nobody accepts
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())

        failure = fail(connect(f"http://127.0.0.1:{listener.getsockname()[1]}/v1"))

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert "pick up" in failure.message


# Pictures by URL


@pytest.mark.parametrize("form", ["{url}/files/1.png", "/files/1.png", "../files/1.png"])
def test_a_picture_by_url_is_fetched_from_the_provider_itself(scripted, form):
    url = form.format(url=scripted.url)
    scripted.answer(reply(body={"data": [{"url": url}]}), reply(body=PNG.content, content_type="image/png"))

    answer = send(connect(f"{scripted.base_url}"))

    assert answer.images == (PNG.content,)
    assert [(request.method, request.path) for request in scripted.requests] == [
        ("POST", "/v1/images/edits"),
        ("GET", "/files/1.png"),
    ]


@pytest.mark.parametrize("form", ["{url}/1.png", "http://localhost:1/1.png", "file:///etc/hostname", "//{host}/1.png"])
def test_a_picture_on_another_host_is_not_fetched(scripted, elsewhere, form):
    url = form.format(url=elsewhere.url, host=elsewhere.url.removeprefix("http://"))
    scripted.answer(reply(body={"data": [{"url": url}]}))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert (len(scripted.requests), elsewhere.connections) == (1, 0)


def test_a_picture_at_an_address_that_is_none_is_not_fetched(scripted):
    scripted.answer(reply(body={"data": [{"url": "http://[not-an-address/1.png"}]}))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(404, b""), id="404"),
        pytest.param(reply(302, b"", Location="/elsewhere.png"), id="302"),
        pytest.param(reply(429, b"", Retry_After="1"), id="429"),
        pytest.param(reply(500, b""), id="500"),
        pytest.param(reply(503, b""), id="503"),
        pytest.param(b"", id="cut"),
    ],
)
def test_a_picture_that_cannot_be_fetched_was_paid_for_all_the_same(scripted, answer):
    scripted.answer(reply(body={"data": [{"url": "/1.png"}]}), answer)

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert scripted.requests[0].method == "POST"
    assert {request.method for request in scripted.requests[1:]} == {"GET"}


def test_a_provider_that_is_gone_when_its_picture_is_fetched_was_paid_all_the_same(scripted):
    def answer_and_go(connection):
        scripted.leave()
        connection.sendall(reply(body={"data": [{"url": "/1.png"}]}))

    scripted.answer(answer_and_go)

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)


def test_a_picture_that_does_not_come_by_the_deadline_is_waited_for_no_longer(scripted):
    scripted.answer(reply(body={"data": [{"url": "/1.png"}]}), hang)

    failure = fail(connect(scripted.base_url), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderTimeout, False)


# TLS


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory):
    """A key and a certificate for 127.0.0.1 that nobody has signed but itself; returns the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(name="encrypted")
def _encrypted(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Scripted(context)
    yield server
    server.stop()


def connect_tls(server, certificate):
    return connect(server.base_url.replace("127.0.0.1", "localhost"), verify=str(certificate))


def test_an_encrypted_answer_is_read(encrypted, certificate):
    encrypted.answer(reply(body=GOOD))

    assert send(connect_tls(encrypted, certificate)).images == (PNG.content,)


def test_a_certificate_that_is_not_accepted_keeps_the_call_from_being_sent(encrypted):
    failure = fail(connect(encrypted.base_url))

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert "certificate" in failure.message
    assert encrypted.requests == []


@pytest.mark.parametrize("kind", ["no answer", "a slow answer"])
def test_an_encrypted_answer_that_is_not_whole_by_the_deadline_is_waited_for_no_longer(encrypted, certificate, kind):
    encrypted.answer(hang if kind == "no answer" else drip(encrypted, reply(Content_Length=1000)))

    failure = fail(connect_tls(encrypted, certificate), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderTimeout, False)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(
            b"",
            id="before the answer",
        ),
        pytest.param(reply(Content_Length=1000), id="within the answer"),
    ],
)
def test_encryption_that_breaks_after_the_call_was_sent_may_have_been_billed(encrypted, certificate, head):
    def spoil(plain):
        plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))  # a TLS record that no key decrypts
        hang(plain)

    def send_head(connection):
        connection.sendall(head)
        connection.setblocking(True)
        with socket.socket(fileno=socket.dup(connection.fileno())) as plain:
            spoil(plain)

    spoil.below_tls = True
    encrypted.answer(send_head if head else spoil)

    failure = fail(connect_tls(encrypted, certificate))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert len(encrypted.requests) == 1
