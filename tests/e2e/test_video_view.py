"""The page in its video view: a live stream through MediaSource, or pictures over the socket without it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Open
from tests.e2e.test_page import ask, log, wait_log
from tests.process import Server

pytestmark = pytest.mark.browser

VIDEO = "document.querySelector('video.live')"


def begun(page: Page) -> None:
    page.wait_for_function("(window.visavis.player.position() || {ms: 0}).ms > 400")


def heard_words(page: Page) -> str:
    (done,) = wait_log(page, "transcript_done", "e.role === 'assistant' && !e.interrupted")[-1:]
    return str(done["text"])


def test_without_webgl_video_is_shown_across_turns_and_an_interruption(
    scripted: Server, browse: Open
) -> None:
    with browse(f"{scripted.http}/?view=", flags=("--disable-gpu", "--disable-3d-apis")) as page:
        assert page.evaluate("window.visavis.view") == "video"
        size = page.evaluate(f"[{VIDEO}.videoWidth, {VIDEO}.videoHeight]")
        assert size == [640, 480]
        idle = page.evaluate(f"{VIDEO}.currentTime")
        page.wait_for_function(f"time => {VIDEO}.currentTime > time + 0.4", arg=idle)

        ask(page, "Hello")
        begun(page)
        page.keyboard.press("Escape")
        assert page.evaluate(f"{VIDEO}.volume") == 0, "silent at once"
        (cut,) = wait_log(page, "transcript_done", "e.interrupted")
        page.wait_for_function(f"{VIDEO}.volume === 1 && window.visavis.player.live.stats.jumps > 0")
        expect(page.locator("#messages")).to_contain_text(cut["text"])

        ask(page, "Hello again")
        begun(page)
        wait_log(page, "heard", "!e.interrupted")
        expect(page.locator("#messages")).to_contain_text(heard_words(page))
        said = [entry["role"] for entry in log(page, "transcript_done")]
        assert said == ["assistant", "assistant"], "what was typed is not said twice"
        ranges = page.evaluate(f"[...Array({VIDEO}.buffered.length).keys()].length")
        assert ranges == 1, "one continuous stream"
        assert page.evaluate(f"{VIDEO}.error") is None


def test_webgl_of_the_processor_is_not_used_unless_it_is_asked_for(scripted: Server, browse: Open) -> None:
    with browse(f"{scripted.http}/?view=") as page:
        assert page.evaluate("window.visavis.view") == "video"
        begin: dict[str, Any] = page.evaluate("window.visavis.log.find(e => e.type === 'session')")
        page.get_by_role("button", name="Settings").click()
        expect(page.get_by_role("radiogroup", name="Avatar").get_by_role("radio")).to_have_count(6)
        page.get_by_role("radio", name="Elena").check(force=True)
        expect(page.locator("#name")).to_have_text("Elena")
        whose = "(await (await fetch(`api/v1/sessions/${window.visavis.client.sessionId}`)).json()).avatar"
        page.wait_for_function(f"async () => {whose} === 'elena'")
        assert page.evaluate("window.visavis.client.sessionId") == begin["sessionId"], "in the same session"


def test_without_mediasource_pictures_come_beside_the_sound(scripted: Server, browse: Open) -> None:
    with browse(f"{scripted.http}/face") as page:
        page.add_init_script("delete window.MediaSource")
        page.goto(f"{scripted.http}/?view=video")
        page.wait_for_function("window.visavis && window.visavis.ready")
        page.evaluate(
            """() => {
              window.shown = new Set();
              const picture = document.querySelector('img.live');
              new MutationObserver(() => window.shown.add(picture.src)).observe(picture, {attributes: true});
            }"""
        )
        for answer in range(1, 10):  # a busy machine draws few pictures of an answer of two seconds in time
            ask(page, "Hello")
            wait_log(page, "heard", "!e.interrupted", answer)
            if page.evaluate("window.shown.size") > 5:
                break
        assert page.evaluate("window.shown.size") > 5
        page.wait_for_function("document.querySelector('img.live').naturalWidth === 640")
        expect(page.locator("#messages")).to_contain_text(heard_words(page))
