"""A device proves to the chain whose it is: on a chain that can check P-256, and on one that cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from subak.chain import local
from subak.chain.abi import abi
from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused, Contract, Event, Sender
from subak.chain.local import CHAIN_ID, LocalChain
from subak.chain.registration import Proof, possession_message, possession_proof
from subak.chain.rpc import Receipt, Rpc
from subak.core.canon import p256
from subak.core.canon.ids import P256, asset_id
from subak.host.keys import DeviceKey

from .conftest import FOUNDER, GENESIS, TOKEN, free_port

KIND = b"energy".ljust(32, b"\0")
CELL = 0x8729A004BFFFFFF
OWNER, THIEF = Account(b"\x31" * 32), Account(b"\x32" * 32)


class HighS(DeviceKey):
    """A chip that gives either s, here the high one."""

    def sign(self, message: bytes) -> bytes:
        signature = super().sign(message)
        return signature[:32] + (p256.ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


@dataclass(frozen=True)
class Registry:
    """An Assets contract on a chain of its own."""

    assets: Contract
    owner: Sender
    thief: Sender

    def told(self, receipt: Receipt, name: str) -> list[Event]:
        return self.assets.events(receipt.block, receipt.block, [name])

    def proof(self, device: DeviceKey, owner: bytes = OWNER.address, asset: bytes | None = None) -> Proof:
        return possession_proof(device, CHAIN_ID, self.assets.address, owner, asset)


def key_of(number: int) -> DeviceKey:
    return DeviceKey(number.to_bytes(32, "big"), P256)


def entry(device: DeviceKey, owner: bytes = OWNER.address) -> tuple[object, ...]:
    return (owner, P256, device.public, KIND, CELL, 5000)


def started(folder: Path, hardfork: str) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "HARDFORK", hardfork)
        with LocalChain(folder, free_port(), GENESIS, speed=1) as chain:
            rpc = Rpc(chain.url)
            for account in (FOUNDER, OWNER, THIEF):
                chain.fund(account.address, 10 * TOKEN)
            founder = Sender(rpc, FOUNDER)
            creation = abi("Assets").encode_creation("assets", "A", GENESIS, FOUNDER.address)
            address = founder.wait(founder.submit_raw("creation of Assets", None, creation)).contract
            assert address is not None
            yield Registry(Contract("Assets", address, rpc), Sender(rpc, OWNER), Sender(rpc, THIEF))


@pytest.fixture(scope="module")
def able(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """With the precompile of EIP-7951."""
    yield from started(tmp_path_factory.mktemp("osaka"), "osaka")


@pytest.fixture(scope="module")
def unable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """What the contracts are compiled for, which has none."""
    yield from started(tmp_path_factory.mktemp("cancun"), "cancun")


@pytest.mark.parametrize("number", [1, 2, 12_345, p256.ORDER - 1])
def test_the_chain_sees_whose_the_device_is(able: Registry, number: int) -> None:
    """Keys with an even and with an odd y."""
    device = key_of(number)
    asset = asset_id(P256, device.public, OWNER.address)
    message = possession_message(CHAIN_ID, able.assets.address, asset, OWNER.address)
    assert hashlib.sha256(message).digest() == able.assets.call("possessionDigest", asset, OWNER.address)
    receipt = able.owner.send(able.assets, "registerWithProof", entry(device), able.proof(device))
    (possessed,) = able.told(receipt, "Possessed")
    assert possessed.values == {"asset": asset, "owner": OWNER.address}
    assert [event.values["key"] for event in able.told(receipt, "Registered")] == [device.public]


def test_a_proof_is_of_one_owner_one_asset_one_contract_and_one_chain(able: Registry) -> None:
    """Row 65: what a thief copies from the pool of waiting transactions names the owner."""
    device = key_of(65)
    copied = able.proof(device)
    others = [
        (able.thief, entry(device, THIEF.address), copied),
        (able.owner, entry(device), able.proof(device, THIEF.address)),
        (able.owner, entry(device), able.proof(device, asset=b"\x01" * 32)),
        (able.owner, entry(device), possession_proof(device, CHAIN_ID, b"\x99" * 20, OWNER.address)),
        (able.owner, entry(device), possession_proof(device, CHAIN_ID + 1, able.assets.address, OWNER.address)),
        (able.owner, entry(key_of(66)), copied._replace(y=able.proof(key_of(66)).y)),
    ]
    for sender, registration, proof in others:
        with pytest.raises(ChainRefused, match="Assets_BadProof"):
            sender.send(able.assets, "registerWithProof", registration, proof)
    assert able.owner.send(able.assets, "registerWithProof", entry(device), copied).succeeded
    with pytest.raises(ChainRefused, match="Assets_AlreadyRegistered"):
        able.owner.send(able.assets, "registerWithProof", entry(device), copied)


def test_bad_points_and_signatures_are_refused(able: Registry) -> None:
    """Row 66."""
    device = key_of(67)
    good = able.proof(device)
    zero, order = bytes(32), p256.ORDER.to_bytes(32, "big")
    high = (p256.ORDER - int.from_bytes(good.s, "big")).to_bytes(32, "big")
    field = 2**256 - 2**224 + 2**192 + 2**96 - 1
    opposite = (field - int.from_bytes(good.y, "big")).to_bytes(32, "big")
    refused = {
        "Assets_BadProof": [
            good._replace(s=high),
            good._replace(s=zero),
            good._replace(r=zero),
            good._replace(r=order),
            good._replace(s=order),
        ],
        "Assets_BadPoint": [good._replace(y=zero), good._replace(y=opposite), good._replace(y=b"\xff" * 32), good._replace(y=good.r)],
    }
    for name, proofs in refused.items():
        for proof in proofs:
            with pytest.raises(ChainRefused, match=name):
                able.owner.send(able.assets, "registerWithProof", entry(device), proof)


def test_a_new_key_and_a_new_owner_are_proved_for_the_asset_that_is(able: Registry) -> None:
    first, second = key_of(70), key_of(71)
    able.owner.send(able.assets, "registerWithProof", entry(first), able.proof(first))
    asset = asset_id(P256, first.public, OWNER.address)
    receipt = able.owner.send(able.assets, "rotateKeyWithProof", asset, second.public, able.proof(second, asset=asset))
    assert [event.values for event in able.told(receipt, "Possessed")] == [{"asset": asset, "owner": OWNER.address}]
    able.owner.send(able.assets, "transferFrom", OWNER.address, THIEF.address, int.from_bytes(asset, "big"))
    with pytest.raises(ChainRefused, match="Assets_BadProof"):
        able.thief.send(able.assets, "rotateKeyWithProof", asset, second.public, able.proof(second, asset=asset))
    bought = able.thief.send(able.assets, "rotateKeyWithProof", asset, second.public, able.proof(second, owner=THIEF.address, asset=asset))
    assert [event.values["owner"] for event in able.told(bought, "Possessed")] == [THIEF.address]


def test_a_chain_without_the_precompile_says_so_and_takes_the_device_without(unable: Registry) -> None:
    device = key_of(80)
    with pytest.raises(ChainRefused, match="Assets_NoPrecompile"):
        unable.owner.send(unable.assets, "registerWithProof", entry(device), unable.proof(device))
    receipt = unable.owner.send(unable.assets, "register", entry(device))
    assert unable.told(receipt, "Possessed") == []
    assert len(unable.told(receipt, "Registered")) == 1


def test_what_no_chain_would_take_is_not_made() -> None:
    with pytest.raises(ValueError, match="not of curve 1: call register"):
        possession_proof(DeviceKey(b"\1" * 32), CHAIN_ID, bytes(20), OWNER.address)
    with pytest.raises(ValueError, match="n - s for s above n/2"):
        possession_proof(HighS(b"\1" * 32, P256), CHAIN_ID, bytes(20), OWNER.address)
    with pytest.raises(ValueError, match="assets has 20 bytes, not 19"):
        possession_proof(key_of(1), CHAIN_ID, bytes(19), OWNER.address)
    with pytest.raises(ValueError, match="owner has 20 bytes, not 21"):
        possession_proof(key_of(1), CHAIN_ID, bytes(20), bytes(21))
    with pytest.raises(ValueError, match="asset has 32 bytes, not 31"):
        possession_proof(key_of(1), CHAIN_ID, bytes(20), OWNER.address, bytes(31))
    with pytest.raises(ValueError, match="does not fit uint256"):
        possession_proof(key_of(1), 1 << 256, bytes(20), OWNER.address)
