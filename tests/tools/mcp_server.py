"""A small MCP server: `python mcp_server.py` on standard input and output, with a port over HTTP."""

from __future__ import annotations

import os
import sys

from mcp.server import MCPServer

server = MCPServer("small")


@server.tool()
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


@server.tool()
def confetti() -> str:
    """A name that is taken."""
    return os.environ.get("COLOUR", "grey")


@server.tool(name="dotted.name")
def dotted() -> str:
    raise ValueError("out of order")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
