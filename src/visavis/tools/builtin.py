"""The tools that every agent has."""

from __future__ import annotations

from visavis.tools import Tool
from visavis.tools.toolbox import ClientTool

CONFETTI = ClientTool(
    Tool("confetti", "Let confetti rain on the user's screen. Use it to celebrate something together.")
)

BUILT_IN = (CONFETTI,)
