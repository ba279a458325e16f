"""Fetch a picture from an https URL without becoming somebody's way into a private network.

A source comes from hosts on the stack's list only, a result from wherever the provider put it; only https on port
443, no redirects. The name is resolved once, every address it
has must be public, and the connection goes to that very address, so a name that changes its mind between check
and use gains nothing.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from .errors import InvalidRequest, ProviderError, ProviderTimeout, SourceNotFound, SourceTooLarge
from .exchange import Request, exchange

FETCH_SECONDS = 10.0
PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")  # IANA IPv6 address space: the global unicast block

Resolve = Callable[[str], list[str]]


def resolve(host: str) -> list[str]:
    """Return every address of a host, as texts."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]


def check_url(url: str, allowed_hosts: Collection[str] | None) -> str:
    """Return the host of a URL that may be fetched; None allows every public host.

    Raises:
        InvalidRequest: another scheme, a port, a user, or a host that is not on the list.
    """
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and parts.port in {None, 443} and "@" not in parts.netloc
    except ValueError:
        plain = False
    if not plain or not parts.hostname or not parts.hostname.isprintable():
        raise InvalidRequest("The URL of the picture must be plain https, without port or user.", param="image")
    if allowed_hosts is not None and parts.hostname not in allowed_hosts:
        raise InvalidRequest(
            f"Pictures are not fetched from {parts.hostname[:100]!r}. The operator lists hosts in AllowedSourceHosts.",
            param="image",
        )
    return parts.hostname


def public_address(host: str, resolve: Resolve) -> str:
    """Return an address of a host all of whose addresses are public.

    Raises:
        InvalidRequest: the name is unknown, or leads into a private network.
    """
    try:
        addresses = resolve(host)
    except (OSError, UnicodeError) as error:
        raise InvalidRequest(f"The host {host} is not known.", param="image") from error
    if not addresses or not all(_is_public(address) for address in addresses):
        raise InvalidRequest(f"The host {host} has an address that is not public.", param="image")
    return addresses[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None) or parsed
    if inner.version == 6 and (inner not in PUBLIC_IPV6 or getattr(inner, "teredo", None)):
        return False  # NAT64 and other ways of writing a private IPv4 address
    return inner.is_global and not inner.is_multicast


def fetch(
    url: str,
    *,
    allowed_hosts: Collection[str] | None,
    max_bytes: int,
    seconds: float = FETCH_SECONDS,
    resolve: Resolve = resolve,
) -> bytes:
    """Fetch a picture.

    Args:
        url: https, of an allowed host.
        allowed_hosts: names, in lower case; None for every host with a public address.
        max_bytes: at which reading stops.
        seconds: how long it may take.
        resolve: from host to addresses.

    Raises:
        InvalidRequest: the URL may not be fetched. SourceNotFound: it could not be.
        SourceTooLarge: more than `max_bytes`.
    """
    host, deadline = check_url(url, allowed_hosts), time.monotonic() + seconds
    request, content = Request(url, {}, address=public_address(host, resolve)), bytearray()
    try:
        status = exchange(request, deadline, read=content.extend, max_bytes=max_bytes).status
    except ProviderError as error:
        if len(content) > max_bytes:
            message = f"The picture at {host} has more than the {max_bytes} bytes that are taken."
            raise SourceTooLarge(message) from error
        if isinstance(error, ProviderTimeout) or time.monotonic() >= deadline:
            raise SourceNotFound(f"{host} takes too long to send the picture.", param="image") from error
        raise SourceNotFound(f"The picture could not be fetched from {host}.", param="image") from error
    if status != 200:
        raise SourceNotFound(f"{host} answered HTTP {status} instead of a picture.", param="image")
    return bytes(content)
