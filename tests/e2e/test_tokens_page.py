"""A server that wants tokens: its pages and the sites that it allows get one by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shutil import copy

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Open
from tests.e2e.foreign import site
from tests.e2e.test_page import ask, wait_log
from tests.process import Server, server

from visavis.server.app import STATIC

pytestmark = pytest.mark.browser

PAGE = """<!doctype html>
<script type="module" src="{script}"></script>
<visavis-avatar server="{server}" video="{video}" controls></visavis-avatar>
<script>
  const avatar = document.querySelector('visavis-avatar');
  window.told = [];
  for (const type of ['connection', 'transcript', 'problem'])
    avatar.addEventListener(type, ({{detail}}) => told.push({{type, ...detail}}));
  window.visavis = {{get ready() {{ return told.some(e => ['open', 'closed'].includes(e.status)); }}}};
</script>
"""


@dataclass
class Place:
    server: Server
    allowed: str
    stranger: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folders = tmp_path_factory.mktemp("allowed"), tmp_path_factory.mktemp("stranger")
    with site(folders[0]) as allowed, site(folders[1]) as stranger:
        settings = {
            "AGENT_TYPE": "scripted",
            "VISAVIS_SCRIPTED__SECONDS": "1",
            "AUTH_ENABLED": "true",
            "AUTH_SECRET_KEY": "a key of these tests, long enough",
            "AUTH_ALLOWED_ORIGINS": allowed,
            "AUTH_TOKEN_TTL": "60",
        }
        with server(tmp_path_factory.mktemp("tokens"), **settings) as running:
            theirs = PAGE.format(
                server=running.http, script=f"{running.http}/static/visavis-avatar.js", video=""
            )
            (folders[0] / "index.html").write_text(theirs)
            # The server's script is not for it either; it brings one.
            copy(STATIC / "visavis-avatar.js", folders[1])
            copied = PAGE.format(server=running.http, script="visavis-avatar.js", video="never")
            (folders[1] / "index.html").write_text(copied)
            yield Place(running, allowed, stranger)


def answers(page: Page) -> None:
    ask(page, "Hello")
    wait_log(page, "heard", "!e.interrupted")
    expect(page.locator("#messages")).to_contain_text("word1 word2")


@pytest.mark.parametrize("view", ["webgl", "video"])
def test_the_page_gets_a_token_by_itself(place: Place, browse: Open, view: str) -> None:
    with browse(f"{place.server.http}/?view={view}") as page:
        answers(page)
        expect(page.locator("#notices")).to_be_empty()


def test_a_site_that_is_allowed_talks_and_another_is_told_why_not(place: Place, browse: Open) -> None:
    with browse(f"{place.allowed}/?") as page:
        page.get_by_label("Message").fill("Hello")
        page.keyboard.press("Enter")
        page.wait_for_function("told.some(event => event.type === 'transcript')")
        page.wait_for_selector("visavis-avatar video.visible")
        assert page.evaluate("told.filter(event => event.type === 'problem')") == []

        page.goto(f"{place.stranger}/?")
        page.wait_for_function("window.visavis && window.visavis.ready")
        (closed,) = page.evaluate("told.filter(event => event.status === 'closed')")
        assert "AUTH_ALLOWED_ORIGINS" in closed["reason"]
