"""``network.toml``: one deployment in one file, for deploy, nodes, simulator and projections alike.

Without ``[contracts]`` it is a founder's plan; with it, a deployed network. Amounts of token stand as strings because TOML promises only
64 bits; a reader takes both. Addresses and hashes are 0x hex.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from subak.chain.deploy import Plan
from subak.chain.seams import SeamPlan
from subak.core.nouns.document import convert
from subak.core.nouns.network import Network

_EXACT = 2**63
_COMMENTS = {
    "clock": "Seconds. Epoch 0 begins at genesis.",
    "contracts": "Where the contracts are; a plan has none.",
    "nodes": "Where to reach the network. Nothing these say is trusted.",
    "existing": "What was there before the network: an ERC-20, an ERC-721 and who decides.",
    "token": "In the token's smallest unit, 10^-18. The allocation exists from genesis.",
    "schedule": "What an epoch of each period may mint, and the breaker: how much at once, how fast it refills.",
    "budget": "What an epoch of each period may pay out of the vault, in the token's smallest unit.",
    "pools": "Each pool's share of every epoch's budget, in basis points.",
    "verifiers": "Who signs from epoch 0, and how much each weighs.",
    "stake": "Verifiers' bonds.",
    "sales": "What customers pay in, in its smallest unit, and the share that is burned or goes to the treasury.",
    "governance": "How members decide: seconds, per cent of all votes, votes that a proposer needs.",
    "challenges": "What contesting a result costs, in the token's smallest unit; 0 takes the default.",
    "guardian": "Who may pause minting and challenge without a bond, and until when.",
    "issuers": "Whose attestations count at genesis, by topic.",
    "genesis": "Hashes of the first policy and of the carried state before epoch 0.",
}
"""Sections in the order of the file."""

T = TypeVar("T")


class NetworkFileRefused(ValueError):
    """A network.toml that cannot be read as what was asked for."""


def load_network(path: Path) -> Network:
    """A deployed network. Errors: FileNotFoundError; NetworkFileRefused naming the file and the field."""
    document = _read(path)
    if "contracts" not in document:
        raise NetworkFileRefused(f"{path} has no [contracts]: it is a plan, not yet deployed")
    return _as(path, document, Network)


def load_plan(path: Path) -> Plan | SeamPlan:
    """A founder's plan; a deployed network's file still holds it. Errors: as ``load_network``."""
    document = _read(path)
    return _as(path, document, SeamPlan) if "existing" in document else _as(path, document, Plan)


def is_deployed_file(path: Path) -> bool:
    """Whether a file has the contracts of a deployed network. Errors: as ``load_network``."""
    return "contracts" in _read(path)


def write_plan(path: Path, plan: Plan | SeamPlan) -> None:
    """Write a plan; what stood in the file before is replaced in one step."""
    _write(path, _plain(plan))


def write_network(path: Path, network: Network, plan: Plan | SeamPlan | None = None) -> None:
    """Write a deployed network, with the plan it came from if it is known; what stood in the file before is replaced in one step."""
    _write(path, (_plain(plan) if plan else {}) | _plain(network))


def move_network(path: Path, network: Network, until_epoch: int) -> Path:
    """Give a deployed network's file the contracts and clock of ``network``, and leave the rest of it as it is.

    The file as it was stands beside it from then on, whole and readable by every command that takes a network: ``network-until-35.toml``
    holds the addresses under which the epochs before 35 became final. Returns its path. Errors: as ``load_network``; NetworkFileRefused if
    another file has that name.
    """
    document, raw = _read(path), path.read_bytes()
    kept = path.with_name(f"{path.stem}-until-{until_epoch}{path.suffix}")
    if kept.exists() and kept.read_bytes() != raw:
        raise NetworkFileRefused(f"{kept} is another file already, and what {path} holds now has to be kept there: move it away")
    if not kept.exists():
        _put(kept, raw)
    _write(path, document | {name: _plain(network)[name] for name in ("contracts", "clock")})
    return kept


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NetworkFileRefused(f"{path} is not TOML: {error}") from error


def _as(path: Path, document: dict[str, Any], kind: type[T]) -> T:
    try:
        return convert(document, kind)
    except msgspec.ValidationError as error:
        raise NetworkFileRefused(f"{path}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value) if isinstance(value, int) and value >= _EXACT else value


def _write(path: Path, document: dict[str, Any]) -> None:
    head = {name: value for name, value in document.items() if not isinstance(value, dict)}
    sections = sorted((name for name in document if name not in head), key=list(_COMMENTS).index)
    parts = [tomli_w.dumps(head), *(f"# {_COMMENTS[name]}\n{tomli_w.dumps({name: document[name]})}" for name in sections)]
    _put(path, "\n".join(parts).encode())


def _put(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
