"""The page as a person meets it: type or speak, be answered and seen, interrupt, lose the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Open
from tests.process import Server
from tests.proxy import proxy

from visavis.arkit import INDEX

pytestmark = [pytest.mark.browser, pytest.mark.models]

KEEP_FRAMES = """() => {
  window.kept = [];
  window.visavis.client.on('frame', frame => window.kept.push(Array.from(frame.weights)));
}"""
KEEP_CAPTIONS = """() => {
  window.seen = [];
  const captions = document.querySelector('#captions');
  const note = () => {
    const position = window.visavis.player.position();
    if (position) window.seen.push([captions.textContent.trim(), position.ms]);
  };
  const everything = {childList: true, subtree: true, characterData: true, attributes: true};
  new MutationObserver(note).observe(captions, everything);
}"""


def log(page: Page, type: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        "type => window.visavis.log.filter(e => e.type === type)", type
    )
    return found


def wait_log(page: Page, type: str, condition: str = "true", count: int = 1) -> list[dict[str, Any]]:
    matches = f"window.visavis.log.filter(e => e.type === type && ({condition}))"
    page.wait_for_function(f"([type, count]) => {matches}.length >= count", arg=[type, count])
    return log(page, type)


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")


def test_a_spoken_question_is_understood_answered_heard_and_seen(
    talker: Server, browse: Open, spoken: Callable[..., Path]
) -> None:
    microphone = spoken(1.0, "What can you do for me?", 30.0)
    with browse(talker.http, microphone) as page:
        page.get_by_role("button", name="microphone").first.click()
        (said,) = wait_log(page, "transcript_done", "e.role === 'user'")[:1]
        assert said["text"].lower().strip("?. ") == "what can you do for me"
        expect(page.locator("#messages")).to_contain_text("do for me", ignore_case=True)
        wait_log(page, "heard")
        answer = wait_log(page, "transcript_done", "e.role === 'assistant'")[-1]
        assert "interrupted" not in answer
        assert len(answer["text"].split()) >= 5
        expect(page.locator("#messages")).to_contain_text(answer["text"])
        curves = page.evaluate("() => window.visavis.curves.filter(c => c.turn >= 0)")
        jaw = [sample["jawOpen"] for sample in curves]
        assert max(jaw) > 0.1, "the mouth opens"
        assert min(jaw) < 0.05, "and closes"
        assert all(sample["mouthClose"] <= sample["jawOpen"] + 1e-3 for sample in curves)
        page.wait_for_function("window.visavis.avatar.weights[24] < 0.03")  # jawOpen, after the end


def test_captions_follow_what_is_heard_and_lips_close_on_p_b_m(talker: Server, browse: Open) -> None:
    with browse(talker.http) as page:
        page.evaluate(KEEP_CAPTIONS)
        page.evaluate(KEEP_FRAMES)
        ask(page, "Tell me a story")
        wait_log(page, "heard")
        words = log(page, "transcript_delta")
        seen = page.evaluate("window.seen")
        assert len(seen) >= 3, "captions move on while the voice is heard"
        for text, ms in seen:
            begun = " ".join(word["text"] for word in words if word["startOffset"] <= ms + 100)
            assert text in begun, "no caption shows a word before it is heard"
        frames = page.evaluate("window.kept")
        closing = [word for word in words if set(word["text"].lower()) & set("pbm")]
        closed = [word for word in closing if lips_meet(frames, word)]
        assert len(closing) >= 5
        assert len(closed) >= 0.9 * len(closing), (closing, closed)
        assert max(jaw_open(frame) for frame in frames) > 0.15


def jaw_open(frame: list[int]) -> float:
    return frame[INDEX["jawOpen"]] / 255


def lips_meet(frames: list[list[int]], word: dict[str, Any]) -> bool:
    """Whether at some frame of the word the closing lips make up for the open jaw."""
    begin, end = word["startOffset"] * 30 // 1000 - 1, word["endOffset"] * 30 // 1000 + 2
    gaps = [jaw_open(frame) - frame[INDEX["mouthClose"]] / 255 for frame in frames[max(0, begin) : end]]
    return min(gaps) < 0.02


def test_the_stop_button_and_key_silence_it_at_once(talker: Server, browse: Open) -> None:
    with browse(talker.http) as page:
        button = page.get_by_role("button", name="Stop speaking")
        silences: list[Callable[[], None]] = [button.click, lambda: page.keyboard.press("Escape")]
        for silence in silences:
            before = len(log(page, "heard"))
            ask(page, "Tell me a story")
            page.wait_for_function("(window.visavis.player.position() || {ms: 0}).ms > 1000")
            silence()
            cut = wait_log(page, "heard", "e.interrupted", before + 1)[-1]
            assert cut["interrupted"]
            assert page.evaluate("window.visavis.player.position()") is None
            done = wait_log(page, "transcript_done", "e.interrupted", before + 1)[-1]
            story = " ".join(
                w["text"] for w in log(page, "transcript_delta") if w["turnId"] == done["turnId"]
            )
            assert story.startswith(done["text"])
            assert done["finalAudioDurationMs"] == pytest.approx(cut["frame"] * 1000 / 30, abs=400)


def test_speaking_to_it_interrupts_it(talker: Server, browse: Open, spoken: Callable[..., Path]) -> None:
    microphone = spoken(1.0, "Tell me a story.", 5.0, "Wait, stop. How old are you?", 40.0)
    with browse(talker.http, microphone) as page:
        page.get_by_role("button", name="microphone").first.click()
        wait_log(page, "interrupt")
        phases = [entry["phase"] for entry in log(page, "barge_in")]
        assert phases[:1] == ["duck"]
        assert "hold" in phases
        questions = wait_log(page, "transcript_done", "e.role === 'user'", 2)
        said = [entry["text"].lower() for entry in questions if entry["role"] == "user"]
        assert "how old are you" in said[1]
        wait_log(page, "heard", "!e.interrupted")


def test_a_lost_line_resumes_with_the_rest_of_the_reply(talker: Server, browse: Open) -> None:
    with proxy(talker.port) as line, browse(f"http://127.0.0.1:{line.port}/") as page:
        ask(page, "Tell me a story")
        page.wait_for_function("(window.visavis.player.position() || {ms: 0}).ms > 1500")
        line.cut()
        wait_log(page, "session", "e.resumed")
        (heard,) = wait_log(page, "heard")
        assert not heard["interrupted"]
        starts = log(page, "audio_start")
        assert len(starts) == 2
        assert starts[0]["turnId"] == starts[1]["turnId"]
        stats = page.evaluate("window.visavis.player.stats")
        assert stats["missing"] == 0
        done = wait_log(page, "transcript_done", "e.role === 'assistant'")[-1]
        assert "interrupted" not in done
        expect(page.locator("#messages")).to_contain_text(done["text"])


def test_the_page_asks_nobody_else_for_anything(talker: Server, browse: Open) -> None:
    with browse(talker.http) as page:
        hosts = page.evaluate("() => performance.getEntriesByType('resource').map(e => new URL(e.name).host)")
        assert set(hosts) == {f"127.0.0.1:{talker.port}"}


def test_without_webgl_the_talk_goes_on_with_a_still_picture(talker: Server, browse: Open) -> None:
    with browse(talker.http, flags=("--disable-3d-apis",)) as page:
        expect(page.locator("#notices")).to_contain_text("3D")
        ask(page, "Hello")
        wait_log(page, "heard")


def test_a_refused_microphone_is_said_in_a_sentence(talker: Server, browse: Open) -> None:
    with browse(talker.http, flags=("--deny-permission-prompts",)) as page:
        page.evaluate(
            """() => { navigator.mediaDevices.getUserMedia =
            () => Promise.reject(new DOMException('no', 'NotAllowedError')); }"""
        )
        page.get_by_role("button", name="microphone").first.click()
        expect(page.locator("#notices")).to_contain_text("microphone", ignore_case=True)
        ask(page, "Hello")
        wait_log(page, "heard")


PAINTED = """() => {
  const canvas = document.querySelector('canvas.confetti');
  if (!canvas) return 0;
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i] > 0) painted++;
  return painted;
}"""


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_who_asks_for_confetti_gets_it(talker: Server, browse: Open, motion: Any) -> None:
    with browse(talker.http) as page:
        page.emulate_media(reduced_motion=motion)
        assert page.evaluate(PAINTED) == 0
        ask(page, "Throw some confetti, please!")
        page.wait_for_function(f"({PAINTED})() > 500")
        (action,) = wait_log(page, "trigger_action")
        assert action["function_name"] == "confetti"
        wait_log(page, "heard")
        page.wait_for_selector("canvas.confetti", state="detached")
