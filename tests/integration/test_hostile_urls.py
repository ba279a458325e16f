"""URLs that somebody hopes to misuse us with: as a source, and as a picture that a provider answers.

Names lead where a row says, numbers where the operating system says; a server with a certificate for one host stands
at every address, on loopback. The last test writes what was seen into docs/security.md.
"""

import contextlib
import gzip
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from variations.errors import ProviderFailed, VariationError
from variations.exchange import trusted
from variations.remote_pictures import fetch

from tests.contract.scripted import KEY, LONG, PNG, SHORT, Scripted, connect, reply, send
from tests.contract.test_remote_pictures_contract import make_certificate, trust
from tests.documents import show_seen

HOST, ADDRESS, MAX_BYTES = "images.example.com", "8.8.8.8", 100_000
METADATA = "http://169.254.169.254/latest/meta-data/"
GOOD = reply(200, PNG.content, "image/png")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = 20  # which last for twice SHORT

FETCHED = "fetched"
NOT_LISTED = "InvalidRequest: not a listed host"
NOT_PLAIN = "InvalidRequest: not plain https"
NOT_PUBLIC = "InvalidRequest: not a public address"
UNKNOWN = "InvalidRequest: nobody knows the host"
NO_URL = "ValueError: no URL"
NO_TALK = "SourceNotFound: no HTTP over TLS with the host"
SLOW = "SourceNotFound: takes too long"
TOO_LARGE = "SourceTooLarge: too large"
REASONS = {  # what a message has in it -> what the table says
    "AllowedSourceHosts": NOT_LISTED,
    "plain https": NOT_PLAIN,
    "not public": NOT_PUBLIC,
    "not known": UNKNOWN,
    "could not be fetched": NO_TALK,
    "takes too long": SLOW,
    "bytes that are taken": TOO_LARGE,
}
NAMES = (HOST, f"{HOST}.", f"evil-{HOST}", f"{HOST}.evil.example", "evil.example", "example.com.evil.example")
NAMES += ("evil-example.com", "xn--mages-m2e.example.com", "xn--mnchen-3ya.example")
PUBLIC = {name: [[ADDRESS]] for name in NAMES}


def drip(head, piece=b"x", times=DRIPS):
    """Send a head, then a piece every now and then."""

    def step(server):
        def send_slowly(connection):
            connection.sendall(head)
            for server.dripped in range(1, times + 1):
                server.pause(0.03)
                connection.sendall(piece)

        return send_slowly

    return step


def endless(server):
    """Send a body for as long as anybody listens."""

    def send_on(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65_536))

    return send_on


@dataclass
class Row:
    """URLs to which the same happens; as pictures of a provider, where nothing else is said, the same as well."""

    what: str
    urls: list[str]
    source: str
    provider: str = ""
    names: dict[str, list[list[str]]] = field(default_factory=lambda: PUBLIC)  # host -> what each look-up finds
    answer: bytes | Callable = GOOD
    seconds: float = LONG

    def __post_init__(self):
        self.provider = self.provider or self.source


def hosts(*names):
    return [f"https://{name}/a.png" for name in names]


def here(what, outcome, answer=GOOD, provider="", **more):
    """Say what comes of an answer to a URL that is as it should be."""
    return Row(what, hosts(HOST), outcome, provider, answer=answer, **more)


def leads_to(*addresses):
    return {HOST: [list(addresses)]}


def wide(text):
    """Write digits and dots as wide as Chinese characters."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


PRIVATE = {
    "loopback": ["127.0.0.1", "127.255.255.254"],
    "this host": ["0.0.0.0"],
    "private networks": ["10.0.0.1", "172.16.0.1", "192.168.1.1"],
    "link-local, with the metadata of EC2 and ECS": ["169.254.169.254", "169.254.170.2", "169.254.0.1"],
    "carrier NAT": ["100.64.0.1", "100.127.255.254"],
    "multicast, reserved, broadcast": ["224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"],
    "IPv6 loopback, unspecified": ["::1", "::"],
    "IPv6 unique local, with the metadata of EC2": ["fd00:ec2::254", "fc00::1"],
    "IPv6 link-local, with and without a zone": ["fe80::a9fe:a9fe%1", "fe80::1"],
    "IPv6 multicast": ["ff02::1", "ff0e::1"],
    "IPv4 in IPv6, mapped and compatible": ["::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1"],
    "IPv4 by NAT64": ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"],
    "IPv4 by 6to4 and Teredo": ["2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
}
USERS = ["user@HOST", "user:secret@HOST", "@HOST", "HOST@evil.example", "evil.example@HOST", "HOST:443@127.0.0.1"]
USERS += ["HOST\\@127.0.0.1", "127.0.0.1\\@HOST", "HOST%40@127.0.0.1"]
SCHEMES = ("http", "ftp", "gopher", "file", "ldap", "dict", "s3", "jar:https", "https:https")
SPELLED = {
    "127.0.0.1": ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "0"],
    "169.254.169.254": ["2852039166", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518"],
}
ROWS = [
    here("nothing is wrong", FETCHED),
    *(
        Row(
            f"the host is an address: {what}",
            hosts(*(f"[{a}]" if ":" in a else a for a in those)),
            NOT_LISTED,
            NOT_PUBLIC,
        )
        for what, those in PRIVATE.items()
    ),
    *(
        Row(f"{address} as a number, in hex, octal, short", hosts(*spelled), NOT_LISTED, NOT_PUBLIC)
        for address, spelled in SPELLED.items()
    ),
    Row(
        "digits and dots of other alphabets",
        hosts(wide("127.0.0.1"), wide("169.254.169.254"), "①②⑦.⓪.⓪.①", "127。0。0。1"),
        NOT_LISTED,
        NOT_PUBLIC,
    ),
    *(
        here(f"the name leads to {address} ({what})", NOT_PUBLIC, names=leads_to(address))
        for what, (address, *_) in PRIVATE.items()
    ),
    here("the name leads to a public and a private address", NOT_PUBLIC, names=leads_to(ADDRESS, "10.0.0.1")),
    here("the name leads to a private and a public address", NOT_PUBLIC, names=leads_to("169.254.169.254", ADDRESS)),
    here("the name leads to a public IPv4 address and ::1", NOT_PUBLIC, names=leads_to(ADDRESS, "::1")),
    here(
        "DNS rebinding: public at first, 169.254.169.254 ever after",
        FETCHED,
        names={HOST: [[ADDRESS], ["169.254.169.254"]]},
    ),
    here("DNS rebinding the other way", NOT_PUBLIC, names={HOST: [["169.254.169.254"], [ADDRESS]]}),
    here("nobody knows the name", UNKNOWN, names={}),
    here("the name has no address", NOT_PUBLIC, names=leads_to()),
    Row("another scheme", [*(f"{scheme}://{HOST}/" for scheme in SCHEMES), METADATA, "javascript:alert(1)"], NOT_PLAIN),
    Row("a port", hosts(*(f"{HOST}:{port}" for port in (80, 22, 6379, 8443, 0, 99_999, -1, "443x"))), NOT_PLAIN),
    Row("the usual port, or none behind the colon", hosts(f"{HOST}:443", f"{HOST}:"), FETCHED),
    Row("a user, or a host that plays one", hosts(*(user.replace("HOST", HOST) for user in USERS)), NOT_PLAIN),
    Row("half an address", ["https://[::1/", "https://::1]/"], NOT_PLAIN, NO_URL),
    Row("no host", ["https:///a.png", "https:/evil.example/", "https:evil.example/"], NOT_PLAIN),
    Row(
        "characters that become /, # or @ when normalised",
        hosts(f"{HOST}\uff0f.evil.example", f"{HOST}\uff03@evil.example", "127.0.0.1\u2100.evil.example"),
        NOT_PLAIN,
        NO_URL,
    ),
    Row(
        "backslash, percent, semicolon in the host",
        hosts(f"{HOST}\\.evil.example", f"{HOST}%2eevil.example", f"{HOST}%00.evil.example", f"{HOST};evil.example"),
        NOT_LISTED,
        UNKNOWN,
    ),
    Row("a null behind an address", hosts("127.0.0.1\0.evil.example"), NOT_PLAIN, NOT_PLAIN),
    Row(
        "a host with an empty label, or one of more than 63 characters",
        hosts("a..evil.example", ".evil.example", f"{'a' * 64}.example", f"{'a' * 5000}.example"),
        NOT_LISTED,
        UNKNOWN,
    ),
    Row(
        "a tab or line's end in the host, which is taken out",
        [f"https://{HOST}\n.evil.example/", "https://evil\t.example/", "https://evil.\rexample/"],
        NOT_LISTED,
        NO_TALK,
    ),
    Row(
        "a tab or line's end elsewhere, which is taken out",
        [f"\thttps://{HOST}/\n", f"ht\ntps://{HOST}/", f"https://{HOST}/a\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1"],
        FETCHED,
    ),
    Row("line's ends in percents, a null in the path", hosts(f"{HOST}/%0d%0aX-Evil:1", f"{HOST}/\0"), FETCHED),
    Row("upper case", [f"HTTPS://{HOST.upper()}/A.PNG"], FETCHED),
    Row("a dot behind the host", hosts(f"{HOST}."), NOT_LISTED, NO_TALK),
    Row(
        "another alphabet, and its punycode",
        hosts("\u0456mages.example.com", "xn--mages-m2e.example.com", "münchen.example", "xn--mnchen-3ya.example"),
        NOT_LISTED,
        NO_TALK,
    ),
    Row(
        "a host that begins or ends like a listed one",
        hosts(f"evil-{HOST}", f"{HOST}.evil.example", "evil-example.com", "example.com.evil.example"),
        NOT_LISTED,
        NO_TALK,
    ),
    Row("a URL within the path", [f"https://{HOST}//127.0.0.1/", f"https://{HOST}/{METADATA}"], FETCHED),
    Row("a path of 60,000 characters", hosts(f"{HOST}/{'a' * 60_000}"), FETCHED),
    Row("a certificate for another host", hosts("evil.example"), NOT_LISTED, NO_TALK),
    *(
        here(f"HTTP {status} to {METADATA}", f"SourceNotFound: HTTP {status}", reply(status, Location=METADATA))
        for status in (301, 302, 307, 308)
    ),
    here("HTTP 302 to the same host", "SourceNotFound: HTTP 302", reply(302, Location=f"https://{HOST}/b.png")),
    here("no HTTP, but another protocol's greeting", NO_TALK, b"220 smtp.example.com ESMTP\r\n"),
    here("a connection that is closed without a word", NO_TALK, b""),
    here("ten megabytes of headers", NO_TALK, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_600_000 + b"\r\n"),
    here(
        "more bytes than a source may have (a provider's picture may)",
        TOO_LARGE,
        reply(200, bytes(MAX_BYTES + 1)),
        FETCHED,
    ),
    here("a body without end", TOO_LARGE, endless),
    here(
        "a body longer than its head says, which is cut there",
        FETCHED,
        reply(200, bytes(MAX_BYTES * 2), Content_Length=10),
    ),
    here("a body shorter than its head says", NO_TALK, reply(200, PNG.content, Content_Length=MAX_BYTES)),
    here("a chunk of 2 to the power of 60 bytes", NO_TALK, CHUNKED + b"1000000000000000\r\nx"),
    here(
        "100 kB of gzip that become 100 MB",
        TOO_LARGE,
        reply(200, gzip.compress(bytes(100_000_000), 1), Content_Encoding="gzip"),
    ),
    here("a body that drips for longer than it may", SLOW, drip(reply(200, Content_Length=99)), seconds=SHORT),
]
ROWS_BY_NAME = {row.what: row for row in ROWS}
SEEN: dict[str, list[str]] = {}


class Patient(Scripted):
    """One that bears with clients which hang up instead of asking, and tells when it has done with one."""

    def __init__(self, context):
        self.done = threading.Semaphore(0)
        super().__init__(context)

    def _answer(self, connection):
        try:
            with contextlib.suppress(ValueError):
                super()._answer(connection)
        finally:
            self.done.release()


class World:
    """What names lead to, the server that stands at every address, and what was done to either."""

    def __init__(self, server):
        self.server, self.place = server, urlsplit(server.url)
        self.names, self.connected, self.looked_up = {}, [], []
        self._look_up, self._connect = socket.getaddrinfo, socket.socket.connect

    def look_up(self, host, port, *_, **__):
        """Find what a name leads to, as the system reads it: in punycode, up to a null. No name is asked of anybody."""
        name = host.encode("idna").decode().partition("\0")[0]
        if name not in self.names:
            return self._look_up(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        self.looked_up.append(name)
        found = self.names[name].pop(0) if len(self.names[name]) > 1 else self.names[name][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    def connect(self, sock, address):
        """Connect to the server instead of any address on port 443."""
        if address[1] == 443:
            self.connected.append(address[0])
            address = (self.place.hostname, self.place.port)
        return self._connect(sock, address)

    def try_out(self, row, attempt):
        """Let a URL be fetched; nobody is connected to but the public address, once, and never with our key."""
        self.names = {name: [list(found) for found in finds] for name, finds in row.names.items()}
        for seen in (self.connected, self.looked_up, self.server.requests):
            seen.clear()
        self.server.answer(row.answer(self.server) if callable(row.answer) else row.answer)
        outcome = attempt()
        for _ in self.connected:
            assert self.server.done.acquire(timeout=LONG)
        assert self.connected == ([] if outcome.startswith(("InvalidRequest", "ValueError")) else [ADDRESS])
        assert len(self.looked_up) <= 1
        for request in self.server.requests:
            assert not {"Authorization", "X-Evil"} & set(request.headers)
        return outcome


@pytest.fixture(scope="module", name="tls")
def _tls(tmp_path_factory):
    """A server with a certificate for HOST, and the path of that certificate."""
    paths = make_certificate(tmp_path_factory.mktemp("tls"), HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*paths)
    server = Patient(context)
    yield server, str(paths[0])
    server.stop()


@pytest.fixture(name="world")
def _world(tls, monkeypatch):
    server, authority = tls
    world = World(server)

    def connect_here(sock, address):
        return world.connect(sock, address)

    trust(monkeypatch, authority)
    monkeypatch.setattr(socket, "getaddrinfo", world.look_up)
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    yield world
    trusted.cache_clear()


@pytest.fixture(scope="module", name="api")
def _api():
    """The server of the provider whose answers name the URLs."""
    server = Scripted()
    yield server
    server.stop()


def told(error):
    """Say what an error is, in the few words of the table."""
    if type(error) is ValueError or isinstance(error, UnicodeError):
        return NO_URL
    assert isinstance(error, VariationError), repr(error)
    if status := re.search(r"answered (HTTP \d+)", error.message):
        return f"{type(error).__name__}: {status[1]}"
    (said,) = [said for part, said in REASONS.items() if part in error.message]
    assert said.startswith(f"{type(error).__name__}: ")
    return said


def as_source(url, row):
    try:
        fetch(url, allowed_hosts=(HOST,), max_bytes=MAX_BYTES, seconds=row.seconds)
    except VariationError as error:
        return told(error)
    return FETCHED


def as_answer(url, row, api):
    """Let a provider answer a URL; whatever is wrong with it, the picture was paid for."""
    api.answer(reply(body={"data": [{"url": url}]}))
    try:
        send(connect(api.base_url), seconds=row.seconds)
    except ProviderFailed as error:
        failure = error
    else:
        return FETCHED
    assert not failure.retryable
    assert KEY not in failure.message
    return told(failure.__cause__)


@pytest.mark.parametrize("what", ROWS_BY_NAME)
def test_a_hostile_url_is_refused_or_leads_to_the_public_address_that_was_checked(world, api, what):
    row = ROWS_BY_NAME[what]
    for url in row.urls:
        assert (url, world.try_out(row, lambda url=url: as_source(url, row))) == (url, row.source)
        assert (url, world.try_out(row, lambda url=url: as_answer(url, row, api))) == (url, row.provider)
    shown = ", ".join(f"`{shortened(url)}`" for url in row.urls)
    if row.urls == hosts(HOST) and row is not ROWS[0]:
        shown = "the same"
    connected = ADDRESS if world.connected else "-"
    SEEN[what] = [what, shown, row.source, row.provider, connected]


def shortened(url):
    text = url.encode("unicode_escape").decode()
    return text if len(text) <= 100 else f"{text[:40]}…{text[-10:]}"


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(drip(CHUNKED + b"ff\r\n"), id="its body"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), id="its headers"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="interim answers"),
        pytest.param(drip(CHUNKED + b"1;"), id="the size of a chunk"),
        pytest.param(drip(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"), id="what is behind its body"),
    ],
)
def test_a_server_that_drips_is_hung_up_on_when_its_time_is_over(world, step):
    row = here("a drip", SLOW, step, seconds=SHORT)

    assert world.try_out(row, lambda: as_source(*row.urls, row)) == SLOW
    assert world.server.dripped < DRIPS


def test_the_document_shows_what_became_of_the_urls():
    heads = ["what is wrong", "URLs", "as a source", "as a provider's picture", "connected to"]
    show_seen("security.md", "urls", heads, SEEN, ROWS_BY_NAME)
