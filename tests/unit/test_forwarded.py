"""What proxies say of a request, and whom it is believed."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from providers.front.forwarded import believe, stands_for_many

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"), ip_network("fd00::/8"))
SAID = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "files.example",
    "HTTP_X_REAL_IP": "203.0.113.66",
}


def believed(peer: str = "10.1.2.3", trusted: tuple[Any, ...] = TRUSTED, **said: str) -> tuple[str, str, str]:
    """Address, scheme and host of a request from ``peer``; none of the headers is left."""
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "inside:8080", **said}
    believe(environ, trusted)
    assert environ.keys() == {"REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST"}
    return environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.0.2.1", "fd12::1", "fd12::1%eth0", "::ffff:10.1.2.3"])
def test_trusted_peer_is_believed(peer: str) -> None:
    """Address, scheme and host."""
    assert believed(peer, **SAID) == ("203.0.113.9", "https", "files.example")


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("192.0.2.2", TRUSTED), ("2001:db8::1", TRUSTED), ("127.0.0.1", TRUSTED), ("10.1.2.3", ()), ("", TRUSTED)],
)
def test_other_peer_is_not_believed(peer: str, trusted: tuple[Any, ...]) -> None:
    """Whatever it sends."""
    assert believed(peer, trusted, **SAID) == (peer, "http", "inside:8080")


@pytest.mark.parametrize(
    ("entries", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.1, 192.0.2.1", "203.0.113.9"),
        ("1.1.1.1,203.0.113.9 ,10.0.0.1", "203.0.113.9"),
        ("rubbish, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, rubbish", "10.1.2.3"),
        ("203.0.113.9, rubbish, 10.0.0.1", "10.1.2.3"),
        ("203.0.113.9,", "10.1.2.3"),
        ("", "10.1.2.3"),
        (",", "10.1.2.3"),
        ("unknown", "10.1.2.3"),
        ("203.0.113.999", "10.1.2.3"),
        ("203.0.113.9\\r\\n", "10.1.2.3"),
    ],
)
def test_client_is_the_last_address_that_is_not_trusted(entries: str, address: str) -> None:
    """What stands before it anybody may have written; what cannot be read is not said."""
    assert believed(HTTP_X_FORWARDED_FOR=entries)[0] == address


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http, https", "https"),
        ("https,http", "http"),
        ("ftp", "http"),
        ("", "http"),
    ],
)
def test_scheme_is_http_or_https(value: str, scheme: str) -> None:
    """The nearest proxy's word counts."""
    assert believed(HTTP_X_FORWARDED_PROTO=value)[1] == scheme


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("files.example:8443", "files.example:8443"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("forged.example, files.example", "files.example"),
        ("https://files.example", "inside:8080"),
        ("u@files.example", "inside:8080"),
        ("files example", "inside:8080"),
        ("files.example:123456", "inside:8080"),
        ("", "inside:8080"),
    ],
)
def test_host_is_an_authority(value: str, host: str) -> None:
    """What is none is not said."""
    assert believed(HTTP_X_FORWARDED_HOST=value)[2] == host


@pytest.mark.parametrize(
    ("share", "is_proxy"),
    [
        ("10.0.0.7", True),
        ("10.1.0.7", False),
        ("2001:db8:0:1::/64", True),
        ("2001:db8:0:2::/64", False),
        ("::1", False),
        ("what", False),
    ],
)
def test_proxy_may_have_any_number_of_connections(share: str, is_proxy: bool) -> None:
    """An address, or the network of an IPv6 one, behind which many people are."""
    trusted = (ip_network("10.0.0.0/24"), ip_network("2001:db8:0:1::5/128"))
    assert stands_for_many(share, trusted) == is_proxy
    assert not stands_for_many(share, ())
