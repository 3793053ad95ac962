"""What lies between two actors: peers that cannot be reached, words that are lost, a chain that does not answer, a power cut anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from subak.archive.store import Archive, ArchiveError, NotThere
from subak.chain.rpc import CHUNK_BLOCKS, Block, Log, Receipt, Rpc, RpcUnreachable
from subak.core.nouns import Network
from subak.core.nouns.document import Hash
from subak.lab.simulator.evm import MemoryChain
from subak.verifier.peers import Peers

Step = Callable[[str], None]
"""Told what an actor is about to do; may raise ``Killed``."""
Passes = Callable[[int, int, str], bool]
"""Whether what one actor asks another (by number; -1 is the chain) now gets through."""
Answer = tuple[int, bytes, bytes]
_T = TypeVar("_T")
_S = TypeVar("_S")
CHAIN = -1
"""The chain's number."""
ANYONE = 999
"""Somebody's who is no actor."""


class Killed(BaseException):
    """The power went off. No actor may catch it."""


class Server(Protocol):
    """An actor as others see it."""

    number: int
    """Which one it is."""

    def answer(self, path: str, asker: int) -> Answer:
        """What it says to GET: status, content type, body. Status 0 if it does not run."""


class Line(Rpc):
    """One actor's connection to the chain."""

    def __init__(self, chain: MemoryChain, number: int, passes: Passes, step: Step) -> None:
        self.url, self.node = chain.url, chain.node
        self._chain, self._number, self._passes, self._step = chain, number, passes, step
        self._chain_id = chain.chain_id()

    def close(self) -> None:
        """Nothing is open."""

    def _ask(self, what: str, ask: Callable[[], _T]) -> _T:
        if not self._passes(self._number, CHAIN, what):
            raise RpcUnreachable(f"{self.node}: cut off")
        self._step(what)
        return ask()

    def request(self, method: str, *params: Any) -> Any:
        return self._ask(method, lambda: self._chain.request(method, *params))

    def batch(self, questions: Iterable[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.request(method, *params) for method, params in questions]

    def find_block(self, tag: int | str) -> Block | None:
        return self._ask("block", lambda: self._chain.find_block(tag))

    def logs(
        self, first: int, last: int, addresses: Sequence[bytes], topics: Sequence[bytes] = (), chunk_blocks: int = CHUNK_BLOCKS
    ) -> list[Log]:
        return self._ask("logs", lambda: self._chain.logs(first, last, addresses, topics))

    def call(self, to: bytes, data: bytes, block: int | str = "latest", sender: bytes | None = None) -> bytes:
        return self._ask("call", lambda: self._chain.call(to, data, block, sender))

    def call_many(self, calls: Sequence[tuple[bytes, bytes]], block: int | str = "latest") -> list[bytes]:
        return self._ask("call", lambda: self._chain.call_many(calls, block))

    def code(self, address: bytes) -> bytes:
        return self._ask("code", lambda: self._chain.code(address))

    def balance(self, address: bytes) -> int:
        return self._ask("balance", lambda: self._chain.balance(address))

    def nonce(self, address: bytes, tag: str = "pending") -> int:
        return self._ask("nonce", lambda: self._chain.nonce(address, tag))

    def send_raw(self, raw: bytes) -> Hash:
        hashed = self._ask("send", lambda: self._chain.send_raw(raw))
        # It may also die before it hears that the transaction arrived.
        self._step("sent")
        return hashed

    def knows(self, transaction: bytes) -> bool:
        return self._ask("knows", lambda: self._chain.knows(transaction))

    def receipt(self, transaction: bytes) -> Receipt | None:
        return self._ask("receipt", lambda: self._chain.receipt(transaction))


class _Remote:
    """Another verifier's archive, or this one's own, over the wire."""

    def __init__(self, ask: Callable[[str], bytes | None], address: str) -> None:
        self._ask, self._address = ask, address

    def get(self, path: str) -> bytes:
        raw = self._ask(f"/archive/{path}")
        if raw is None:
            raise NotThere(path, self._address)
        return raw

    def put(self, path: str, data: bytes, replace: bool = False) -> None:
        raise ArchiveError(f"{self._address} is only read; {path} was not written")

    def has(self, path: str) -> bool:
        return self._ask(f"/archive/{path}") is not None

    def names(self, prefix: str = "") -> list[str]:
        raise ArchiveError(f"{self._address} gives files by name only; it does not list {prefix!r}")


class _Link:
    """What ``Peers`` asks of one verifier."""

    def __init__(self, asker: int, server: Server, passes: Passes, step: Step) -> None:
        self.address = f"verifier-{server.number}"
        self._asker, self._server, self._passes, self._step = asker, server, passes, step
        self.archive: Archive = _Remote(self.document, self.address)

    def document(self, path: str) -> bytes | None:
        self._step(path)
        if self._asker != self._server.number and not self._passes(self._asker, self._server.number, path):
            return None
        status, _, body = self._server.answer(path, self._asker)
        return body if status == 200 else None

    def has(self, path: str) -> bool:
        return self.document(f"/archive/{path}") is not None

    def file(self, path: str) -> bytes | None:
        return self.document(f"/archive/{path}")


def archives_of(asker: int, servers: Sequence[Server], passes: Passes, step: Step = lambda what: None) -> list[Archive]:
    """The servers' archives, as ``asker`` reaches them."""
    return [_Link(asker, server, passes, step).archive for server in servers]


class InTurn:
    """An executor that does one thing after another, in the order in which they were asked for."""

    def map(self, function: Callable[[_T], _S], items: Iterable[_T]) -> Iterator[_S]:
        return map(function, items)

    def shutdown(self, wait: bool = True) -> None:
        """Nothing runs."""


class Wire(Peers):
    """The real ``Peers`` over links that lose words."""

    def __init__(self, network: Network, asker: int, servers: Sequence[Server], passes: Passes, step: Step) -> None:
        self._network = network
        self._peers = [_Link(asker, server, passes, step) for server in servers]  # type: ignore[misc]
        self._pool = InTurn()  # type: ignore[assignment]
