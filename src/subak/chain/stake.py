"""The Stake contract: verifiers' bonds, and the keys that sign for them. The owner of a bond and its signer are different keys."""

from __future__ import annotations

from dataclasses import dataclass

from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import contract
from subak.chain.rpc import Receipt, Rpc
from subak.core.nouns.document import Address
from subak.core.nouns.network import Contracts


@dataclass(frozen=True)
class Bond:
    """What stands behind a verifier."""

    stake: int
    """Token units held for its owner; 0 for nobody."""
    heard_unix_s: int
    """Network time of its last sign of life."""
    release_unix_s: int
    """Network time from which the stake can be withdrawn; 0 while it verifies."""

    @property
    def verifies(self) -> bool:
        """Whether it is on duty."""
        return self.stake > 0 and self.release_unix_s == 0


class Stake:
    """The contract, with an account that pays for transactions. Transactions raise what ``Sender.send`` does, questions ChainRefused."""

    def __init__(self, rpc: Rpc, contracts: Contracts, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._stake = contract(rpc, contracts, "Stake")
        self._sender = sender

    @property
    def contract(self) -> Contract:
        """The contract itself."""
        return self._stake

    def bond(self, owner: bytes) -> Bond:
        """What an account has at stake."""
        return Bond(*self._stake.call("verifiers", owner))

    def owner_of(self, signer: bytes) -> Address | None:
        """Whose stake stands behind a signer, also a replaced one; None for nobody's."""
        owner: Address = self._stake.call("ownerOfSigner", signer)
        return Address(owner) if any(owner) else None

    def minimum_bond(self) -> int:
        """Token units that a verifier must bring to join."""
        least: int = self._stake.call("MINIMUM_BOND")
        return least

    def heartbeat_seconds(self) -> int:
        """Who is silent for longer can be pruned by anyone."""
        seconds: int = self._stake.call("HEARTBEAT_SECONDS")
        return seconds

    def unbonding_seconds(self) -> int:
        """How long a stake is held after the last epoch in which it weighs."""
        seconds: int = self._stake.call("UNBONDING_SECONDS")
        return seconds

    def join(self, signer: bytes, amount: int) -> Receipt:
        """Become a verifier: ``signer`` signs for the sender's stake from the next epoch. The tokens must be approved."""
        return self._send("join", signer, amount)

    def add(self, amount: int) -> Receipt:
        """Put more at stake. The tokens must be approved."""
        return self._send("add", amount)

    def exit(self) -> Receipt:
        """Verify no longer, with the end of the running epoch."""
        return self._send("exit")

    def withdraw(self) -> Receipt:
        """Have the stake back, once it is released."""
        return self._send("withdraw")

    def rotate(self, signer: bytes) -> Receipt:
        """Let another key sign from the next epoch."""
        return self._send("rotateSigner", signer)

    def heartbeat(self) -> Receipt:
        """Give a sign of life, as owner or as newest signer."""
        return self._send("heartbeat")

    def published_until(self) -> int:
        """The first epoch for which no panel of weights is written down; without one a proposal costs more gas."""
        until: int = self._stake.call("panel")[2]
        return until

    def publish(self) -> Receipt:
        """Write the panel of weights down, for the running epoch and until the next change."""
        return self._send("publish")

    def prune(self, owner: bytes) -> Receipt:
        """End the verifying of someone who was silent for too long."""
        return self._send("prune", owner)

    def adjust(self, owner: bytes) -> Receipt:
        """Bring a punished verifier's weight in line with what is left of its stake."""
        return self._send("adjust", owner)

    def _send(self, function: str, *arguments: object) -> Receipt:
        if self._sender is None:
            raise ValueError(f"no account was given that could send {function}")
        return self._sender.send(self._stake, function, *arguments)
