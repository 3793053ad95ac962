"""The Attestations contract: who vouches for what, until when."""

from __future__ import annotations

from collections.abc import Sequence

from subak.chain.accounts import Account
from subak.chain.contracts import Contract, Sender
from subak.chain.deploy import contract, word_of
from subak.chain.rpc import Receipt, Rpc
from subak.core.nouns.document import Address, Hash, Signature
from subak.core.nouns.network import Contracts


def subject_of(asset_or_account: bytes) -> Hash:
    """What a word is about: an asset's id as it is, an account after 12 zeros. Errors: ValueError for another length."""
    if len(asset_or_account) not in (Hash.LENGTH, Address.LENGTH):
        raise ValueError(f"a subject is an asset of 32 bytes or an account of 20, not {len(asset_or_account)} bytes")
    return Hash(asset_or_account.rjust(32, b"\0"))


class Attestations:
    """The contract, with an account that pays for transactions. Transactions raise what ``Sender.send`` does, questions ChainRefused.

    A topic is a name of at most 32 printable ASCII characters: "installed". Errors: PlanRefused for another one.
    """

    def __init__(self, rpc: Rpc, contracts: Contracts, sender: Sender | None = None) -> None:
        """Without ``sender`` only questions can be asked."""
        self._attestations = contract(rpc, contracts, "Attestations")
        self._sender = sender

    @property
    def contract(self) -> Contract:
        """The contract itself."""
        return self._attestations

    def holds(self, subject: bytes, topic: str) -> bool:
        """Whether any accepted issuer's word that an asset or account has the topic stands now."""
        stands: bool = self._attestations.call("holds", subject_of(subject), word_of(topic))
        return stands

    def issuers(self, topic: str) -> Sequence[Address]:
        """Whose word counts now."""
        return tuple(self._attestations.call("issuersOf", word_of(topic)))

    def word(self, subject: bytes, topic: str, issuer: bytes) -> tuple[int, int]:
        """Network time at which an issuer's word ends, 0 if there is none, and the number of its next signed one."""
        expiry, number = self._attestations.call("words", subject_of(subject), word_of(topic), issuer)
        return expiry, number

    def attest(self, subject: bytes, topic: str, expiry_unix_s: int) -> Receipt:
        """The sender's word, until ``expiry_unix_s``; it replaces an earlier one."""
        return self._send("attest", subject_of(subject), word_of(topic), expiry_unix_s)

    def sign(self, subject: bytes, topic: str, expiry_unix_s: int, issuer: Account) -> Signature:
        """An issuer's word for others to hand in, once; it is void as soon as the issuer says anything else about the same."""
        _, number = self.word(subject, topic, issuer.address)
        return issuer.sign_digest(self._attestations.call("digestOf", subject_of(subject), word_of(topic), expiry_unix_s, number))

    def hand_in(self, subject: bytes, topic: str, expiry_unix_s: int, issuer: bytes, signature: bytes) -> Receipt:
        """Hand in what an issuer signed; the sender pays."""
        return self._send("attestBySig", subject_of(subject), word_of(topic), expiry_unix_s, issuer, signature[:32], signature[32:])

    def revoke(self, subject: bytes, topic: str) -> Receipt:
        """Take the sender's word back."""
        return self._send("revoke", subject_of(subject), word_of(topic))

    def _send(self, function: str, *arguments: object) -> Receipt:
        if self._sender is None:
            raise ValueError(f"no account was given that could send {function}")
        return self._sender.send(self._attestations, function, *arguments)
