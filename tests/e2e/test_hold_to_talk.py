"""The microphone's button, tapped and held; and the way to the page `/face` and back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Open
from tests.e2e.test_page import wait_log
from tests.process import Server

pytestmark = pytest.mark.browser


def test_a_held_button_keeps_the_turn_and_a_tapped_one_does_not(scripted: Server, browse: Open) -> None:
    with browse(f"{scripted.http}/?view=video") as page:
        button = page.locator("#microphone")
        button.hover()
        page.mouse.down()
        (held,) = wait_log(page, "> audio_stream_start")
        assert held["handsFree"] is False
        page.mouse.up()
        wait_log(page, "> audio_stream_end")
        expect(button).to_have_attribute("aria-pressed", "false")

        button.click()
        tapped = wait_log(page, "> audio_stream_start", count=2)[-1]
        assert "handsFree" not in tapped
        expect(button).to_have_attribute("aria-pressed", "true")

        page.get_by_role("button", name="Settings").click()
        page.get_by_role("link", name="Animate a recording").click()
        page.wait_for_url("**/face")
        page.get_by_role("link", name="Talk").click()
        page.wait_for_url(f"{scripted.http}/")
