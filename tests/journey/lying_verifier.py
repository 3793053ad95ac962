"""A verifier that lowers one asset's carried counter in its own settlement, signs that, and proposes it with whatever it has.

A program of its own, not a patch: it uses the same rooms as an honest verifier and lies where a liar would.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl

from subak.chain.accounts import Account
from subak.chain.contracts import ChainRefused
from subak.chain.network_file import load_network
from subak.chain.settlement import Opened, SettlementView
from subak.cli.nodes import serve_verifier
from subak.core.canon.json import encode
from subak.core.canon.typed_data import vote_digest
from subak.core.nouns import Hash, SegmentRef
from subak.verifier.closing import Closing
from subak.verifier.judge import Settled
from subak.verifier.peers import signed_digest
from subak.verifier.service import make_service

log = logging.getLogger("liar")


class LyingClosing(Closing):
    """Everything as it should be, but for one number."""

    def _settle(self, view: SettlementView, opened: Opened) -> Settled:
        honest = super()._settle(view, opened)
        last = honest.settlements[-1]
        carried = last.state.carried["energy"]
        first = pl.int_range(pl.len()) == 0
        lowered = carried.with_columns(mark_export_wh=pl.col("mark_export_wh") - first.cast(pl.Int64))
        state = replace(last.state, carried={**last.state.carried, "energy": lowered})
        settlement = replace(last, state=state, state_root=state.root())
        message = replace(honest.message, state_root=state.root())
        return Settled(message, [*honest.settlements[:-1], settlement])

    def _work_on(self, view: SettlementView, opened: Opened) -> None:
        super()._work_on(view, opened)
        if self.chain.lead(opened.first + opened.attempt) == self.me.address:
            lie = self._settle(view, opened)
            vote = (opened.first, opened.attempt, 0, lie.result)
            digest = vote_digest(*vote, self.network.chain_id, self.network.contracts.settlement)
            try:
                self.chain.propose(lie.message, [(self.me.address, self.me.sign_digest(digest))])
            except ChainRefused as refused:
                log.warning("the chain refused the lie: %s", refused)


class BogusHeads(Closing):
    """Honest but for its heads, which name a segment that nobody holds."""

    def _make_heads(self, now_unix_s: int) -> None:
        made = self.journal.heads()
        super()._make_heads(now_unix_s)
        for epoch in range(made, self.journal.heads()):
            head = self.journal.head(epoch)
            assert head is not None
            bogus = SegmentRef("energy.reading", Hash(b"nobody" + bytes(26)), 7, self.me.address, 0)
            forged = msgspec.structs.replace(head, segments=(*head.segments, bogus))
            forged = msgspec.structs.replace(forged, signature=self.me.sign_digest(signed_digest(forged)))
            (self.archive.root.parent / "journal" / f"head-{epoch}.json").write_bytes(encode(forged))
            log.warning("epoch %d: announced a segment that does not exist", epoch)


CHARACTERS = {"state": LyingClosing, "heads": BogusHeads}


def main() -> None:
    """The options of ``subak verifier``."""
    parser = argparse.ArgumentParser()
    for name in ("--network", "--folder", "--key"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("character", choices=CHARACTERS)
    chosen = parser.parse_args()
    service = make_service(load_network(chosen.network), chosen.folder, Account.load(chosen.key), CHARACTERS[chosen.character])
    serve_verifier(service, "127.0.0.1", chosen.port)


if __name__ == "__main__":
    main()
