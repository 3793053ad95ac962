"""Pages that follow from the code, and what other pages say about it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from subak.cli.main import app
from subak.core.kind import Reason
from subak.core.settlement import CORE_REASONS
from subak.kinds.registry import installed

from .rooms import ROOT

GENERATED = "<!-- Made by `python -m tests.house.make_docs`; a test compares it with the code. -->"


def pages() -> Mapping[Path, str]:
    """Every page that follows from the code: path to content."""
    return {ROOT / "docs" / "reasons.md": reasons_page(), ROOT / "docs" / "cli.md": cli_page()}


def reasons_page() -> str:
    """Every reason that a verdict can have."""
    parts = [
        "# Reasons",
        GENERATED,
        "Every line of every Entry that a Book lists gets one verdict: accepted, held or refused, with one of these reasons.\n"
        "A held line is not paid now, and a later one may cover it; a refused line is never paid.\n"
        "Owners read the sentence, programs the name, and the verdict file holds the code.\n"
        "What a verifier does not even take in has other reasons: [intake.md](intake.md).",
        "## Core",
        *_reason_table(CORE_REASONS),
    ]
    for name, kind in sorted(installed().items()):
        parts += [f"## {name}, version {kind.rules.version}", *_reason_table(kind.rules.reasons)]
    return "\n\n".join(parts) + "\n"


def cli_page() -> str:
    """Every command with its arguments and options."""
    parts = [
        "# Commands",
        GENERATED,
        "`make up` and `make test` install `subak` in `.venv/bin`.\n"
        "Exit code 0 means done, 1 that it could not be done or that something differs, 2 that the command line is wrong.",
    ]
    for path, command in commands():
        note = ["Runs inside `subak up`; `subak --help` does not show it."] if command.hidden else []
        rows = [_parameter_row(each) for each in command.params if "--help" not in each.opts]
        parts += [f"## `subak {path}`", str(command.help), *note]
        parts += ["\n".join(["| argument or option | value | meaning |", "|---|---|---|", *rows])] if rows else []
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Each command that does something: its words after ``subak``, and itself. A command is hidden if its group is."""

    def walk(path: str, command: Any, hidden: bool) -> Iterator[tuple[str, Any]]:
        for name, below in getattr(command, "commands", {}).items():
            below.hidden = below.hidden or hidden
            where = f"{path} {name}".strip()
            yield from walk(where, below, below.hidden) if hasattr(below, "commands") else iter([(where, below)])

    yield from walk("", typer.main.get_command(app), False)


def faults_in_commands(text: str) -> list[str]:
    """What is wrong with the ``subak`` commands in a page's shell blocks and code spans: unknown commands or options."""
    known = {path: {option for each in command.params for option in (*each.opts, *each.secondary_opts)} for path, command in commands()}
    faults = []
    for line in _command_lines(text):
        words = [word for word in shlex.split(line, comments=True)[1:] if word not in {"…", "..."}]
        plain = [word for word in words if not word.startswith("-")]
        path = next((path for path in (" ".join(plain[:2]), " ".join(plain[:1])) if path in known), None)
        if path is None and words and words != ["--help"]:
            faults.append(f"{line}: no such command")
        elif path is not None:
            options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
            faults += [f"{line}: subak {path} has no {option}" for option in sorted(options - known[path])]
    return faults


def fenced(text: str, language: str) -> list[str]:
    """The code blocks of a page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def make_targets(text: str) -> set[str]:
    """Targets of ``make`` that a page names in code."""
    code = "\n".join([*re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE), *re.findall(r"`([^`\n]+)`", text)])
    return set(re.findall(r"^make ([a-z]+)", code, re.MULTILINE))


def _command_lines(text: str) -> Iterator[str]:
    for block in (*fenced(text, "sh"), *fenced(text, "")):
        yield from (line.strip() for line in block.splitlines() if re.match(r"\s*subak [a-z-]", line))
    for span in re.findall(r"`(subak [a-z][^`\n]*)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)):
        yield from [] if " | " in span else [span]


def _reason_table(reasons: tuple[Reason, ...]) -> list[str]:
    rows = [f"| {each.code} | `{each.name}` | {each.status.name.lower()} | {each.sentence} |" for each in reasons]
    return ["\n".join(["| code | name | status | what the owner reads |", "|---|---|---|---|", *rows])]


def _parameter_row(parameter: Any) -> str:
    option = parameter.opts[0].startswith("--")
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts)) if option else f"`{parameter.name.upper()}`"
    kind = {"int": "whole number", "str": "text", "Path": "path", "bool": "switch"}[parameter.type_descriptor.annotation.__name__]
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    bounds = f", {least} to {most}" if most is not None else f", from {least}" if least is not None else ""
    if parameter.required:
        default = ", required"
    elif kind == "switch" or parameter.default in (None, Path()):
        default = ""
    else:
        default = f", default {parameter.default}"
    return f"| {names} | {kind}{bounds}{default} | {parameter.help} |"
