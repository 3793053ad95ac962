"""Files by name: in a folder, or behind HTTP. What a file is worth is decided by its hash, never by where it came from."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx

MAX_FILE_BYTES = 1 << 30
"""The largest file that is written or read."""
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_PARTS = 8
_SCRATCH = ".tmp"


class ArchiveError(Exception):
    """The archive could not do what was asked."""


class NotThere(ArchiveError):
    """No file has this name."""

    def __init__(self, path: str, place: str) -> None:
        super().__init__(f"no {path} in {place}")
        self.path = path


class AlreadyThere(ArchiveError):
    """A file with this name has other content."""


class WrongContent(ArchiveError, ValueError):
    """A file's bytes are not what its name or its reader promises."""


class Archive(Protocol):
    """Named files. Names are relative, with ``/`` between parts of letters, digits, ``.``, ``_`` and ``-``."""

    def get(self, path: str) -> bytes:
        """The file's bytes. Errors: NotThere; ArchiveError if it is over 1 GiB or cannot be reached."""

    def put(self, path: str, data: bytes, replace: bool = False) -> None:
        """Keeps the bytes under this name, durable on return. Errors: AlreadyThere if it holds others and ``replace`` is not given;
        ValueError for ``replace`` of a name with a hash in it, which stands for one content for good."""

    def has(self, path: str) -> bool:
        """Whether a file has this name."""

    def names(self, prefix: str = "") -> list[str]:
        """Names that start with ``prefix``, sorted."""


def content_hash(data: bytes) -> bytes:
    """SHA-256, 32 bytes; its hex is the name of the file."""
    return hashlib.sha256(data).digest()


def get_checked(archive: Archive, path: str, sha: bytes) -> bytes:
    """The file's bytes, if their SHA-256 is ``sha``. Errors: NotThere, WrongContent naming both hashes."""
    data = archive.get(path)
    found = content_hash(data)
    if found != sha:
        raise WrongContent(f"{path} holds {found.hex()}, expected {sha.hex()}")
    return data


def check_path(path: str) -> str:
    """``path`` itself. Errors: ValueError unless it is a name that an archive may hold."""
    parts = path.split("/")
    if len(parts) > _MAX_PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"not a name in an archive: {path[:300]!r}")
    return path


class FolderArchive:
    """An archive in a folder of this machine. A file appears whole or not at all, also after a power cut."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """``root`` is made if it is not there."""
        self.root = Path(root).absolute()
        self._scratch = self.root / _SCRATCH
        self._scratch.mkdir(parents=True, exist_ok=True)
        _sync_folder(self.root)

    def __repr__(self) -> str:
        return str(self.root)

    def get(self, path: str) -> bytes:
        try:
            with open(self.root / check_path(path), "rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotThere(path, str(self)) from None
        if len(data) > MAX_FILE_BYTES:
            raise ArchiveError(f"{path} in {self} has over {MAX_FILE_BYTES} bytes")
        return data

    def put(self, path: str, data: bytes, replace: bool = False) -> None:
        named_by_hash = _HASH.search(check_path(path)) is not None
        if replace and named_by_hash:
            raise ValueError(f"{path} is named by a hash and never rewritten")
        if len(data) > MAX_FILE_BYTES:
            raise ArchiveError(f"{path} would have {len(data)} bytes, at most {MAX_FILE_BYTES}")
        if not replace and self.has(path):
            held = self.get(path)
            if held == data:
                return
            # A file that rotted on disk may be put right by its own content.
            stem = path.rsplit("/", 1)[-1].split(".", 1)[0]
            if not named_by_hash or content_hash(data).hex() != stem:
                raise AlreadyThere(f"{path} in {self} holds {content_hash(held).hex()}, not {content_hash(data).hex()}")
        self._write(self.root / path, data)

    def has(self, path: str) -> bool:
        return (self.root / check_path(path)).is_file()

    def names(self, prefix: str = "") -> list[str]:
        folder, _, _ = prefix.rpartition("/")
        top = self.root / check_path(folder) if folder else self.root
        found = []
        for place, folders, files in os.walk(top):
            folders[:] = [name for name in folders if _PART.fullmatch(name)]
            inside = Path(place).relative_to(self.root)
            found += [name for file in files if _PART.fullmatch(file) and (name := (inside / file).as_posix()).startswith(prefix)]
        return sorted(found)

    def _write(self, target: Path, data: bytes) -> None:
        missing = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._scratch / secrets.token_hex(16)
        try:
            with open(scratch, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, target)
        except BaseException:
            with suppress(FileNotFoundError):
                scratch.unlink()
            raise
        for folder in (target.parent, *(folder.parent for folder in missing)):
            _sync_folder(folder)


class HttpArchive:
    """Another node's archive, to read. Nothing it answers is trusted: check every file against a hash."""

    def __init__(self, base_url: str, seconds: float = 60.0, client: httpx.Client | None = None) -> None:
        """Files are asked for at ``base_url/<path>``; one may take ``seconds`` in all and 5 s between two pieces."""
        self.base_url = base_url.rstrip("/")
        self._seconds = seconds
        self._client = client or httpx.Client(timeout=httpx.Timeout(5.0), headers={"accept-encoding": "identity"})

    def __repr__(self) -> str:
        return self.base_url

    def get(self, path: str) -> bytes:
        until = time.monotonic() + self._seconds
        url = f"{self.base_url}/{check_path(path)}"
        try:
            with self._client.stream("GET", url) as answer:
                if answer.status_code == 404:
                    raise NotThere(path, str(self))
                if answer.status_code != 200:
                    raise ArchiveError(f"GET {url} answered {answer.status_code}")
                pieces, size = [], 0
                for piece in answer.iter_bytes(1 << 16):
                    size += len(piece)
                    if size > MAX_FILE_BYTES:
                        raise ArchiveError(f"GET {url} gave over {MAX_FILE_BYTES} bytes")
                    if time.monotonic() > until:
                        raise ArchiveError(f"GET {url} took over {self._seconds} s")
                    pieces.append(piece)
        except httpx.HTTPError as error:
            raise ArchiveError(f"GET {url}: {error or type(error).__name__}") from error
        return b"".join(pieces)

    def put(self, path: str, data: bytes, replace: bool = False) -> None:
        raise ArchiveError(f"{self} is only read; {path} was not written")

    def has(self, path: str) -> bool:
        url = f"{self.base_url}/{check_path(path)}"
        try:
            status = self._client.head(url).status_code
        except httpx.HTTPError as error:
            raise ArchiveError(f"HEAD {url}: {error or type(error).__name__}") from error
        if status not in (200, 404):
            raise ArchiveError(f"HEAD {url} answered {status}")
        return status == 200

    def names(self, prefix: str = "") -> list[str]:
        raise ArchiveError(f"{self} gives files by name only; it does not list {prefix!r}")

    def close(self) -> None:
        """Lets its connections go."""
        self._client.close()


def _sync_folder(folder: Path) -> None:
    """Makes names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
