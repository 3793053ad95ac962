"""A customer's folder: the key of its account, a key for each lane, and what it owes. The account's key never signs a voucher."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Any

from subak.archive.files import sync_folder
from subak.chain.accounts import Account
from subak.chain.channels import Channels, LaneFact
from subak.chain.contracts import ChainRefused, Sender
from subak.chain.rpc import Rpc
from subak.core.canon.vouchers import MONEY_LIMIT
from subak.core.nouns import Network
from subak.customer.store import KeptLane, OtherNetwork, Store


class WalletRefused(ValueError):
    """A folder or a chain that is not safe to use."""


class Wallet:
    """One customer of one network.

    Promises: keys and memory are readable by their owner only; a lane's session key is on disk before the lane is opened, and a lane that
    was opened by a process that died is found again by ``sync``; money leaves the account only by ``open_channel`` and ``top_up``, and
    a stolen session key can spend no more than its lane's limit.

    Transactions raise what ``Sender.send`` does.
    """

    def __init__(self, folder: Path, network: Network, rpc: Rpc) -> None:
        """The customer in a folder; a new one, with a new account, if there is none.

        Errors: WalletRefused if others can enter the folder, or the chain is not the network's; OtherNetwork; KeyFileRefused.
        """
        if rpc.chain_id() != network.chain_id:
            raise WalletRefused(f"{network.name} is on chain {network.chain_id}, {rpc.node} is chain {rpc.chain_id()}: name another node")
        self.folder = _private(folder)
        """Where everything is."""
        self.network = network
        """The network."""
        self.account = Account.load_or_create(folder / "account.key")
        """Holds the money; signs transactions only."""
        self.store = Store(folder / "wallet.sqlite")
        """What is remembered."""
        try:
            self.store.claim({"chain_id": str(network.chain_id), "channels": "0x" + network.contracts.channels.hex()})
        except OtherNetwork:
            self.store.close()
            raise
        self.channels = Channels(rpc, network.contracts, Sender(rpc, self.account))
        """The chain's side."""

    def balance(self) -> int:
        """Payment units that the account holds outside of its channel."""
        return self.channels.payment.balance(self.account.address)

    def free(self) -> int:
        """Payment units in the channel that no lane holds."""
        return self.channels.free(self.account.address)

    def open_channel(self, amount: int) -> None:
        """Prepay: move payment units from the account into its channel."""
        self.channels.deposit(self.account.address, amount)

    def top_up(self, amount: int) -> None:
        """The same, later."""
        self.channels.deposit(self.account.address, amount)

    def withdraw(self, amount: int | None = None) -> int:
        """Move free payment units from the channel back to the account, all of them by default; how many they were."""
        sum_ = self.free() if amount is None else amount
        if sum_:
            self.channels.withdraw(sum_)
        return sum_

    def open_lane(self, clerk: bytes, limit: int, expiry_unix_s: int, clerk_url: str = "") -> LaneFact:
        """Set ``limit`` of the free money aside for vouchers that a new session key signs and the verifier ``clerk`` countersigns.

        ``clerk_url``: where it listens, for ``Payer``. Errors: also ValueError for a limit that vouchers cannot hold.
        """
        if not 0 < limit < MONEY_LIMIT:
            raise ValueError(f"a lane's limit is 1 to 10^38 - 1 payment units, not {limit}")
        session = self._new_session()
        fact = self.channels.open_lane(session.address, clerk, limit, expiry_unix_s)
        self.store.add_lane(fact, clerk_url)
        return fact

    def sync(self) -> None:
        """Find lanes that this folder has the key of and forgot: a process died while it opened one, or the memory was lost."""
        for fact in self.channels.lanes().values():
            if fact.customer == self.account.address and self._key_file(fact.key).exists():
                self.store.add_lane(fact, "")
                if fact.closed:
                    self.store.note_closed(fact.id)

    def session(self, lane: bytes) -> Account:
        """The key that signs a lane's vouchers and passes. Errors: LookupError, FileNotFoundError, KeyFileRefused."""
        return Account.load(self._key_file(self.store.lane(lane).fact.key))

    def revoke(self, lane: bytes) -> None:
        """Let a lane close a close delay from now; what it owes can be redeemed until then. A key that may be stolen is stopped so."""
        self.channels.revoke(self.store.lane(lane).fact)

    def close_what_can_be_closed(self) -> list[KeptLane]:
        """Close every lane whose time has come, so that what it did not spend is free again; those that were closed.

        A lane that the chain forgot, as one that restarted a second back, counts as closed when its time has come.
        """
        now = self.channels.contract.rpc.block("latest").timestamp
        closed = []
        for lane in self.store.lanes():
            if lane.closed:
                continue
            _, closes_at, over = self.channels.lane_state(lane.fact.id)
            if not over and (closes_at or lane.fact.closes_at_unix_s) <= now:
                if closes_at:
                    self._close_on_chain(lane)
                over = True
            if over:
                self.store.note_closed(lane.fact.id)
                closed.append(lane)
        return closed

    def _close_on_chain(self, lane: KeptLane) -> None:
        try:
            self.channels.close(lane.fact)
        except ChainRefused as error:
            # Anyone may have been faster.
            if error.name != "Channels_NotClosable" or not error.values["closed"]:
                raise

    def standing(self) -> dict[str, Any]:
        """Where the customer stands, for programs: plain values, money as decimal text in payment units."""
        return {
            "account": "0x" + self.account.address.hex(),
            "balance": str(self.balance()),
            "free": str(self.free()),
            "lanes": [self._lane_standing(lane) for lane in self.store.lanes()],
        }

    def _lane_standing(self, lane: KeptLane) -> dict[str, Any]:
        fact, pending, last = lane.fact, self.store.pending(lane.fact.id), self.store.countersigned(lane.fact.id)
        redeemed, closes_at, _ = self.channels.lane_state(fact.id)
        return {
            "lane": "0x" + fact.id.hex(),
            "clerk": "0x" + fact.clerk.hex(),
            "limit": str(fact.limit),
            "owed": str(sum(self.store.owed(fact.id).values())),
            "countersigned": str(last.voucher.total if last else 0),
            "redeemed": str(redeemed),
            "refused": pending.refused if pending else "",
            "expiry_unix_s": fact.expiry_unix_s,
            "closes_at_unix_s": closes_at,
            "closed": lane.closed,
        }

    def close(self) -> None:
        """Let the folder go."""
        self.store.close()

    def _new_session(self) -> Account:
        """A new key, durable in a file named by its address."""
        self._sessions.mkdir(mode=0o700, exist_ok=True)
        made = self._sessions / f"new-{secrets.token_hex(8)}"
        session = Account.create(made)
        made.rename(self._key_file(session.address))
        sync_folder(self._sessions)
        return session

    @property
    def _sessions(self) -> Path:
        return self.folder / "sessions"

    def _key_file(self, key: bytes) -> Path:
        return self._sessions / f"{key.hex()}.key"


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise WalletRefused(f"{folder} has mode {mode:04o}: others can reach the keys in it; chmod 700 {os.fspath(folder)}")
    return folder
