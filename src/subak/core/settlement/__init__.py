"""The heart: from a Book to what everyone is owed. Pure, exact, the same bytes on every machine."""

from subak.core.settlement.reasons import CORE_REASONS, CORE_SCHEMAS, OFFER, POSSESSION, reason_table
from subak.core.settlement.roots import payout_tree
from subak.core.settlement.settle import epoch_root, settle, settle_range, verdict_tables

__all__ = [
    "CORE_REASONS",
    "CORE_SCHEMAS",
    "OFFER",
    "POSSESSION",
    "epoch_root",
    "payout_tree",
    "reason_table",
    "settle",
    "settle_range",
    "verdict_tables",
]
