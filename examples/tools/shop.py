"""Tools for the assistant of a shop; `visavis.yaml` beside this file names them.

cd examples/tools && PYTHONPATH=. VISAVIS_LLM_URL=http://localhost:11434/v1 visavis serve --open
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from visavis.tools.toolbox import ToolError

PRICES = {"apple": 0.5, "bread": 3.2, "cheese": 7.9}


def opening_hours(day: Literal["weekday", "saturday", "sunday"]) -> str:
    """When the shop is open."""
    return {"weekday": "8 to 18", "saturday": "9 to 14", "sunday": "closed"}[day]


async def price(
    product: Annotated[str, Field(description="In the singular, such as apple.")], count: int = 1
) -> dict[str, float]:
    """What some of a product cost, in euros."""
    if product not in PRICES:
        raise ToolError(f"There is no {product}; there are {', '.join(PRICES)}.")
    return {"euros": round(PRICES[product] * count, 2)}
