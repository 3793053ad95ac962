"""Writes the pages that follow from the code: ``python -m tests.house.make_docs`` in the project's folder."""

from __future__ import annotations

from .documents import pages
from .rooms import name

if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
        print(name(path))
