"""A Safe, as multisigs of existing networks are: its published contracts, version 1.4.1, with owners that sign here."""

from __future__ import annotations

import json
from pathlib import Path

from eth_abi.abi import decode, encode

from subak.chain.accounts import Account
from subak.chain.contracts import Sender
from subak.chain.rpc import Rpc
from subak.core.canon.keccak import keccak256

_BUILD = Path(__file__).parents[2] / "node_modules/@safe-global/safe-contracts/build/artifacts/contracts"
_TRANSACTION = "address,uint256,bytes,uint8,uint256,uint256,uint256,address,address"
_NOBODY = "0x" + "00" * 20


class Safe:
    """A multisig: what its threshold of owners signed, anyone hands in."""

    def __init__(self, rpc: Rpc, address: bytes, owners: list[Account]) -> None:
        self.address, self._rpc, self._owners = address, rpc, owners

    @classmethod
    def create(cls, rpc: Rpc, payer: Account, owners: list[Account], threshold: int) -> Safe:
        """A proxy of the Safe singleton, as its own factory makes it."""
        sender = Sender(rpc, payer)
        singleton, factory = (
            sender.wait(sender.submit_raw(name, None, bytes.fromhex(_artifact(name)["bytecode"][2:]))).contract
            for name in ("Safe.sol/Safe", "proxies/SafeProxyFactory.sol/SafeProxyFactory")
        )
        assert singleton is not None
        assert factory is not None
        names = [_text(each.address) for each in owners]
        setup = _call(
            "setup(address[],uint256,address,bytes,address,address,uint256,address)",
            *(names, threshold, _NOBODY, b"", _NOBODY, _NOBODY, 0, _NOBODY),
        )
        made = _call("createProxyWithNonce(address,bytes,uint256)", _text(singleton), setup, 0)
        address = decode(["address"], rpc.call(factory, made))[0]
        sender.wait(sender.submit_raw("a Safe", factory, made))
        return cls(rpc, bytes.fromhex(address[2:]), owners)

    def execute(self, payer: Sender, to: bytes, data: bytes, signers: int) -> None:
        """The first ``signers`` owners sign, and ``payer`` hands it in. Errors: those of ``Sender.send``."""
        nonce = decode(["uint256"], self._rpc.call(self.address, _call("nonce()")))[0]
        fields = (_text(to), 0, data, 0, 0, 0, 0, _NOBODY, _NOBODY)
        digest = self._rpc.call(self.address, _call(f"getTransactionHash({_TRANSACTION},uint256)", *fields, nonce))
        signed = b"".join(_rsv(each, digest) for each in sorted(self._owners[:signers], key=lambda each: each.address))
        execution = _call(f"execTransaction({_TRANSACTION},bytes)", *fields, signed)
        payer.wait(payer.submit_raw("what the multisig decided", self.address, execution))


def _artifact(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((_BUILD / f"{name}.json").read_text())
    return found


def _call(signature: str, *arguments: object) -> bytes:
    types = signature[signature.index("(") + 1 : -1]
    return keccak256(signature.encode())[:4] + encode(types.split(",") if types else [], arguments)


def _rsv(owner: Account, digest: bytes) -> bytes:
    """r, s and v apart, as Safe checks them."""
    compact = owner.sign_digest(digest)
    tail = int.from_bytes(compact[32:], "big")
    return bytes(compact[:32]) + (tail & ((1 << 255) - 1)).to_bytes(32, "big") + bytes([27 + (tail >> 255)])


def _text(address: bytes) -> str:
    return "0x" + address.hex()
