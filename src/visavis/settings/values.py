"""What settings are made of: checked addresses, lists, secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from visavis.cast import Cast
from visavis.security.addresses import check_network
from visavis.security.origins import check_pattern
from visavis.security.tokens import SHORTEST_KEY
from visavis.security.users import check_hash


def web_address(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("must be a web address, such as http://localhost:11434/v1")
    return url


def socket_address(url: str) -> str:
    if url and not url.startswith(("ws://", "wss://")):
        raise ValueError("must be the address of a WebSocket, such as ws://localhost:9000")
    return url


HomePath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path in which ~ is the user's home."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def of_the_cast(name: str) -> str:
    cast = Cast(name)
    return cast.first if cast.own is None else name


def listed(value: Any) -> Any:
    """In an environment variable a list is written with commas, or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def named(value: Any) -> Any:
    """In an environment variable users are `name:hash`, between spaces, or JSON: a hash has commas in it."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [pair.partition(":") for pair in value.split()]
    return {name: given for name, _, given in pairs}


def check_secret(secret: SecretStr) -> SecretStr:
    check_hash(secret.get_secret_value())
    return secret


def check_key(secret: SecretStr) -> SecretStr:
    if 0 < len(secret.get_secret_value().encode()) < SHORTEST_KEY:
        raise ValueError(
            f"must have at least {SHORTEST_KEY} characters, such as `openssl rand -hex 32` gives"
        )
    return secret


def redis_address(secret: SecretStr) -> SecretStr:
    if secret and not secret.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must be the address of a Redis server, such as redis://localhost:6379/0")
    return secret


Origins = Annotated[tuple[Annotated[str, AfterValidator(check_pattern)], ...], BeforeValidator(listed)]
"""Web pages by scheme, host and port; `https://*.example.org` is every subdomain, `*` is every page."""


Networks = Annotated[tuple[Annotated[str, AfterValidator(check_network)], ...], BeforeValidator(listed)]


Key = Annotated[SecretStr, AfterValidator(check_key)]


Users = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[^\s:]{1,64}$")], Annotated[SecretStr, AfterValidator(check_secret)]
    ],
    BeforeValidator(named),
]
