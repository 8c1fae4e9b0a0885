"""A real server with the real models, a real headless Chromium, and our own voice as its microphone."""

from __future__ import annotations

import shutil
import wave
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright
from tests.process import Server, server

from visavis.settings import Settings
from visavis.stages import TextToSpeech, tts_hibari

FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
PATIENCE = 120_000
"""Milliseconds a page may take on a busy machine without a GPU."""

COARSE = "Object.defineProperty(window, 'devicePixelRatio', {value: 0.5});"
"""A quarter of the pixels: the processor that draws WebGL here is also the one that talks."""
KEEP_VIOLATIONS = """
window.violations = [];
document.addEventListener('securitypolicyviolation', event => violations.push(event.effectiveDirective));
"""

Open = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("talker")) as started:
        yield started


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It needs no models, and other pages may use it."""
    folder = tmp_path_factory.mktemp("scripted")
    with server(
        folder, AGENT_TYPE="scripted", VISAVIS_SCRIPTED__SECONDS="2", AVATAR_CORS_ORIGINS="*"
    ) as started:
        yield started


@pytest.fixture(scope="session")
def voice() -> TextToSpeech:
    return tts_hibari.load(Settings())


@pytest.fixture(scope="session")
def spoken(voice: TextToSpeech, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A WAV file of sentences and pauses (seconds): what somebody says into the microphone."""
    folder = tmp_path_factory.mktemp("spoken")

    def make(*parts: str | float) -> Path:
        noise = np.random.default_rng(0)
        sound = [
            np.frombuffer(voice(part).pcm, "<i2")
            if isinstance(part, str)
            else noise.normal(0, 12, int(part * voice.rate)).astype("<i2")
            for part in parts
        ]
        path = folder / f"{abs(hash(parts))}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(voice.rate)
            file.writeframes(np.concatenate(sound).tobytes())
        return path

    return make


def wait_until(page: Page, expression: str) -> None:
    """Until it is true, without eval in the page."""
    for _ in range(PATIENCE // 50):
        if page.evaluate(f"Boolean({expression})"):
            return
        page.wait_for_timeout(50)
    raise TimeoutError(expression)


@pytest.fixture(scope="session")
def browse() -> Open:
    """Open a page in a browser of its own, with a WAV file as its microphone."""
    executable = next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )

    @contextmanager
    def opened(
        url: str, microphone: Path | None = None, flags: tuple[str, ...] = (), csp: bool = False
    ) -> Iterator[Page]:
        # The processor draws WebGL here; without being asked to, the page would show video.
        heard = [f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=executable, headless=True, args=[*FLAGS, *flags, *heard]
            )
            # Playwright waits for functions with eval, which the page's policy forbids.
            page = browser.new_page(viewport={"width": 960, "height": 640}, bypass_csp=not csp)
            page.add_init_script(COARSE)
            page.add_init_script(KEEP_VIOLATIONS)
            page.set_default_timeout(PATIENCE)
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(url if "?" in url else f"{url}?view=webgl")
            wait_until(page, "window.visavis && window.visavis.ready")
            yield page
            assert not problems, problems
            browser.close()

    return opened
