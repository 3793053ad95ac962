"""Where things are, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "subak"
SKIPPED = {"__pycache__", "build", "cache", "node_modules", "out"}
READABLE = {"", ".c", ".css", ".html", ".js", ".md", ".mjs", ".py", ".pyi", ".sol", ".svg", ".toml", ".tree", ".txt"}


def core_and_rules() -> list[Path]:
    """Every source file that must be exact and pure."""
    return [*_python(PACKAGE / "core"), *(path for rules in sorted(PACKAGE.glob("kinds/*/rules")) for path in _python(rules))]


def sources() -> list[Path]:
    """Every Python file of ours that is no test."""
    return [path for folder in ("src", "bench", "contracts", "vectors", "tests/house") for path in _python(ROOT / folder)]


def texts() -> list[Path]:
    """Every file of ours that people read: sources, contracts, pages, set-up; not what is generated from them."""
    folders = ("src", "bench", "tests", "contracts", "vectors", "docs", ".ci", "examples")
    below = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file() and not _skipped(path)]
    tops = [path for path in ROOT.iterdir() if path.is_file() and path.name not in {"uv.lock", "package-lock.json"}]
    return sorted(path for path in (*tops, *below) if path.suffix in READABLE)


def name(path: Path) -> str:
    """The path as people say it."""
    return path.relative_to(ROOT).as_posix()


def _python(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if not _skipped(path))


def _skipped(path: Path) -> bool:
    return any(part in SKIPPED or part.endswith(".egg-info") for part in path.relative_to(ROOT).parts)
