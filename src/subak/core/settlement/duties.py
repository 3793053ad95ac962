"""What verifiers are paid for: a seal that was right and in time, and their share of the beacon."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from subak.core.canon.ids import commitment, seal_of
from subak.core.canon.json import hash_json
from subak.core.nouns.book import Book
from subak.core.nouns.state import COMMITS, SEALED, State

POOL = "verifiers"
"""The pool that pays for duties, by its name on chain."""
CAP_FROM = CAP_PART = 4
"""As on chain: from so many verifiers on nobody weighs more than such a part of all stake."""


def pay_verifiers(book: Book, budget: int, before: State) -> dict[bytes, int]:
    """What each verifier's owner earns of the pool's budget: its weight's share, rounded down, if its seal of the Book before is right and
    was in time, and its head reveals what the one before committed to.

    A seal was in time if heads that list it weigh more than half of what this Book's heads weigh: liars below half can neither admit a late
    one nor strike a timely one. What somebody does not earn is not minted, so nobody gains by another's absence.
    """
    weights, owners = _weights(book)
    every = sum(weights.values())
    if len(weights) >= CAP_FROM:
        # What a cap cuts off is not minted: else small bonds beside a large one would share it.
        every = max(every, CAP_PART * max(weights.values()))
    known = before.sealed.filter(pl.col("epoch") == book.contents.epoch - 1)
    if known.is_empty() or not every:
        return {}
    _, sealed, verdicts = known.row(0)
    heads = {bytes(head.verifier): head for head in book.heads if head.verifier in weights}
    heard: dict[bytes, int] = {}
    for signer, head in heads.items():
        right = {bytes(each.signer) for each in head.seals if each.book == sealed and each.seal == seal_of(each.signer, sealed, verdicts)}
        for sealer in right:
            heard[sealer] = heard.get(sealer, 0) + weights[signer]
    hearing = sum(weights[signer] for signer in heads)
    commits = dict(before.commits.iter_rows())
    paid: dict[bytes, int] = {}
    for signer, head in heads.items():
        if 2 * heard.get(signer, 0) > hearing and commits.get(signer) == commitment(head.reveal):
            paid[owners[signer]] = paid.get(owners[signer], 0) + budget * weights[signer] // every
    return {owner: reward for owner, reward in sorted(paid.items()) if reward}


def sealed_after(book: Book, verdicts_hash: bytes) -> pl.DataFrame:
    """What the seals in the next Book have to fit."""
    return pl.DataFrame([[book.contents.epoch], [hash_json(book.contents)], [verdicts_hash]], schema=SEALED)


def commits_after(book: Book) -> pl.DataFrame:
    """What the next heads have to reveal. Who has no head in this Book commits anew."""
    weights, _ = _weights(book)
    rows = sorted((bytes(head.verifier), bytes(head.commit)) for head in book.heads if head.verifier in weights)
    return pl.DataFrame(rows, schema=COMMITS, orient="row")


def _weights(book: Book) -> tuple[Mapping[bytes, int], Mapping[bytes, bytes]]:
    """By signer: what it weighs in the Book's epoch, and whose it is."""
    table = book.snapshot.verifiers
    signers = table["signer"].to_list()
    weights: list[int] = table["weight"].cast(pl.Int128).to_list()
    return dict(zip(signers, weights, strict=True)), dict(zip(signers, table["owner"].to_list(), strict=True))
