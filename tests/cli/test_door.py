"""The door itself: what it loads, what every command has, and which faults are answers."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from subak.chain.abi import CONTRACTS, Revert, abi
from subak.chain.contracts import ChainRefused
from subak.chain.rpc import RpcError
from subak.cli.faults import EXTRAS, KNOWN_FAULTS, REMEDIES, in_words
from subak.cli.main import COMMANDS, app
from subak.cli.units import Currency, NotReadable, hex_bytes, table

from .paper import door

ROOT = Path(__file__).parents[2]
HEAVY = {
    "polars",
    "numpy",
    "httpx",
    "eth_abi",
    "eth_account",
    "coincurve",
    "msgspec",
    "uvicorn",
    "subak.chain",
    "subak.kinds",
    "subak.archive",
}


def every_command(group: Any, path: str = "subak") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, below in group.commands.items():
        found |= every_command(below, f"{path} {name}") if hasattr(below, "commands") else {f"{path} {name}": below}
    return found


def test_the_table_of_contents_loads_nothing_heavy() -> None:
    program = f"import sys, subak.cli.main; print(sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_every_command_tells_programs_too_and_says_what_its_options_are_for() -> None:
    commands = every_command(typer.main.get_command(app))
    assert len(commands) > 40
    for path, command in commands.items():
        options = {option: each for each in command.params for option in each.opts}
        if not path.startswith("subak lab "):
            assert "--json" in options, path
        assert command.help, path
        assert all(getattr(each, "help", None) for name, each in options.items()), path


def test_help_names_commands_in_the_order_of_the_table() -> None:
    shown = [match[1] for match in re.finditer(r"^│ ([a-z][a-z-]*) ", door("--help").out, re.MULTILINE)]
    assert shown == [name for entries in COMMANDS.values() for name in entries]


def test_host_without_a_word_is_host_run(tmp_path: Path) -> None:
    for words in (("host",), ("host", "run")):
        done = door(*words, "--network", tmp_path / "none.toml", "--config", tmp_path / "none.toml")
        assert done.code == 2
        assert "Invalid value for '--network'" in done.err
    assert "storage" in door("host", "--help").out


@pytest.mark.parametrize("name", sorted(KNOWN_FAULTS))
def test_a_known_fault_is_a_class_that_there_is(name: str) -> None:
    module, _, what = name.rpartition(".")
    found = getattr(importlib.import_module(module), what)
    assert issubclass(found, Exception)
    if module.startswith("subak."):
        assert found.__module__ == module, f"known as {found.__module__}.{found.__qualname__}"


def test_a_remedy_is_for_an_error_that_a_contract_has() -> None:
    assert set(REMEDIES) <= {error.name for name in CONTRACTS for error in abi(name).errors.values()}


def test_an_extra_brings_what_it_says() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    implied = {"uvloop": "uvicorn[standard]"}
    for module, extra in EXTRAS.items():
        assert any(each.startswith(implied.get(module, module)) for each in extras[extra]), module


def test_faults_in_words() -> None:
    refused = ChainRefused("Assets.registerWithProof", Revert("Assets_NoPrecompile", {}))
    assert in_words(refused) == (
        "ChainRefused: Assets.registerWithProof: Assets_NoPrecompile() "
        "(this chain cannot check P-256; leave --with-proof away, the verifiers take the device's own Entry)"
    )
    assert "send it some" in str(in_words(RpcError("eth_estimateGas", -32003, "Insufficient funds for gas * price + value")))
    assert in_words(ModuleNotFoundError("No module named 'zfec'", name="zfec")) == (
        "this needs zfec, which is not installed: pip install 'subak[storage]'"
    )
    assert in_words(ModuleNotFoundError("No module named 'subak.nonsense'", name="subak.nonsense")) is None
    assert in_words(ValueError("a bug")) is None
    assert in_words(KeyError("a bug")) is None
    busy = OSError(98, "Address already in use")
    assert in_words(ExceptionGroup("two tasks", [ExceptionGroup("one", [busy])])) == "OSError: [Errno 98] Address already in use"
    assert in_words(ExceptionGroup("two", [busy, busy])) is None
    assert (
        in_words(FileNotFoundError(2, "No such file or directory", "keys/a.key"))
        == "FileNotFoundError: keys/a.key: No such file or directory"
    )


def test_amounts_are_exact_both_ways() -> None:
    dollar, token, coin = Currency("TUSD", 6), Currency("SUBAK", 18), Currency("WHOLE", 0)
    for currency, text, base in (
        (dollar, "0", 0),
        (dollar, "0.000001", 1),
        (dollar, "1234567.89", 1_234_567_890_000),
        (token, "0.1", 10**17),
        (token, "99999999999999999999.999999999999999999", 10**38 - 1),
        (coin, "7", 7),
    ):
        assert currency.parse(text, "it") == base
        assert currency.plain(base) == text
        assert currency.told(base) == {"base_units": str(base), "units": text, "symbol": currency.symbol}
    assert dollar.parse(" 1.50000000000 ", "it") == 1_500_000, "zeros at the end say nothing more"
    assert dollar.words(1_234_500_000) == "1,234.5 TUSD"
    for text in ("", ".5", "5.", "+1", "-1", "1 000", "1e3", "0x1", "١", "1" * 41, "nan"):
        with pytest.raises(NotReadable, match="it is"):
            dollar.parse(text, "it")


def test_ids_are_read_strictly() -> None:
    assert hex_bytes("0x" + "aB" * 20, 20, "it") == b"\xab" * 20
    for text in ("", "0x", "0x" + "ab" * 19, "0x" + "ab" * 21, "0x" + "ag" * 20, "0x " + "ab" * 20, "ab " * 20):
        with pytest.raises(NotReadable, match="it is"):
            hex_bytes(text, 20, "it")


def test_columns_line_up() -> None:
    assert table(("a", "long"), [("1", "2"), ("333", "4")], frozenset({1})) == "a    long\n1       2\n333     4"
