"""What whoever watches does: contest what differs, show what was left out, accuse clerks that contradicted themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer

from subak.archive.files import make_private
from subak.archive.store import ArchiveError, HttpArchive
from subak.chain.accounts import Account
from subak.chain.challenges import Challenges
from subak.chain.channels import Channels
from subak.chain.contracts import ChainForgot, ChainRefused, Sender
from subak.chain.network_file import load_network
from subak.chain.rpc import NotMined, Rpc, RpcError, RpcUnreachable
from subak.cli.units import Currency, hexed, tell
from subak.core.canon.json import hash_json
from subak.core.canon.vouchers import Voucher

LOOK_SECONDS = 2.0
"""Real time between two looks at the chain."""
MOST_DOCUMENT_BYTES = 4 << 20
NOT_NOW = (ArchiveError, RpcError, RpcUnreachable, NotMined, ChainForgot)
"""What a later look mends."""


def run_watch(archive: str, rpc_url: str, key: Path, folder: Path, most_bond: str, once: bool, json: bool) -> int:
    """Until Ctrl-C, or for one look: 0 if all is right, 1 if something is not."""
    from subak.verifier.checking import known_network
    from subak.verifier.watching import Told, Watcher

    files, rpc = HttpArchive(archive), Rpc(rpc_url)
    network, account = known_network(files, rpc), Account.load(key)
    token = Currency(*Challenges(rpc, network.contracts).token().written())
    limit = token.parse(most_bond, "the most that doubts may cost") if most_bond else None

    def say(told: Told) -> None:
        _say(json, told.event, told.words, told.facts)

    watcher = Watcher(network, folder, account, rpc, [files], limit, say)
    watcher.require_wallet()
    where = f"network {hexed(network.id)}, Settlement {hexed(network.contracts.settlement)}"
    words = f"watching {network.name}, {where}, as {hexed(account.address)}"
    _say(json, "watching", words, {"network": hexed(network.id), "account": hexed(account.address)})
    if once:
        return 0 if watcher.tick() else 1
    waiting = ""
    try:
        while True:
            try:
                watcher.tick()
                waiting = ""
            except NOT_NOW as error:
                if str(error) != waiting:
                    waiting = str(error)
                    _say(json, "not_now", f"not now: {error}", {"detail": waiting})
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        return 0


def run_prove_omission(outbox: Path | None, promise: Path | None, archive: str, rpc_url: str, out: Path, json: bool) -> int:
    """0 if nothing was omitted, 1 if something was: the evidence is written."""
    from subak.verifier.checking import known_network
    from subak.verifier.omission import OmissionRefused, Promise, prove
    from subak.verifier.peers import Peers

    files, rpc = HttpArchive(archive), Rpc(rpc_url)
    network = known_network(files, rpc)
    asked = _of_outbox(outbox) if outbox else iter([_document(promise)])  # type: ignore[arg-type]
    peers = Peers(network)
    written = 0
    for told in asked:
        try:
            found = prove(Promise.read(told), network, files, rpc, lambda epoch: peers.heads(epoch).values())
        except OmissionRefused as refused:
            _say(json, "refused", str(refused), {})
            continue
        facts: dict[str, Any] = {"status": found.status}
        words = found.words
        if found.document is not None:
            reason = hash_json(found.document)
            out.mkdir(parents=True, exist_ok=True)
            path = out / f"omission-{reason.hex()[:16]}.json"
            path.write_bytes(found.raw)
            written += 1
            facts |= {"file": str(path), "reason": hexed(reason), "answers": found.document["answers"]}
            words += f"\n  evidence {path}, its hash {hexed(reason)} is the reason of a punishment by vote"
        _say(json, found.status, words, facts)
    return 1 if written else 0


def run_verify_omission(path: Path, archive: str, rpc_url: str, json: bool) -> int:
    """0 if the evidence holds, 1 if not."""
    from subak.verifier.checking import known_network
    from subak.verifier.omission import verify

    files, rpc = HttpArchive(archive), Rpc(rpc_url)
    document = _document(path)
    wrong = verify(document, known_network(files, rpc), files, rpc)
    facts = {"holds": not wrong, "wrong": wrong, "reason": hexed(hash_json(document)), "answers": document.get("answers")}
    tell(json, facts, "\n".join([f"{path}: it does not hold", *(f"  {each}" for each in wrong)] if wrong else [f"{path}: it holds"]))
    return 1 if wrong else 0


def run_clerk_accuse(ledger: Path, network_file: Path, key: Path, json: bool) -> int:
    """0 if there was nobody to accuse, or everybody was."""
    from subak.host.exposure import read_contradictions

    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    channels = Channels(rpc, network.contracts, Sender(rpc, Account.load(key)))
    pairs, lanes = read_contradictions(ledger), channels.lanes()
    told, words = [], []
    for pair in pairs:
        lane = lanes[bytes(pair.earlier.voucher.lane)]
        harmed = harm_of(pair.earlier.voucher, pair.later.voucher)
        slashed = _done(lambda: channels.slash_clerk(lane, pair.earlier, pair.later, next(iter(harmed), bytes(32))))  # noqa: B023
        paid = [asset for asset in harmed if _done(lambda: channels.compensate(lane, pair.earlier, pair.later, asset))]  # noqa: B023
        told.append({"lane": hexed(lane.id), "clerk": hexed(lane.clerk), "slashed": slashed, "compensated": [hexed(each) for each in paid]})
        what = "pays for it" if slashed else "has paid for it before, or has nothing"
        words.append(f"clerk {hexed(lane.clerk)} contradicted itself on lane {hexed(lane.id)} and {what}; {len(paid)} owners are paid")
    tell(json, {"accused": told}, "\n".join(words) or "no clerk contradicted itself as far as this host knows")
    return 0


def harm_of(earlier: Voucher, later: Voucher) -> dict[bytes, int]:
    """By asset: what its line lost between two vouchers that contradict each other, in payment units; as the contract counts it."""
    was, now = dict(earlier.lines), dict(later.lines)
    lost = {asset: was.get(asset, 0) - now.get(asset, 0) for asset in sorted(was.keys() | now.keys())}
    same = earlier.seq == later.seq
    return {asset: abs(money) for asset, money in lost.items() if money > 0 or (same and money)}


def _done(send: Any) -> bool:
    """Whether it was done now; a contract that refuses what was done before is no fault."""
    try:
        send()
    except ChainRefused as refused:
        if refused.name not in ("Channels_NothingToSlash", "Channels_NothingOwed"):
            raise
        return False
    return True


def _of_outbox(path: Path) -> Iterator[Mapping[str, Any]]:
    from subak.host.outbox import Outbox

    make_private(path)
    for each in Outbox(path).promises():
        acknowledgement = msgspec.json.decode(each.document)
        yield {"acknowledgement": acknowledgement, "digests": [hexed(digest) for digest in each.digests], "entry": hexed(each.entry)}


def _document(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    if len(raw) > MOST_DOCUMENT_BYTES:
        raise typer.BadParameter(f"{path} has {len(raw)} bytes, at most {MOST_DOCUMENT_BYTES}")
    return msgspec.json.decode(raw, type=dict[str, Any])


def _say(json: bool, event: str, words: str, facts: Mapping[str, Any]) -> None:
    typer.echo(msgspec.json.encode({"event": event, "words": words, **facts}).decode() if json else words)
    sys.stdout.flush()
