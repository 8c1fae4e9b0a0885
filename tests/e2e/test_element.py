"""`<visavis-avatar>` in a page of another origin, from the one script that the server offers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import PATIENCE, Open
from tests.e2e.foreign import site
from tests.process import Server

pytestmark = pytest.mark.browser

PAGE = """<!doctype html>
<script type="module" src="{server}/static/visavis-avatar.js"></script>
<style>visavis-avatar::part(captions) {{ color: rgb(1, 2, 3); }}</style>
<visavis-avatar avatar="mia" controls {attributes}><em>beta</em></visavis-avatar>
<script>
  const avatar = document.querySelector('visavis-avatar');
  window.told = [];
  for (const type of ['connection', 'state', 'transcript', 'turnstart', 'turnend', 'problem'])
    avatar.addEventListener(type, ({{detail}}) => told.push({{type, ...detail}}));
  window.reached = 0, window.shown = '';
  setInterval(() => {{
    reached = Math.max(reached, avatar.player?.position()?.ms ?? 0);
    shown += avatar.shadowRoot?.querySelector('[part=captions]')?.textContent ?? '';
  }}, 50);
  window.visavis = {{get ready() {{ return told.some(e => e.status === 'open'); }}}};
</script>
"""
LOOKS = """() => {
  const pen = new OffscreenCanvas(8, 6).getContext('2d');
  pen.drawImage(avatar.shadowRoot.querySelector('video'), 0, 0, 8, 6);
  return [...pen.getImageData(0, 0, 8, 6).data];
}"""
"""The picture, very small."""
SHORT = "Object.defineProperty(Event.prototype, 'timeStamp', {get: () => 0})"
"""From now on every press is, however long a busy machine takes between its beginning and its end."""
TOLD = "type => told.filter(event => event.type === type)"


def write(folder: Path, server: Server, attributes: str) -> None:
    (folder / "index.html").write_text(PAGE.format(server=server.http, attributes=attributes))


def asks(page: Page) -> None:
    page.get_by_label("Message").fill("Hello")
    page.keyboard.press("Enter")
    page.wait_for_function("reached > 700")
    page.wait_for_function("shown.includes('word1 word2')")
    page.wait_for_function("told.some(event => event.type === 'turnend')")
    page.wait_for_function("told.filter(event => event.type === 'transcript').length > 1")
    asked, said = page.evaluate(TOLD, "transcript")
    assert (asked["role"], asked["text"]) == ("user", "Hello")
    assert said["role"] == "assistant"
    assert said["text"].startswith("word1 word2 word3")
    (start,), (end,) = page.evaluate(TOLD, "turnstart"), page.evaluate(TOLD, "turnend")
    assert start["turnId"] == end["turnId"]
    assert not end["interrupted"]
    assert page.evaluate(TOLD, "problem") == []


def test_it_talks_and_is_drawn_in_a_page_of_another_origin(
    scripted: Server, browse: Open, tmp_path: Path
) -> None:
    write(tmp_path, scripted, 'video="never"')
    with site(tmp_path) as address, browse(f"{address}/?") as page:
        page.wait_for_selector("visavis-avatar canvas.visible")
        asks(page)
        sound = page.evaluate("avatar.player.stats")
        assert sound["contextRate"] == 24_000
        assert sound["missing"] == 0
        assert page.evaluate(
            "getComputedStyle(avatar.shadowRoot.querySelector('[part=captions]')).color"
        ) == ("rgb(1, 2, 3)")
        page.evaluate("avatar.setAttribute('avatar', 'pip')")
        page.wait_for_function(
            "performance.getEntriesByType('resource').some(entry => entry.name.endsWith('pip.glb'))"
        )
        page.evaluate("avatar.remove()")
        page.wait_for_function("avatar.client === null")


def test_it_shows_video_where_the_processor_would_have_to_draw(
    scripted: Server, browse: Open, tmp_path: Path
) -> None:
    write(tmp_path, scripted, "muted")
    with site(tmp_path) as address, browse(f"{address}/?") as page:
        page.wait_for_selector("visavis-avatar video.visible")
        asks(page)
        shown = page.evaluate(
            "(({videoWidth, currentTime, volume}) => [videoWidth, currentTime > 1, volume])"
            "(avatar.shadowRoot.querySelector('video'))"
        )
        assert shown == [640, True, 0]

        page.evaluate(f"window.before = ({LOOKS})()")
        session = page.evaluate("avatar.client.sessionId")
        page.evaluate("avatar.setAttribute('avatar', 'pip')")
        page.wait_for_function(f"({LOOKS})().some((value, k) => Math.abs(value - before[k]) > 60)")
        assert page.evaluate("avatar.client.sessionId") == session, "the conversation goes on"


def test_its_button_is_held_and_tapped(scripted: Server, browse: Open, tmp_path: Path) -> None:
    write(tmp_path, scripted, 'video="never"')
    with site(tmp_path) as address, browse(f"{address}/?") as page:
        page.evaluate("void avatar.client.on('sent', sent => told.push({...sent, type: '> ' + sent.type}))")
        button = page.get_by_role("button", name="Microphone")
        button.focus()
        page.keyboard.down("Space")
        page.wait_for_function("told.some(event => event.type === '> audio_stream_start')")
        page.keyboard.up("Space")
        page.wait_for_function("told.some(event => event.type === '> audio_stream_end')")
        expect(button).to_have_attribute("aria-pressed", "false", timeout=PATIENCE)
        page.evaluate(SHORT)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
        held, *_, tapped = page.evaluate(TOLD, "> audio_stream_start")
        assert held["handsFree"] is False
        assert "handsFree" not in tapped
        button.click()
        page.evaluate("avatar.setAttribute('hold', '')")
        button.click()
        page.wait_for_function("told.filter(event => event.type === '> audio_stream_end').length === 3")
        assert page.evaluate(TOLD, "> audio_stream_start")[-1]["handsFree"] is False
