"""JSON-RPC to an EVM chain, one connection kept open."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from subak.chain.abi import Revert, decode_revert
from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Address, Hash

CHUNK_BLOCKS = 10_000
"""Blocks that one question for logs spans; halved when a node finds it too much."""
BATCH = 500
"""Calls in one HTTP request."""
_REVERTED = 3
_BROKEN = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class RpcUnreachable(ConnectionError):
    """Nobody answered, or not with JSON-RPC."""


class RpcError(RuntimeError):
    """The node answered with an error."""

    def __init__(self, method: str, code: int, message: str, data: bytes = b"") -> None:
        self.method = method
        """What was asked."""
        self.code = code
        """JSON-RPC's number for the error; 3 is a revert."""
        self.message = message
        """The node's words."""
        self.data = data
        """What the contract reverted with."""
        self.revert: Revert | None = decode_revert(data) if data else None
        """The Solidity error in ``data``, if it is one of ours."""
        super().__init__(f"{method} refused ({code}): {self.revert or message}")

    @property
    def reverted(self) -> bool:
        """Whether a contract refused, and not the node."""
        return self.code == _REVERTED or bool(self.data)


class NotMined(TimeoutError):
    """A transaction was not mined before the deadline; it may still be."""

    def __init__(self, transaction: bytes) -> None:
        self.transaction = transaction
        """Its hash."""
        super().__init__(f"transaction 0x{transaction.hex()} is not mined yet")


@dataclass(frozen=True)
class Block:
    """A block's header, as far as we need it."""

    number: int
    """Its height."""
    hash: Hash
    """Its hash."""
    parent: Hash
    """Hash of the block before."""
    timestamp: int
    """Unix seconds."""
    base_fee: int
    """Wei per gas that is burned; 0 on chains without EIP-1559."""


@dataclass(frozen=True)
class Log:
    """An event as the chain keeps it."""

    address: Address
    """Contract that emitted it."""
    topics: tuple[Hash, ...]
    """The event's hash, then its indexed arguments."""
    data: bytes = field(repr=False)
    """Its other arguments."""
    block: int
    """Height of its block."""
    timestamp: int
    """Its block's time, Unix seconds."""
    transaction: Hash
    """Hash of its transaction."""
    index: int
    """Its place in the block."""


@dataclass(frozen=True)
class Receipt:
    """What became of a mined transaction."""

    transaction: Hash
    """Its hash."""
    block: int
    """Height of its block."""
    succeeded: bool
    """False if it reverted."""
    gas_used: int
    """Gas it cost."""
    contract: Address | None
    """Contract that it created."""


def within(seconds: float) -> Callable[[], bool]:
    """A deadline: true once so many real seconds have passed since now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


class Rpc:
    """One chain. Safe to use from several threads.

    A connection that breaks in the middle of a question is opened anew once and the question repeated, so ask only what may be asked twice.
    Every method raises RpcUnreachable or RpcError.
    """

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        """``url`` is http(s); ``timeout_s`` bounds every request, in real seconds. Nothing is asked yet."""
        self.url = url
        """Where the node listens. Paths and queries of hosted nodes hold keys: errors name ``node`` instead."""
        parts = urlsplit(url)
        self.node = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        """The same without what could be secret."""
        local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        # Loading the certificates takes longer than a laptop's chain takes to start.
        self._client = httpx.Client(timeout=timeout_s, trust_env=not local, verify=parts.scheme == "https")
        self._ids = itertools.count(1)
        self._chain_id: int | None = None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def request(self, method: str, *params: Any) -> Any:
        """One question; the answer as JSON has it."""
        answer = self._post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
        if not isinstance(answer, dict):
            raise RpcUnreachable(f"{self.node} answered {method} with a list")
        return _result(method, answer)

    def batch(self, questions: Iterable[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Many questions, answers in the same order. The node may answer them from different blocks. Raises the first error there is."""
        answers: list[Any] = []
        for part in _chunks(list(questions), BATCH):
            numbered = {next(self._ids): question for question in part}
            asked = [{"jsonrpc": "2.0", "id": id_, "method": method, "params": params} for id_, (method, params) in numbered.items()]
            got = self._post(asked)
            if isinstance(got, dict):
                # A node that takes no batches, or not this one, says so once.
                _result("batch", got)
                raise RpcUnreachable(f"{self.node} answered a batch with one object")
            by_id = {each.get("id"): each for each in got}
            for id_, (method, _) in numbered.items():
                if id_ not in by_id:
                    raise RpcUnreachable(f"{self.node} left {method} of a batch unanswered")
                answers.append(_result(method, by_id[id_]))
        return answers

    def chain_id(self) -> int:
        """EIP-155 id; asked once."""
        if self._chain_id is None:
            self._chain_id = int(self.request("eth_chainId"), 16)
        return self._chain_id

    def block(self, tag: int | str = "latest") -> Block:
        """A block by height or by tag ("latest", "finalized", "earliest"). Errors: LookupError if the chain has none."""
        found = self.find_block(tag)
        if found is None:
            raise LookupError(f"{self.node} has no block {tag}")
        return found

    def find_block(self, tag: int | str) -> Block | None:
        """The same, or None."""
        raw = self.request("eth_getBlockByNumber", _tag(tag), False)
        return None if raw is None else _block(raw)

    def logs(
        self, first: int, last: int, addresses: Sequence[bytes], topics: Sequence[bytes] = (), chunk_blocks: int = CHUNK_BLOCKS
    ) -> list[Log]:
        """Logs of the blocks ``first`` to ``last``, both included, in order, of these contracts; with ``topics``, only these events."""
        logs: list[Log] = []
        start = first
        while start <= last:
            end = min(last, start + chunk_blocks - 1)
            question: dict[str, Any] = {"fromBlock": hex(start), "toBlock": hex(end), "address": [_hex(each) for each in addresses]}
            if topics:
                question["topics"] = [[_hex(each) for each in topics]]
            try:
                found = self.request("eth_getLogs", question)
            except RpcError:
                # Nodes bound blocks or results in their own words; a smaller question is the answer to all of them.
                if chunk_blocks == 1:
                    raise
                chunk_blocks = max(1, chunk_blocks // 4)
                continue
            logs.extend(self._with_times([each for each in found if not each.get("removed")]))
            start = end + 1
        return sorted(logs, key=lambda log: (log.block, log.index))

    def call(self, to: bytes, data: bytes, block: int | str = "latest", sender: bytes | None = None) -> bytes:
        """What a contract answers, without a transaction."""
        question = {"to": _hex(to), "data": _hex(data)} | ({"from": _hex(sender)} if sender is not None else {})
        return _bytes(self.request("eth_call", question, _tag(block)))

    def call_many(self, calls: Sequence[tuple[bytes, bytes]], block: int | str = "latest") -> list[bytes]:
        """``call`` of each (contract, data) in one request; name a height to have all answers from one block."""
        questions = [("eth_call", ({"to": _hex(to), "data": _hex(data)}, _tag(block))) for to, data in calls]
        return [_bytes(answer) for answer in self.batch(questions)]

    def code(self, address: bytes) -> bytes:
        """A contract's code; empty if there is none."""
        return _bytes(self.request("eth_getCode", _hex(address), "latest"))

    def balance(self, address: bytes) -> int:
        """Wei of an account."""
        return int(self.request("eth_getBalance", _hex(address), "latest"), 16)

    def nonce(self, address: bytes, tag: str = "pending") -> int:
        """How many transactions an account has sent; "pending" counts those that wait, "latest" only mined ones."""
        return int(self.request("eth_getTransactionCount", _hex(address), tag), 16)

    def send_raw(self, raw: bytes) -> Hash:
        """Hand in a signed transaction; its hash. One that the node knows already is fine."""
        try:
            return Hash(_bytes(self.request("eth_sendRawTransaction", _hex(raw))))
        except RpcError as error:
            if "already" in error.message.lower():
                return Hash(keccak256(raw))
            raise

    def knows(self, transaction: bytes) -> bool:
        """Whether a transaction is mined or waits."""
        return self.request("eth_getTransactionByHash", _hex(transaction)) is not None

    def call_data(self, transaction: bytes) -> bytes:
        """What a transaction carried. Errors: RpcError, RpcUnreachable; LookupError if the node does not know it."""
        found = self.request("eth_getTransactionByHash", _hex(transaction))
        if found is None:
            raise LookupError(f"{self.node} does not know the transaction {_hex(transaction)}")
        return _bytes(found["input"])

    def receipt(self, transaction: bytes) -> Receipt | None:
        """What became of a transaction; None while it is not mined."""
        raw = self.request("eth_getTransactionReceipt", _hex(transaction))
        if raw is None or raw.get("blockNumber") is None:
            return None
        created = raw.get("contractAddress")
        return Receipt(
            transaction=Hash(transaction),
            block=int(raw["blockNumber"], 16),
            succeeded=int(raw["status"], 16) == 1,
            gas_used=int(raw["gasUsed"], 16),
            contract=Address(_bytes(created)) if created else None,
        )

    def _with_times(self, raw: list[dict[str, Any]]) -> list[Log]:
        lacking = sorted({each["blockNumber"] for each in raw if not each.get("blockTimestamp")})
        headers = self.batch([("eth_getBlockByNumber", (number, False)) for number in lacking])
        times = {number: header["timestamp"] for number, header in zip(lacking, headers, strict=True)}
        return [_log(each, each.get("blockTimestamp") or times[each["blockNumber"]]) for each in raw]

    def _post(self, body: Any) -> Any:
        try:
            try:
                response = self._client.post(self.url, json=body)
            except _BROKEN:
                response = self._client.post(self.url, json=body)
        except httpx.HTTPError as error:
            raise RpcUnreachable(f"{self.node}: {type(error).__name__}: {error}") from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        # Some nodes send JSON-RPC's errors with an HTTP error's status.
        if isinstance(answer, list) or (isinstance(answer, dict) and "jsonrpc" in answer):
            return answer
        raise RpcUnreachable(f"{self.node}: HTTP {response.status_code}, and no JSON-RPC")


def _result(method: str, answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    data = error.get("data")
    raw = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    raise RpcError(method, int(error.get("code", 0)), str(error.get("message", "")), raw)


def _chunks(items: list[tuple[str, Sequence[Any]]], size: int) -> Iterator[list[tuple[str, Sequence[Any]]]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _tag(tag: int | str) -> str:
    return hex(tag) if isinstance(tag, int) else tag


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _block(raw: dict[str, Any]) -> Block:
    return Block(
        number=int(raw["number"], 16),
        hash=Hash(_bytes(raw["hash"])),
        parent=Hash(_bytes(raw["parentHash"])),
        timestamp=int(raw["timestamp"], 16),
        base_fee=int(raw.get("baseFeePerGas") or "0x0", 16),
    )


def _log(raw: dict[str, Any], timestamp: str) -> Log:
    return Log(
        address=Address(_bytes(raw["address"])),
        topics=tuple(Hash(_bytes(topic)) for topic in raw["topics"]),
        data=_bytes(raw["data"]),
        block=int(raw["blockNumber"], 16),
        timestamp=int(timestamp, 16),
        transaction=Hash(_bytes(raw["transactionHash"])),
        index=int(raw["logIndex"], 16),
    )
