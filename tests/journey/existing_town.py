"""A town whose token, devices and multisig were there before the network: what ``subak up`` does, without our token, governor or channels.

Its founders use the door: a plan, ``subak network deploy``, ``subak assets import``.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from subak.chain.abi import abi
from subak.chain.accounts import Account
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import Genesis
from subak.chain.local import CHAIN_ID
from subak.chain.network_file import load_network, write_plan
from subak.chain.rpc import Rpc
from subak.chain.seams import BudgetPlan, Existing, SeamPlan
from subak.cli.up import run
from subak.core.nouns import Address, Hash, Network, Nodes
from subak.core.settlement.money import INSTALLED
from subak.lab.recording import CELL
from subak.lab.town import POOLS, Held, Town, Wishes

from .safe import Safe

BUDGET = 1_000 * 10**6
"""Of the existing token, which has six decimals, for each epoch."""
FUNDED_EPOCHS = 30
OWNERS, THRESHOLD = 3, 2


class ExistingTown(Town):
    """The recorded homes in a network that has a token, a collection and a Safe."""

    customers = ()

    def _deploy(self, rpc: Rpc, nodes: Nodes, policy: bytes) -> Network:
        founder = self._account("founder")
        sender = Sender(rpc, founder)
        token = _create(sender, "TestDollar", ["0x" + founder.address.hex()], [BUDGET * FUNDED_EPOCHS])
        homes = [self._account(f"owner-{home:02}") for home in self.recording.homes[: self.wishes.homes]]
        collection = _create(sender, "TestCollection", ["0x" + owner.address.hex() for owner in homes])
        safe = Safe.create(rpc, founder, multisig_owners(self.folder), THRESHOLD)
        plan = SeamPlan(
            name="Homes that were there before",
            chain_id=CHAIN_ID,
            clock=self._clock(),
            existing=Existing(*("0x" + each.hex() for each in (token, collection, safe.address))),
            budget=BudgetPlan(epochs_per_period=365, budget_per_epoch=(BUDGET, BUDGET // 2)),
            pools=POOLS,
            verifiers={"0x" + signer.address.hex(): 1 for signer in self._signers()},
            issuers={INSTALLED: ["0x" + self._account("issuer").address.hex()]},
            genesis=Genesis(policy=Hash(policy)),
            nodes=nodes,
            speed=self.wishes.speed,
        )
        file = self.folder / "network.toml"
        write_plan(file, plan)
        self._door("network", "deploy", str(file))
        network = load_network(file)
        sender.send(Contract("TestDollar", token, rpc), "transfer", network.contracts.minter, BUDGET * FUNDED_EPOCHS)
        return network

    def _register(self, rpc: Rpc, network: Network, held: Sequence[Held]) -> None:
        table = self.folder / "assets.csv"
        with open(table, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["token", "curve", "key", "kind", "cell", "rated"])
            rows.writerows(
                [token, each.key.curve, each.key.public.hex(), each.kind, CELL, each.rated] for token, each in enumerate(held, 1)
            )
        self._door("assets", "import", str(table), "--network", str(self.folder / "network.toml"))

    def _door(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "subak", *arguments, "--key", str(self._key("founder")), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def multisig_owners(folder: Path) -> list[Account]:
    """Who signs for the Safe of the town in a folder."""
    return [Account.load_or_create(folder / "keys" / f"multisig-{number}.key") for number in range(OWNERS)]


def _create(sender: Sender, name: str, *arguments: object) -> Address:
    created = sender.wait(sender.submit_raw(f"creation of {name}", None, abi(name).encode_creation(*arguments))).contract
    assert created is not None
    return created


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sys.exit(run(Wishes(given.data.absolute(), disks=0), 0, given.json, town_class=ExistingTown))
