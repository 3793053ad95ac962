"""What the owner of a verifier does: put a bond at stake, change the signing key, leave, have the bond back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from subak.chain.accounts import Account
from subak.chain.channels import Erc20
from subak.chain.contracts import Sender
from subak.chain.network_file import load_network
from subak.chain.rpc import Receipt, Rpc
from subak.chain.stake import Bond, Stake
from subak.cli.units import Currency, address, currencies, hexed, tell, when
from subak.core.nouns import Network


@dataclass(frozen=True)
class _Door:
    """Everything that one command needs."""

    network: Network
    rpc: Rpc
    stake: Stake
    token: Currency
    account: Account | None = None

    def tell(self, json: bool, owner: bytes, words: str, receipt: Receipt | None = None) -> int:
        """How the bond stands now."""
        bond = self.stake.bond(owner)
        told = {"owner": hexed(owner), **_facts(bond, self.token), **({"transaction": hexed(receipt.transaction)} if receipt else {})}
        tell(json, told, f"{words}\n{_words(bond, self.token)}")
        return 0

    def allow(self, amount: int) -> None:
        """Let the contract take exactly this."""
        assert self.account is not None
        Erc20(self.rpc, self.network.contracts.token).allow(Sender(self.rpc, self.account), self.network.contracts.stake, amount)


def run_show(network_file: Path, owner: str, json: bool) -> int:
    """Anyone's bond, by its owner or by a signer."""
    door = _open(network_file)
    asked = address(owner, "the owner")
    found = door.stake.owner_of(asked) or asked
    return door.tell(json, found, f"stake of {hexed(found)}")


def run_join(network_file: Path, key: Path, signer: str, amount: str, json: bool) -> int:
    """A bond from now on; its signer signs from the next epoch."""
    door = _open(network_file, key)
    bond = door.token.parse(amount, "the bond") if amount else door.stake.minimum_bond()
    hot = address(signer, "the signer")
    account = _owner(door)
    door.allow(bond)
    receipt = door.stake.join(hot, bond)
    return door.tell(json, account.address, f"{hexed(hot)} signs for {hexed(account.address)} from the next epoch", receipt)


def run_add(network_file: Path, key: Path, amount: str, json: bool) -> int:
    """More at stake."""
    door = _open(network_file, key)
    more = door.token.parse(amount, "the amount")
    account = _owner(door)
    door.allow(more)
    return door.tell(json, account.address, f"{door.token.words(more)} more from the next epoch", door.stake.add(more))


def run_rotate(network_file: Path, key: Path, signer: str, json: bool) -> int:
    """Another hot key."""
    door = _open(network_file, key)
    hot = address(signer, "the signer")
    receipt = door.stake.rotate(hot)
    return door.tell(json, _owner(door).address, f"{hexed(hot)} signs from the next epoch, the one before until then", receipt)


def run_exit(network_file: Path, key: Path, json: bool) -> int:
    """No duties after the running epoch."""
    door = _open(network_file, key)
    receipt = door.stake.exit()
    return door.tell(json, _owner(door).address, "no duties after the running epoch; keep the verifier running until it ends", receipt)


def run_withdraw(network_file: Path, key: Path, json: bool) -> int:
    """The bond back."""
    door = _open(network_file, key)
    receipt = door.stake.withdraw()
    return door.tell(json, _owner(door).address, "the stake is back in the account", receipt)


def _open(network_file: Path, key: Path | None = None) -> _Door:
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    account = Account.load(key) if key else None
    stake = Stake(rpc, network.contracts, Sender(rpc, account) if account else None)
    return _Door(network, rpc, stake, currencies(rpc, network).token, account)


def _owner(door: _Door) -> Account:
    assert door.account is not None
    return door.account


def _facts(bond: Bond, token: Currency) -> dict[str, object]:
    return {
        "stake": token.told(bond.stake),
        "verifies": bond.verifies,
        "heard_unix_s": bond.heard_unix_s,
        "release_unix_s": bond.release_unix_s or None,
    }


def _words(bond: Bond, token: Currency) -> str:
    if not bond.stake:
        return "nothing is at stake"
    if bond.verifies:
        return f"{token.words(bond.stake)} at stake, last heard of {when(bond.heard_unix_s)}"
    return f"{token.words(bond.stake)} can be withdrawn from {when(bond.release_unix_s)}"
