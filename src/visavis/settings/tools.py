"""What an agent can do besides talking."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from visavis.settings.values import Section, web_address


class HttpToolSettings(Section):
    """A tool that is an HTTP call; {name} in `url` and `body` stands for an argument."""

    url: Annotated[str, Field(pattern=r"^https?://[^/?#{}\s]+([/?#]\S*)?$")]
    """An argument may stand in the path and in the query, not in the host."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    body: Any = None
    """JSON; without it a POST, PUT or PATCH sends the arguments."""


class ToolSettings(Section):
    """Something that the agent can do besides talking (docs/tools.md): in the client, or on the server as an
    HTTP call or a function in Python."""

    enabled: bool = True
    where: Literal["client", "server"]
    description: str = Field("", max_length=2000)
    """When to use it and what it does, for the model."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """JSON Schema of the arguments, an object; of a function in Python it is read from the type hints."""
    returns: bool = False
    """The model waits for what comes of it in the client."""
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    python: str = ""
    """`module:function`."""
    http: HttpToolSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _place(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "where" in given:
            return given
        return {**given, "where": "server" if given.get("python") or given.get("http") else "client"}

    @model_validator(mode="after")
    def _runs_somewhere(self) -> ToolSettings:
        ways = bool(self.python) + (self.http is not None)
        if ways != (self.where == "server"):
            raise ValueError("must have where: client, or one of python and http")
        if self.returns and self.where == "server":
            raise ValueError("must not have returns: what runs on the server always returns")
        return self


class McpServerSettings(Section):
    """A server that speaks the Model Context Protocol: a program started here, or a web address."""

    command: tuple[str, ...] = ()
    """The program and its arguments; it is spoken to over its standard input and output."""
    env: dict[str, SecretStr] = Field(default_factory=dict)
    url: Annotated[str, AfterValidator(web_address)] = ""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    """Longest time for connecting, and for each use of a tool."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> McpServerSettings:
        if bool(self.command) == bool(self.url):
            raise ValueError("must have one of command and url")
        return self
