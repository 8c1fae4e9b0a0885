"""Tools in a configuration file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from visavis import events as ev
from visavis.configuration import explain, load_settings
from visavis.errors import ConfigurationError
from visavis.settings import Settings
from visavis.tools import declared
from visavis.tools.toolbox import Toolbox


def written(folder: Path, text: str) -> Settings:
    (folder / "visavis.yaml").write_text(text, encoding="utf-8")
    return load_settings({}, None, {"KEY": "sk-hidden"}, folder)


def names(toolbox: Toolbox) -> list[str]:
    return [tool.name for tool in toolbox.declared]


def test_confetti_is_there_unless_it_is_switched_off(tmp_path: Path) -> None:
    assert names(declared.load(Settings())) == ["confetti"]
    assert names(declared.load(written(tmp_path, "tools: {confetti: {enabled: false}}"))) == []


FILE = """
tools:
  show_product:
    description: Show a product.
    parameters: {type: object, properties: {id: {type: integer}}, required: [id]}
    returns: true
    timeout_seconds: 60
  weather:
    http: {url: "https://weather.example/{city}", headers: {Authorization: "Bearer ${KEY}"}}
    parameters: {type: object, properties: {city: {type: string}}}
  join: {python: "os.path:basename"}
"""


def test_each_kind_is_read(tmp_path: Path) -> None:
    settings = written(tmp_path, FILE.replace("os.path:basename", "tests.tools.test_functions:weather"))
    toolbox = declared.load(settings)
    assert names(toolbox) == ["confetti", "show_product", "weather", "join"]
    product, weather, join = toolbox.declared[1:]
    assert product.parameters["required"] == ["id"]
    assert weather.description == ""
    assert (join.description, join.parameters["required"]) == ("The weather in a city.", ["city"])
    assert settings.tools["show_product"].where == "client"
    assert settings.tools["weather"].where == settings.tools["join"].where == "server"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    settings = written(tmp_path, FILE)
    assert "sk-hidden" not in repr(settings)
    shown = {line.key: line.shown for line in explain({}, None, {"KEY": "sk-hidden"}, tmp_path)}
    assert shown["tools"] == "show_product, weather, join"


@pytest.mark.parametrize(
    ("tool", "complaint"),
    [
        ("{where: server}", "tools.it must have where: client, or one of python and http"),
        ("{where: client, python: 'a:b'}", "tools.it must have where: client, or one of python and http"),
        (
            "{python: 'a:b', http: {url: 'http://a/'}}",
            "tools.it must have where: client, or one of python and http",
        ),
        ("{http: {url: 'http://{host}/'}}", "tools.it.http.url must match pattern"),
        ("{http: {url: 'file:///etc'}}", "tools.it.http.url must match pattern"),
        (
            "{http: {url: 'http://a/', headers: {X: [sk-hidden]}}}",
            "tools.it.http.headers.X must be a valid string",
        ),
        ("{python: 'a:b', returns: true}", "tools.it must not have returns"),
        ("{timeout_seconds: 0}", "tools.it.timeout_seconds must be greater than 0"),
        ("{descripton: x}", "tools.it.descripton"),
        ("5", "tools.it"),
    ],
)
def test_a_mistake_names_its_key_and_no_secret(tmp_path: Path, tool: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        written(tmp_path, f"tools: {{it: {tool}}}")
    assert f"visavis.yaml: {complaint}" in str(caught.value)
    assert "sk-hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{it: {python: 'no.such:thing'}}", "tools.it: .* needs the module"),
        ("{it: {python: 'os:nothing'}}", "tools.it: .* has no function"),
        ("{'a b': {}}", "tools.a b: .* needs a name"),
        ("{it: {parameters: {type: objekt}}}", "tools.it: .* no JSON Schema"),
    ],
)
def test_a_tool_that_cannot_be_made_stops_the_start(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        declared.load(written(tmp_path, f"tools: {text}"))


def test_the_built_in_tool_can_be_described_anew(tmp_path: Path) -> None:
    toolbox = declared.load(written(tmp_path, "tools: {confetti: {description: Only on birthdays.}}"))
    (tool,) = toolbox.declared
    assert tool.description == "Only on birthdays."


def test_the_example_works(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[2] / "examples" / "tools"
    monkeypatch.syspath_prepend(folder)
    toolbox = declared.load(load_settings({}, None, {}, folder))
    assert names(toolbox) == ["confetti", "opening_hours", "price", "show_product"]

    async def nobody(action: ev.Action) -> None:
        raise AssertionError("it runs on the server")

    async def use(name: str, **arguments: object) -> ev.ToolResult:
        return await toolbox.perform(ev.ToolCall("c", name, arguments), nobody)

    assert asyncio.run(use("opening_hours", day="sunday")).output == "closed"
    assert asyncio.run(use("price", product="apple", count=3)).output == '{"euros":1.5}'
    assert (
        asyncio.run(use("price", product="car")).output == "There is no car; there are apple, bread, cheese."
    )
