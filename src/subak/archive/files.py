"""Files that only their owner may read, and names that survive a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_private(path: Path) -> None:
    """A new, empty file of mode 0600, unless there is one; what is there is not opened.

    To open and close the file of an SQLite database would drop the locks that this process holds on it (POSIX advisory locks belong to the
    process, not to the handle), and another process would then take the database apart.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def sync_folder(folder: Path) -> None:
    """Makes the names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
