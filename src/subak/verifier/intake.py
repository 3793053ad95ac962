"""Intake: ``POST /v1/entries`` and ``GET /v1/conflicts``.

Promises:

- *durable, then acknowledged*: whoever holds an acknowledgement finds those Entries in the log, whatever crashed since;
- *a bad Entry hurts only itself*: the rest of its batch is taken in;
- *an identical copy gets the first acknowledgement again*, also after a restart, and is not stored again;
- *of two different Entries with one sequence both are kept*; the second is refused.

Nothing is judged here beyond size, signature, known asset and window. Reasons are listed in ``docs/intake.md``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import msgspec

from subak.archive.log import EntryLog, LogBroken
from subak.core.canon.entry import HEADER_BYTES, RawEntry, fault
from subak.core.canon.ids import signer_id
from subak.core.canon.segment import unfit
from subak.core.canon.signatures import CheckedKey, KeyRefused, checked
from subak.core.canon.typed_data import Acknowledgement, acknowledgement_digest
from subak.core.kind import Schema
from subak.core.nouns.network import Clock
from subak.verifier.bodies import BodyRefused, Unreadable, read_batch, read_json
from subak.verifier.limits import Buckets, Limits

log = logging.getLogger("subak.verifier")

BATCH = "application/vnd.subak.entries"
"""Content type of a binary batch."""
JSON = "application/json"
"""Content type of Entries for people."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

REASONS: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "These bytes are not an Entry"),
    "empty": (400, "The body holds no Entries"),
    "wrong_content_type": (415, "Entries come as application/vnd.subak.entries or as application/json, not compressed"),
    "too_large": (413, "The body is too large"),
    "too_many_entries": (413, "The body holds too many Entries"),
    "slow_body": (408, "The body took too long to arrive"),
    "rate_limited": (429, "Too much in too short a time"),
    "busy": (503, "Too many bodies are being read"),
    "log_unavailable": (503, "The Entries could not be made durable"),
    "wrong_network": (422, "The Entry is for another network"),
    "unknown_schema": (422, "No kind of this network knows the schema"),
    "wrong_shape": (422, "The rows do not fit the schema"),
    "unknown_asset": (422, "No such asset is registered"),
    "wrong_kind": (422, "The asset is of another kind than the schema"),
    "wrong_signer": (422, "The Entry names a key that is not the asset's"),
    "bad_signature": (422, "The signature does not hold"),
    "bad_interval": (422, "The rows' interval is out of bounds"),
    "in_the_future": (422, "The last line ends too far ahead of the clock"),
    "too_late": (422, "The last line is older than the policy allows"),
    "conflicting_sequence": (409, "The asset signed another Entry with this sequence before"),
}
"""Every reason that intake gives: HTTP status if nothing in the body was taken in, and what it means."""

_TITLES = {404: "Not Found", 405: "Method Not Allowed"}
_TURN_SECONDS = 0.02
_SIGNATURES = 128
_DRAINED_BYTES = 1 << 24


class Signer(Protocol):
    """Signs acknowledgements. Promise: one digest always gets the same signature."""

    @property
    def address(self) -> bytes:
        """The account, 20 bytes."""

    def sign_digest(self, digest: bytes) -> bytes:
        """EIP-2098 compact signature, 64 bytes, of 32 bytes."""


@dataclass(frozen=True)
class KnownAsset:
    """What intake knows of an asset."""

    kind: str
    """Its kind; "" for a site."""
    keys: tuple[tuple[int, bytes], ...]
    """(curve, public key) of every key that may sign for it now."""

    @cached_property
    def signers(self) -> Mapping[bytes, CheckedKey]:
        """Signer id to key, of the keys that hold under the strict rule of their curve."""
        signers = {}
        for curve, key in self.keys:
            with suppress(KeyRefused):
                signers[signer_id(curve, key)] = checked(curve, key)
        return signers


class Refusal(msgspec.Struct, frozen=True, order=True):
    """An Entry that was not taken in."""

    index: int
    """Its place in the body; bytes that are no Entry count as one."""
    reason: str
    """A key of ``REASONS``."""
    detail: str
    """The values that disagree, in words."""


class Taken:
    """Entries that were taken in together and share an acknowledgement."""

    __slots__ = ("count", "entries", "keys", "position", "received_unix_s", "signature")

    def __init__(self, position: int, received_unix_s: int, keys: Sequence[bytes], digests: Sequence[bytes]) -> None:
        self.position, self.received_unix_s, self.keys = position, received_unix_s, keys
        self.count = len(digests)
        self.entries = sha256(b"".join(digests)).digest()
        self.signature = b""


class Conflict(NamedTuple):
    """Two different Entries with one sequence, both signed by the asset: its bond answers for them."""

    asset: bytes
    """Who signed them."""
    sequence: int
    """The sequence of both."""
    first: bytes
    """Bytes of the one that stands."""
    second: bytes
    """Bytes of the one that was refused."""


@dataclass
class _Checked:
    """A body on its way: what passed the checks so far, and what did not."""

    good: list[tuple[int, RawEntry, bytes, bytes]] = field(default_factory=list)
    """(index, Entry, key of its name, digest), every signature checked."""
    copies: list[tuple[int, Taken]] = field(default_factory=list)
    """(index, what it was taken in with) of Entries that are in the log."""
    refused: list[Refusal] = field(default_factory=list)
    wait_seconds: float = 0.0


class _Problem(Exception):
    """The whole body is refused."""

    def __init__(self, reason: str, detail: str, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.retry_after = reason, detail, retry_after
        self.unread = False
        """Part of the body was not read, so that the connection is of no more use."""


class Intake:
    """An ASGI application that takes Entries in. All its work is done in the event loop but for the fdatasync, which a thread does for
    everyone who waits."""

    def __init__(
        self,
        *,
        network: bytes,
        chain_id: int,
        settlement: bytes,
        schemas: Collection[Schema],
        clock: Clock,
        late_epochs: int,
        now: Callable[[], int],
        entries: EntryLog,
        signer: Signer,
        limits: Limits | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """``network`` is the network id, ``settlement`` the contract's address, ``now`` the network's clock (Unix seconds), ``elapsed`` a
        clock of real seconds that never jumps. Reads the log's late end again. Errors: LogBroken; ValueError for a log of another network.
        """
        self.network, self.signer = network, signer
        self.late_epochs = late_epochs
        """Entries older than this many epochs before the running one are refused."""
        self.limits = limits or Limits()
        self._chain_id, self._settlement = chain_id, settlement
        self._schemas = {schema.id: (schema, schema.name.partition(".")[0], _checker(schema)) for schema in schemas}
        self._by_name = {f"{schema.name}/{schema.version}": schema for schema in schemas}
        self._clock, self._now, self._elapsed, self._log = clock, now, elapsed, entries
        self._assets: Mapping[bytes, KnownAsset] = {}
        self._seen: dict[bytes, tuple[bytes, Taken, int]] = {}
        self._taken: deque[Taken] = deque()
        self._conflicts: dict[bytes, Conflict] = {}
        self._conflict_bytes = 0
        self._per_asset: Buckets[bytes] = Buckets(self.limits.asset_entries_per_second, self.limits.asset_entries_burst)
        self._per_client: Buckets[str] = Buckets(self.limits.client_bytes_per_second, self.limits.client_bytes_burst, 1 << 16)
        self._bodies = 0
        self._syncing: asyncio.Future[int] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake-fdatasync")
        counted = ("bodies_total", "bytes_total", "entries_accepted_total", "entries_known_total", "fsyncs_total", "verify_seconds_total")
        self._counts: dict[str, float] = dict.fromkeys((*counted, *(_refused(reason) for reason in REASONS)), 0.0)
        self._remember()

    def know(self, assets: Mapping[bytes, KnownAsset]) -> None:
        """Replaces what is known of assets, by asset id; from any thread. The mapping must not change afterwards."""
        self._assets = assets

    def metrics(self) -> Mapping[str, float]:
        """Counters since the start, by Prometheus name without prefix."""
        return {**self._counts, "conflicts": len(self._conflicts), "entries_remembered": len(self._seen)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        route = (scope["method"], scope["path"])
        if route == ("POST", "/v1/entries"):
            await self._post(scope, receive, send)
        elif route == ("GET", "/v1/conflicts"):
            await _respond(send, 200, JSON, self._list_conflicts())
        else:
            status = 405 if scope["path"] in ("/v1/entries", "/v1/conflicts") else 404
            detail = f"{scope['method']} {scope['path']} is not answered here"
            await _respond(send, status, _PROBLEM, {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail})

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body, is_json = await self._body(scope, receive)
            entries = self._read(body) if is_json else read_batch(body, self.network)
            if len(entries) > self.limits.body_entries:
                raise _Problem("too_many_entries", f"{len(entries)} Entries, at most {self.limits.body_entries}")
            if not entries:
                raise _Problem("empty", "the body holds no Entries")
            checked = await self._check(entries)
            fresh, known, end = self._admit(checked, b"" if is_json else body)
            await self._durable(end)
            await self._answer(send, checked, fresh, known)
        except _Disconnected:
            pass
        except _Problem as problem:
            self._count_refused(problem.reason)
            await _respond_problem(send, problem.reason, problem.detail, problem.retry_after, close=problem.unread)
        except LogBroken as error:
            log.error("intake: %s", error)
            self._count_refused("log_unavailable")
            await _respond_problem(send, "log_unavailable", "this verifier's log takes nothing; try another one", 10.0)

    async def _body(self, scope: Scope, receive: Receive) -> tuple[bytes, bool]:
        """The body, and whether it is JSON."""
        headers = dict(scope["headers"])
        is_json, length_bytes, fault = self._read_head(headers)
        if fault is not None and (b"expect" in headers or length_bytes > _DRAINED_BYTES):
            fault.unread = True
            raise fault
        pieces: list[bytes] = []
        size, more = 0, True
        client = str((scope.get("client") or ("",))[0])
        self._bodies += 1
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Disconnected
                    piece, more = message.get("body", b""), message.get("more_body", False)
                    size += len(piece)
                    if wait := self._per_client.take(client, len(piece), self._elapsed()):
                        raise _Problem("rate_limited", f"this address sent too many bytes; wait {wait:.1f} s", wait)
                    if fault is None and size > self.limits.body_bytes:
                        fault = _Problem("too_large", f"over {self.limits.body_bytes} bytes came")
                        pieces.clear()
                    # A body that is refused is read on and thrown away, or its sender would see a broken pipe instead of the reason.
                    if fault is None:
                        pieces.append(piece)
                    elif size > _DRAINED_BYTES:
                        raise fault
            if fault is not None:
                raise fault
        except TimeoutError:
            slow = _Problem("slow_body", f"{size} bytes came in {self.limits.body_seconds} s")
            slow.unread = True
            raise slow from None
        except _Problem as problem:
            problem.unread = more
            raise
        finally:
            self._bodies -= 1
        self._counts["bodies_total"] += 1
        self._counts["bytes_total"] += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), is_json

    def _read_head(self, headers: Mapping[bytes, bytes]) -> tuple[bool, int, _Problem | None]:
        """Whether JSON comes, how many bytes (0 if unsaid), and why they will be refused."""
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        encoding = headers.get(b"content-encoding", b"identity").lower().decode("latin-1")
        length = headers.get(b"content-length", b"0")
        length_bytes = int(length) if length.isdigit() and len(length) < 16 else 1 << 60
        fault = None
        if kind not in (BATCH, JSON) or encoding != "identity":
            fault = _Problem("wrong_content_type", f"content-type is {kind or 'missing'}, content-encoding {encoding}")
        elif length_bytes > self.limits.body_bytes:
            fault = _Problem("too_large", f"content-length is {length_bytes}, at most {self.limits.body_bytes}")
        elif self._bodies >= self.limits.bodies:
            fault = _Problem("busy", f"{self._bodies} bodies are being read", 1.0)
        return kind == JSON, length_bytes, fault

    def _read(self, body: bytes) -> list[RawEntry | Unreadable]:
        try:
            return read_json(body, self.network, self._by_name, self.limits.body_entries, self.limits.body_bytes)
        except BodyRefused as error:
            raise _Problem(error.reason, error.detail) from None

    async def _check(self, entries: Sequence[RawEntry | Unreadable]) -> _Checked:
        """Everything that can be said of each Entry alone. Lets others have their turn every 20 ms."""
        checked = _Checked()
        began = time.perf_counter()
        to_verify = self._look_at(entries, checked)
        worked = 0.0
        # Signatures last and by themselves: between other work the same instructions take a sixth longer.
        for at in range(0, len(to_verify), _SIGNATURES):
            some = to_verify[at : at + _SIGNATURES]
            verdicts = [key.holds(key.raw, entry.signature, entry.signed) for _, entry, _, _, key in some]
            for (index, entry, name, digest, key), holds in zip(some, verdicts, strict=True):
                if holds:
                    checked.good.append((index, entry, name, digest))
                else:
                    self._per_asset.give_back(entry.subject, 1)
                    detail = f"the signature is not that of key {key.raw.hex()} over these bytes"
                    checked.refused.append(Refusal(index, "bad_signature", detail))
            if (now := time.perf_counter()) - began > _TURN_SECONDS:
                worked += now - began
                await asyncio.sleep(0)
                began = time.perf_counter()
        self._counts["verify_seconds_total"] += worked + time.perf_counter() - began
        return checked

    def _look_at(self, entries: Sequence[RawEntry | Unreadable], checked: _Checked) -> list[tuple[int, RawEntry, bytes, bytes, CheckedKey]]:
        """Every check but the signature; returns (index, Entry, key of its name, digest, public key) of what is left to verify."""
        to_verify = []
        now, elapsed, seen = self._now(), self._elapsed(), self._seen
        for index, entry in enumerate(entries):
            if isinstance(entry, Unreadable):
                checked.refused.append(Refusal(index, entry.reason, entry.detail))
                continue
            signed = entry.signed
            name = signed[48:80] + signed[88:96]
            digest = sha256(signed).digest()
            held = seen.get(name)
            if held is not None and held[0] == digest:
                # Who has the very bytes that stand in the log gets their acknowledgement; a signature would prove nothing more.
                checked.copies.append((index, held[1]))
                continue
            told = self._key_of(entry, now, elapsed)
            if isinstance(told, CheckedKey):
                to_verify.append((index, entry, name, digest, told))
            else:
                reason, detail, wait = told
                checked.refused.append(Refusal(index, reason, detail))
                checked.wait_seconds = max(checked.wait_seconds, wait)
        return to_verify

    def _key_of(self, entry: RawEntry, now: int, elapsed: float) -> CheckedKey | tuple[str, str, float]:
        """The public key that must have signed the Entry; or why it is refused whoever signed it: reason, detail and seconds to wait, if
        waiting helps."""
        if entry.network != self.network:
            return "wrong_network", f"network is {entry.network.hex()}, not {self.network.hex()}", 0.0
        known = self._schemas.get(entry.schema_id)
        if known is None:
            return "unknown_schema", f"schema id is {entry.schema_id.hex()}, known are {sorted(self._by_name)}", 0.0
        schema, kind, unfit_for = known
        if (why := unfit_for(schema, entry)) is not None:
            return "wrong_shape", why, 0.0
        asset = self._assets.get(entry.subject)
        if asset is None:
            return "unknown_asset", f"asset {entry.subject.hex()} is not registered", 0.0
        if kind != asset.kind and kind != "subak":
            return "wrong_kind", f"asset {entry.subject.hex()} is of kind {asset.kind!r}, {schema.name} of {kind!r}", 0.0
        key = asset.signers.get(entry.signer)
        if key is None:
            return "wrong_signer", f"signer is {entry.signer.hex()}, the asset's are {[signer.hex() for signer in asset.signers]}", 0.0
        interval = entry.interval_seconds
        if interval > self.limits.interval_seconds or (not interval and entry.rows > 1):
            return (
                "bad_interval",
                f"{entry.rows} rows of {interval} s: at most {self.limits.interval_seconds} s, and an instant has one row",
                0.0,
            )
        end = entry.start_unix_s + entry.rows * interval
        if end > now + self.limits.future_seconds:
            return (
                "in_the_future",
                f"the last line ends at {end}, the clock says {now}, {self.limits.future_seconds} s ahead are taken",
                0.0,
            )
        oldest = now - (self.late_epochs + 1) * self._clock.epoch_seconds
        if end <= oldest:
            return "too_late", f"the last line ends at {end}, the oldest that is taken ends after {oldest}", 0.0
        if wait := self._per_asset.take(entry.subject, 1, elapsed):
            return "rate_limited", f"asset {entry.subject.hex()} sent too many Entries; wait {wait:.1f} s", wait
        return key

    def _admit(self, checked: _Checked, batch: bytes) -> tuple[Taken | None, dict[Taken, list[int]], int]:
        """Appends what is new. Returns it; what was known already, with its indices in the body; and up to which position the log must be
        durable before anyone hears of it. Nothing else runs in between. ``batch`` are the Entries as they came, if they came in binary.
        """
        self._forget()
        fresh: dict[bytes, tuple[bytes, RawEntry]] = {}
        fresh_copies: list[int] = []
        known: dict[Taken, list[int]] = {}
        conflicts: list[tuple[int, RawEntry, bytes]] = []
        for index, earlier in checked.copies:
            known.setdefault(earlier, []).append(index)
        for index, entry, name, digest in checked.good:
            if (held := self._seen.get(name)) is not None:
                if held[0] == digest:
                    known.setdefault(held[1], []).append(index)
                else:
                    conflicts.append((index, entry, name))
            elif (twin := fresh.setdefault(name, (digest, entry)))[1] is not entry:
                if twin[0] == digest:
                    fresh_copies.append(index)
                else:
                    conflicts.append((index, entry, name))
        whole = len(fresh) == len(checked.good) and not checked.copies and not checked.refused
        taken = self._take(fresh, batch if whole else b"") if fresh else None
        if taken is not None and fresh_copies:
            known[taken] = fresh_copies
        for index, entry, name in conflicts:
            self._keep_conflict(name, entry)
            detail = f"sequence {entry.sequence} of asset {entry.subject.hex()} stands for another Entry; both are kept"
            checked.refused.append(Refusal(index, "conflicting_sequence", detail))
        checked.refused.sort()
        self._counts["entries_accepted_total"] += taken.count if taken else 0
        self._counts["entries_known_total"] += sum(len(indices) for indices in known.values())
        for refusal in checked.refused:
            self._count_refused(refusal.reason)
        if taken is not None or conflicts:
            return taken, known, self._log.position
        return taken, known, max((earlier.position + earlier.count for earlier in known), default=0)

    def _take(self, fresh: Mapping[bytes, tuple[bytes, RawEntry]], batch: bytes) -> Taken:
        """``batch`` are the bytes of them all, if they stand together."""
        now = self._now()
        batch = batch or b"".join([part for _, entry in fresh.values() for part in (entry.signed, entry.signature)])
        position = self._log.append_batch(batch, len(fresh), now)
        return self._note(position, now, list(fresh), [digest for digest, _ in fresh.values()])

    def _note(self, position: int, received_unix_s: int, names: Sequence[bytes], digests: Sequence[bytes]) -> Taken:
        taken = Taken(position, received_unix_s, names, digests)
        self._taken.append(taken)
        self._seen.update((name, (digest, taken, place)) for place, (name, digest) in enumerate(zip(names, digests, strict=True), position))
        return taken

    def _keep_conflict(self, name: bytes, second: RawEntry) -> None:
        """One pair is proof enough; a third Entry of the sequence is only refused."""
        if name not in self._conflicts:
            self._log.append([second.signed + second.signature], self._now())
            self._note_conflict(name, second)

    def _note_conflict(self, name: bytes, second: RawEntry) -> None:
        place = self._seen[name][2]
        first = next(self._log.entries(place, place + 1)).entry
        pair = Conflict(second.subject, second.sequence, first.signed + first.signature, second.signed + second.signature)
        self._conflicts[name] = pair
        self._conflict_bytes += len(pair.first) + len(pair.second)
        while self._conflict_bytes > self.limits.conflict_bytes and len(self._conflicts) > 1:
            oldest = self._conflicts.pop(next(iter(self._conflicts)))
            self._conflict_bytes -= len(oldest.first) + len(oldest.second)

    def _remember(self) -> None:
        """Takes up where the last run stopped: what may still come again is read from the log."""
        horizon = self._horizon()
        for record in self._log.records():
            if strangers := {entry.network for entry in record.entries} - {self.network}:
                raise ValueError(
                    f"{self._log.folder} holds Entries of the network {min(strangers).hex()}, this one is {self.network.hex()}"
                )
            if record.received_unix_s <= horizon:
                continue
            names = [entry.signed[48:80] + entry.signed[88:96] for entry in record.entries]
            digests = [entry.digest for entry in record.entries]
            held = self._seen.get(names[0])
            if held is not None and held[0] != digests[0]:
                self._note_conflict(names[0], record.entries[0])
            else:
                self._note(record.position, record.received_unix_s, names, digests)

    def _forget(self) -> None:
        """What can only come too late need not be remembered."""
        horizon = self._horizon()
        while self._taken and self._taken[0].received_unix_s <= horizon:
            for name in self._taken.popleft().keys:
                self._seen.pop(name, None)

    def _horizon(self) -> int:
        """Every Entry received by this time ends before the oldest time that is taken."""
        return self._now() - (self.late_epochs + 1) * self._clock.epoch_seconds - self.limits.future_seconds

    async def _durable(self, end: int) -> None:
        """Returns when every Entry below position ``end`` survives a power cut; all who wait share an fdatasync. Errors: LogBroken."""
        while self._log.durable < end:
            # A sync that is done may have started before this Entry was appended.
            if self._syncing is None or self._syncing.done():
                self._syncing = asyncio.get_running_loop().run_in_executor(self._thread, self._log.sync)
                self._counts["fsyncs_total"] += 1
            await asyncio.shield(self._syncing)

    async def _answer(self, send: Send, checked: _Checked, fresh: Taken | None, known: Mapping[Taken, list[int]]) -> None:
        if fresh is None and not known:
            reasons = {refusal.reason for refusal in checked.refused}
            first = checked.refused[0]
            statuses = {REASONS[reason][0] for reason in reasons}
            detail = (
                f"Entry {first.index}: {first.detail}" if len(checked.refused) == 1 else f"all {len(checked.refused)} Entries were refused"
            )
            await _respond_problem(
                send,
                first.reason,
                detail,
                checked.wait_seconds,
                statuses.pop() if len(statuses) == 1 else 422,
                checked.refused,
            )
            return
        answer: dict[str, Any] = {
            "accepted": fresh.count if fresh else 0,
            "known": sum(len(indices) for indices in known.values()),
            "refused": checked.refused,
            "acknowledgement": self._acknowledgement(fresh) if fresh else None,
        }
        earlier = [(taken, indices) for taken, indices in known.items() if taken is not fresh]
        if earlier:
            answer["known_acknowledgements"] = []
            for number, (taken, indices) in enumerate(earlier):
                answer["known_acknowledgements"].append({"indices": indices, **self._acknowledgement(taken)})
                if number & 255 == 255:
                    await asyncio.sleep(0)
        await _respond(send, 200, JSON, answer)

    def _acknowledgement(self, taken: Taken) -> dict[str, Any]:
        """What this verifier promises; the same every time, since it follows from the log."""
        if not taken.signature:
            message = Acknowledgement(self.network, taken.position, taken.count, taken.entries, taken.received_unix_s)
            taken.signature = self.signer.sign_digest(acknowledgement_digest(message, self._chain_id, self._settlement))
        return {
            "network": "0x" + self.network.hex(),
            "position": taken.position,
            "count": taken.count,
            "entries": "0x" + taken.entries.hex(),
            "received_unix_s": taken.received_unix_s,
            "verifier": "0x" + self.signer.address.hex(),
            "signature": "0x" + taken.signature.hex(),
        }

    def _list_conflicts(self) -> dict[str, Any]:
        """Pairs at hand, latest first."""
        return {
            "conflicts": [
                {
                    "asset": "0x" + pair.asset.hex(),
                    "sequence": pair.sequence,
                    "first": "0x" + pair.first.hex(),
                    "second": "0x" + pair.second.hex(),
                }
                for pair in reversed(self._conflicts.values())
            ]
        }

    def close(self) -> None:
        """Lets its thread go; the log stays open."""
        self._thread.shutdown()

    def _count_refused(self, reason: str) -> None:
        self._counts[_refused(reason)] += 1


class _Disconnected(Exception):
    """The client went away before its body had come."""


_PROBLEM = "application/problem+json"


def _refused(reason: str) -> str:
    return f'refused_total{{reason="{reason}"}}'


def _checker(schema: Schema) -> Callable[[Schema, RawEntry], str | None]:
    """``unfit``, but quick for an Entry that fits."""
    types = {field.type for field in schema.fields}
    if types != {"u63"}:
        return unfit if "u128" in types else fault
    words = schema.row_words

    def check(schema: Schema, entry: RawEntry) -> str | None:
        # The first byte of every word is below 0x80.
        if entry.row_words == words and entry.signed[HEADER_BYTES::8].isascii():
            return None
        return fault(schema, entry)

    return check


async def _respond_problem(
    send: Send,
    reason: str,
    detail: str,
    retry_after: float = 0.0,
    status: int = 0,
    refused: Sequence[Refusal] = (),
    close: bool = False,
) -> None:
    usual, title = REASONS[reason]
    status = status or usual
    problem: dict[str, Any] = {"type": f"urn:subak:intake:{reason}", "title": title, "status": status, "detail": detail, "reason": reason}
    if refused:
        problem["refused"] = refused
    headers = [(b"retry-after", str(int(retry_after) + 1).encode())] if retry_after else []
    if close:
        headers.append((b"connection", b"close"))
    await _respond(send, status, _PROBLEM, problem, headers)


async def _respond(send: Send, status: int, kind: str, value: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    body = msgspec.json.encode(value)
    every = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body})
