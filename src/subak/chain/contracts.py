"""Talking to deployed contracts: calls, events, and transactions that survive a chain that forgot its last second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from subak.chain.abi import Abi, Revert, abi
from subak.chain.accounts import Account
from subak.chain.rpc import Log, NotMined, Receipt, Rpc, RpcError, within
from subak.core.nouns.document import Address, Hash

PATIENCE_S = 30.0
"""Real seconds that a transaction may take to be mined."""
_POLL_S = 0.02
_TRIES = 5


class ChainRefused(RuntimeError):
    """A contract said no."""

    def __init__(self, what: str, revert: Revert | None, words: str = "") -> None:
        self.name = revert.name if revert else ""
        """Solidity's name of the error: ``Settlement_NotLead``; "" if it is none of ours."""
        self.values: Mapping[str, Any] = revert.values if revert else {}
        """The error's arguments by name."""
        super().__init__(f"{what}: {revert or words or 'reverted without a reason'}")


class ChainForgot(RuntimeError):
    """The chain lost transactions that it had taken: look at what it knows and repeat what is missing."""


@dataclass(frozen=True)
class Event:
    """A log, decoded."""

    name: str
    """Name in Solidity."""
    values: Mapping[str, Any]
    """Arguments by name; addresses and bytes are bytes, arrays tuples."""
    log: Log
    """Where it stands."""


@dataclass(frozen=True)
class Contract:
    """A deployed contract of ours."""

    name: str
    """Its name in Solidity, which is its artifact's."""
    address: Address
    """Where it is."""
    rpc: Rpc
    """The chain it is on."""

    @property
    def abi(self) -> Abi:
        """Its compiled interface."""
        return abi(self.name)

    def call(self, function: str, *arguments: Any, block: int | str = "latest") -> Any:
        """What a view function answers: the value, or a tuple of several. Errors: ChainRefused; ValueError if no contract is there."""
        try:
            data = self.rpc.call(self.address, self.abi.encode_call(function, *arguments), block)
        except RpcError as error:
            raise _refusal(f"{self.name}.{function}", error) from error
        return self.abi.decode_result(function, data)

    def call_many(self, calls: Iterable[tuple[str, tuple[Any, ...]]], block: int | str = "latest") -> list[Any]:
        """``call`` of each (function, arguments) in one request."""
        asked = list(calls)
        data = [(self.address, self.abi.encode_call(function, *arguments)) for function, arguments in asked]
        answers = self.rpc.call_many(data, block)
        return [self.abi.decode_result(function, answer) for (function, _), answer in zip(asked, answers, strict=True)]

    def event(self, log: Log) -> Event | None:
        """The log as an event of this contract; None if it is another's or unknown."""
        found = self.abi.decode_event(log.topics, log.data) if log.address == self.address else None
        return None if found is None else Event(found[0], found[1], log)

    def events(self, first: int, last: int, names: Iterable[str] = ()) -> list[Event]:
        """Its events in the blocks ``first`` to ``last``, both included, in order; with ``names``, only these."""
        topics = [self.abi.topic(name) for name in names]
        return list(decode_logs(self.rpc.logs(first, last, [self.address], topics), [self]))


def decode_logs(logs: Iterable[Log], contracts: Iterable[Contract]) -> Iterator[Event]:
    """The events that these contracts emitted, in the logs' order."""
    by_address = {contract.address: contract for contract in contracts}
    for log in logs:
        contract = by_address.get(log.address)
        event = contract.event(log) if contract else None
        if event is not None:
            yield event


@dataclass(frozen=True)
class Sent:
    """A transaction that was handed in."""

    hash: Hash
    """Its hash."""
    nonce: int
    """Its number among the account's transactions."""
    raw: bytes
    """What was sent."""
    what: str
    """What it is about, for errors."""
    call: Mapping[str, str]
    """The question that replays it."""


class Sender:
    """Sends an account's transactions. Safe to use from several threads.

    Promise: ``send`` returns only for a transaction that is mined and succeeded. The number of the next transaction is read from the chain
    every time, so a chain that lost its last second, or another process with the same account, does no harm: a transaction that vanished
    before it was mined is handed in again, and one whose predecessor vanished raises ChainForgot instead of being paid for twice.
    """

    def __init__(self, rpc: Rpc, account: Account, patience_s: float = PATIENCE_S) -> None:
        """``patience_s``: real seconds that one transaction may take to be mined."""
        self.rpc = rpc
        """The chain."""
        self.account = account
        """Who pays and signs."""
        self._patience_s = patience_s
        self._lock = threading.Lock()

    @property
    def address(self) -> Address:
        """The account's address."""
        return self.account.address

    def send(self, contract: Contract, function: str, *arguments: Any) -> Receipt:
        """Call a function of a contract in a transaction. Errors: ChainRefused, ChainForgot, NotMined, RpcError, RpcUnreachable."""
        return self.wait(self.submit(contract, function, *arguments))

    def submit(self, contract: Contract, function: str, *arguments: Any) -> Sent:
        """The same without waiting: later transactions can already build on it. Errors: as ``send``."""
        return self.submit_raw(f"{contract.name}.{function}", contract.address, contract.abi.encode_call(function, *arguments))

    def pay(self, to: bytes, wei: int) -> Receipt:
        """Send the chain's own coin. Errors: as ``send``."""
        return self.wait(self.submit_raw("payment", to, b"", wei))

    def submit_raw(self, what: str, to: bytes | None, data: bytes, wei: int = 0) -> Sent:
        """Hand in any transaction; without ``to`` it creates a contract. ``what`` names it in errors. Errors: as ``send``."""
        call = self._question(to, data, wei)
        with self._lock:
            for attempt in range(_TRIES):
                try:
                    nonce = self.rpc.nonce(self.address)
                    raw = self._sign(to, data, wei, nonce, call)
                    return Sent(self.rpc.send_raw(raw), nonce, raw, what, call)
                except RpcError as error:
                    if error.reverted:
                        raise _refusal(what, error) from error
                    # Another process took the number between the two questions.
                    if "nonce" not in error.message.lower() or attempt == _TRIES - 1:
                        raise
        raise AssertionError

    def rehearse(self, what: str, to: bytes | None, data: bytes, wei: int = 0) -> int:
        """The gas that a transaction would take now; nothing is sent. Errors: ChainRefused if it would fail."""
        try:
            return int(self.rpc.request("eth_estimateGas", self._question(to, data, wei), "pending"), 16)
        except RpcError as error:
            raise _refusal(what, error) from error

    def wait(self, sent: Sent) -> Receipt:
        """Wait until it is mined. Errors: ChainRefused with the contract's reason if it reverted; ChainForgot; NotMined."""
        expired = within(self._patience_s)
        while True:
            receipt = self.rpc.receipt(sent.hash)
            if receipt is not None:
                if not receipt.succeeded:
                    raise self._why(sent, receipt)
                return receipt
            if expired():
                raise NotMined(sent.hash)
            if not self.rpc.knows(sent.hash):
                self._hand_in_again(sent)
            time.sleep(_POLL_S)

    def _hand_in_again(self, sent: Sent) -> None:
        with self._lock:
            mined = self.rpc.nonce(self.address, "latest")
            if mined > sent.nonce and self.rpc.receipt(sent.hash) is None:
                raise ChainForgot(f"{sent.what}: number {sent.nonce} was used by another transaction, the next one is {mined}")
            waiting = self.rpc.nonce(self.address)
            if waiting < sent.nonce:
                raise ChainForgot(f"{sent.what}: it was number {sent.nonce}, and the chain lost those from {waiting} on")
            if waiting == sent.nonce:
                self.rpc.send_raw(sent.raw)

    def _question(self, to: bytes | None, data: bytes, wei: int) -> dict[str, str]:
        return {"from": _hex(self.address), "data": _hex(data), "value": hex(wei)} | ({} if to is None else {"to": _hex(to)})

    def _sign(self, to: bytes | None, data: bytes, wei: int, nonce: int, call: Mapping[str, str]) -> bytes:
        estimate = int(self.rpc.request("eth_estimateGas", call, "pending"), 16)
        tip = int(self.rpc.request("eth_maxPriorityFeePerGas"), 16)
        fields: dict[str, Any] = {
            "chainId": self.rpc.chain_id(),
            "nonce": nonce,
            "gas": estimate * 6 // 5,
            "maxFeePerGas": 2 * self.rpc.block("latest").base_fee + tip,
            "maxPriorityFeePerGas": tip,
            "value": wei,
            "data": data,
        }
        return self.account.sign_transaction(fields if to is None else fields | {"to": bytes(to)})

    def _why(self, sent: Sent, receipt: Receipt) -> ChainRefused:
        """The receipt holds no reason; the same call on the state before or after its block gives it, if the node still has those."""
        for block in (receipt.block - 1, receipt.block):
            try:
                self.rpc.request("eth_call", sent.call, hex(block))
            except RpcError as error:
                if error.reverted:
                    return ChainRefused(sent.what, error.revert, error.message)
        return ChainRefused(sent.what, None, f"reverted in block {receipt.block}, with {receipt.gas_used} gas")


def _refusal(what: str, error: RpcError) -> ChainRefused | RpcError:
    return ChainRefused(what, error.revert, error.message) if error.reverted else error


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
