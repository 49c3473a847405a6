"""The socket that a server listens on."""

from __future__ import annotations

import ipaddress
import socket

from appliance import faults
from appliance.config import Settings
from appliance.errors import ConfigError


def listen(settings: Settings) -> socket.socket:
    """The socket that all workers accept from.

    Bound once, without SO_REUSEPORT: with it a second server would silently share the port.

    Raises:
        ConfigError: the address is not ours, or taken; or others could reach it, and read what is sent there.
    """
    address = settings.listen
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        _require_privacy(settings, str(where[0]))
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        faults.point("start.listen")
        listener.bind(where)
        listener.listen(1024)
    except UnicodeError as error:
        raise ConfigError(setting="listen", problem=f"{address.host} is no name of a host") from error
    except OSError as error:
        raise ConfigError(
            setting="listen", problem=f"{address} cannot be used ({error.strerror}); is another server running there?"
        ) from error
    return listener


def _require_privacy(settings: Settings, host: str) -> None:
    ip = ipaddress.ip_address(host.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or settings.tls_certificate or settings.trusted_proxies or settings.allow_plain_http:
        return
    raise ConfigError(
        setting="listen",
        problem=f"others can reach {settings.listen}, and without TLS their passwords can be read on the way; set "
        "tls_certificate and tls_key (`holdfast tls self-signed` makes both), or trusted_proxies if a proxy with TLS "
        "stands in front, or allow_plain_http: true if nobody else is in that network",
    )
