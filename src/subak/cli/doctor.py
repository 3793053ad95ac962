"""What this machine lacks, and how to get it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass

import msgspec
import typer

from subak.chain.local import LocalChainError, find_anvil


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """What was looked for."""
    fine: bool
    """Whether it is there."""
    found: str
    """What was found."""
    remedy: str = ""
    """What to do if it is not fine."""


def run(json: bool) -> int:
    """Print the findings; 1 if something is missing that the network needs."""
    findings = [_python(), _extension(), _node(), _anvil(), _kinds()]
    if json:
        typer.echo(msgspec.json.encode([asdict(each) for each in findings]).decode())
    else:
        for each in findings:
            mark = "ok     " if each.fine else "MISSING"
            typer.echo(f"{mark} {each.what}: {each.found}" + (f"\n        {each.remedy}" if not each.fine else ""))
    return 0 if all(each.fine for each in findings) else 1


def _python() -> Finding:
    return Finding("Python 3.11 or newer", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11")


def _extension() -> Finding:
    try:
        import subak.core.canon._keccak  # noqa: F401
    except ImportError as error:
        return Finding("fast keccak", True, f"not built ({error}); the slower safe-pysha3 is used")
    return Finding("fast keccak", True, "built")


def _node() -> Finding:
    node = shutil.which("node")
    remedy = "install Node 20 or newer; only contracts and the local chain need it"
    if node is None:
        return Finding("Node 20 or newer", False, "not on PATH", remedy)
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    return Finding("Node 20 or newer", int(version.lstrip("v").split(".")[0] or 0) >= 20, version, remedy)


def _anvil() -> Finding:
    try:
        return Finding("anvil, the local chain", True, str(find_anvil()))
    except LocalChainError as error:
        return Finding("anvil, the local chain", False, "not installed", str(error))


def _kinds() -> Finding:
    from subak.kinds.registry import installed

    names = sorted(installed())
    return Finding(
        "kinds of infrastructure", bool(names), ", ".join(names) or "none", "pip install a package with an entry point subak.kinds"
    )
