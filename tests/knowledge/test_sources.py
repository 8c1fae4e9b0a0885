"""Files, folders and web addresses: what is found, what has changed, and what must not hurt."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from visavis.knowledge.sources import Item, Look, open_source
from visavis.knowledge.texts import Unreadable
from visavis.settings import KnowledgeSettings


def looked(source: Path | str, **settings: Any) -> Look:
    look = open_source(KnowledgeSettings(source=str(source), **settings)).look()
    assert look is not None
    return look


def names(look: Look) -> list[str]:
    return [item.name for item in look.items]


# -- files -----------------------------------------------------------------------------------------------
def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "shop.md"
    file.write_text("Bread.")
    source = open_source(KnowledgeSettings(source=str(file)))
    assert source.look() == Look((Item("shop.md", "text", b"Bread."),))
    assert source.look() is None
    file.write_text("Cake..")
    os.utime(file, ns=(1, 1))
    look = source.look()
    assert look is not None
    assert look.items[0].content == b"Cake.."


def test_a_folder_is_read_with_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("a.txt", "b/c/d.html", "b/e.exe", ".git/f.md", ".g.md"):
        (tmp_path / name).write_text(name)
    source = open_source(KnowledgeSettings(source=str(tmp_path)))
    look = source.look()
    assert look is not None
    assert names(look) == ["a.txt", "b/c/d.html"]
    assert source.look() is None
    (tmp_path / "b" / "new.md").write_text("new")
    look = source.look()
    assert look is not None
    assert "b/new.md" in names(look)
    (tmp_path / "a.txt").unlink()
    look = source.look()
    assert look is not None
    assert "a.txt" not in names(look)


def test_links_that_go_round_in_circles_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "self.md").symlink_to(tmp_path / "self.md")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere.md")
    assert names(looked(tmp_path)) == ["a.md"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    with pytest.raises(Unreadable, match="no documents"):
        looked(tmp_path)
    with pytest.raises(Unreadable, match="not a file"):
        looked(tmp_path / "pipe.md")


def test_what_is_too_large_is_left_out_and_the_rest_is_kept(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(1 << 40)  # a file with a hole: a terabyte that takes no room
    (tmp_path / "b.txt").write_text("b")
    look = looked(tmp_path, max_megabytes=1)
    assert names(look) == ["b.txt"]
    assert look.problems == ("a.txt is left out: there would be more than knowledge.max_megabytes.",)


def test_too_many_files_are_counted(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.md").write_text("x")
    look = looked(tmp_path, max_files=3)
    assert names(look) == ["0.md", "1.md", "2.md"]
    assert "more than 3" in look.problems[0]


@pytest.mark.parametrize("name", ["gone.md", "data.bin", "empty"])
def test_a_source_with_nothing_to_read_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.bin").write_bytes(b"\0\1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unreadable, match=name):
        looked(tmp_path / name)


# -- the web -----------------------------------------------------------------------------------------------
class Site(BaseHTTPRequestHandler):
    """Answers by the path that it is asked for."""

    text = "<title>Shop</title><p>We sell bread."
    asked: list[dict[str, str]]

    def do_GET(self) -> None:
        type(self).asked.append(dict(self.headers))
        match self.path.partition("?")[0]:
            case "/shop":
                tag = f'"{hash(self.text)}"'
                if self.headers.get("If-None-Match") == tag:
                    self._answer(304, b"")
                else:
                    self._answer(200, self.text.encode(), ETag=tag)
            case "/untagged":
                self._answer(200, self.text.encode())
            case "/moved":
                self._answer(302, b"", Location="/shop")
            case "/circle":
                self._answer(302, b"", Location="/circle")
            case "/local":
                self._answer(302, b"", Location="file:///etc/passwd")
            case "/bomb":
                self._answer(200, gzip.compress(bytes(64 << 20)), **{"Content-Encoding": "gzip"})
            case "/binary":
                self._answer(200, b"\0", kind="application/octet-stream")
            case "/endless":
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    self.close_connection = True
            case _:
                self._answer(404, b"")

    def _answer(
        self, status: int, body: bytes, kind: str = "text/html; charset=utf-8", **headers: str
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def website() -> Iterator[tuple[str, type[Site]]]:
    site = type("OneSite", (Site,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), site)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_address_is_asked_only_for_what_is_new() -> None:
    with website() as (url, site):
        source = open_source(KnowledgeSettings(source=f"{url}/shop"))
        look = source.look()
        assert look is not None
        assert look.items == (Item("shop", "html", site.text.encode(), f"{url}/shop", "utf-8"),)
        assert source.look() is None
        assert "If-None-Match" in site.asked[-1]
        site.text = "<p>We sell cake."
        look = source.look()
        assert look is not None
        assert look.items[0].content == b"<p>We sell cake."


def test_the_same_page_again_is_no_change_without_a_tag() -> None:
    with website() as (url, _):
        source = open_source(KnowledgeSettings(source=f"{url}/untagged"))
        assert source.look() is not None
        assert source.look() is None


def test_moved_pages_are_followed_and_secrets_in_an_address_are_not_shown() -> None:
    with website() as (url, site):
        address = url.replace("http://", "http://user:secret@") + "/moved?token=secret"
        (item,) = looked(address).items
        assert item.content == site.text.encode()
        assert item.url == f"{url}/moved"
        assert "secret" not in repr(item)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/circle", "cannot be fetched"),
        ("/local", "cannot be fetched"),
        ("/bomb", "more than 1 MiB"),
        ("/endless", "more than 1 MiB"),
        ("/binary", "neither Markdown"),
        ("/gone", "404"),
    ],
)
def test_hostile_addresses(path: str, reason: str) -> None:
    with website() as (url, _), pytest.raises(Unreadable, match=reason) as raised:
        looked(f"{url}{path}?key=secret", max_megabytes=1)
    assert "secret" not in str(raised.value)


def test_an_address_where_nobody_is() -> None:
    with website() as (url, _):
        pass
    with pytest.raises(Unreadable, match="cannot be fetched"):
        looked(url, timeout_seconds=2)
