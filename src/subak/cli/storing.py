"""What a customer does with files: put, get, ls, rm, verify, on hosts that are found by price."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from subak.archive.books import read_state
from subak.archive.store import ArchiveError, HttpArchive
from subak.chain.clock import NetworkClock
from subak.chain.contracts import ChainRefused, Contract
from subak.chain.rpc import Rpc, RpcError
from subak.chain.snapshot import Finalised, Follower
from subak.cli.buying import opened
from subak.cli.units import currencies, hexed, short, table, tell, when
from subak.core.nouns import Hash, Network, State
from subak.core.nouns.document import convert
from subak.customer.paying import Payer
from subak.customer.storage import sets_of
from subak.customer.wallet import Wallet
from subak.kinds.storage.customer import Cause, Code, Fault, Host, PutFailed, Store, Stored, TooFewHosts
from subak.kinds.storage.customer.index import Index
from subak.kinds.storage.rules.tree import PIECE_KIB

KIND = "storage"
DAY_HOURS = 24
_PAGES = 20
"""Pages of offers that are read: far more hosts than a file can have."""
_TIMEOUT_S = 10.0
_ASK_S = 2.0
_TRIES = 3
"""How often a file is begun anew with other hosts in the place of those that failed."""
_WAIT_S = 20.0
"""Real seconds in which hosts should have heard of a lane."""
_MOMENTARY = ("has not seen it yet", "the pass held until")
"""What hosts say of a lane or pass that a second try may find in order."""


class CannotStore(ValueError):
    """A file cannot be stored or fetched as things are; the text says why and what to do."""


class Offered(msgspec.Struct, frozen=True):
    """An offer as a verifier lists it."""

    asset: Hash
    """Who offers."""
    price: int
    """Payment units …"""
    per_units: int
    """… for so many KiB hours."""
    capacity: int
    """KiB that it keeps at most."""
    endpoint: str
    """Where it listens; empty if nowhere."""

    @property
    def unit_price(self) -> Fraction:
        """Payment units for a KiB hour."""
        return Fraction(self.price, self.per_units)


class _Page(msgspec.Struct, frozen=True):
    offers: list[Offered]
    more: bool


class _Status(msgspec.Struct, frozen=True):
    """What a host says of itself."""

    asset: Hash
    capacity_kib: int
    used_kib: int


@dataclass(frozen=True)
class Wanted:
    """What hosts have to offer for a file."""

    code: Code
    """Any k of n of them give it back."""
    kib: int
    """What each of them keeps."""
    most: Fraction | None
    """The most payment units for a KiB hour; None is any price."""


def cheapest(offers: Collection[Offered], owners: Mapping[bytes, bytes], wanted: Wanted) -> list[Offered]:
    """The hosts for a file, the cheapest first: one of each owner, and only then second ones, so that few are lost with one owner.

    Hosts without an address, with too little capacity, above the price, or whose owner the chain does not know, do not count. At most n.
    """
    fit = [each for each in offers if each.endpoint and each.capacity >= wanted.kib and bytes(each.asset) in owners]
    fit = [each for each in fit if wanted.most is None or each.unit_price <= wanted.most]
    ranked = sorted(fit, key=lambda each: (each.unit_price, each.asset))
    seen: set[bytes] = set()
    firsts: list[Offered] = []
    others: list[Offered] = []
    for each in ranked:
        owner = owners[bytes(each.asset)]
        (others if owner in seen else firsts).append(each)
        seen.add(owner)
    return sorted([*firsts, *others][: wanted.code.n], key=lambda each: (each.unit_price, each.asset))


def run_put(
    network_file: Path, wallet_folder: Path, folder: Path, file: Path, name: str, needed: int, hosts: int, max_price: str, json: bool
) -> int:
    """Store a file on the cheapest hosts."""
    if needed > hosts:
        raise CannotStore(f"{needed} of {hosts} hosts cannot be needed: name fewer with --needed, or more with --hosts")
    name = name or file.name
    with opened(wallet_folder, network_file) as wallet:
        network, rpc = wallet.network, wallet.channels.contract.rpc
        payment = currencies(rpc, network).payment
        code = Code(needed, hosts)
        most = Fraction(payment.parse(max_price, "--max-price"), (1 << 20) * 30 * DAY_HOURS) if max_price else None
        wanted = Wanted(code, code.segments(file.stat().st_size) * PIECE_KIB, most)
        offers = read_offers(network)
        owners = owners_of(network, rpc, [each.asset for each in offers])
        clock = NetworkClock(rpc, network.speed)
        passes = _passes(wallet, clock.now())
        with _progress(f"storing {name}", json) as told:
            stored, chosen = asyncio.run(_put(folder, passes, clock.now_exact, file, name, wanted, offers, owners, told))
        a_day = sum(wanted.kib * DAY_HOURS * each.price // each.per_units for each in chosen)
        facts = {**_stored_told(stored), "price_a_day": payment.told(a_day), "endpoints": [each.endpoint for each in chosen]}
        words = [
            f"stored {name!r}: {stored.size_bytes:,} bytes, any {code.k} of {code.n} hosts give them back; {payment.words(a_day)} a day"
        ]
        words += [f"  {short(each.asset)} at {each.endpoint}" for each in chosen]
        tell(json, facts, "\n".join([*words, "hosts keep it as long as it is paid for: leave `subak customer` running"]))
    return 0


def run_get(network_file: Path, wallet_folder: Path, folder: Path, name: str, out: Path | None, json: bool) -> int:
    """Fetch a file."""
    _check_folder(folder)
    path = out or Path(Path(name).name)
    with opened(wallet_folder, network_file) as wallet:
        clock = NetworkClock(wallet.channels.contract.rpc, wallet.network.speed)
        passes = _passes(wallet, clock.now())

        async def get(told: Callable[[int, int], None]) -> Any:
            async with Store(folder, passes, now=clock.now_exact) as store:
                _follow_moves(store, store.stat(name), wallet.network)
                return await store.get(name, path, progress=told)

        with _progress(f"fetching {name}", json) as told:
            fetched = asyncio.run(get(told))
    facts = {"name": name, "file": str(path), "size_bytes": fetched.size_bytes, "faults": [_fault(each) for each in fetched.faults]}
    words = [f"{fetched.size_bytes:,} bytes of {name!r} in {path}", *(f"  went around: {fault}" for fault in fetched.faults)]
    tell(json, facts, "\n".join(words))
    return 0


def run_ls(folder: Path, json: bool) -> int:
    """What is stored. Needs no network."""
    _check_folder(folder)
    index = Index(folder)
    try:
        files = index.ls()
    finally:
        index.close()
    rows = [(each.name, f"{each.size_bytes:,}", f"{each.code.k} of {each.code.n}", when(each.stored_unix_s)) for each in files]
    words = table(("name", "bytes", "hosts", "stored"), rows, frozenset({1})) if rows else "nothing is stored"
    tell(json, {"files": [_stored_told(each) for each in files]}, words)
    return 0


def run_rm(network_file: Path, wallet_folder: Path, folder: Path, name: str, json: bool) -> int:
    """Remove a file."""
    _check_folder(folder)
    with opened(wallet_folder, network_file) as wallet:
        clock = NetworkClock(wallet.channels.contract.rpc, wallet.network.speed)
        passes = _passes(wallet, clock.now())

        async def remove() -> tuple[Fault, ...]:
            async with Store(folder, passes, now=clock.now_exact) as store:
                _follow_moves(store, store.stat(name), wallet.network)
                return await store.rm(name)

        faults = asyncio.run(remove())
    words = [f"removed {name!r}", *(f"  still there, and asked again later: {fault}" for fault in faults)]
    tell(json, {"name": name, "faults": [_fault(each) for each in faults]}, "\n".join(words))
    return 0


def run_verify(network_file: Path, wallet_folder: Path, folder: Path, name: str, json: bool) -> int:
    """Have hosts show that the file's pieces lie in the sets that they are asked about. 1 if some do not."""
    _check_folder(folder)
    with opened(wallet_folder, network_file) as wallet:
        network, rpc = wallet.network, wallet.channels.contract.rpc
        clock = NetworkClock(rpc, network.speed)
        passes = _passes(wallet, clock.now())
        finals = Follower(rpc, network.contracts, network.clock).history()
        sets = _final_sets(network, finals)

        async def verify() -> tuple[Stored, Any]:
            async with Store(folder, passes, now=clock.now_exact) as store:
                stored = store.stat(name)
                _follow_moves(store, stored, network)
                held = {host.asset for host in stored.hosts}
                return stored, await store.verify_places(name, {asset: each for asset, each in sets.items() if asset in held})

        stored, proven = asyncio.run(verify())
    epoch = finals[-1].last if finals else None
    per_host = {host.asset: proven.kib.get(host.asset, 0) for host in stored.hosts}
    good = sum(kib >= stored.kib_per_host for kib in per_host.values())
    facts = {
        "name": name,
        "final_epoch": epoch,
        "needed": stored.code.k,
        "proven_hosts": good,
        "hosts": [
            {"asset": hexed(host.asset), "endpoint": host.endpoint, "kib": stored.kib_per_host, "proven_kib": per_host[host.asset]}
            for host in stored.hosts
        ],
        "faults": [_fault(each) for each in proven.faults],
    }
    at = f"the sets that hosts are asked about after epoch {epoch}" if finals else "no set, since no epoch is final yet"
    words = [f"{name!r}: {good} of {stored.code.n} hosts have shown all of their part in {at}; {stored.code.k} are needed to read it"]
    words += [f"  {short(asset)} {kib:,} of {stored.kib_per_host:,} KiB" for asset, kib in per_host.items()]
    words += [f"  {fault}" for fault in proven.faults]
    tell(json, facts, "\n".join(words))
    return 0 if good == stored.code.n else 1


def read_offers(network: Network) -> list[Offered]:
    """Every storage offer that stands, from the first verifier that answers. Errors: CannotStore."""
    client, troubles = httpx.Client(timeout=_TIMEOUT_S, trust_env=False), []
    for verifier in network.nodes.verifiers:
        try:
            return _pages(client, f"{verifier.rstrip('/')}/v1/offers")
        except (httpx.HTTPError, ValueError) as error:
            troubles.append(f"{verifier}: {error or type(error).__name__}")
    raise CannotStore("no verifier in network.toml tells of offers: " + "; ".join(troubles or ["it names none"]))


def owners_of(network: Network, rpc: Rpc, assets: Sequence[bytes]) -> dict[bytes, bytes]:
    """Who owns each asset, as far as the chain knows it."""
    contract = Contract("Assets", network.contracts.assets, rpc)
    numbers = [int.from_bytes(asset, "big") for asset in assets]
    try:
        owners = contract.call_many([("ownerOf", (number,)) for number in numbers])
    except RpcError as error:
        if not error.reverted:
            raise
        owners = [_owner(contract, number) for number in numbers]
    return {bytes(asset): bytes(owner) for asset, owner in zip(assets, owners, strict=True) if owner}


def _owner(contract: Contract, number: int) -> bytes:
    try:
        return bytes(contract.call("ownerOf", number))
    except ChainRefused:
        return b""


async def _put(
    folder: Path,
    passes: Callable[[bytes, float], str],
    now: Callable[[], float],
    file: Path,
    name: str,
    wanted: Wanted,
    offers: Sequence[Offered],
    owners: Mapping[bytes, bytes],
    told: Callable[[int, int], None],
) -> tuple[Stored, list[Offered]]:
    """Store it; with other hosts in the place of those that fail, as long as there are enough."""
    failed: set[bytes] = set()
    until, tries = time.monotonic() + _WAIT_S, 0
    async with Store(folder, passes, code=wanted.code, now=now) as store:
        failed |= await _without_room(cheapest(offers, owners, _more(wanted)), wanted.kib)
        while True:
            chosen = cheapest([each for each in offers if bytes(each.asset) not in failed], owners, wanted)
            if len(chosen) < wanted.code.n:
                raise _too_few(len(chosen), wanted.code, len(offers))
            try:
                return await store.put(file, name, [Host(bytes(each.asset), each.endpoint) for each in chosen], progress=told), chosen
            except PutFailed as error:
                if all(_will_pass(fault) for fault in error.faults) and time.monotonic() < until:
                    await asyncio.sleep(1.0)
                    continue
                tries += 1
                failed |= {fault.asset for fault in error.faults}
                enough = len(cheapest([each for each in offers if bytes(each.asset) not in failed], owners, wanted)) == wanted.code.n
                if tries == _TRIES or not enough:
                    raise
                _say("\n".join(f"taking another host: {fault}" for fault in error.faults))


async def _without_room(chosen: Sequence[Offered], kib: int) -> set[bytes]:
    """Hosts that do not answer, are others than they say, or have too little room left: better known before anything is sent."""

    async def ask(client: httpx.AsyncClient, offered: Offered) -> bool:
        try:
            answer = await client.get(f"{offered.endpoint.rstrip('/')}/v1/status")
            told = convert(msgspec.json.decode(answer.content), _Status)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return False
        return answer.status_code == 200 and told.asset == offered.asset and told.capacity_kib - told.used_kib >= kib

    async with httpx.AsyncClient(timeout=_ASK_S, trust_env=False) as client:
        fine = await asyncio.gather(*(ask(client, each) for each in chosen))
    return {bytes(each.asset) for each, is_fine in zip(chosen, fine, strict=True) if not is_fine}


def _more(wanted: Wanted) -> Wanted:
    """The same for twice as many hosts: those that could take others' places."""
    return Wanted(Code(wanted.code.k, min(2 * wanted.code.n, 256)), wanted.kib, wanted.most)


def _will_pass(fault: Fault) -> bool:
    """A lane that was opened a moment ago; or a pass that was too slow, in a replay where an hour takes a second."""
    return fault.cause is Cause.REFUSED and any(words in fault.sentence for words in _MOMENTARY)


def _too_few(count: int, code: Code, offered: int) -> TooFewHosts:
    smaller = f"--needed {max(1, count * code.k // code.n)} --hosts {count}" if count else "other verifiers, or a higher --max-price"
    words = f"{count} of {offered} hosts on offer can keep this file now, and {code.k} of {code.n} takes {code.n}"
    return TooFewHosts(f"{words}: wait for more, or name {smaller}")


def _pages(client: httpx.Client, url: str) -> list[Offered]:
    found: dict[bytes, Offered] = {}
    after: dict[str, str] = {}
    for _ in range(_PAGES):
        answer = client.get(url, params={"kind": KIND, **after}).raise_for_status()
        page = convert(msgspec.json.decode(answer.content), _Page)
        found |= {bytes(each.asset): each for each in page.offers if each.price >= 0 and each.per_units > 0}
        if not page.more or not page.offers:
            break
        after = {"after": hexed(page.offers[-1].asset)}
    return list(found.values())


def _follow_moves(store: Store, stored: Stored, network: Network) -> None:
    """Hosts of the file that offer from another address now; what verifiers do not say is left as it was."""
    try:
        now = {bytes(each.asset): each.endpoint for each in read_offers(network)}
    except CannotStore:
        return
    for host in stored.hosts:
        if now.get(host.asset, "") not in ("", host.endpoint):
            store.moved(host.asset, now[host.asset])


def _final_sets(network: Network, finals: Sequence[Finalised]) -> dict[bytes, tuple[bytes, int]]:
    """Root and slots of the set that each host is asked about after the last final epoch."""
    state = State.genesis()
    if finals:
        trouble: ArchiveError | None = None
        for verifier in network.nodes.verifiers:
            try:
                state = read_state(HttpArchive(f"{verifier.rstrip('/')}/archive"), finals[-1].state_root)
                break
            except ArchiveError as error:
                trouble = trouble or error
        else:
            raise trouble or CannotStore("network.toml names no verifiers, and their archives tell what is final: add one")
    rows = state.carried[KIND].to_dicts() if KIND in state.carried else []
    return sets_of({row["asset"]: row for row in rows})


def _passes(wallet: Wallet, now: int) -> Callable[[bytes, float], str]:
    """Passes of the newest lane that lives. Errors: CannotStore."""
    wallet.sync()
    alive = [each for each in wallet.store.lanes() if not each.closed and now < each.fact.expiry_unix_s]
    alive = [each for each in alive if wallet.channels.lane_state(each.fact.id)[1] >= each.fact.closes_at_unix_s]
    if not alive:
        raise CannotStore("no lane is open that could pay hosts: `subak lane open` opens one, and `subak customer` keeps one open")
    return Payer(wallet, alive[-1].fact.id, httpx.Client(timeout=_TIMEOUT_S, trust_env=False)).pass_for


def _check_folder(folder: Path) -> None:
    if not (folder / "index.sqlite").exists():
        raise CannotStore(f"nothing was ever stored from {folder}: is --folder the right one?")


@contextmanager
def _progress(what: str, json: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=json or not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _stored_told(stored: Stored) -> dict[str, Any]:
    return {
        "name": stored.name,
        "size_bytes": stored.size_bytes,
        "needed": stored.code.k,
        "hosts": [hexed(host.asset) for host in stored.hosts],
        "kib_per_host": stored.kib_per_host,
        "stored_unix_s": stored.stored_unix_s,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "asset": hexed(fault.asset),
        "endpoint": fault.endpoint,
        "cause": str(fault.cause),
        "sentence": fault.sentence,
        "pieces": fault.pieces,
    }


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
