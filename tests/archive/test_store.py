from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from subak.archive import store
from subak.archive.store import AlreadyThere, ArchiveError, FolderArchive, HttpArchive, NotThere, WrongContent, content_hash, get_checked

SHA = content_hash(b"data").hex()


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    return FolderArchive(tmp_path / "archive")


def test_what_was_put_is_there(archive: FolderArchive) -> None:
    archive.put(f"entries/energy.reading/{SHA}.parquet", b"data")
    archive.put("network.json", b"{}")
    assert archive.get("network.json") == b"{}"
    assert archive.has(f"entries/energy.reading/{SHA}.parquet")
    assert not archive.has("entries")
    assert archive.names() == [f"entries/energy.reading/{SHA}.parquet", "network.json"]
    assert archive.names("entries/energy") == [f"entries/energy.reading/{SHA}.parquet"]
    assert archive.names("entries/energy.reading/") == [f"entries/energy.reading/{SHA}.parquet"]
    assert archive.names("nothing/here") == []
    with pytest.raises(NotThere, match=r"no book/none\.json in"):
        archive.get("book/none.json")
    with pytest.raises(NotThere):
        archive.get("entries")


def test_a_name_keeps_its_content_unless_told_to_replace_it(archive: FolderArchive) -> None:
    archive.put("network.json", b"1")
    archive.put("network.json", b"1")
    with pytest.raises(AlreadyThere, match=content_hash(b"2").hex()):
        archive.put("network.json", b"2")
    archive.put("network.json", b"2", replace=True)
    assert archive.get("network.json") == b"2"


def test_a_file_named_by_its_hash_is_never_rewritten_but_may_be_put_right(archive: FolderArchive) -> None:
    path = f"tables/{SHA}.parquet"
    archive.put(path, b"data")
    with pytest.raises(ValueError, match="never rewritten"):
        archive.put(path, b"other", replace=True)
    with pytest.raises(AlreadyThere):
        archive.put(path, b"other")
    (archive.root / path).write_bytes(b"rotten")
    with pytest.raises(WrongContent, match=f"holds {content_hash(b'rotten').hex()}, expected {SHA}"):
        get_checked(archive, path, bytes.fromhex(SHA))
    archive.put(path, b"data")
    assert get_checked(archive, path, bytes.fromhex(SHA)) == b"data"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a//b",
        "a/",
        ".tmp/x",
        "a/.hidden",
        "a\\b",
        "a\0b",
        "a b",
        "é",
        "x" * 201,
        "/".join("abcdefghi"),
    ],
)
def test_no_name_leads_out_of_the_folder(archive: FolderArchive, path: str) -> None:
    (archive.root.parent / "x").write_bytes(b"secret")
    for ask in (archive.get, archive.has, lambda path: archive.put(path, b"")):
        with pytest.raises(ValueError, match="not a name in an archive"):
            ask(path)
    with pytest.raises(ValueError, match="not a name in an archive"):
        HttpArchive("http://127.0.0.1:9").get(path)


def test_a_write_that_fails_leaves_nothing(archive: FolderArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        archive.put("network.json", b"{}")
    assert archive.names() == []
    assert list((archive.root / ".tmp").iterdir()) == []


def test_size_is_limited(archive: FolderArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.put("long", b"12345")
    monkeypatch.setattr(store, "MAX_FILE_BYTES", 4)
    with pytest.raises(ArchiveError, match="over 4 bytes"):
        archive.get("long")
    with pytest.raises(ArchiveError, match="5 bytes, at most 4"):
        archive.put("longer", b"12345")


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/archive/here": 200, "/archive/long": 200, "/archive/moved": 302}.get(self.path, 404)
        self.send_response(status)
        self.send_header("location", "/archive/here")
        self.send_header("content-length", "4")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"data")

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def base_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/archive/"
        server.shutdown()


def test_an_archive_behind_http_is_read_by_name(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = HttpArchive(base_url)
    assert archive.get("here") == b"data"
    assert archive.has("here")
    assert not archive.has("nowhere")
    with pytest.raises(NotThere):
        archive.get("nowhere")
    with pytest.raises(ArchiveError, match="answered 302"):
        archive.get("moved")
    for refused in (lambda: archive.put("here", b""), archive.names):
        with pytest.raises(ArchiveError):
            refused()
    with pytest.raises(ArchiveError, match=r"took over -1 s"):
        HttpArchive(base_url, seconds=-1).get("here")
    monkeypatch.setattr(store, "MAX_FILE_BYTES", 3)
    with pytest.raises(ArchiveError, match="gave over 3 bytes"):
        archive.get("long")
    archive.close()


def test_a_peer_that_is_away_is_an_archive_error() -> None:
    with pytest.raises(ArchiveError, match=r"GET http://127\.0\.0\.1:9/x"):
        HttpArchive("http://127.0.0.1:9").get("x")
