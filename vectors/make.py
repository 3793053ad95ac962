"""Writes the golden vectors from the code. Run by hand after a change of format: ``python vectors/make.py``; then read the diff."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import edwards
import numpy as np

from subak.core.canon import ed25519, entry, ids, merkle, typed_data
from subak.core.kind import Field, Schema

HERE = Path(__file__).parent

READING = Schema("energy.reading", 1, (Field("export_wh"), Field("import_wh"), Field("generation_wh")))
RESET = Schema("energy.reset", 1, (Field("export_wh"), Field("import_wh"), Field("generation_wh")))
POSSESSION = Schema("subak.possession", 1, (Field("owner", "address"),))
WIDE = Schema("example.wide", 1, (Field("count"), Field("money_wei", "u128"), Field("to", "address"), Field("digest", "bytes32")))

CHAIN_ID = 31337
ASSETS_CONTRACT = bytes.fromhex("5fbdb2315678afecb367f032d93f642f64180aa3")
SETTLEMENT_CONTRACT = bytes.fromhex("e7f1725e7734ce288f8367e1bb143e90bb3f0512")


def seed(name: str) -> bytes:
    """A private key that everyone can make again: SHA-256 of its name."""
    return hashlib.sha256(name.encode()).digest()


def public_key(name: str) -> bytes:
    return ed25519.public_key(seed(name))


def account(number: int) -> bytes:
    return hashlib.sha256(f"account {number}".encode()).digest()[:20]


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def hexed(value: Any) -> Any:
    """Bytes as 0x hex, all the way down."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: hexed(item) for key, item in value.items()}
    return [hexed(item) for item in value] if isinstance(value, list | tuple) else value


def write(name: str, value: Any) -> None:
    (HERE / name).write_text(json.dumps(hexed(value), indent=1, ensure_ascii=False) + "\n")


def tree(count: int) -> dict[str, Any]:
    accounts = [account(number) for number in range(count)]
    rewards = [10**18 * number + number**3 for number in range(count)]
    fees = [0 if number % 2 else 2**128 - 1 - number for number in range(count)]
    words = merkle.pack_words(np.frombuffer(b"".join(accounts), np.uint8).reshape(-1, 20), rewards, fees)
    built = merkle.Tree(merkle.standard_leaf_hashes(words))
    return {
        "leaves": [{"account": a, "rewards": str(r), "fees": str(f)} for a, r, f in zip(accounts, rewards, fees, strict=True)],
        "root": built.root,
        "proofs": [built.proof(number) for number in range(count)],
    }


def merkle_vectors() -> None:
    write("merkle.json", tree(7))
    write("merkle_sizes.json", {"trees": [tree(count) for count in (0, 1, 2, 3, 7, 100)]})


def typed_data_vectors() -> None:
    domain = {"chainId": CHAIN_ID, "verifyingContract": SETTLEMENT_CONTRACT}
    root: dict[str, Any] = {
        "first": 7,
        "last": 8,
        **{name: digest(name) for name in ("prevRoot", "root", "prevStateRoot", "stateRoot", "assetRoot", "verdictsHash")},
        "rewards": 123456789012345678901234567890,
        "fees": 2**128 - 1,
        "bookHashes": (digest("book 7"), digest("book 8")),
        "policyHashes": (digest("policy 7"), digest("policy 8")),
    }
    message = typed_data.EpochRoot(*root.values())
    write(
        "epoch_root.json",
        {
            "domain": domain,
            "message": root | {"rewards": str(root["rewards"]), "fees": str(root["fees"])},
            "result": typed_data.result_hash(message),
            "attempt": 3,
            "round": 1,
            "digest": typed_data.vote_digest(message.first, 3, 1, typed_data.result_hash(message), CHAIN_ID, SETTLEMENT_CONTRACT),
        },
    )
    network = ids.network_id(CHAIN_ID, ASSETS_CONTRACT)
    taken: dict[str, Any] = {
        "network": network,
        "position": 4294967297,
        "count": 356,
        "entries": digest("entries"),
        "receivedUnixS": 1496275200,
    }
    write(
        "acknowledgement.json",
        {
            "domain": domain,
            "message": taken,
            "digest": typed_data.acknowledgement_digest(typed_data.Acknowledgement(*taken.values()), CHAIN_ID, SETTLEMENT_CONTRACT),
        },
    )


def id_vectors() -> None:
    generator = bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    keys = [(ids.ED25519, public_key("device 1")), (ids.ED25519, public_key("device 2")), (ids.P256, generator)]
    networks = [(CHAIN_ID, ASSETS_CONTRACT), (1, account(0)), (2**64 - 1, account(1))]
    sites = [(account(number), digest(f"salt {number}")) for number in range(2)]
    assets = [(*key, account(number)) for number, key in enumerate(keys)]
    write(
        "ids.json",
        {
            "assets": [{"curve": c, "key": k, "owner": o, "id": ids.asset_id(c, k, o)} for c, k, o in assets],
            "sites": [{"owner": owner, "salt": salt, "id": ids.site_id(owner, salt)} for owner, salt in sites],
            "networks": [{"chainId": str(chain), "assets": a, "id": ids.network_id(chain, a)} for chain, a in networks],
            "signers": [{"curve": curve, "key": key, "id": ids.signer_id(curve, key)} for curve, key in keys],
            "schemas": [{"text": schema.text, "id": schema.id} for schema in (READING, RESET, POSSESSION, WIDE)],
        },
    )


def entry_vectors() -> None:
    network = ids.network_id(CHAIN_ID, ASSETS_CONTRACT)
    counters = [(20_000_000 + 512 * hour, 7_000_000 + 31 * hour, 31_000_000 + 1024 * hour) for hour in range(24)]
    cases: list[tuple[str, Schema, int, int, int, list[tuple[entry.Value, ...]]]] = [
        ("one interval", READING, 0, 1496275200, 3600, list(counters[:1])),
        ("a day under one signature", READING, 1, 1496275200, 3600, list(counters)),
        ("the largest values", READING, 2**64 - 1, 2**63 - 1, 2**32 - 1, [(2**63 - 1, 2**63 - 1, 2**63 - 1)]),
        ("the smallest values", READING, 0, 0, 0, [(0, 0, 0)]),
        ("the meter was replaced", RESET, 2, 1496361600, 0, [(1, 1, 1)]),
        ("held by this owner", POSSESSION, 3, 1496275200, 0, [(account(0),)]),
        ("every field type", WIDE, 4, 1496275200, 900, [(7, 10**30, account(1), digest("a")), (8, 2**128 - 1, account(2), digest("b"))]),
    ]
    entries = []
    for number, (note, schema, sequence, start, interval, rows) in enumerate(cases):
        name = f"device {number % 2 + 1}"
        header: dict[str, Any] = {
            "network": network,
            "subject": ids.asset_id(ids.ED25519, public_key(name), account(number % 2)),
            "signer": ids.signer_id(ids.ED25519, public_key(name)),
            "sequence": sequence,
            "start_unix_s": start,
            "interval_seconds": interval,
        }
        signed = entry.pack(schema=schema, rows=rows, **header)
        entries.append(
            {
                "note": note,
                "schema": schema.text,
                "seed": seed(name),
                "key": public_key(name),
                **header,
                "sequence": str(sequence),
                "start_unix_s": str(start),
                "rows": [[str(value) if isinstance(value, int) else value for value in row] for row in rows],
                "signed": signed,
                "signature": ed25519.sign(seed(name), signed),
                "digest": entry.entry_digest(signed),
            }
        )
    write("entries.json", {"entries": entries})


def ed25519_vectors() -> None:
    """Each case is what a forger can really make: whoever owns the scalar chooses R, adds torsion, or encodes in another way."""
    own = edwards.scalar(seed("device 1"))
    key, message = public_key("device 1"), b"512 Wh"
    twist, identity = edwards.torsion(), edwards.encode(edwards.IDENTITY)
    good = ed25519.sign(seed("device 1"), message)
    s_good = int.from_bytes(good[32:], "little")
    cases: list[dict[str, Any]] = []

    def case(note: str, key: bytes, message: bytes, signature: bytes, valid: bool = False) -> None:
        if edwards.strict(key, signature, message) != valid:
            raise AssertionError(f"{note}: the plain rule says {not valid}")
        cases.append({"note": note, "key": key, "message": message, "signature": signature, "valid": valid})

    def little(number: int) -> bytes:
        return number.to_bytes(32, "little")

    def forged(key: bytes, message: bytes, r_bytes: bytes, r: int = 0, a: int = own) -> bytes:
        """S = r + h·a, whatever points the bytes of R and the key stand for."""
        return r_bytes + little((r + edwards.challenge(r_bytes, key, message) * a) % edwards.L)

    def search(key: bytes, r_bytes: bytes, r: int, a: int, cofactorless: bool) -> bytes:
        """A message whose challenge makes the torsion vanish from the equation, or not."""
        for number in range(10_000):
            message = b"try %d" % number
            if edwards.equation(key, forged(key, message, r_bytes, r, a), message) == cofactorless:
                return message
        raise AssertionError("no such message")

    case("valid", key, message, good, True)
    case("valid, empty message", key, b"", ed25519.sign(seed("device 1"), b""), True)
    case("another message", key, b"513 Wh", good)
    case("another key", public_key("device 2"), message, good)
    case("one bit of R", key, message, bytes([good[0] ^ 1]) + good[1:])
    case("one bit of S", key, message, good[:32] + bytes([good[32] ^ 1]) + good[33:])
    case("S + L: the same equation, not canonical", key, message, good[:32] + little(s_good + edwards.L))
    for times in (2, 8, 14):
        case(f"S + {times}L", key, message, good[:32] + little(s_good + times * edwards.L))
    case("S = 0", key, message, good[:32] + bytes(32))
    case("S = L", key, message, good[:32] + little(edwards.L))
    case("all bytes zero", key, message, bytes(64))
    case("all bytes 0xff", key, message, b"\xff" * 64)
    case("signature of 63 bytes", key, message, good[:63])
    case("signature of 65 bytes", key, message, good + b"\0")
    case("no signature", key, message, b"")

    case("R is the identity: the equation holds", key, message, forged(key, message, identity))
    case("R is the identity, its sign bit set", key, message, forged(key, message, identity[:31] + b"\x80"))
    case("R is the identity as y = p + 1", key, message, forged(key, message, little(edwards.P + 1)))
    case("R is the identity as y = p + 1, sign bit set", key, message, forged(key, message, little(edwards.P + 1 + 2**255)))
    for order, times in ((2, 4), (4, 2), (8, 1)):
        small = edwards.encode(edwards.multiply(times, twist))
        case(f"R of order {order}: holds only cofactored", key, message, forged(key, message, small))
        mixed = edwards.encode(edwards.add(edwards.multiply(5, edwards.BASE), edwards.multiply(times, twist)))
        case(f"R mixed with order {order}: holds only cofactored", key, message, forged(key, message, mixed, 5))
    case("R not on the curve", key, message, forged(key, message, little(2)))

    five = edwards.encode(edwards.multiply(5, edwards.BASE))
    case("key is the identity, R too, S = 0: holds for every message", identity, message, identity + bytes(32))
    case("key is the identity: holds for every message", identity, message, five + little(5))
    for number in range(8):
        small = edwards.encode(edwards.multiply(number, twist))
        holds = search(small, five, 5, 0, True)
        case(f"key is {number} times a point of order 8: the equation holds", small, holds, five + little(5))
    for note, bad in (
        ("y = p + 1, the identity", little(edwards.P + 1)),
        ("y = p + 1, sign bit set", little(edwards.P + 1 + 2**255)),
        ("y = 1, sign bit set: negative zero", little(1 + 2**255)),
        ("y = p - 1, sign bit set: negative zero", little(edwards.P - 1 + 2**255)),
        ("y = p, order 4", little(edwards.P)),
        ("y = p, sign bit set", little(edwards.P + 2**255)),
        ("y = p + 3, on the curve", little(edwards.P + 3)),
        ("all bits set", b"\xff" * 32),
    ):
        case(f"key not canonical: {note}", bad, message, five + little(5))
    case("key not on the curve: y = 2", little(2), message, five + little(5))
    case("key of 31 bytes", key[:31], message, good)
    case("key of 33 bytes", key + b"\0", message, good)
    case("no key", b"", message, good)
    for order, times in ((2, 4), (4, 2), (8, 1)):
        mixed = edwards.encode(edwards.add(edwards.multiply(own, edwards.BASE), edwards.multiply(times, twist)))
        holds, fails = (search(mixed, five, 5, own, cofactorless) for cofactorless in (True, False))
        case(f"key mixed with order {order}: the equation holds", mixed, holds, forged(mixed, holds, five, 5))
        case(f"key mixed with order {order}: holds only cofactored", mixed, fails, forged(mixed, fails, five, 5))
    write("ed25519.json", {"cases": cases})


if __name__ == "__main__":
    merkle_vectors()
    typed_data_vectors()
    id_vectors()
    entry_vectors()
    ed25519_vectors()
