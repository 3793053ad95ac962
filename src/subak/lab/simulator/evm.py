"""A chain in memory with the interface of ``subak.chain.rpc.Rpc``: the real contracts in a real EVM, and a clock that is told the time."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pyrevm import EVM, BlockEnv, CfgEnv, Env

from subak.chain.accounts import recover
from subak.chain.rpc import CHUNK_BLOCKS, Block, Log, Receipt, Rpc, RpcError
from subak.core.canon.keccak import keccak256
from subak.core.nouns.document import Address, Hash

FINAL_SECONDS = 64
"""A block so much older than the newest one is never forgotten."""
_GAS = 100_000_000
_MOST_CHECKPOINTS = 900
"""The EVM nests calls and checkpoints 1,024 deep at most."""
_REVERT_CODE = 3
_OUTPUT = re.compile(r"output: (0x[0-9a-f]*)")
_NOBODY = "0x" + "00" * 20
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Transaction:
    hash: Hash
    sender: Address
    nonce: int
    to: Address | None
    value: int
    data: bytes


@dataclass
class _Mined:
    """A transaction in its block, and the state before it."""

    transaction: _Transaction
    receipt: Receipt
    timestamp: int
    before: Any


class MemoryChain(Rpc):
    """One chain. Every transaction is mined at once, in a block of its own at the time that ``now`` says.

    Promise: the same calls in the same order give the same blocks, hashes and answers.
    """

    def __init__(self, chain_id: int, start_unix_s: int) -> None:
        self.url, self.node = "memory:", "the chain in memory"
        self._chain_id = chain_id
        self.now = start_unix_s
        """What time it is; only ever moved forward, by ``go_to``."""
        self._evm = EVM(env=Env(cfg=CfgEnv(chain_id=chain_id), block=BlockEnv(number=0, timestamp=start_unix_s)), spec_id="CANCUN")
        self._blocks = [Block(0, Hash(keccak256(b"genesis")), Hash(bytes(32)), start_unix_s, 0)]
        self._mined: list[_Mined] = []
        self._by_hash: dict[bytes, _Mined] = {}
        self._logs: list[Log] = []
        self._forks = 0
        self._env_at = -1
        self._open: list[Any] = []
        """The EVM's checkpoints that can still be gone back to, oldest first."""

    def close(self) -> None:
        """Nothing is open."""

    def go_to(self, unix_s: int) -> None:
        """Mine an empty block at this time."""
        if unix_s > self.now:
            self.now = unix_s
            self._mine(b"")

    def fund(self, address: bytes, wei: int) -> None:
        """Give an account some of the chain's own coin."""
        self._evm.set_balance(_hex(address), wei)

    def read(self, contract: bytes, slot: bytes) -> int:
        """A word of a contract's storage."""
        return int(self._evm.storage(_hex(contract), int.from_bytes(slot, "big")))

    def write(self, contract: bytes, slot: bytes, word: int) -> None:
        """Change a contract's storage by force, as only a bug in it could: for planted bugs."""
        self.read(contract, slot)  # what was never read cannot be written
        self._evm.insert_account_storage(_hex(contract), int.from_bytes(slot, "big"), word)

    def settle_down(self) -> None:
        """What was done so far is never undone: makes room for more."""
        self._evm.commit()
        self._open.clear()
        for mined in self._mined:
            mined.before = None

    def forget(self, seconds: int) -> int:
        """Lose the blocks of the last seconds, as a node that crashed or followed another branch. Returns how many transactions are gone.

        Final blocks and what ``settle_down`` closed stay.
        """
        keep = bisect_right(self._blocks, max(self.now - seconds, self.now - FINAL_SECONDS), key=lambda block: block.timestamp)
        lost = [mined for mined in self._mined if mined.receipt.block >= keep]
        if keep < 1 or any(mined.before is None for mined in lost):
            return 0
        if lost:
            self._back_to(len(self._mined) - len(lost))
        del self._blocks[keep:]
        del self._logs[bisect_left(self._logs, keep, key=lambda log: log.block) :]
        for mined in lost:
            self._by_hash.pop(mined.transaction.hash)
        self._forks += 1
        self._mine(b"")
        return len(lost)

    @contextmanager
    def imagined(self) -> Iterator[None]:
        """Whatever is sent inside did not happen; nothing may have been sent before that is looked up by number meanwhile."""
        blocks, mined, logs, now, forks = len(self._blocks), len(self._mined), len(self._logs), self.now, self._forks
        checkpoint = self._remember()
        try:
            yield
        finally:
            self._undo(checkpoint)
            for each in self._mined[mined:]:
                self._by_hash.pop(each.transaction.hash)
            del self._blocks[blocks:], self._mined[mined:], self._logs[logs:]
            self.now, self._forks, self._env_at = now, forks, -1

    def request(self, method: str, *params: Any) -> Any:
        """The few questions that ``Sender`` asks by name."""
        match method:
            case "eth_estimateGas":
                return hex(self._estimate(params[0]))
            case "eth_maxPriorityFeePerGas":
                return "0x0"
            case "eth_call":
                to, data = _bytes(params[0]["to"]), _bytes(params[0]["data"])
                sender = _bytes(params[0]["from"]) if "from" in params[0] else None
                tag = params[1]
                return _hex(self.call(to, data, int(tag, 16) if tag.startswith("0x") else tag, sender))
            case "eth_getTransactionByHash":
                mined = self._by_hash.get(_bytes(params[0]))
                return None if mined is None else self._told(mined)
        # Not an RpcError: a question that is new must not look like a chain that is down.
        raise NotImplementedError(f"{self.node} does not answer {method}")

    def batch(self, questions: Iterable[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.request(method, *params) for method, params in questions]

    def find_block(self, tag: int | str) -> Block | None:
        number = self._number(tag)
        return self._blocks[number] if number < len(self._blocks) else None

    def logs(
        self, first: int, last: int, addresses: Sequence[bytes], topics: Sequence[bytes] = (), chunk_blocks: int = CHUNK_BLOCKS
    ) -> list[Log]:
        some = self._logs[
            bisect_left(self._logs, first, key=lambda log: log.block) : bisect_right(self._logs, last, key=lambda log: log.block)
        ]
        of, named = set(addresses), set(topics)
        return [log for log in some if log.address in of and (not named or (log.topics and log.topics[0] in named))]

    def call(self, to: bytes, data: bytes, block: int | str = "latest", sender: bytes | None = None) -> bytes:
        return self._at(self._number(block), lambda: self._call("eth_call", sender, to, data))

    def call_many(self, calls: Sequence[tuple[bytes, bytes]], block: int | str = "latest") -> list[bytes]:
        return self._at(self._number(block), lambda: [self._call("eth_call", None, to, data) for to, data in calls])

    def code(self, address: bytes) -> bytes:
        return bytes(self._evm.get_code(_hex(address)) or b"")

    def balance(self, address: bytes) -> int:
        return int(self._evm.get_balance(_hex(address)))

    def nonce(self, address: bytes, tag: str = "pending") -> int:
        return next((mined.transaction.nonce + 1 for mined in reversed(self._mined) if mined.transaction.sender == address), 0)

    def send_raw(self, raw: bytes) -> Hash:
        transaction = _decode(raw)
        if transaction.hash in self._by_hash:
            return transaction.hash
        wanted = self.nonce(transaction.sender)
        if transaction.nonce != wanted:
            raise RpcError("eth_sendRawTransaction", -32000, f"nonce is {transaction.nonce}, expected {wanted}")
        if len(self._open) > _MOST_CHECKPOINTS:
            raise RuntimeError(f"over {_MOST_CHECKPOINTS} transactions since the chain settled down")
        before = self._remember()
        number, timestamp = len(self._blocks), max(self.now, self._blocks[-1].timestamp)
        self._environment(number, timestamp)
        receipt, logs = self._execute(transaction, number, timestamp)
        self._mine(transaction.hash)
        mined = _Mined(transaction, receipt, timestamp, before)
        self._mined.append(mined)
        self._by_hash[transaction.hash] = mined
        self._logs += logs
        return transaction.hash

    def knows(self, transaction: bytes) -> bool:
        return transaction in self._by_hash

    def receipt(self, transaction: bytes) -> Receipt | None:
        mined = self._by_hash.get(transaction)
        return mined.receipt if mined else None

    def _told(self, mined: _Mined) -> dict[str, Any]:
        done = mined.transaction
        return {
            "hash": _hex(done.hash),
            "blockNumber": hex(mined.receipt.block),
            "from": _hex(done.sender),
            "to": None if done.to is None else _hex(done.to),
            "nonce": hex(done.nonce),
            "value": hex(done.value),
            "input": _hex(done.data),
        }

    def _number(self, tag: int | str) -> int:
        if isinstance(tag, int):
            return tag
        newest = self._blocks[-1]
        match tag:
            case "latest" | "pending":
                return newest.number
            case "finalized":
                return max(0, bisect_right(self._blocks, newest.timestamp - FINAL_SECONDS, key=lambda block: block.timestamp) - 1)
            case "earliest":
                return 0
        raise ValueError(f"no block is called {tag}")

    def _mine(self, content: bytes) -> None:
        parent = self._blocks[-1]
        timestamp = max(self.now, parent.timestamp)
        said = parent.hash + timestamp.to_bytes(8, "big") + self._forks.to_bytes(8, "big") + content
        self._blocks.append(Block(parent.number + 1, Hash(keccak256(said)), parent.hash, timestamp, 0))

    def _environment(self, number: int, timestamp: int) -> None:
        if self._env_at != number:
            self._evm.set_block_env(BlockEnv(number=number, timestamp=timestamp))
            self._env_at = number

    def _at(self, number: int, ask: Callable[[], _T]) -> _T:
        """Ask at an earlier block: undo what came after it, and do that again."""
        block = self._blocks[number]
        since = bisect_right(self._mined, number, key=lambda mined: mined.receipt.block)
        later = self._mined[since:]
        if later:
            if any(mined.before is None for mined in later):
                raise RpcError("eth_call", -32000, f"block {number} is pruned")
            self._back_to(since)
        self._environment(number, block.timestamp)
        try:
            return ask()
        finally:
            for mined in later:
                mined.before = self._remember()
                self._environment(mined.receipt.block, mined.timestamp)
                self._execute(mined.transaction, mined.receipt.block, mined.timestamp)
                self._mined.append(mined)

    def _back_to(self, count: int) -> None:
        """The state before transaction number ``count``."""
        self._undo(self._mined[count].before)
        del self._mined[count:]
        self._env_at = -1

    def _remember(self) -> Any:
        """A checkpoint of the state as it is now."""
        self._open.append(self._evm.snapshot())
        return self._open[-1]

    def _undo(self, checkpoint: Any) -> None:
        """Back to a checkpoint, one by one: the EVM nests 1,024 levels, and going back lifts it by one, however many lie between."""
        while True:
            newest = self._open.pop()
            self._evm.revert(newest)
            if newest == checkpoint:
                return

    def _call(self, method: str, sender: bytes | None, to: bytes, data: bytes) -> bytes:
        try:
            return bytes(self._evm.message_call(_hex(sender) if sender else _NOBODY, _hex(to), data, gas=_GAS, is_static=True))
        except RuntimeError as error:
            raise _refusal(method, error) from None

    def _estimate(self, question: dict[str, str]) -> int:
        newest = self._blocks[-1]
        self._environment(newest.number + 1, max(self.now, newest.timestamp))
        checkpoint = self._remember()
        try:
            self._run(question["from"], question.get("to"), _bytes(question["data"]), int(question["value"], 16))
            return int(self._evm.result.gas_used)  # type: ignore[union-attr]
        except RuntimeError as error:
            raise _refusal("eth_estimateGas", error) from None
        finally:
            self._undo(checkpoint)
            self._evm.reset_transient_storage()

    def _run(self, sender: str, to: str | None, data: bytes, value: int) -> str | None:
        if to is None:
            return str(self._evm.deploy(sender, data, value, _GAS))
        self._evm.message_call(sender, to, data, value, _GAS)
        return None

    def _execute(self, transaction: _Transaction, number: int, timestamp: int) -> tuple[Receipt, list[Log]]:
        created, succeeded, logs, gas = None, True, [], 0
        to = None if transaction.to is None else _hex(transaction.to)
        try:
            made = self._run(_hex(transaction.sender), to, transaction.data, transaction.value)
            created = Address(_bytes(made)) if made else None
            result = self._evm.result
            assert result is not None
            gas = result.gas_used
            for index, log in enumerate(result.logs):
                topics, data = log.data
                words = tuple(Hash(bytes(topic)) for topic in topics)
                address = Address(_bytes(log.address))
                logs.append(Log(address, words, bytes(data), number, timestamp, transaction.hash, index))
        except RuntimeError:
            succeeded = False
        self._evm.reset_transient_storage()
        return Receipt(transaction.hash, number, succeeded, gas, created), logs


def _refusal(method: str, error: RuntimeError) -> RpcError:
    found = _OUTPUT.search(str(error))
    return RpcError(method, _REVERT_CODE, str(error)[:300], _bytes(found[1]) if found else b"")


def _decode(raw: bytes) -> _Transaction:
    """A signed EIP-1559 transaction."""
    if raw[:1] != b"\x02":
        raise RpcError("eth_sendRawTransaction", -32000, f"a transaction of type {raw[0]}; only EIP-1559's are taken")
    (items, spans), _ = _rlp_list(raw, 1)
    _, nonce, _, _, _, to, value, data, _, parity, r, s = items
    signed = raw[spans[0][0] : spans[8][1]]
    size = len(signed)
    head = bytes([0xC0 + size]) if size < 56 else bytes([0xF7 + (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8)
    tail = int.from_bytes(s, "big") | int.from_bytes(parity, "big") << 255
    sender = recover(keccak256(b"\x02" + head + signed), r.rjust(32, b"\0") + tail.to_bytes(32, "big"))
    number, wei = int.from_bytes(nonce, "big"), int.from_bytes(value, "big")
    return _Transaction(Hash(keccak256(raw)), sender, number, Address(to) if to else None, wei, data)


def _rlp_list(raw: bytes, at: int) -> tuple[tuple[list[bytes], list[tuple[int, int]]], int]:
    """The items of a list of byte strings, where each stands, and where the list ends. Lists inside it are taken as empty."""
    start, end = _rlp_span(raw, at, 0xC0)
    items, spans = [], []
    while start < end:
        of, to = _rlp_span(raw, start, 0xC0 if raw[start] >= 0xC0 else 0x80)
        spans.append((start, to))
        items.append(raw[of:to] if raw[start] < 0xC0 else b"")
        start = to
    return (items, spans), end


def _rlp_span(raw: bytes, at: int, base: int) -> tuple[int, int]:
    """Where the content of an item begins and ends."""
    first = raw[at]
    if first < 0x80:
        return at, at + 1
    if first < base + 56:
        return at + 1, at + 1 + first - base
    width = first - base - 55
    return at + 1 + width, at + 1 + width + int.from_bytes(raw[at + 1 : at + 1 + width], "big")


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
