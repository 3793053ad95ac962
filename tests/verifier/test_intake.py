"""Intake over real HTTP: uvicorn on loopback, httpx as the client."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from coincurve import PrivateKey, PublicKey

from subak.archive.log import EntryLog
from subak.core.canon import ed25519, p256
from subak.core.canon.entry import TAG, Value, cut, entry_digest, pack
from subak.core.canon.ids import ED25519, P256, signer_id
from subak.core.canon.typed_data import Acknowledgement, acknowledgement_digest
from subak.core.kind import Field, Schema
from subak.core.nouns import Clock
from subak.core.settlement.reasons import POSSESSION
from subak.verifier.intake import BATCH, REASONS, Intake, KnownAsset
from subak.verifier.limits import Buckets, Limits

NETWORK = bytes(range(32))
CHAIN_ID = 31337
SETTLEMENT = b"\x51" * 20
READING = Schema("energy.reading", 1, (Field("export_wh"), Field("import_wh"), Field("generation_wh")))
PROBE = Schema("wireless.probe", 1, (Field("seen"),))
PRICED = Schema("energy.priced", 1, (Field("price", "u128"),))
CLOCK = Clock(genesis_unix_s=1_496_275_200, epoch_seconds=86_400, grace_seconds=3600, attempt_seconds=600, challenge_seconds=600)
NOW = CLOCK.genesis_unix_s + 10 * 86_400
SIGNER = PrivateKey(b"\x07" * 32)


class FixedSigner:
    """secp256k1 in EIP-2098 form."""

    address = b"\xaa" * 20

    def sign_digest(self, digest: bytes) -> bytes:
        raw = SIGNER.sign_recoverable(digest, hasher=None)
        return raw[:32] + (int.from_bytes(raw[32:64], "big") | raw[64] << 255).to_bytes(32, "big")


def seed_of(asset: int) -> bytes:
    return asset.to_bytes(32, "big")


def asset_of(asset: int) -> bytes:
    return b"asset" + asset.to_bytes(27, "big")


def curve_of(asset: int) -> int:
    """Devices 30 and beyond have P-256 keys."""
    return P256 if asset >= 30 else ED25519


def key_of(asset: int) -> bytes:
    return p256.public_key(seed_of(asset)) if curve_of(asset) == P256 else ed25519.public_key(seed_of(asset))


def signature_of(asset: int, signed: bytes) -> bytes:
    return p256.sign(seed_of(asset), signed) if curve_of(asset) == P256 else ed25519.sign(seed_of(asset), signed)


def raw(asset: int = 1, sequence: int = 0, rows: list[tuple[Value, ...]] | None = None, schema: Schema = READING, **changes: Any) -> bytes:
    """The bytes of an Entry that the asset's device signed, with the header changed as asked."""
    header: dict[str, Any] = {
        "network": NETWORK,
        "subject": asset_of(asset),
        "signer": signer_id(curve_of(asset), key_of(asset)),
        "start_unix_s": NOW - 7200,
        "interval_seconds": 3600,
    } | changes
    signed = pack(schema=schema, sequence=sequence, rows=rows or [(sequence + 1, 2, 3)[: len(schema.fields)]], **header)
    return signed + signature_of(asset, signed)


def resigned(entry: bytes, asset: int = 1, **fields: tuple[int, bytes]) -> bytes:
    """The Entry with bytes replaced at an offset, signed again."""
    signed = bytearray(entry[:-64])
    for at, value in fields.values():
        signed[at : at + len(value)] = value
    return bytes(signed) + signature_of(asset, bytes(signed))


ASSETS = {asset_of(n): KnownAsset("energy", ((ED25519, key_of(n)),)) for n in range(1, 9)}
ASSETS[asset_of(20)] = KnownAsset("", ())
OFF_CURVE = b"\x02" + b"\xff" * 32
ASSETS[asset_of(21)] = KnownAsset("energy", ((P256, OFF_CURVE), (ED25519, b"\1" + bytes(31)), (3, bytes(32))))
ASSETS |= {asset_of(n): KnownAsset("energy", ((P256, key_of(n)),)) for n in (30, 31)}


class Node:
    """A verifier's intake under uvicorn, with a clock that stands."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.now = NOW
        self.elapsed = 0.0
        self.log = EntryLog(folder)
        self.intake = Intake(
            network=NETWORK,
            chain_id=CHAIN_ID,
            settlement=SETTLEMENT,
            schemas=(POSSESSION, READING, PROBE, PRICED),
            clock=CLOCK,
            late_epochs=2,
            now=lambda: self.now,
            entries=self.log,
            signer=FixedSigner(),
            limits=Limits(**limits),
            elapsed=lambda: self.elapsed,
        )
        self.intake.know(ASSETS)
        self.server = uvicorn.Server(uvicorn.Config(self.intake, lifespan="off", log_level="error", access_log=False))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.socket])))
        self.thread.start()
        self.client = httpx.Client(base_url=self.url, timeout=20.0)

    def post(self, body: bytes, kind: str = BATCH, **headers: str) -> httpx.Response:
        return self.client.post("/v1/entries", content=body, headers={"content-type": kind, **headers})

    def send(self, body: bytes) -> dict[str, Any]:
        response = self.post(body)
        assert response.status_code == 200, response.text
        told: dict[str, Any] = response.json()
        return told

    def contents(self) -> list[bytes]:
        return [entry.signed + entry.signature for record in self.log.records() for entry in record.entries]

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join()
        self.intake.close()
        self.log.close()


@contextmanager
def running(folder: Path, **limits: Any) -> Iterator[Node]:
    node = Node(folder, **limits)
    try:
        yield node
    finally:
        node.stop()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """For tests that use ``fresh`` Entries and so need no log of their own."""
    with running(tmp_path_factory.mktemp("log")) as one:
        yield one


_sequences = itertools.count(1_000)


def fresh(count: int) -> list[bytes]:
    """Entries that no test sent before."""
    return [raw(1 + n, next(_sequences)) for n in range(count)]


def refusals(told: dict[str, Any]) -> list[tuple[int, str]]:
    return [(each["index"], each["reason"]) for each in told.get("refused", ())]


def problem(response: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert (response.status_code, told["status"], told["reason"]) == (status, status, reason), told
    assert told["type"] == f"urn:subak:intake:{reason}"
    assert told["title"]
    assert told["detail"]
    return told


def check_acknowledgement(told: dict[str, Any], entries: list[bytes]) -> None:
    digests = b"".join(entry_digest(entry[:-64]) for entry in entries)
    assert (told["network"], told["count"], told["entries"]) == ("0x" + NETWORK.hex(), len(entries), "0x" + sha256(digests).hexdigest())
    message = Acknowledgement(NETWORK, told["position"], told["count"], sha256(digests).digest(), told["received_unix_s"])
    compact = bytes.fromhex(told["signature"][2:])
    tail = int.from_bytes(compact[32:], "big")
    recoverable = compact[:32] + (tail & ((1 << 255) - 1)).to_bytes(32, "big") + bytes([tail >> 255])
    digest = acknowledgement_digest(message, CHAIN_ID, SETTLEMENT)
    assert PublicKey.from_signature_and_message(recoverable, digest, hasher=None).format() == SIGNER.public_key.format()


def test_a_batch_is_durable_and_acknowledged(node: Node) -> None:
    entries = [raw(1, 0), raw(2, 0, [(1, 2, 3)] * 24, start_unix_s=NOW - 86_400), raw(1, 1)]
    told = node.send(b"".join(entries))
    assert told == {"accepted": 3, "known": 0, "refused": [], "acknowledgement": told["acknowledgement"]}
    assert (told["acknowledgement"]["position"], told["acknowledgement"]["received_unix_s"]) == (0, NOW)
    check_acknowledgement(told["acknowledgement"], entries)
    assert node.log.durable == 3
    assert node.contents() == entries
    assert node.send(raw(1, 2))["acknowledgement"]["position"] == 3


def test_a_device_may_say_who_holds_it(node: Node) -> None:
    possession = raw(1, 0, [(bytes(20),)], POSSESSION, interval_seconds=0)
    assert node.send(possession)["accepted"] == 1


def test_json_means_the_same_bytes(node: Node) -> None:
    entry = next(cut(raw(1, 5, [(1, 2, 2**62)])))
    told = {
        "schema": "energy.reading/1",
        "subject": "0x" + entry.subject.hex(),
        "signer": "0x" + entry.signer.hex(),
        "sequence": 5,
        "start_unix_s": entry.start_unix_s,
        "interval_seconds": 3600,
        "rows": [{"import_wh": 2, "export_wh": 1, "generation_wh": str(2**62)}],
        "signature": "0x" + entry.signature.hex(),
    }
    broken: list[Any] = [
        told | {"schema": "energy.reading/2"},
        told | {"signature": "0x00"},
        told | {"subject": "asset"},
        told | {"rows": []},
        told | {"rows": [{"export_wh": 1}]},
        told | {"rows": [{"export_wh": 1.5, "import_wh": 2, "generation_wh": 3}]},
        told | {"rows": [{"export_wh": -1, "import_wh": 2, "generation_wh": 3}]},
        told | {"rows": [{"export_wh": "1e3", "import_wh": 2, "generation_wh": 3}]},
        told | {"sequence": 2**64},
        told | {"more": 1},
        "text",
    ]
    response = node.client.post("/v1/entries", json={"entries": [*broken, told]})
    assert response.status_code == 200
    assert response.json()["accepted"] == 1
    assert refusals(response.json()) == [(0, "unknown_schema"), *((n, "malformed") for n in range(1, len(broken)))]
    assert node.contents() == [entry.signed + entry.signature]
    for body in (b"{", b"[]", b'{"entries": 1}', b"\xff", b"[" * 100_000):
        problem(node.post(body, "application/json"), 400, "malformed")
    problem(node.post(b'{"entries": []}', "application/json"), 400, "empty")


BAD: list[tuple[str, Callable[[], bytes], int, str]] = [
    ("wrong signature", lambda: raw()[:-1] + bytes([raw()[-1] ^ 1]), 422, "bad_signature"),
    ("signed by another", lambda: raw()[:-64] + ed25519.sign(seed_of(2), raw()[:-64]), 422, "bad_signature"),
    ("S plus L", lambda: _plus_order(raw()), 422, "bad_signature"),
    ("a changed value", lambda: raw()[:119] + b"\x09" + raw()[120:], 422, "bad_signature"),
    ("unknown asset", lambda: raw(9), 422, "unknown_asset"),
    ("another asset's key", lambda: raw(signer=signer_id(ED25519, key_of(2))), 422, "wrong_signer"),
    ("a site", lambda: raw(20), 422, "wrong_kind"),
    ("a site that says who holds it", lambda: raw(20, rows=[(bytes(20),)], schema=POSSESSION, interval_seconds=0), 422, "wrong_signer"),
    ("keys that are not taken", lambda: raw(21, signer=signer_id(ED25519, b"\1" + bytes(31))), 422, "wrong_signer"),
    ("a P-256 key off the curve", lambda: raw(21, signer=signer_id(P256, OFF_CURVE)), 422, "wrong_signer"),
    ("a P-256 key named as an Ed25519 one", lambda: raw(30, signer=sha256(b"\1" + key_of(30)).digest()[:8]), 422, "wrong_signer"),
    ("P-256: wrong signature", lambda: raw(30)[:-1] + bytes([raw(30)[-1] ^ 1]), 422, "bad_signature"),
    ("P-256: signed by another", lambda: raw(30)[:-64] + signature_of(31, raw(30)[:-64]), 422, "bad_signature"),
    ("P-256: signed with Ed25519", lambda: raw(30)[:-64] + ed25519.sign(seed_of(30), raw(30)[:-64]), 422, "bad_signature"),
    ("P-256: high s", lambda: _high_s(raw(30)), 422, "bad_signature"),
    ("P-256: all zero", lambda: raw(30)[:-64] + bytes(64), 422, "bad_signature"),
    ("another kind", lambda: raw(schema=PROBE), 422, "wrong_kind"),
    ("another network", lambda: raw(network=bytes(32)), 422, "wrong_network"),
    ("unknown schema", lambda: resigned(raw(), at=(40, bytes(8))), 422, "unknown_schema"),
    ("rows too narrow", lambda: raw(rows=[(1,)], schema=PROBE)[:40] + READING.id + raw(rows=[(1,)], schema=PROBE)[48:], 422, "wrong_shape"),
    ("2^63", lambda: resigned(raw(), at=(112, b"\x80")), 422, "wrong_shape"),
    ("money that nobody can store", lambda: raw(rows=[(10**38,)], schema=PRICED), 422, "wrong_shape"),
    ("future", lambda: raw(start_unix_s=NOW + 1), 422, "in_the_future"),
    ("far future", lambda: raw(start_unix_s=2**63 - 1), 422, "in_the_future"),
    ("ancient", lambda: raw(start_unix_s=NOW - 3 * 86_400 - 3600), 422, "too_late"),
    ("before time", lambda: raw(start_unix_s=0), 422, "too_late"),
    ("long interval", lambda: raw(interval_seconds=32 * 86_400), 422, "bad_interval"),
    ("rows of no length", lambda: raw(rows=[(1, 2, 3)] * 2, interval_seconds=0), 422, "bad_interval"),
    ("zero rows", lambda: resigned(raw(), at=(108, bytes(2))), 400, "malformed"),
    ("too many rows", lambda: resigned(raw(), at=(108, (1025).to_bytes(2, "big"))), 400, "malformed"),
    ("no words", lambda: resigned(raw(), at=(110, bytes(2))), 400, "malformed"),
    ("start of 2^63", lambda: resigned(raw(), at=(96, b"\x80")), 400, "malformed"),
    ("truncated", lambda: raw()[:-1], 400, "malformed"),
    ("truncated header", lambda: raw()[:100], 400, "malformed"),
    ("not our bytes", lambda: b"GET / HTTP/1.1\r\n\r\n" * 40, 400, "malformed"),
]


def _plus_order(entry: bytes) -> bytes:
    order = 2**252 + 27742317777372353535851937790883648493
    return entry[:-32] + (int.from_bytes(entry[-32:], "little") + order).to_bytes(32, "little")


def _high_s(entry: bytes) -> bytes:
    return entry[:-32] + (p256.ORDER - int.from_bytes(entry[-32:], "big")).to_bytes(32, "big")


@pytest.mark.parametrize(("make", "status", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_entry_gets_its_reason_and_hurts_nothing_else(shared: Node, make: Callable[[], bytes], status: int, reason: str) -> None:
    bad = make()
    before = shared.contents()
    told = problem(shared.post(bad), status, reason)
    assert refusals(told) == [(0, reason)]
    good = fresh(3)
    answer = shared.send(good[0] + bad + good[1] + bad + good[2])
    assert answer["accepted"] == 3
    assert refusals(answer) == [(1, reason), (3, reason)]
    check_acknowledgement(answer["acknowledgement"], good)
    assert shared.contents() == before + good


def test_the_edges_of_the_window_are_taken(node: Node) -> None:
    edges = [raw(1, 1, start_unix_s=NOW), raw(1, 2, start_unix_s=NOW - 3 * 86_400 - 3599), raw(1, 3, interval_seconds=0, start_unix_s=NOW)]
    assert node.send(b"".join(edges))["accepted"] == 3


@pytest.mark.parametrize("lost", [1, 8, 63, 64, 65, 100, 150, 190, 199])
def test_an_entry_that_was_cut_short_takes_nothing_from_its_neighbours(shared: Node, lost: int) -> None:
    good = fresh(3)
    cut_short = raw(4, 400)[:-lost]
    answer = shared.send(good[0] + cut_short + good[1] + good[2] + cut_short)
    assert answer["accepted"] == 3
    assert refusals(answer) == [(1, "malformed"), (4, "malformed")]
    assert shared.contents()[-3:] == good


def test_reasons_of_several_kinds_are_422(node: Node) -> None:
    told = problem(node.post(raw(9) + b"noise"), 422, "unknown_asset")
    assert refusals(told) == [(0, "unknown_asset"), (1, "malformed")]
    assert told["detail"] == "all 2 Entries were refused"


def test_reading_goes_on_after_noise_but_not_for_ever(node: Node) -> None:
    answer = node.send(raw(1, 0)[:50] + raw(1, 1) + b"noise" + raw(1, 2))
    assert answer["accepted"] == 2
    assert refusals(answer) == [(0, "malformed"), (2, "malformed")]
    told = problem(node.post((TAG + NETWORK) * 20_000 + raw(1, 3)), 400, "malformed")
    assert len(told["refused"]) == 65
    assert "not read on after 64" in told["refused"][-1]["detail"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"", {}, 400, "empty"),
        (bytes((1 << 20) + 1), {}, 413, "too_large"),
        (bytes(1 << 23), {}, 413, "too_large"),
        (b"x", {"content-type": "text/plain"}, 415, "wrong_content_type"),
        (b"x", {"content-type": ""}, 415, "wrong_content_type"),
        (b"x", {"content-encoding": "gzip"}, 415, "wrong_content_type"),
        (bytes((1 << 20) + 1), {"content-type": "application/json"}, 413, "too_large"),
    ],
)
def test_a_body_that_cannot_be_read_gets_its_reason(shared: Node, body: bytes, headers: dict[str, str], status: int, reason: str) -> None:
    response = shared.client.post("/v1/entries", content=body, headers={"content-type": BATCH} | headers)
    problem(response, status, reason)
    chunked = shared.client.post("/v1/entries", content=iter([body]), headers={"content-type": BATCH} | headers)
    problem(chunked, status, reason)
    assert shared.send(fresh(1)[0])["accepted"] == 1


def test_a_huge_body_is_refused_before_it_is_sent(node: Node) -> None:
    with socket.create_connection(node.socket.getsockname()) as client:
        client.sendall(
            b"POST /v1/entries HTTP/1.1\r\nhost: x\r\ncontent-type: application/vnd.subak.entries\r\ncontent-length: 99999999999\r\n\r\n"
        )
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    assert b'"reason":"too_large"' in answer


def test_the_largest_body_is_taken(node: Node) -> None:
    size = len(raw(1, 0, [(1, 2, 3)] * 1024, interval_seconds=60))
    count, rest = divmod(1 << 20, size)
    body = b"".join(raw(1, n, [(1, 2, 3)] * 1024, interval_seconds=60, start_unix_s=NOW - 86_400) for n in range(count)) + bytes(rest)
    assert len(body) == 1 << 20
    assert node.send(body)["accepted"] == count


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    with running(tmp_path, body_entries=3) as node:
        assert node.send(b"".join(raw(1, n) for n in range(3)))["accepted"] == 3
        problem(node.post(b"".join(raw(1, n) for n in range(4))), 413, "too_many_entries")
        problem(node.post(b'{"entries": [1, 2, 3, 4]}', "application/json"), 413, "too_many_entries")


def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    with running(tmp_path, body_seconds=0.05) as node, socket.create_connection(node.socket.getsockname()) as client:
        client.sendall(
            b"POST /v1/entries HTTP/1.1\r\nhost: x\r\ncontent-type: application/vnd.subak.entries\r\ncontent-length: 100\r\n\r\nsub"
        )
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"reason":"slow_body"' in answer


def test_an_asset_that_sends_too_much_waits_and_nobody_else_does(tmp_path: Path) -> None:
    with running(tmp_path, asset_entries_per_second=2.0, asset_entries_burst=3) as node:
        forged = b"".join(raw(1, n)[:-64] + bytes(64) for n in range(10))
        problem(node.post(forged), 422, "bad_signature")
        answer = node.send(b"".join(raw(1, n) for n in range(5)) + raw(2, 0))
        assert answer["accepted"] == 4
        assert refusals(answer) == [(3, "rate_limited"), (4, "rate_limited")]
        response = node.post(raw(1, 3))
        problem(response, 429, "rate_limited")
        assert response.headers["retry-after"] == "1"
        assert node.send(raw(1, 2))["known"] == 1
        node.elapsed = 0.5
        assert node.send(raw(1, 3))["accepted"] == 1


def test_an_address_that_sends_too_much_waits(tmp_path: Path) -> None:
    with running(tmp_path, client_bytes_per_second=100.0, client_bytes_burst=300) as node:
        assert node.send(raw(1, 0))["accepted"] == 1
        response = node.post(raw(1, 1))
        assert "refused" not in problem(response, 429, "rate_limited")
        assert int(response.headers["retry-after"]) >= 1
        node.elapsed = 10.0
        assert node.send(raw(1, 1))["accepted"] == 1


def test_no_more_bodies_are_read_than_is_wise(tmp_path: Path) -> None:
    with running(tmp_path, bodies=0) as node:
        problem(node.post(raw()), 503, "busy")


def test_an_identical_copy_gets_its_first_acknowledgement_again(tmp_path: Path) -> None:
    entries = [raw(1, 0), raw(2, 0), raw(3, 0)]
    with running(tmp_path) as node:
        first = node.send(entries[0] + entries[1])["acknowledgement"]
        second = node.send(entries[2])["acknowledgement"]
        node.now += 60
        answers = [node.send(entries[1]), node.send(b"".join(reversed(entries)))]
    with running(tmp_path) as node:
        node.now += 120
        answers += [node.send(entries[1]), node.send(b"".join(reversed(entries)))]
        mixed = node.send(entries[0] + raw(4, 0) + entries[0] + raw(4, 0))
        assert node.contents() == [*entries, raw(4, 0)]
    for one, three in (answers[:2], answers[2:]):
        assert (one["accepted"], one["known"], one["acknowledgement"]) == (0, 1, None)
        assert one["known_acknowledgements"] == [{"indices": [0], **first}]
        assert three["known"] == 3
        assert three["known_acknowledgements"] == [{"indices": [0], **second}, {"indices": [1, 2], **first}]
    assert (mixed["accepted"], mixed["known"], mixed["refused"]) == (1, 3, [])
    assert mixed["known_acknowledgements"] == [{"indices": [0, 2], **first}]
    check_acknowledgement(mixed["acknowledgement"], [raw(4, 0)])


def test_what_can_only_come_too_late_is_forgotten(node: Node) -> None:
    entry = raw(1, 0)
    node.send(entry)
    node.now += 3 * 86_400
    assert node.send(entry)["known"] == 1
    node.now += 7200
    node.send(raw(2, 0, start_unix_s=node.now))
    problem(node.post(entry), 422, "too_late")
    assert node.intake.metrics()["entries_remembered"] == 1


def test_a_conflicting_pair_is_kept_as_proof(tmp_path: Path) -> None:
    first, second, third = (raw(1, 7, [(n, 2, 3)]) for n in range(3))
    pair = {"asset": "0x" + asset_of(1).hex(), "sequence": 7, "first": "0x" + first.hex(), "second": "0x" + second.hex()}
    with running(tmp_path) as node:
        assert node.send(first)["accepted"] == 1
        told = problem(node.post(second), 409, "conflicting_sequence")
        assert refusals(told) == [(0, "conflicting_sequence")]
        assert node.client.get("/v1/conflicts").json() == {"conflicts": [pair]}
        assert node.log.durable == 2
        for again in (second, third):
            problem(node.post(again), 409, "conflicting_sequence")
        forged = raw(1, 7, [(9, 9, 9)])[:-64] + bytes(64)
        problem(node.post(forged), 422, "bad_signature")
        both = node.send(raw(2, 1, [(1, 1, 1)]) + raw(2, 1, [(2, 2, 2)]) + raw(2, 2))
        assert both["accepted"] == 2
        assert refusals(both) == [(1, "conflicting_sequence")]
        kept = node.client.get("/v1/conflicts").json()
        assert [each["sequence"] for each in kept["conflicts"]] == [1, 7]
        every = [first, second, raw(2, 1, [(1, 1, 1)]), raw(2, 2), raw(2, 1, [(2, 2, 2)])]
        assert node.contents() == every
    with running(tmp_path) as node:
        assert node.client.get("/v1/conflicts").json() == kept
        assert node.send(first)["known"] == 1
        problem(node.post(second), 409, "conflicting_sequence")
        assert node.contents() == every


def test_a_p256_device_goes_the_whole_way(tmp_path: Path) -> None:
    possession = raw(30, 0, [(bytes(20),)], POSSESSION, interval_seconds=0)
    readings = [raw(30, 1, [(1, 2, 3)] * 24, start_unix_s=NOW - 86_400), raw(1, 1), raw(31, 1)]
    other = raw(30, 1, [(9, 9, 9)])
    with running(tmp_path) as node:
        first = node.send(possession)["acknowledgement"]
        check_acknowledgement(first, [possession])
        told = node.send(b"".join(readings))
        assert (told["accepted"], told["refused"]) == (3, [])
        check_acknowledgement(told["acknowledgement"], readings)
        assert node.send(possession)["known_acknowledgements"] == [{"indices": [0], **first}]
        # Whoever turns s around has no second Entry and no proof against the device.
        assert node.send(_high_s(readings[0]))["known"] == 1
        problem(node.post(_high_s(other)), 422, "bad_signature")
        assert node.client.get("/v1/conflicts").json() == {"conflicts": []}
        problem(node.post(other), 409, "conflicting_sequence")
        kept = node.client.get("/v1/conflicts").json()["conflicts"]
        assert [(each["first"], each["second"]) for each in kept] == [("0x" + readings[0].hex(), "0x" + other.hex())]
        assert node.contents() == [possession, *readings, other]
    with running(tmp_path) as node:
        assert node.send(readings[0])["known"] == 1
        problem(node.post(other), 409, "conflicting_sequence")


def test_while_a_key_is_rotated_to_the_other_curve_both_sign(node: Node) -> None:
    asset = asset_of(30)
    node.intake.know({asset: KnownAsset("energy", ((ED25519, key_of(1)), (P256, key_of(30))))})
    old, new = raw(1, 1, subject=asset), raw(30, 2)
    assert node.send(old + new)["accepted"] == 2
    node.intake.know({asset: KnownAsset("energy", ((P256, key_of(30)),))})
    answer = node.send(raw(1, 3, subject=asset) + raw(30, 4))
    assert (answer["accepted"], refusals(answer)) == (1, [(0, "wrong_signer")])


def test_a_broken_disk_is_said_and_nothing_is_acknowledged(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    for _ in range(2):
        response = node.post(raw(1, 0))
        problem(response, 503, "log_unavailable")
        assert response.headers["retry-after"]


def test_requests_that_wait_share_an_fdatasync(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    real, release, begun = os.fdatasync, threading.Event(), threading.Event()

    def slow(handle: int) -> None:
        begun.set()
        assert release.wait(10)
        real(handle)

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=node.url, timeout=20) as client:

            async def post(sequence: int) -> httpx.Response:
                return await client.post("/v1/entries", content=raw(1, sequence), headers={"content-type": BATCH})

            first = asyncio.create_task(post(0))
            await asyncio.to_thread(begun.wait, 10)
            others = [asyncio.create_task(post(sequence)) for sequence in range(1, 9)]
            while node.log.position < 9:
                # Verification goes on while the disk is busy.
                await client.get("/v1/conflicts")
            release.set()
            return await asyncio.gather(first, *others)

    monkeypatch.setattr(os, "fdatasync", slow)
    assert all(response.json()["accepted"] == 1 for response in asyncio.run(together()))
    assert node.intake.metrics()["fsyncs_total"] == 2


def test_metrics_count_what_happened(node: Node) -> None:
    node.send(raw(1, 0) + raw(9, 0) + raw(1, 0))
    node.post(b"")
    counts = node.intake.metrics()
    assert (counts["entries_accepted_total"], counts["entries_known_total"], counts["fsyncs_total"]) == (1, 1, 1)
    assert counts['refused_total{reason="unknown_asset"}'] == counts['refused_total{reason="empty"}'] == 1
    assert counts["bytes_total"] == 3 * len(raw())
    assert counts["verify_seconds_total"] > 0


def test_other_paths_and_methods_are_problems(node: Node) -> None:
    assert node.client.get("/v1/entries").status_code == 405
    assert node.client.post("/v1/elsewhere").json()["status"] == 404


def test_a_log_of_another_network_is_refused(tmp_path: Path) -> None:
    log = EntryLog(tmp_path)
    log.append([raw(network=bytes(32))], NOW)
    log.close()
    with pytest.raises(ValueError, match="Entries of the network 0000"):
        Node(tmp_path)


def test_every_reason_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "intake.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \| .+ \| .+ \|$", text, re.MULTILINE)
    assert {reason: int(status) for reason, status in rows} == {reason: status for reason, (status, _) in REASONS.items()}
    assert len(rows) == len(REASONS)


def test_buckets_fill_again_and_are_not_too_many() -> None:
    buckets: Buckets[int] = Buckets(rate=2.0, burst=4, most=100)
    assert [buckets.take(1, 1, 0.0) for _ in range(4)] == [0.0] * 4
    assert buckets.take(1, 1, 0.0) == 0.5
    assert buckets.take(1, 1, 0.5) == 0.0
    buckets.give_back(1, 1)
    assert buckets.take(1, 1, 0.5) == 0.0
    assert buckets.take(1, 5, 100.0) > 0
    for key in range(1000):
        assert buckets.take(key, 4, 200.0) == 0.0
        assert len(buckets._full_at) <= 100


SERVER = """
import sys
from test_intake import Node
from pathlib import Path
node = Node(Path(sys.argv[1]), asset_entries_burst=1_000_000)
print(node.url, flush=True)
node.thread.join()
"""


def test_no_acknowledged_entry_is_missing_after_sigkill(tmp_path: Path) -> None:
    generator = random.Random(2)
    acknowledged: list[bytes] = []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *(path for path in sys.path if path)])}
    for round_ in range(3):
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        enough = generator.randrange(3, 40)

        def post(worker: int, url: str = url, enough: int = enough, kill: Callable[[], None] = server.kill, round_: int = round_) -> None:
            with httpx.Client(base_url=url, timeout=20) as client:
                for number in range(10_000):
                    sequence = (round_ * 10 + worker) * 100_000 + number * 3
                    batch = [raw(1 + worker, sequence + n) for n in range(3)]
                    try:
                        response = client.post("/v1/entries", content=b"".join(batch), headers={"content-type": BATCH})
                    except httpx.TransportError:
                        return
                    assert response.json()["accepted"] == 3
                    acknowledged.extend(batch)
                    if worker == 0 and number == enough:
                        kill()

        workers = [threading.Thread(target=post, args=(worker,)) for worker in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        server.communicate()
        assert server.returncode == -signal.SIGKILL
        log = EntryLog(tmp_path)
        kept = [entry.signed + entry.signature for record in log.records() for entry in record.entries]
        log.close()
        assert len(kept) == len(set(kept))
        assert set(acknowledged) <= set(kept)
    assert len(acknowledged) > 30
