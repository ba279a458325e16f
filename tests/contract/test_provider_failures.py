"""What each failure of a provider becomes, and how often it was asked."""

import contextlib
import datetime
import functools
import gc
import gzip
import json
import socket
import ssl
import warnings
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from variations import exchange as exchange_module
from variations import provider as provider_module
from variations import remote_pictures
from variations.dialects import refusals
from variations.dialects.call import ProviderCall
from variations.errors import (
    Complaint,
    InvalidRequest,
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    VariationError,
)
from variations.exchange import Reply, exchange
from variations.model import Picture

from tests.contract.scripted import GOOD, PNG, REFUSAL, SHORT, WHOLE, Scripted, connect, drip, fail, hang, reply, send

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
        ({"Retry_After": "Sun, 22 Nov 2026 12:00:00 GMT"}, 90),
        ({"Retry_After": "Sun, 22 Nov 2026 12:01:00 +0100"}, 1),
        ({"Retry_After": "Sat, 21 Nov 2026 12:00:00 GMT"}, 1),
        ({"Retry_After": "Sun, 22 Nov 2099 12:00:00 GMT"}, 3600),
        ({"Retry_After": "Sun, 99 Nov 2026 12:00:00 GMT"}, 30),
        ({"Retry_After_Ms": "1500"}, 1.5),
        ({"retry_after_ms": "20", "Retry_After": "7"}, 1),
        ({"retry_after_ms": "soon"}, 30),
        ({"Retry_After": "soon"}, 30),
        ({"Retry_After": "nan"}, 30),
        ({"Retry_After": "inf"}, 30),
        ({}, 30),
    ],
    ids=str,
)
def test_a_busy_provider_says_when_to_come_back(scripted, monkeypatch, headers, seconds):
    noon = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC).timestamp()
    monkeypatch.setattr(refusals, "time", SimpleNamespace(time=lambda: noon - 90))
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

    failure = fail(connect(scripted.base_url), ProviderCall("images/edits", {}, 1, 0, large))

    assert (type(failure), failure.retryable) == (ProviderRefused, False)


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
        pytest.param([], ProviderRefused, id="an empty list"),
        pytest.param([1], ProviderFailed, id="a list of numbers"),
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


@pytest.mark.parametrize("status", [200, 201, 202, 206])
def test_every_status_of_success_is_an_answer(scripted, status):
    scripted.answer(reply(status, GOOD))

    assert send(connect(scripted.base_url)).images == (PNG.content,)


def test_a_success_without_an_answer_may_have_been_billed(scripted):
    scripted.answer(reply(204, b""))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert len(scripted.requests) == 1


NAMES = [("x_request_id", "req_1"), ("apim_request_id", "a-1"), ("x_ms_request_id", "m-1"), ("cf_ray", "8f-FRA")]


@pytest.mark.parametrize(("header", "name"), NAMES)
@pytest.mark.parametrize("answer", [(200, GOOD), (200, b"<html>"), (200, {"data": []}), (400, REFUSAL), (503, b"")])
def test_the_providers_own_name_for_a_call_is_kept_however_it_ended(scripted, header, name, answer):
    scripted.answer(reply(*answer, **{header: name}))

    if answer == (200, GOOD):
        assert send(connect(scripted.base_url)).request_id == name
    else:
        assert fail(connect(scripted.base_url)).provider_request_id == name


def test_a_call_without_a_name_has_none(scripted):
    scripted.answer(reply(400, REFUSAL))

    assert fail(connect(scripted.base_url)).provider_request_id is None


def test_a_refusal_keeps_the_providers_own_words(scripted):
    scripted.answer(reply(400, REFUSAL))

    assert fail(connect(scripted.base_url)).complaint == Complaint("No.", "invalid_value", "size", 400)


WORDS = ["data", "images", "output", "b64_json", "url", "image_url", "image", "error", "code", "message", "usage"]
TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        "https://a.example/1",
        "http://[",
        "/1.png",
        "data:,",
        "data:image/png;base64,aGk=",
        "aGk=",
        "429",
        "503",
        "\ud800",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | TEXTS, inner, max_size=4),
    max_leaves=12,
)


def refuse_every_url(*_, **__):
    raise InvalidRequest("The host has an address that is not public.", param="image")


def answer_once(body):
    """A network that answers the call itself, in two pieces, and nothing else."""

    def exchange(request, _deadline, *, read, **_):
        if request.body is None:
            raise ProviderUnreachable("There is no network.")
        read(body[: len(body) // 2])
        read(body[len(body) // 2 :])
        return Reply(200, CaseInsensitiveDict(), b"")

    return exchange


@settings(deadline=None, database=None, derandomize=True, max_examples=400)
@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@example(body=b'{"data": [{"url": "https://[::1/1.png"}]}')
@example(body=b'{"data": [{"url": "http://127.0.0.1:9/\\ud800"}, {"url": "https:///"}]}')
@example(body=b'{"error": {"code": 429}}')
@example(body=b'{"data": [{"b64_json": "aGk="}, {"url": "\\u0000"}]}')
@example(body=b"1" * 5000)
def test_whatever_bytes_a_provider_answers_they_are_pictures_or_an_error_of_ours(body):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provider_module, "exchange", answer_once(body))
        patch.setattr(remote_pictures, "fetch", refuse_every_url)
        try:
            answer, failure = send(connect("http://127.0.0.1:9/v1")), None
        except VariationError as error:
            answer, failure = None, error
    # Only a 429 says that nothing was made.
    assert not (failure and failure.retryable) or isinstance(failure, ProviderBusy)
    assert failure or (answer.images and all(image and isinstance(image, bytes) for image in answer.images))


@settings(deadline=None, database=None, derandomize=True, max_examples=200)
@given(
    status=st.integers(300, 599),
    body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "retry-after-ms", "x-request-id"]), st.text(max_size=40)),
)
def test_whatever_a_provider_refuses_with_is_an_error_of_ours(status, body, headers):
    error = refusals.error_for(status, CaseInsensitiveDict(headers), body)

    assert isinstance(error, VariationError)
    assert len(error.message) < 1000
    assert error.retry_after_seconds is None or 1 <= error.retry_after_seconds <= 3600


def test_an_answer_beyond_all_measure_is_not_read_to_its_end(scripted, monkeypatch):
    monkeypatch.setattr(provider_module, "exchange", functools.partial(exchange, max_bytes=2 * 1024**2))
    scripted.answer(reply(body=gzip.compress(bytes(3 * 1024**2)), Content_Encoding="gzip"))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert "larger than 2 MiB" in failure.message


# Ways to send a body


def chunked(body, *, size=1000):
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in [*chunks, b""])


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
        told = type(failure), failure.retryable
        del failure  # its traceback holds the connection
        gc.collect()

    assert told == (ProviderFailed, False)
    assert len(scripted.requests) == 1


# No connection


def test_a_provider_where_nothing_listens_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    failure = fail(connect(f"http://127.0.0.1:{port}/v1"))

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert "127.0.0.1" in failure.detail
    assert "ProviderBaseUrl" in failure.message


def test_a_provider_whose_name_nobody_knows_is_unreachable():
    failure = fail(connect("http://provider.invalid/v1"))

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert "provider.invalid" in failure.detail


def test_a_provider_that_does_not_pick_up_is_unreachable(monkeypatch):
    monkeypatch.setattr(exchange_module, "CONNECT_SECONDS", SHORT)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as queue:
        for _ in range(4):  # fill the queue of those who wait, as nobody accepts
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())

        failure = fail(connect(f"http://127.0.0.1:{listener.getsockname()[1]}/v1"))

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert "pick up" in failure.message


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
    context = functools.partial(ssl.create_default_context, cafile=str(certificate))
    return connect(server.base_url.replace("127.0.0.1", "localhost"), context=context)


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
