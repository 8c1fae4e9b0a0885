"""A page whose conversation is recorded says so, and takes no for an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import PATIENCE, Open
from tests.process import server

pytestmark = pytest.mark.browser


def test_the_page_shows_that_it_is_recorded_until_the_visitor_refuses(browse: Open, tmp_path: Path) -> None:
    settings = {"AGENT_TYPE": "scripted", "VISAVIS_RECORDING__FOLDER": str(tmp_path / "kept")}
    with server(tmp_path, **settings) as running, browse(running.http) as page:
        sign = page.get_by_text("Recorded", exact=False)
        expect(sign).to_be_visible(timeout=PATIENCE)
        page.get_by_role("textbox", name="Message").fill("Keep this.")
        page.keyboard.press("Enter")
        page.wait_for_function("window.visavis.log.some(e => e.type === 'audio_start')")
        page.get_by_role("button", name="Don’t record").click()
        expect(sign).to_be_hidden(timeout=PATIENCE)
        page.get_by_role("textbox", name="Message").fill("Nor this.")
        page.keyboard.press("Enter")
        page.wait_for_function("window.visavis.log.filter(e => e.type === 'audio_start').length > 1")
    assert list((tmp_path / "kept").iterdir()) == []
