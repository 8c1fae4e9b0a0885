"""What a reply draws on stands below it in the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Open
from tests.e2e.test_page import ask, wait_log
from tests.process import server

pytestmark = [pytest.mark.models, pytest.mark.browser]


def test_a_reply_names_its_source_and_shows_what_it_says(tmp_path: Path, browse: Open) -> None:
    shop = tmp_path / "shop.md"
    shop.write_text(
        "# Mill <b>Bakery</b>\n\n## Opening hours\n\n- Monday to Friday: 7 to 18\n- Sunday: closed"
    )
    settings = {"KNOWLEDGE_BASE_SOURCE": str(shop), "VISAVIS_KNOWLEDGE__CACHE": str(tmp_path / "cache")}
    with server(tmp_path, **settings) as running, browse(running.http) as page:
        ask(page, "When do you open?")
        wait_log(page, "heard")
        sources = page.locator("#messages .sources details")
        expect(sources).to_have_count(1)
        expect(sources.locator("summary")).to_have_text("Mill Bakery: Opening hours")
        expect(sources.locator("p")).to_be_hidden()
        sources.locator("summary").click()
        expect(sources.locator("p")).to_be_visible()
        expect(sources.locator("p")).to_contain_text("Sunday: closed")
        ask(page, "Hello!")
        wait_log(page, "heard", count=2)
        expect(sources).to_have_count(1)
