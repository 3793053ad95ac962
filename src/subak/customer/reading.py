"""What final data say of the assets that a customer buys from, read from the archive. Every file is checked against a hash of the chain."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from subak.archive.books import read_contents, read_policy, read_state
from subak.archive.segments import read_segment
from subak.archive.store import Archive, WrongContent
from subak.archive.tables import read_tables
from subak.chain.snapshot import Finalised
from subak.core.canon.segment import valid
from subak.core.kind import ACCEPTED
from subak.core.nouns import Contents, Network, Policy, Snapshot, State
from subak.core.settlement import OFFER
from subak.customer.billing import AssetWork, EpochWork, Offer
from subak.kinds.energy.rules.schemas import FIRST_UNREWARDED, LAST_UNREWARDED

ZONE_RESOLUTION = "zone_resolution"
"""Parameter of a kind: customers buy only from assets within the same H3 cell of this resolution."""
_VERDICT_COLUMNS = {
    "asset": pl.Binary,
    "schema": pl.String,
    "sequence": pl.UInt64,
    "reasons": pl.List(pl.UInt8),
    "accepted": pl.List(pl.Int64),
}


def read_range(
    network: Network, archive: Archive, final: Finalised, previous: Finalised | None, assets: Collection[bytes]
) -> list[EpochWork]:
    """The epochs of a final range in order, as far as they are about ``assets``. ``previous``: the final range before it.

    Errors: NotThere; WrongContent naming a file that is not what its hash says.
    """
    state = read_state(archive, previous.state_root) if previous else State.genesis()
    into = _carried(state, assets)
    out_of = _carried(read_state(archive, final.state_root), assets) if final.last > final.first else {}
    verdicts = read_tables(archive, "verdicts", final.verdicts_hash)
    offers = _offers_of(state, assets)
    works = []
    for epoch, book_hash in enumerate(final.book_hashes, final.first):
        contents = read_contents(archive, book_hash)
        if contents.epoch != epoch:
            raise WrongContent(f"book {book_hash.hex()} is of epoch {contents.epoch}, the chain has it as epoch {epoch}")
        snapshot = Snapshot(**read_tables(archive, "snapshot", contents.snapshot.hash))
        judged = _judged(verdicts, epoch, final, assets)
        units = sold_units(judged)
        known = snapshot.assets.filter(pl.col("asset").is_in(list(assets))).select("asset", "kind", "cell")
        first = network.clock.first_unix_s(epoch)
        rows = known.iter_rows()
        works.append(
            EpochWork(
                epoch=epoch,
                first_unix_s=first,
                end_unix_s=network.clock.end_unix_s(epoch),
                verdicts_hash=final.verdicts_hash,
                zone_resolution=_zones(read_policy(archive, contents.policy)),
                assets={id_: AssetWork(kind, cell, units.get(id_, 0), _in_force(offers, id_, first)) for id_, kind, cell in rows},
                carried=(into,) if epoch == final.first else (into, out_of),
            )
        )
        if epoch < final.last:
            # Between the epochs of one range no state is published: offers are followed through the Books.
            offers |= _new_offers(archive, contents, snapshot, judged)
    return works


def sold_units(judged: pl.DataFrame) -> dict[bytes, int]:
    """Accepted work by asset that can be sold, from verdicts.

    Energy that was not counted hour by hour is not: a line over several hours, or beside a gap, hides a noon that cannot be in the
    evening, and a home that doubles its counter could sell 3.1 times what it feeds in.
    """
    lines = judged.select("asset", "schema", "reasons", "accepted").explode("reasons", "accepted")
    unsold = pl.col("schema").str.starts_with("energy.") & pl.col("reasons").is_between(FIRST_UNREWARDED, LAST_UNREWARDED)
    return dict(lines.filter(~unsold).group_by("asset").agg(pl.col("accepted").sum()).iter_rows())


def _judged(verdicts: Mapping[str, pl.DataFrame], epoch: int, final: Finalised, assets: Collection[bytes]) -> pl.DataFrame:
    table = verdicts.get(str(epoch))
    if table is None or any(dict(table.schema).get(name) != dtype for name, dtype in _VERDICT_COLUMNS.items()):
        found = sorted(verdicts) if table is None else dict(table.schema)
        raise WrongContent(f"verdicts/{final.verdicts_hash.hex()} holds {found}, expected the verdicts of epoch {epoch}")
    return table.filter(pl.col("asset").is_in(list(assets)))


def _carried(state: State, assets: Collection[bytes]) -> dict[bytes, dict[str, int]]:
    rows = [row for table in state.carried.values() for row in table.filter(pl.col("asset").is_in(list(assets))).iter_rows(named=True)]
    return {row.pop("asset"): row for row in rows}


def _zones(policy: Policy) -> dict[str, int]:
    return {name: kind.parameters[ZONE_RESOLUTION] for name, kind in policy.kinds.items() if ZONE_RESOLUTION in kind.parameters}


def _in_force(offers: Mapping[bytes, tuple[Offer, int]], asset: bytes, first_unix_s: int) -> Offer | None:
    """The asset's offer, if it holds at the epoch's start; as the settlement sees it, a price of 0 is none."""
    offer, until = offers.get(asset, (Offer(0, 1), 0))
    return offer if until > first_unix_s and offer.price else None


def _offers_of(state: State, assets: Collection[bytes]) -> dict[bytes, tuple[Offer, int]]:
    """Offers in force after a state, with the time until which they hold."""
    rows = state.sales.filter(pl.col("asset").is_in(list(assets)) & (pl.col("per_units") > 0))
    columns = rows.select("asset", pl.col("price").cast(pl.Int128), "per_units", "valid_until_unix_s")
    return {asset: (Offer(price, per_units), until) for asset, price, per_units, until in columns.iter_rows()}


def _new_offers(archive: Archive, contents: Contents, snapshot: Snapshot, judged: pl.DataFrame) -> dict[bytes, tuple[Offer, int]]:
    """The newest accepted offer of each asset of which a Book lists one. Taking an offer back is an offer at no price."""
    made = judged.filter((pl.col("schema") == OFFER.name) & (pl.col("reasons").list.last() == ACCEPTED))
    if not len(made):
        return {}
    accepted = set(made.select("asset", "sequence").iter_rows())
    keys = snapshot.assets.select("asset", "curve", "key")
    newest: dict[bytes, tuple[tuple[int, int], tuple[Offer, int]]] = {}
    seen = set()
    for ref in contents.segments:
        if ref.schema != OFFER.name:
            continue
        frame = read_segment(archive, ref, OFFER)
        frame = frame.filter(pl.Series(valid(frame, OFFER, contents.network, keys)))
        fields = [pl.col(field.name).list.last() for field in OFFER.fields]
        rows = frame.select("subject", "sequence", "start_unix_s", *fields).with_columns(pl.col("price").cast(pl.Int128))
        for asset, sequence, start, price, per_units, capacity, until, _ in rows.iter_rows():
            name = (asset, sequence)
            # Of two Entries with one sequence the first listed stands.
            if name not in accepted or name in seen:
                continue
            seen.add(name)
            if asset not in newest or newest[asset][0] < (start, sequence):
                newest[asset] = (start, sequence), (Offer(price if capacity else 0, per_units), until)
    return {asset: offer for asset, (_, offer) in newest.items()}
