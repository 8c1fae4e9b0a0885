"""The React component in a tiny app that Vite builds from the package as it is published."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Open
from tests.e2e.foreign import site
from tests.process import Server

CLIENT = Path(__file__).parents[2] / "clients" / "js"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CLIENT / "node_modules" / "react").is_dir() or shutil.which("npm") is None,
        reason="needs Node and `npm ci` in clients/js",
    ),
]


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def package() -> None:
    run("npm", "run", "--silent", "package")


@pytest.mark.usefixtures("package")
def test_its_types_are_found_by_the_rules_of_node() -> None:
    rules = (
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--lib",
        "es2022,dom,dom.iterable",
        "--jsx",
        "react-jsx",
    )
    program = "tests/types/library.mts"
    run("npx", "tsc", "--noEmit", "--strict", *rules, "--types", "", "--ignoreConfig", program)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("app", "version"), [("react", "19."), ("react18", "18.")])
def test_the_component_talks(scripted: Server, browse: Open, tmp_path: Path, app: str, version: str) -> None:
    run("npx", "vite", "build", f"tests/{app}", "--base", "./", "--outDir", str(tmp_path), "--emptyOutDir")
    with site(tmp_path) as address, browse(f"{address}/?server={scripted.http}") as page:
        page.get_by_role("button", name="Greet").click()
        page.wait_for_function("window.visavis.told.length === 1")  # it was played to its end
        sound = page.evaluate("window.visavis.avatar.player.stats")
        assert (sound["contextRate"], sound["missing"]) == (24_000, 0)
        expect(page.locator("li").first).to_have_text("user: Hello")
        expect(page.locator("li").nth(1)).to_contain_text("assistant: word1 word2 word3")
        assert page.evaluate("window.visavis.avatar.player.volume") == 0
        page.wait_for_selector("visavis-avatar canvas.visible")
        assert page.evaluate("window.visavis.version").startswith(version)
        assert page.evaluate("window.visavis.asked") == 1, "the token was there before the connection"
