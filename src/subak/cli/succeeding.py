"""A new Settlement takes over: the steps that anyone may take, and the file of whoever runs a part of the network."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from subak.chain import succession
from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.network_file import load_network, move_network
from subak.chain.rpc import Rpc, RpcError, RpcUnreachable
from subak.cli.units import hexed, tell
from subak.core.nouns import Network

log = logging.getLogger("subak")

LOOK_SECONDS = 60.0
"""Real seconds between two looks at which Settlement is served."""


def run_succeed(file: Path, key: Path, json: bool) -> int:
    """Put what a vote announced in force, once its wait is over, and let the new Settlement begin."""
    network, rpc, steps = load_network(file), _rpc(file), list[str]()
    sender = Sender(rpc, Account.load(key))
    contracts = succession.succeed(rpc, network.contracts, sender, steps.append)
    first = succession.first_epoch(rpc, contracts)
    told = {"settlement": hexed(contracts.settlement), "challenges": hexed(contracts.challenges), "first_epoch": first, "steps": steps}
    words = [*steps, f"everyone who runs with {file} now has to say `subak network follow --network {file}` and start again"]
    tell(json, told, "\n".join(words))
    return 0


def run_follow(file: Path, dry_run: bool, json: bool) -> int:
    """Bring a network's file up to the Settlement that is served."""
    network, rpc = load_network(file), _rpc(file)
    found = succession.followed(rpc, network)
    if found.contracts == network.contracts and found.clock == network.clock:
        tell(json, {"changed": False, **_announced(rpc, network)}, "\n".join([f"{file} is up to date", *_announced_in_words(rpc, network)]))
        return 0
    first = succession.first_epoch(rpc, found.contracts)
    changes = _changes(network, found)
    kept = None if dry_run else move_network(file, found, first)
    told = {
        "changed": not dry_run,
        "first_epoch": first,
        "changes": [{"name": name, "before": before, "now": now} for name, before, now in changes],
        "kept": str(kept) if kept else None,
    }
    words = [f"{name}: {before} → {now}" for name, before, now in changes]
    if kept:
        words.append(f"written to {file}; what held for the epochs before {first} stays in {kept}")
        words.append("start again whatever runs with it")
    else:
        words.append("nothing was written")
    tell(json, told, "\n".join(words))
    return 0


class KeepingUp:
    """Says in the log, once, when a vote replaced the Settlement that a running part of the network was started with."""

    def __init__(self, network: Network, file: Path) -> None:
        """``file``: where the addresses are from. Nothing is asked before ``start`` or ``look``."""
        self._contracts, self._rpc = network.contracts, Rpc(network.nodes.rpc)
        self._remedy = f"run `subak network follow --network {file}`, then start again"
        self._said = ""

    def start(self) -> None:
        """Look once in a while, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="keeping up", daemon=True).start()

    def look(self) -> str:
        """What there is to say now, "" for nothing. A chain that does not answer is asked again."""
        try:
            words = succession.behind(self._rpc, self._contracts, self._remedy)
        except (ChainRefused, RpcError, RpcUnreachable, ValueError) as error:
            log.info("not now: %s", error)
            return self._said
        if words and words != self._said:
            log.warning("%s", words)
        self._said = words
        return words

    def _run(self) -> None:
        waits = threading.Event()
        while True:
            self.look()
            waits.wait(LOOK_SECONDS)


def _changes(before: Network, now: Network) -> list[tuple[str, str, str]]:
    pairs = [(name, getattr(before.contracts, name), getattr(now.contracts, name)) for name in before.contracts.__struct_fields__]
    moved = [(name, hexed(old), hexed(new)) for name, old, new in pairs if old != new]
    clocks = [(name, getattr(before.clock, name), getattr(now.clock, name)) for name in before.clock.__struct_fields__]
    return [*moved, *((name, str(old), str(new)) for name, old, new in clocks if old != new)]


def _announced(rpc: Rpc, network: Network) -> dict[str, object]:
    stands = succession.standing(rpc, network.contracts)
    announced = hexed(stands.announced) if any(stands.announced) else None
    return {"announced": announced, "replaceable_unix_s": stands.replaceable_unix_s if announced else None}


def _announced_in_words(rpc: Rpc, network: Network) -> list[str]:
    stands = succession.standing(rpc, network.contracts)
    if not any(stands.announced):
        return []
    left = stands.replaceable_unix_s - stands.unix_s
    when = f"can take over in {-(-left // 3600)} hours of network time" if left > 0 else "can take over now: `subak network succeed`"
    return [f"{hexed(stands.announced)} is announced and {when}"]


def _rpc(file: Path) -> Rpc:
    return Rpc(load_network(file).nodes.rpc)
