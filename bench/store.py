"""How long a file takes to ten hosts and back, beside what AES, the erasure code, SHA-256 and the disk take for it alone.

256 MiB of random bytes, 4 of 10: ten real hosts (``StorageWorker``: it checks every pass and every hash, and acknowledges what is
durable) as processes on this machine over loopback, and the real customer's ``Store``. Parts are measured before and
after in the same round, one after the other in one thread, and added. Of a put: reading the file, sealing, coding, the SHA-256 trees of
all pieces once, writing all pieces with one sync a host. Of the way back: reading k pieces of every segment, their trees, decoding (where
it is needed), opening, writing the file with one sync. What hosts hash again, their sync of every piece, and HTTP are no parts. Each
figure is the median of the rounds, a ratio the median of the rounds' ratios. Beside it stands the same ratio of CPU seconds, of the
customer and all hosts together, which other work here moves less; there two cores gain nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from subak.chain.accounts import Account, recover
from subak.core.canon.passes import make_pass, pass_digest
from subak.core.kind import Asked, Schema
from subak.core.nouns.network import Clock
from subak.kinds.storage.customer import Code, Host, Store
from subak.kinds.storage.customer.codec import Codec
from subak.kinds.storage.rules.tree import PIECE_BYTES, piece_root

SIZE_BYTES = 256 << 20
CODE = Code(4, 10)
ROUNDS = 3
PUT = ("read", "seal", "code", "SHA-256", "write pieces")
GET = ("read pieces", "SHA-256 of k", "open", "write")
LANE = bytes(31) + b"\1"
KEY = Account((12345).to_bytes(32, "big"))
UNTIL_UNIX_S = 4_000_000_000


@dataclass
class Took:
    """Wall and CPU seconds of something."""

    wall: float = 0.0
    """By the clock."""
    cpu: float = 0.0
    """Of this process, and of the hosts if they have to do with it."""


@dataclass
class Way:
    """One way of one round."""

    whole: Took = field(default_factory=Took)
    """The way itself."""
    parts: dict[str, Took] = field(default_factory=dict)
    """Its parts alone."""

    @property
    def ratios(self) -> tuple[float, float]:
        """Parts over the whole: wall, CPU."""
        wall, cpu = sum(each.wall for each in self.parts.values()), sum(each.cpu for each in self.parts.values())
        return wall / self.whole.wall, cpu / self.whole.cpu


def run() -> dict[str, float]:
    """Prints a table; returns ``store_put_vs_parts`` and ``store_get_vs_parts``, and the latter with the data's hosts dead."""
    rounds: list[dict[str, Way]] = []
    with tempfile.TemporaryDirectory(prefix="subak-bench-") as name, _Hosts(Path(name)) as hosts:
        folder = Path(name)
        (folder / "source").write_bytes(os.urandom(SIZE_BYTES))
        for number in range(ROUNDS):
            rounds.append(asyncio.run(_round(folder, hosts, is_last=number == ROUNDS - 1)))
    results: dict[str, float] = {}
    for way in rounds[-1]:
        measured = [each[way] for each in rounds if way in each]
        wall, cpu = (statistics.median(each) for each in zip(*(each.ratios for each in measured), strict=True))
        results[f"store_{way.replace(' ', '_')}_vs_parts"] = wall
        results[f"store_{way.replace(' ', '_')}_vs_parts_per_cpu"] = cpu
        seconds = statistics.median(each.whole.wall for each in measured)
        cpu_seconds = statistics.median(each.whole.cpu for each in measured)
        parts = {part: statistics.median(each.parts[part].wall for each in measured) for part in measured[0].parts}
        print(f"  {way:<20} {seconds:6.2f} s ({SIZE_BYTES / seconds / 1e6:.0f} MB/s), {cpu_seconds:.2f} CPU s with the hosts'")
        print(f"  {'its parts alone':<20} {sum(parts.values()):6.2f} s: {', '.join(f'{part} {each:.2f}' for part, each in parts.items())}")
        print(f"  {'ratio':<20} {wall:6.2f}, per CPU second {cpu:.2f}; rounds {' '.join(f'{each.ratios[0]:.2f}' for each in measured)}")
    return results


async def _round(folder: Path, hosts: _Hosts, is_last: bool) -> dict[str, Way]:
    """Every way once; the last round ends with dead hosts."""
    source, back = folder / "source", folder / "back"
    ways = {"put": Way()}
    before = _parts(folder)
    async with Store(folder / "customer", _passes, code=CODE) as store:
        with _timed(ways["put"].whole, hosts):
            await store.put(source, "file", hosts.named)
        for way in ("get", "get without data") if is_last else ("get",):
            if way == "get without data":
                # Those who hold the data itself, and two more: all of it has to be decoded.
                hosts.kill(CODE.n - CODE.k)
            ways[way] = Way()
            with _timed(ways[way].whole, hosts):
                await store.get("file", back)
            if _digest(back) != _digest(source):
                raise RuntimeError(f"{way}: other bytes came back")
            back.unlink()
        if not is_last and (left := await store.rm("file")):
            raise RuntimeError(f"not removed: {left[0]}")
    after = _parts(folder)
    for way, its_parts in (("put", PUT), ("get", GET), ("get without data", (*GET, "decode"))):
        if way in ways:
            mean = {part: Took((before[part].wall + after[part].wall) / 2, (before[part].cpu + after[part].cpu) / 2) for part in its_parts}
            ways[way].parts = mean
    return ways


def _parts(folder: Path) -> dict[str, Took]:
    """Each part alone, in one thread."""
    took = {part: Took() for part in (*PUT, *GET, "decode")}
    codec = Codec(bytes(32), bytes(32), SIZE_BYTES, CODE)
    aes, encoder, decoder = codec._aes, codec._encoder, codec._decoder
    step, segments = CODE.segment_bytes, CODE.segments(SIZE_BYTES)
    data, parity, last = range(CODE.k), tuple(range(CODE.k, CODE.n)), tuple(range(CODE.n - CODE.k, CODE.n))
    paths = [folder / f"part-{host}" for host in range(CODE.n)]
    files = [path.open("wb", buffering=0) for path in paths]
    sealed, plain = bytearray(CODE.k * PIECE_BYTES), bytearray(segments * step)
    with _timed(took["read"]), (folder / "source").open("rb", buffering=0) as file:
        for number in range(segments):
            file.readinto(memoryview(plain)[number * step : (number + 1) * step])
    for number in range(segments):
        content, nonce = memoryview(plain)[number * step : (number + 1) * step], number.to_bytes(12, "big")
        with _timed(took["seal"]):
            aes.encrypt_into(nonce, content, b"", sealed)
        cut = tuple(bytes(sealed[place * PIECE_BYTES : (place + 1) * PIECE_BYTES]) for place in data)
        with _timed(took["code"]):
            pieces = [*cut, *encoder.encode(cut, parity)]
        with _timed(took["SHA-256"]):
            _hash(pieces)
        with _timed(took["SHA-256 of k"]):
            _hash(cut)
        with _timed(took["write pieces"]):
            for file, piece in zip(files, pieces, strict=True):
                file.write(piece)
        with _timed(took["decode"]):
            decoder.decode(tuple(pieces[place] for place in last), last)
        with _timed(took["open"]):
            aes.decrypt(nonce, sealed, b"")
    with _timed(took["write pieces"]):
        for file in files:
            os.fsync(file.fileno())
            file.close()
    with _timed(took["read pieces"]):
        for place in data:
            with paths[place].open("rb", buffering=0) as file:
                while file.read(PIECE_BYTES):
                    pass
    with _timed(took["write"]), (folder / "part").open("wb", buffering=0) as file:
        for number in range(segments):
            file.write(memoryview(plain)[number * step : (number + 1) * step])
        os.fsync(file.fileno())
    for path in (*paths, folder / "part"):
        path.unlink()
    return took


def _hash(pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        piece_root(piece)


@contextmanager
def _timed(took: Took, hosts: _Hosts | None = None) -> Iterator[None]:
    """Add what happens within."""
    others = hosts.cpu_seconds() if hosts else 0.0
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    took.wall += time.perf_counter() - wall
    took.cpu += time.process_time() - cpu + (hosts.cpu_seconds() if hosts else 0.0) - others


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


_SHOWN: dict[bytes, str] = {}


def _passes(asset: bytes, now: float) -> str:
    """One pass a host, as the customer's software keeps it."""
    if asset not in _SHOWN:
        _SHOWN[asset] = make_pass(asset, LANE, UNTIL_UNIX_S, KEY.sign_digest).header
    return _SHOWN[asset]


class _Hosts:
    """Ten hosts that serve, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        processes = multiprocessing.get_context("spawn")
        self.named: list[Host] = []
        self._children = []
        self._pipes = []
        for number in range(1, CODE.n + 1):
            ours, theirs = processes.Pipe()
            asset = bytes([number]) * 32
            self._pipes.append((asset, ours))
            self._children.append(processes.Process(target=_serve, args=(theirs, asset, str(folder / f"host-{number}")), daemon=True))

    def __enter__(self) -> _Hosts:
        for child in self._children:
            child.start()
        for asset, pipe in self._pipes:
            if not pipe.poll(60):
                raise RuntimeError("a host did not come up within 60 s")
            self.named.append(Host(asset, f"http://127.0.0.1:{pipe.recv()}"))
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(CODE.n)

    def kill(self, count: int) -> None:
        """The first so many are dead afterwards."""
        for child in self._children[:count]:
            child.kill()
            child.join()

    def cpu_seconds(self) -> float:
        """Of all that live."""
        ticks = 0
        for child in self._children:
            if child.is_alive():
                fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class _Desk:
    """A desk in an epoch that never ends: what a worker needs to serve, and nothing to sign."""

    clock = Clock(genesis_unix_s=0, epoch_seconds=UNTIL_UNIX_S, grace_seconds=0, attempt_seconds=1, challenge_seconds=1)

    def __init__(self, asset: bytes) -> None:
        self.asset = asset
        self.serving = asyncio.Event()

    def now(self) -> int:
        return 1

    async def until(self, unix_s: int) -> None:
        if unix_s > self.now():
            self.serving.set()
            await asyncio.Event().wait()

    def put(self, schema: Schema, start_unix_s: int, interval_seconds: int, rows: Sequence[Sequence[Any]]) -> None:
        """The offer goes nowhere."""

    async def tasks(self, epoch: int) -> Asked | None:
        return None

    async def admit(self, lane: bytes, until_unix_s: int, signature: bytes) -> str | None:
        signer = recover(pass_digest(self.asset, lane, until_unix_s), signature)
        return None if signer == KEY.address else "the pass is signed by another key"

    def owe(self, lane: bytes, money: int) -> None:
        """Nothing is charged."""

    def account(self, lane: bytes) -> Mapping[str, int]:
        return {}


def _serve(pipe: Connection, asset: bytes, folder: str) -> None:
    """A host, until it is killed; tells its port."""
    from subak.kinds.storage.host.config import storage_table
    from subak.kinds.storage.host.worker import from_table

    async def serve() -> None:
        worker = from_table(storage_table(Path(folder), "4GiB", endpoint="http://127.0.0.1:1", listen="127.0.0.1:0"))
        desk = _Desk(asset)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(desk))
            await desk.serving.wait()
            pipe.send(worker.port)

    asyncio.run(serve())
