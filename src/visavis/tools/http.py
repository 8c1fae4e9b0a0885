"""HTTP calls as tools."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import orjson

from visavis.settings import HttpToolSettings
from visavis.tools.toolbox import LONGEST_REASON, ToolError

LARGEST_RESPONSE = 1 << 20
"""Bytes."""
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ONLY = re.compile(r"\{(\w+)\}\Z")


class HttpTool:
    """Calls one address. The arguments fill the placeholders {name} of its url and body; those that no
    placeholder names become the query of a GET or DELETE, otherwise the fields of a JSON body when none is
    given. Redirects are not followed, so that headers stay where they belong."""

    def __init__(self, settings: HttpToolSettings) -> None:
        self._settings = settings
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._security = ssl.create_default_context()

    async def __call__(self, arguments: dict[str, Any]) -> Any:
        """The response: a JSON value, or its text. Raises `ToolError`."""
        url, content = self._request(arguments)
        headers = self._headers if content is None else {"Content-Type": "application/json", **self._headers}
        try:
            # The time limit is the tool's.
            async with (
                httpx2.AsyncClient(verify=self._security, timeout=None, follow_redirects=False) as client,
                client.stream(self._settings.method, url, headers=headers, content=content) as response,
            ):
                return self._read(response, await _body(response))
        except httpx2.InvalidURL:
            raise ToolError("The arguments make no address.") from None
        except httpx2.HTTPError as error:
            raise ToolError(f"The service cannot be reached ({type(error).__name__}).") from None

    def _request(self, arguments: Mapping[str, Any]) -> tuple[str, bytes | None]:
        url, template = self._settings.url, self._settings.body
        named = {*_PLACEHOLDER.findall(url), *(() if template is None else _placeholders(template))}
        rest = {name: value for name, value in arguments.items() if name not in named}
        address = _PLACEHOLDER.sub(lambda found: _segment(arguments.get(found[1])), url)
        if self._settings.method in ("GET", "DELETE"):
            query = urlencode({name: _text(value) for name, value in rest.items()})
            joint = "&" if "?" in address else "?"
            return (f"{address}{joint}{query}" if query else address), None
        return address, orjson.dumps(rest if template is None else _filled(template, arguments))

    def _read(self, response: httpx2.Response, body: bytes) -> Any:
        text = body.decode(errors="replace")
        if response.is_redirect:
            raise ToolError("The service is at another address now.")
        if not response.is_success:
            reason = self._without_secrets(" ".join(text.split()))[:LONGEST_REASON]
            raise ToolError(f"The service answered {response.status_code}: {reason}".rstrip(": "))
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            return text

    def _without_secrets(self, text: str) -> str:
        for secret in filter(None, self._headers.values()):
            text = text.replace(secret, "(secret)")
        return text


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > LARGEST_RESPONSE:
            raise ToolError("The service answered more than can be read.")
    return bytes(body)


def _segment(value: Any) -> str:
    """A value as a part of an address: it can neither begin a new part nor leave the one it is in."""
    text = _text(value)
    if text in (".", ".."):
        raise ToolError("The arguments make no address.")
    return quote(text, safe="")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _placeholders(template: Any) -> set[str]:
    match template:
        case str():
            return set(_PLACEHOLDER.findall(template))
        case dict():
            return set().union(*map(_placeholders, template.values()))
        case list():
            return set().union(*map(_placeholders, template))
        case _:
            return set()


def _filled(template: Any, arguments: Mapping[str, Any]) -> Any:
    """`template` with its placeholders filled; one that is all of a text becomes the value as it is."""
    match template:
        case str() if only := _ONLY.match(template):
            return arguments.get(only[1])
        case str():
            return _PLACEHOLDER.sub(lambda found: _text(arguments.get(found[1])), template)
        case dict():
            return {name: _filled(value, arguments) for name, value in template.items()}
        case list():
            return [_filled(value, arguments) for value in template]
        case _:
            return template
