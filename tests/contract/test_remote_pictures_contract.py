"""A picture is fetched over real TLS, from the very address that was checked, and from nowhere else."""

import datetime
import socket
import ssl
import threading
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from variations import exchange as exchange_module
from variations.errors import InvalidRequest, SourceNotFound, SourceTooLarge
from variations.exchange import trusted
from variations.remote_pictures import fetch

HOST = "images.example.com"
ADDRESS = "8.8.8.8"
PICTURE = bytes(range(256)) * 1000
SIZE = len(PICTURE)
CLOSED = -1  # what a socket says when asked for its number


def make_certificate(folder, host):
    """Write a certificate that signs itself, and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    public = key.public_key()
    usage = dict.fromkeys(
        ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"], False
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{host}.pem", folder / f"{host}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


class Handler(BaseHTTPRequestHandler):
    """Answers what the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers.items())))
        name = self.path.strip("/").partition("?")[0]
        if name.isdigit():
            self.answer(int(name), b"no picture", Location=f"https://{HOST}/picture")
        elif name == "cut":
            self.answer(200, PICTURE[:5000], length=len(PICTURE))
            self.close_connection = True
        elif name == "garbage":
            self.wfile.write(b"this is not HTTP\r\n\r\n")
            self.close_connection = True
        elif name == "endless":
            self.answer(200, PICTURE * 20)
        else:
            self.answer(200, PICTURE)

    def answer(self, status, content, length=None, **headers):
        self.send_response(status)
        for header, value in {"Content-Length": str(length or len(content)), **headers}.items():
            self.send_header(header, value)
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:  # who has read enough hangs up
            self.close_connection = True

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up, as they should here."""


@pytest.fixture(scope="module", name="running")
def _running(tmp_path_factory):
    """A server with a certificate for HOST."""
    paths = make_certificate(tmp_path_factory.mktemp("tls"), HOST)
    server = Server(("127.0.0.1", 0), Handler)
    server.asked, server.names, server.authority = [], [], str(paths[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*paths)
    context.sni_callback = lambda _socket, name, _context: server.names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def trust(monkeypatch, path):
    """Have nobody but the maker of a certificate vouch for hosts."""
    monkeypatch.setattr(certifi, "where", lambda: str(path))
    trusted.cache_clear()


@pytest.fixture(name="server")
def _server(running, monkeypatch):
    """The server, which is found at every public address; `connected` tells which were asked for."""
    running.asked.clear()
    running.names.clear()
    running.connected, running.closed = [], []
    create_connection = socket.create_connection

    def connect(address, timeout=None, *_, **__):
        running.connected.append(address)
        return create_connection(running.server_address, timeout)

    class Connection(HTTPSConnection):
        def close(self):
            sock = self.sock
            super().close()
            running.closed.append(sock and sock.fileno())

    monkeypatch.setattr(exchange_module, "HTTPSConnection", Connection)
    monkeypatch.setattr(socket, "create_connection", connect)
    trust(monkeypatch, running.authority)
    yield running
    trusted.cache_clear()


def get(path, host=HOST, max_bytes=SIZE, addresses=(ADDRESS,)):
    return fetch(f"https://{host}{path}", allowed_hosts=(host,), max_bytes=max_bytes, resolve=lambda _: list(addresses))


def test_a_picture_comes_back_as_it_was_sent(server):
    assert get("/picture") == PICTURE


def test_the_address_that_was_checked_is_the_one_connected_to(server):
    looked_up = []

    def resolve(host):
        looked_up.append(host)
        return [ADDRESS] if len(looked_up) == 1 else ["127.0.0.1"]

    fetch(f"https://{HOST}/picture", allowed_hosts=(HOST,), max_bytes=len(PICTURE), resolve=resolve)

    assert looked_up == [HOST]
    assert server.connected == [(ADDRESS, 443)]


def test_an_ipv6_address_is_connected_to_as_well(server):
    get("/picture", addresses=("2606:4700::1111",))

    assert server.connected == [("2606:4700::1111", 443)]


def test_the_host_is_told_by_name_and_nothing_about_us_is(server):
    get("/a%20b/ü.png?v=1&w=ä#part")

    ((path, headers),) = server.asked
    assert server.names == [HOST]
    assert path == "/a%20b/%C3%BC.png?v=1&w=%C3%A4"
    assert headers["Host"] == HOST
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


def test_a_path_that_is_no_text_is_asked_for_all_the_same(server):
    assert get("/\ud800") == PICTURE


def test_a_path_with_line_ends_adds_no_header(server):
    get("/picture\r\nX-Evil:%0d%0a1")

    ((_, headers),) = server.asked
    assert "X-Evil" not in headers


def test_a_server_that_shows_another_hosts_certificate_is_not_asked(server):
    with pytest.raises(SourceNotFound, match="could not be fetched") as failure:
        get("/picture", host="other.example.com")
    assert failure.value.param == "image"
    assert server.asked == []


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(server, monkeypatch, tmp_path):
    stranger, _ = make_certificate(tmp_path, HOST)
    trust(monkeypatch, stranger)

    with pytest.raises(SourceNotFound):
        get("/picture")
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server, status):
    with pytest.raises(SourceNotFound, match=f"HTTP {status}"):
        get(f"/{status}")
    assert len(server.asked) == len(server.connected) == 1


@pytest.mark.parametrize("status", [204, 206, 401, 403, 404, 429, 500, 503])
def test_anything_but_200_is_no_picture_and_is_asked_for_once(server, status):
    with pytest.raises(SourceNotFound, match=f"HTTP {status}") as failure:
        get(f"/{status}")
    assert failure.value.param == "image"
    assert len(server.asked) == 1


def test_a_picture_of_just_the_largest_size_is_read(server):
    assert len(get("/picture", max_bytes=len(PICTURE))) == len(PICTURE)


@pytest.mark.parametrize(("path", "max_bytes"), [("/picture", len(PICTURE) - 1), ("/endless", 100_000)])
def test_reading_stops_at_the_largest_size(server, path, max_bytes):
    with pytest.raises(SourceTooLarge, match=f"{max_bytes} bytes"):
        get(path, max_bytes=max_bytes)


@pytest.mark.parametrize("path", ["/cut", "/garbage"])
def test_an_answer_that_breaks_off_is_no_picture(server, path):
    with pytest.raises(SourceNotFound, match="could not be fetched"):
        get(path)


def test_the_connection_is_closed_after_the_picture(server):
    get("/picture")

    assert server.closed[-1:] == [CLOSED]


@pytest.mark.parametrize(("path", "failure"), [("/404", SourceNotFound), ("/endless", SourceTooLarge)])
def test_the_connection_is_closed_after_a_refusal(server, path, failure):
    with pytest.raises(failure) as refused:
        get(path, max_bytes=1000)
    assert refused.value.__traceback__  # which would keep the answer, and with it the connection, from being collected
    assert server.closed[-1:] == [CLOSED]


def test_a_host_that_does_not_pick_up_is_no_picture(server, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)

    with pytest.raises(SourceNotFound, match="could not be fetched"):
        get("/picture")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1"])
def test_a_private_address_is_not_connected_to(server, address):
    with pytest.raises(InvalidRequest, match="not public"):
        get("/picture", addresses=(ADDRESS, address))
    assert server.connected == []
