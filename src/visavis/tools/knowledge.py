"""What is to be known, as a tool: for agents that do not look it up by themselves."""

from __future__ import annotations

from typing import Any

import anyio

from visavis.agents import Library, Tool
from visavis.tools.toolbox import ServerTool, Sourced

LONGEST_QUESTION = 1_000
NOTHING = "Nothing was found. If you do not know it otherwise, say that you do not know."

TOOL = Tool(
    "search_knowledge",
    "Look up facts in the knowledge base of this place. Use it before you answer a question about the place, "
    "and answer from what it returns.",
    {
        "type": "object",
        "properties": {
            "question": {
                "type": "string",
                "maxLength": LONGEST_QUESTION,
                "description": "What is to be found out, as a complete question.",
            }
        },
        "required": ["question"],
        "additionalProperties": False,
    },
)


def search_knowledge(library: Library) -> ServerTool:
    """A tool that finds passages; the reply then cites them."""

    async def run(arguments: dict[str, Any]) -> Any:
        found = await anyio.to_thread.run_sync(library.search, arguments["question"])
        if not found:
            return NOTHING
        return Sourced([{"title": source.title, "text": source.excerpt} for source in found], found)

    return ServerTool(TOOL, run)
