"""Where the other servers reach this one."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from visavis.errors import ConfigurationError
from visavis.settings import Settings

EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - nothing is bound here
REDIS_PORT = 6379


def address_of(settings: Settings, port: int) -> str:
    """The address of a server that listens on `port`; "" when it is one by itself.

    Raises `ConfigurationError` when it cannot be known.
    """
    server, given = settings.server, settings.cluster.address
    if not settings.redis or given:
        return given.rstrip("/")
    if server.ssl_certfile is not None:
        raise ConfigurationError(
            "cluster.address is not set: servers that speak TLS reach each other by a name that is in their "
            "certificate, such as https://one.example.org:8443"
        )
    host = own_address(settings.redis) if server.host in EVERYWHERE else server.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def own_address(redis: str) -> str:
    """This machine's address in the network in which that Redis is. Raises `ConfigurationError`."""
    url = urlsplit(redis)
    if url.scheme == "unix":
        return "127.0.0.1"
    try:
        found = socket.getaddrinfo(url.hostname, url.port or REDIS_PORT, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as line:
            line.connect(address)  # nothing is sent
            return str(line.getsockname()[0])
    except OSError:
        raise ConfigurationError(
            "cluster.address is not set, and the machine of cluster.redis cannot be found; set the address "
            "at which the other servers reach this one, such as http://10.0.0.7:8080"
        ) from None
