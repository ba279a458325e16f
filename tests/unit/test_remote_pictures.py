"""A URL names a public picture on an allowed host, or nothing is connected to; the connecting is tested in contract."""

import contextlib
import ipaddress
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations import remote_pictures
from variations.errors import InvalidRequest, ProviderFailed, ProviderTimeout, ProviderUnreachable, SourceNotFound
from variations.exchange import Reply
from variations.remote_pictures import check_url, fetch, public_address

from tests.fakes import Clock

HOST = "images.example.com"
ALLOWED = (HOST, "xn--mnchen-3ya.example")


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/a/b.png",
        f"https://{HOST}/a.png?v=1&w=2#part",
        f"https://{HOST}",
        f"https://{HOST}?v=1",
        f"https://{HOST}:443/a.png",
        f"https://{HOST}//other.example/a.png",
        f"https://{HOST}/a@b:c",
        f"https://{HOST.upper()}/a.png",
        f"https://{HOST}/ü b.png",
    ],
)
def test_a_url_of_an_allowed_host_is_taken(url):
    assert check_url(url, ALLOWED) == HOST


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"http://{HOST}/a.png", id="plain http"),
        pytest.param(f"ftp://{HOST}/a.png", id="ftp"),
        pytest.param(f"file://{HOST}/etc/passwd", id="file"),
        pytest.param(f"gopher://{HOST}/", id="gopher"),
        pytest.param(f"//{HOST}/a.png", id="no scheme"),
        pytest.param(f"https:/{HOST}/a.png", id="one slash"),
        pytest.param(f"https:{HOST}/a.png", id="no slash"),
        pytest.param("https:///a.png", id="no host"),
        pytest.param(f"https://{HOST}:80/a.png", id="another port"),
        pytest.param(f"https://{HOST}:6379/a.png", id="the port of a database"),
        pytest.param(f"https://{HOST}:0/a.png", id="port zero"),
        pytest.param(f"https://{HOST}:99999/a.png", id="no port of this world"),
        pytest.param(f"https://{HOST}:https/a.png", id="a port in words"),
        pytest.param(f"https://user@{HOST}/a.png", id="a user"),
        pytest.param(f"https://user:secret@{HOST}/a.png", id="a user with a password"),
        pytest.param(f"https://@{HOST}/a.png", id="an empty user"),
        pytest.param(f"https://{HOST}@evil.example/a.png", id="the host as the user of another"),
        pytest.param(f"https://evil.example@{HOST}/a.png", id="another host as the user"),
        pytest.param("https://[::1/a.png", id="half an IPv6 address"),
        pytest.param(f"https://{HOST}\uff03@evil.example/", id="a character that normalises to #"),
    ],
)
def test_a_url_with_another_scheme_a_port_or_a_user_is_refused(url):
    with pytest.raises(InvalidRequest, match="plain https") as refused:
        check_url(url, ALLOWED)
    assert refused.value.param == "image"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"{HOST}.evil.example",
        f"evil-{HOST}",
        "example.com",
        f"sub.{HOST}",
        f"{HOST}.",
        f".{HOST}",
        f"{HOST}%2eevil.example",
        f"{HOST}%00.evil.example",
        f"{HOST}\\.evil.example",
        "images\u3002example.com",  # an ideographic full stop
        "images.\uff45xample.com",  # a full-width letter
        "\u0456mages.example.com",  # a Cyrillic letter
        "münchen.example",
        "*",
        "localhost",
        "127.0.0.1",
        "2130706433",  # 127.0.0.1 as one number
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00:ec2::254]",
        "metadata.google.internal",
    ],
)
def test_a_host_that_is_not_on_the_list_is_refused_however_it_is_spelled(host):
    with pytest.raises(InvalidRequest, match="AllowedSourceHosts") as refused:
        check_url(f"https://{host}/a.png", ALLOWED)
    assert refused.value.param == "image"


def test_an_empty_list_allows_no_host():
    with pytest.raises(InvalidRequest, match="AllowedSourceHosts"):
        check_url(f"https://{HOST}/", ())


@pytest.mark.parametrize("host", ["evil.example", "cdn.provider.example", HOST])
def test_without_a_list_every_host_is_allowed(host):
    assert check_url(f"https://{host}/a.png", None) == host


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/a.png",
        f"https://{HOST}:8443/a.png",
        f"https://user@{HOST}/a.png",
        "file:///etc/passwd",
        "/a.png",
        "https://evil.example\0x/a.png",
    ],
    ids=["plain http", "another port", "a user", "a file", "a path", "a null in the host"],
)
def test_without_a_list_a_url_must_be_plain_https_all_the_same(url):
    with pytest.raises(InvalidRequest, match="plain https"):
        check_url(url, None)


@pytest.mark.parametrize("blank", ["\n", "\t", "\r", " "])
def test_blanks_around_a_host_name_no_other_host(blank):
    with contextlib.suppress(InvalidRequest):
        assert check_url(f"https://{HOST}{blank}.evil.example/", ALLOWED) in ALLOWED
    with contextlib.suppress(InvalidRequest):
        assert check_url(f"https://evil.example{blank}{HOST}/", ALLOWED) in ALLOWED


@given(st.text(max_size=80))
def test_any_text_is_an_allowed_host_or_refused(text):
    for url in (text, f"https://{text}", f"https://{HOST}{text}", f"https://{text}{HOST}/"):
        with contextlib.suppress(InvalidRequest):
            assert check_url(url, ALLOWED) in ALLOWED


# Addresses


def resolved_to(*addresses):
    return lambda host: list(addresses)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1"])
def test_a_public_address_is_taken(address):
    assert public_address(HOST, resolved_to(address)) == address


PRIVATE = [
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("127.255.255.254", id="the end of loopback"),
    pytest.param("0.0.0.0", id="this host"),
    pytest.param("10.0.0.1", id="private 10"),
    pytest.param("172.16.0.1", id="private 172.16"),
    pytest.param("172.31.255.255", id="the end of private 172.16"),
    pytest.param("192.168.1.1", id="private 192.168"),
    pytest.param("169.254.169.254", id="instance metadata"),
    pytest.param("169.254.170.2", id="task metadata"),
    pytest.param("100.64.0.1", id="carrier NAT"),
    pytest.param("192.0.2.1", id="documentation"),
    pytest.param("198.18.0.1", id="benchmarks"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("239.255.255.250", id="multicast of a site"),
    pytest.param("240.0.0.1", id="reserved"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("::1", id="IPv6 loopback"),
    pytest.param("::", id="IPv6 unspecified"),
    pytest.param("::ffff:127.0.0.1", id="loopback mapped into IPv6"),
    pytest.param("::ffff:a9fe:a9fe", id="metadata mapped into IPv6"),
    pytest.param("2002:7f00:1::", id="loopback by 6to4"),
    pytest.param("2002:a9fe:a9fe::1", id="metadata by 6to4"),
    pytest.param("2001:0:4136:e378:8000:63bf:3fff:fdd2", id="Teredo"),
    pytest.param("fe80::1", id="link local"),
    pytest.param("fe80::1%eth0", id="link local with its interface"),
    pytest.param("fc00::1", id="unique local"),
    pytest.param("fd00:ec2::254", id="instance metadata in IPv6"),
    pytest.param("ff02::1", id="IPv6 multicast"),
    pytest.param("ff0e::1", id="global IPv6 multicast"),
    pytest.param("2001:db8::1", id="IPv6 documentation"),
]
TRANSLATED = [
    pytest.param("64:ff9b::7f00:1", id="loopback by NAT64"),
    pytest.param("64:ff9b::a9fe:a9fe", id="metadata by NAT64"),
    pytest.param("64:ff9b:1::a00:1", id="private by local NAT64"),
    pytest.param("::127.0.0.1", id="loopback compatible with IPv4"),
    pytest.param("::ffff:0:10.0.0.1", id="private translated to IPv6"),
    pytest.param("fec0::1", id="site local"),
]


@pytest.mark.parametrize("address", PRIVATE + [pytest.param(*case.values, id=case.id) for case in TRANSLATED])
def test_an_address_that_is_not_public_is_refused(address):
    with pytest.raises(InvalidRequest, match="not public"):
        public_address(HOST, resolved_to(address))


@pytest.mark.parametrize("private", ["127.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254"])
@pytest.mark.parametrize("private_first", [True, False])
def test_a_host_with_one_public_and_one_private_address_is_refused(private, private_first):
    both = [private, "8.8.8.8"] if private_first else ["8.8.8.8", private]

    with pytest.raises(InvalidRequest, match="not public"):
        public_address(HOST, resolved_to(*both))


def test_a_host_without_an_address_is_refused():
    with pytest.raises(InvalidRequest):
        public_address(HOST, resolved_to())


def test_a_host_that_nobody_knows_is_refused():
    def unknown(host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(InvalidRequest, match="not known") as refused:
        public_address(HOST, unknown)
    assert refused.value.param == "image"


@given(st.ip_addresses(v=4))
def test_a_private_ipv4_address_is_refused_however_ipv6_wraps_it(address):
    if address.is_global and not address.is_multicast:
        return
    sixtofour = ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80) | 1)
    for wrapped in (str(address), f"::ffff:{address}", str(sixtofour)):
        with pytest.raises(InvalidRequest):
            public_address(HOST, resolved_to(wrapped))


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        pytest.param(f"http://{HOST}/", ["8.8.8.8"], id="a wrong URL"),
        pytest.param("https://evil.example/", ["8.8.8.8"], id="a foreign host"),
        pytest.param(f"https://{HOST}/", ["8.8.8.8", "127.0.0.1"], id="a private address"),
    ],
)
def test_what_is_refused_is_not_connected_to(url, addresses):
    """Sockets are off here: a connection would be another error."""
    with pytest.raises(InvalidRequest):
        fetch(url, allowed_hosts=ALLOWED, max_bytes=100, resolve=resolved_to(*addresses))


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "fd00:ec2::254"])
def test_without_a_list_a_host_in_a_private_network_is_not_connected_to(address):
    with pytest.raises(InvalidRequest, match="not public"):
        fetch("https://cdn.example/a.png", allowed_hosts=None, max_bytes=100, resolve=resolved_to(address))


def test_a_host_that_is_not_allowed_is_not_even_looked_up():
    looked_up = []

    with pytest.raises(InvalidRequest):
        fetch("https://evil.example/", allowed_hosts=ALLOWED, max_bytes=100, resolve=looked_up.append)
    assert looked_up == []


# How long it may take


def fetch_by_clock(monkeypatch, failure=None, *, seconds_taken=0.0, **how):
    """Fetch a picture on the clock of a test; return the deadline that the exchange had."""
    clock, deadlines = Clock(1000.0), []

    def exchange(request, deadline, *, read, **_):
        deadlines.append(deadline)
        clock.now += seconds_taken
        if failure:
            raise failure
        read(b"picture")
        return Reply(200, {}, b"")

    monkeypatch.setattr(remote_pictures, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(remote_pictures, "exchange", exchange)
    url = f"https://{HOST}/"
    assert fetch(url, allowed_hosts=None, max_bytes=100, resolve=resolved_to("8.8.8.8"), **how) == b"picture"
    return deadlines[0]


@pytest.mark.parametrize(("how", "deadline"), [({"seconds": 12.0}, 1012.0), ({}, 1010.0)], ids=["said", "by default"])
def test_a_picture_may_take_as_long_as_is_said_or_ten_seconds(monkeypatch, how, deadline):
    assert fetch_by_clock(monkeypatch, **how) == deadline


@pytest.mark.parametrize(
    ("failure", "seconds_taken", "said"),
    [
        pytest.param(ProviderTimeout("It is over."), 0.0, "takes too long", id="a timeout"),
        pytest.param(ProviderUnreachable("No connection."), 10.0, "takes too long", id="no connection until then"),
        pytest.param(ProviderUnreachable("No connection."), 9.0, "could not be fetched", id="no connection"),
        pytest.param(ProviderFailed("It broke off."), 9.0, "could not be fetched", id="half an answer"),
    ],
)
def test_a_picture_that_does_not_come_is_not_found_and_whether_it_took_too_long_is_said(
    monkeypatch, failure, seconds_taken, said
):
    with pytest.raises(SourceNotFound, match=said) as refused:
        fetch_by_clock(monkeypatch, failure, seconds_taken=seconds_taken)
    assert refused.value.param == "image"


def test_a_host_that_no_name_can_be_is_not_known():
    def encode(host):
        return host.encode("idna") and []

    with pytest.raises(InvalidRequest, match="is not known"):
        remote_pictures.public_address("a" * 64 + ".example", encode)
