"""The page `/face`: a recording is dropped, a head speaks it, its curves are seen, scrubbed and saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Open
from tests.process import Server

from visavis import Track
from visavis.arkit import INDEX

pytestmark = [pytest.mark.browser, pytest.mark.models]

JAW = f"recording.curves[{INDEX['jawOpen']}]"
SENTENCE = "My mum bought a big apple pie."
DROP = """async ([name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name));
  const drop = new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true});
  document.querySelector('main').dispatchEvent(drop);
}"""
KEEP = """() => {
  window.kept = [];
  const note = () => {
    const {playback, avatar} = window.visavis;
    if (playback.playing) window.kept.push([playback.frame, avatar.weights[24]]);
    requestAnimationFrame(note);
  };
  note();
}"""
"""Which frame is heard and how far the jaw on the screen is open, as often as it is drawn."""
INK = """() => [...document.querySelectorAll('.line canvas')].slice(0, 5).map(canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, index) => index % 4 === 3 && value > 0).length;
})"""


def look(page: Page, expression: str) -> Any:
    return page.evaluate(f"window.visavis.{expression}")


def wait(page: Page, condition: str) -> None:
    page.wait_for_function(f"(({{recording, playback, avatar}}) => {condition})(window.visavis)")


def drop(page: Page, file: Path, name: str = "clip.wav") -> None:
    page.evaluate(DROP, [name, list(file.read_bytes())])


def at_rest(page: Page) -> None:
    """Stopped, with the frame under the playhead on the screen."""
    wait(page, "!playback.playing")
    wait(page, "Math.abs(avatar.weights[24] - recording.curves[24][playback.frame]) < 0.002")


def test_a_dropped_recording_is_spoken_and_its_curves_are_drawn(
    talker: Server, browse: Open, spoken: Callable[..., Path]
) -> None:
    with browse(f"{talker.http}/face") as page:
        page.evaluate(KEEP)
        expect(page.get_by_role("button", name="Play")).to_be_disabled()
        drop(page, spoken(SENTENCE))
        wait(page, "recording && playback.frame > 10")
        expect(page.locator("#file")).to_have_text("clip.wav")
        expect(page.locator(".line")).to_have_count(52)
        expect(page.locator(".line:not(.quiet-line)").filter(has_text="jawOpen")).to_be_visible()
        assert min(page.evaluate(INK)) > 0, "the most active curves are drawn"
        wait(page, "!playback.playing")
        jaw = look(page, JAW)
        seen = page.evaluate("window.kept")
        heard = [jaw[frame] for frame, _ in seen[:-1]]  # what is drawn follows what is heard
        assert max(weight for _, weight in seen) > 0.5 * max(*heard, 0.1), "the jaw moves"
        expect(page.locator("#status")).to_contain_text("net")


def test_scrubbing_and_stepping_show_other_frames(
    talker: Server, browse: Open, spoken: Callable[..., Path]
) -> None:
    with browse(f"{talker.http}/face") as page:
        drop(page, spoken(SENTENCE))
        wait(page, "recording && playback.playing")
        page.get_by_role("button", name="Pause").click()
        jaw = look(page, JAW)
        widest = jaw.index(max(jaw))
        wave = page.get_by_role("slider", name="Position")
        box = wave.bounding_box()
        assert box is not None
        seconds = look(page, "recording.seconds")
        page.mouse.click(
            box["x"] + box["width"] * (widest + 0.5) / 30 / seconds, box["y"] + box["height"] / 2
        )
        wait(page, f"Math.abs(playback.frame - {widest}) <= 1")
        at_rest(page)
        assert look(page, "avatar.weights[24]") > 0.1
        frame = look(page, "playback.frame")
        page.keyboard.press("ArrowRight")
        wait(page, f"playback.frame === {frame + 1}")
        page.keyboard.press("ArrowLeft")
        wait(page, f"playback.frame === {frame}")
        wave.focus()
        page.keyboard.press("End")
        wait(page, f"playback.frame === {len(jaw) - 1}")
        at_rest(page)
        expect(page.locator("#clock")).to_contain_text(f"frame {len(jaw) - 1}")
        page.keyboard.press("Home")
        wait(page, "playback.frame === 0")
        page.keyboard.press("Space")
        wait(page, "playback.playing && playback.frame > 3")


def test_the_face_is_saved_as_files(
    talker: Server, browse: Open, spoken: Callable[..., Path], tmp_path: Path
) -> None:
    with browse(f"{talker.http}/face") as page:
        page.set_input_files("#chooser", spoken(SENTENCE))
        wait(page, "recording")
        for title, suffix in {"Live Link Face": "csv", "Track JSON": "json", "Animated head": "glb"}.items():
            page.get_by_role("button", name="Export").click()
            with page.expect_download() as download:
                page.get_by_role("button", name=title).click()
            path = tmp_path / f"face.{suffix}"
            download.value.save_as(path)
            assert download.value.suggested_filename.endswith(f".{suffix}")
            assert path.stat().st_size > 10_000
        saved = Track.load(tmp_path / "face.json")
        shown = look(page, JAW)
        assert saved.weights[:, INDEX["jawOpen"]].tolist() == pytest.approx(shown, abs=1e-4)


def test_other_engines_and_rates_are_a_choice_and_a_refusal_keeps_what_is_shown(
    talker: Server, browse: Open, spoken: Callable[..., Path], tmp_path: Path
) -> None:
    with browse(f"{talker.http}/face") as page:
        drop(page, spoken(SENTENCE))
        wait(page, "recording")
        page.get_by_label("Engine").select_option("energy")
        wait(page, "recording.answer.engine === 'energy'")
        page.get_by_label("Frames a second").select_option("60")
        wait(page, "recording.fps === 60")
        page.get_by_label("Engine").select_option("wav2arkit")
        expect(page.get_by_role("alert")).to_contain_text("needs a model")
        expect(page.get_by_label("Engine")).to_have_value("energy")
        notes = tmp_path / "notes.txt"
        notes.write_text(json.dumps("not a sound"))
        drop(page, notes, "notes.txt")
        expect(page.get_by_role("alert")).to_contain_text("notes.txt is not an audio or video file")
        expect(page.locator("#file")).to_have_text("clip.wav")
        assert look(page, "recording.fps") == 60
