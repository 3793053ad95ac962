"""A lead that lowers one asset's carried counter does not get a quorum; its turn passes, and the truth becomes final."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from subak.archive.store import HttpArchive
from subak.chain.rpc import Rpc
from subak.chain.snapshot import Finalised, Follower
from subak.core.nouns import Network
from subak.lab.town import Town, Wishes
from subak.verifier.checking import check


class TownWithLiars(Town):
    """The lead of epoch 0's first attempt lies about the state; the third verifier announces a segment that nobody holds."""

    def verifier_command(self, number: int) -> list[str]:
        liar = [sys.executable, str(Path(__file__).with_name("lying_verifier.py"))]
        return {0: [*liar, "state"], 2: [*liar, "heads"]}.get(number) or super().verifier_command(number)


def first_final(town: Town, network: Network, seconds: float) -> Finalised:
    follower = Follower(Rpc(network.nodes.rpc), network.contracts, network.clock)
    deadline = time.monotonic() + seconds
    while not (finals := follower.finalised()):
        town.watch()
        assert time.monotonic() < deadline, "nothing became final"
        time.sleep(0.2)
    return finals[0]


def test_a_lead_that_changes_the_state_gets_no_quorum_and_a_bogus_head_stops_nobody(tmp_path: Path) -> None:
    town = TownWithLiars(Wishes(tmp_path, homes=3))
    try:
        network = town.up(lambda words: None)
        final = first_final(town, network, 120)
        assert final.attempt >= 1, "the liar's attempt became final"
        result = check(0, HttpArchive(f"{network.nodes.verifiers[1]}/archive"), Rpc(network.nodes.rpc))
        assert result.passed, result.words()
    finally:
        town.down()
    assert "the chain refused the lie" in (tmp_path / "logs" / "verifier-0.log").read_text()
    assert "announced a segment that does not exist" in (tmp_path / "logs" / "verifier-2.log").read_text()
    assert "is left out" in (tmp_path / "logs" / "verifier-1.log").read_text()
