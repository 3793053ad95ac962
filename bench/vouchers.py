"""Whole vouchers of ten lines against bare coincurve, alternated in one run, on one core.

Timed for us: from a ready ``Voucher`` to the compact signature (typed-data hash and ECDSA), and from voucher and signature to the address
that made it. For coincurve: ``sign_recoverable`` and ``PublicKey.from_signature_and_message`` of a ready digest. Beside them, without a
target: the hashes of a table of a million lines, and a clerk's countersigning with its write to the disk.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from coincurve import PrivateKey, PublicKey

from subak.chain.accounts import Account, recover
from subak.chain.channels import LaneFact
from subak.core.canon.vouchers import Line, Voucher, lines_hashes, voucher_digest
from subak.core.nouns.document import Address, Hash
from subak.verifier.clerk import Ask, Clerk, Countersigned

LINES = 10
VOUCHERS = 40
ROUNDS = 151
TABLE_VOUCHERS = 10_000
TABLE_LINES = 1_000_000
WRITES = 64
CHAIN_ID, CHANNELS = 31337, Address(b"\xc4" * 20)


def run() -> dict[str, float]:
    """Measures, prints and returns ``voucher_sign_vs_coincurve`` and ``voucher_verify_vs_coincurve``: their time as a part of ours."""
    vouchers = _vouchers(VOUCHERS, b"\x07" * 32)
    account, bare = Account(b"\x42" * 32), PrivateKey(b"\x42" * 32)
    digests = [voucher_digest(each, CHAIN_ID, CHANNELS) for each in vouchers]
    signatures = [account.sign_digest(digest) for digest in digests]
    recoverable = [bare.sign_recoverable(digest, hasher=None) for digest in digests]
    pairs = list(zip(vouchers, signatures, strict=True)), list(zip(recoverable, digests, strict=True))

    def sign() -> None:
        for each in vouchers:
            account.sign_digest(voucher_digest(each, CHAIN_ID, CHANNELS))

    def sign_bare() -> None:
        for digest in digests:
            bare.sign_recoverable(digest, hasher=None)

    def verify() -> None:
        for each, signature in pairs[0]:
            assert recover(voucher_digest(each, CHAIN_ID, CHANNELS), signature) == account.address

    def verify_bare() -> None:
        for signature, digest in pairs[1]:
            PublicKey.from_signature_and_message(signature, digest, hasher=None)

    def hashes() -> None:
        for each in vouchers:
            voucher_digest(each, CHAIN_ID, CHANNELS)

    signing, signing_bare, verifying, verifying_bare, hashing = _alternated(sign, sign_bare, verify, verify_bare, hashes)
    table_seconds = _table_seconds()
    clerk_us = _clerk_us()
    print(f"  sign            {signing:8.2f} us a voucher of {LINES} lines, coincurve {signing_bare:.2f} us a digest")
    print(f"  verify          {verifying:8.2f} us a voucher of {LINES} lines, coincurve {verifying_bare:.2f} us a digest")
    print(f"  hash            {hashing:8.2f} us a voucher of {LINES} lines, within both")
    print(f"  table           {table_seconds:8.3f} s for {TABLE_LINES:,} lines of {TABLE_VOUCHERS:,} vouchers")
    print(f"  countersign     {clerk_us:8.1f} us a voucher, {WRITES} in a write")
    return {
        "voucher_sign_vs_coincurve": signing_bare / signing,
        "voucher_verify_vs_coincurve": verifying_bare / verifying,
        "voucher_table_million_seconds": table_seconds,
        "voucher_countersign_us": clerk_us,
    }


def _vouchers(count: int, lane: bytes) -> list[Voucher]:
    """Each a little larger than the one before."""
    dice = np.random.default_rng(3)
    assets = sorted(row.tobytes() for row in dice.integers(0, 256, (LINES, 32), np.uint8))
    made = []
    money = [0] * LINES
    for seq in range(1, count + 1):
        money = [before + int(more) for before, more in zip(money, dice.integers(1, 10**6, LINES), strict=True)]
        made.append(Voucher(lane, seq, sum(money), tuple(map(Line, assets, money))))
    return made


def _alternated(*works: Callable[[], None]) -> list[float]:
    """Median microseconds a voucher of each, one after another in every round; rounds are short, so that what else runs disturbs few."""
    took: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, seconds in zip(works, took, strict=True):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return [statistics.median(seconds) / VOUCHERS * 1e6 for seconds in took]


def _table_seconds() -> float:
    dice = np.random.default_rng(5)
    assets = dice.integers(0, 256, (TABLE_LINES, 32), np.uint8)
    money = dice.integers(0, 2**40, (TABLE_LINES, 2), np.uint64)
    counts = np.full(TABLE_VOUCHERS, TABLE_LINES // TABLE_VOUCHERS, np.int64)
    started = time.perf_counter()
    lines_hashes(assets, money, counts)
    return time.perf_counter() - started


def _clerk_us() -> float:
    """Time a voucher when many wait for the disk together."""
    key, signer = Account(b"\x42" * 32), Account(b"\x43" * 32)
    fact = LaneFact(Hash(b"\x07" * 32), Address(bytes(20)), key.address, signer.address, 10**12, 2**32, 0, 2**32 + 86_400)
    vouchers = _vouchers(8 * WRITES, bytes(fact.id))
    asks = [Ask(each, key.sign_digest(voucher_digest(each, CHAIN_ID, CHANNELS)), fact) for each in vouchers]
    with tempfile.TemporaryDirectory() as folder:
        clerk = Clerk(Path(folder) / "clerk.db", signer, CHAIN_ID, CHANNELS, 86_400)
        started = time.perf_counter()
        for at in range(0, len(asks), WRITES):
            answers = clerk.countersign_many(asks[at : at + WRITES], 2**31)
            assert all(isinstance(each, Countersigned) for each in answers), answers
        took = time.perf_counter() - started
        clerk.close()
    return took / len(asks) * 1e6
