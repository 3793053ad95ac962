"""What a host kept against a clerk becomes the clerk's loss and the owner's compensation, by one command."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from subak.chain.network_file import write_network
from subak.cli.watching import harm_of, run_clerk_accuse
from subak.core.canon.ids import asset_id
from subak.core.canon.vouchers import Line, Voucher, voucher_digest
from subak.core.nouns import Network, Nodes
from subak.host.exposure import Exposure
from subak.verifier.clerk import Clerk, Countersigned

from .conftest import CLOCK, VERIFIERS
from .test_clerk_on_chain import ASSETS, CLERK, DELAY, SESSION, Shop, shop

__all__ = ["shop"]
KEY = b"\x07" * 32


def test_F57_a_host_accuses_a_clerk_that_countersigned_two_vouchers_of_one_number(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    town, owner = shop.town, shop.town.verifiers[1]
    kind = b"energy".ljust(32, b"\0")
    owner.send(town.contract("Assets"), "register", (owner.address, 1, KEY, kind, 0x8729A004BFFFFFF, 4000))
    asset, lane = asset_id(1, KEY, owner.address), shop.open(10_000)
    chain_id, channels = town.plan.chain_id, town.contracts.channels

    ledger = tmp_path / "ledger.sqlite"
    exposure = Exposure(
        ledger,
        chain_id=chain_id,
        channels=channels,
        close_delay_seconds=DELAY,
        bound=100,
        verifiers=[],
        client=httpx.AsyncClient(),
    )
    exposure.know({bytes(lane.id): lane})
    for place, money in enumerate((500, 400)):
        clerk = Clerk(tmp_path / f"{place}.db", CLERK, chain_id, channels, DELAY)
        voucher = Voucher(bytes(lane.id), 1, money, (Line(asset, money),))
        made = clerk.countersign(voucher, SESSION.sign_digest(voucher_digest(voucher, chain_id, channels)), shop.now, lane)
        assert isinstance(made, Countersigned)
        exposure.take(voucher, made.signature, made.countersignature)

    network = Network(town.plan.name, chain_id, CLOCK, town.contracts, Nodes(town.rpc.url, ()))
    write_network(tmp_path / "network.toml", network)
    key = tmp_path / "key"
    key.write_text("11" * 32)
    key.chmod(0o600)
    token, stake = town.contract("Token"), town.contract("Stake")
    held, before = token.call("balanceOf", owner.address), stake.call("stakeOf", VERIFIERS[0].address)
    assert run_clerk_accuse(ledger, tmp_path / "network.toml", key, True) == 0
    [accused] = json.loads(capsys.readouterr().out)["accused"]
    assert (accused["clerk"], accused["slashed"]) == ("0x" + CLERK.address.hex(), True)
    assert accused["compensated"] == ["0x" + asset.hex()]
    assert stake.call("stakeOf", VERIFIERS[0].address) < before
    assert token.call("balanceOf", owner.address) > held

    assert run_clerk_accuse(ledger, tmp_path / "network.toml", key, True) == 0
    [again] = json.loads(capsys.readouterr().out)["accused"]
    assert (again["slashed"], again["compensated"]) == (False, [])
    exposure.close()


def test_harm_is_what_the_contract_counts() -> None:
    one, other = ((Line(ASSETS[0], 5), Line(ASSETS[1], 7)), (Line(ASSETS[0], 3), Line(ASSETS[1], 9)))
    assert harm_of(Voucher(bytes(32), 1, 12, one), Voucher(bytes(32), 1, 12, other)) == {ASSETS[0]: 2, ASSETS[1]: 2}
    assert harm_of(Voucher(bytes(32), 1, 12, one), Voucher(bytes(32), 2, 12, other)) == {ASSETS[0]: 2}
    assert harm_of(Voucher(bytes(32), 1, 12, one), Voucher(bytes(32), 2, 12, one)) == {}
