"""What comes of an action, in every dialect that has actions."""

from __future__ import annotations

import json

import pytest

from visavis import events as ev
from visavis.audio import Media
from visavis.wires import Wire
from visavis.wires.api import ApiWire
from visavis.wires.widget import WidgetWire


@pytest.mark.parametrize(("wire", "id"), [(WidgetWire("s"), "callId"), (ApiWire("s", Media()), "call_id")])
def test_the_result_of_an_action_finds_its_way_back(wire: Wire, id: str) -> None:
    (told,) = wire.encode(ev.Action("show", {"id": 7}, "c1"), 5)
    call = json.loads(told)[id]
    answer = json.dumps({"type": "action_result", id: call, "result": {"shown": True}})
    assert wire.decode(answer) == [ev.ActionDone("c1", {"shown": True})]
