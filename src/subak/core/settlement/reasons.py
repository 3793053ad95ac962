"""Reasons of the core, and how codes become words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from subak.core.kind import ACCEPTED, FIRST_KIND_REASON, Field, Reason, Rules, Schema, Status

BAD_SIGNATURE = 1
UNKNOWN_ASSET = 2
WRONG_KIND = 3
NOT_LIVE = 4
CONFLICT = 5
HELD_BY_CONFLICT = 6
IN_THE_FUTURE = 7
TOO_LATE = 8
TOO_MANY_LINES = 9
NOT_THE_OWNER = 10
NOT_ATTESTED = 11
BAD_OFFER = 12

# Precedence, where several hold for a line: unknown asset, bad signature, conflict, wrong kind, not live, not attested, in the future,
# too late, too many lines; then the possession's, the offer's or the kind's own reason; a line that would be paid is at last held if its
# asset signed a conflict.
CORE_REASONS = (
    Reason(ACCEPTED, "accepted", Status.ACCEPTED, "accepted"),
    Reason(BAD_SIGNATURE, "bad_signature", Status.REFUSED, "the signature does not fit the asset's key"),
    Reason(UNKNOWN_ASSET, "unknown_asset", Status.REFUSED, "no such asset was registered when the epoch began"),
    Reason(WRONG_KIND, "wrong_kind", Status.REFUSED, "the asset is of another kind than this message"),
    Reason(NOT_LIVE, "not_live", Status.REFUSED, "the device has not yet signed that its owner holds it"),
    Reason(CONFLICT, "conflicting_sequence", Status.REFUSED, "another message with this sequence number was listed first"),
    Reason(HELD_BY_CONFLICT, "held_by_conflict", Status.HELD, "the device signed two different messages under one sequence number"),
    Reason(IN_THE_FUTURE, "in_the_future", Status.REFUSED, "the interval ends after intake for the epoch closed"),
    Reason(TOO_LATE, "too_late", Status.REFUSED, "the interval is older than the policy allows"),
    Reason(TOO_MANY_LINES, "too_many_lines", Status.REFUSED, "the asset sent more lines than one epoch takes"),
    Reason(NOT_THE_OWNER, "not_the_owner", Status.REFUSED, "the device named an owner who does not hold the asset"),
    Reason(NOT_ATTESTED, "not_attested", Status.REFUSED, "the policy asks for an attestation that the asset or its owner does not have"),
    Reason(BAD_OFFER, "bad_offer", Status.REFUSED, "the offer names a price for no units"),
)

POSSESSION = Schema("subak.possession", 1, (Field("owner", "address"),))
"""Signed by the device: "I am held by this owner". Listed in a Book, it makes the asset live."""

OFFER = Schema(
    "subak.offer",
    1,
    (
        Field("price", "u128"),
        Field("per_units", "u63"),
        Field("capacity", "u63"),
        Field("valid_until_unix_s", "u63"),
        Field("endpoint", "bytes128"),
    ),
)
"""Signed by the device: "my work costs so many payment units for so many units of it". Acts from the epoch after the Book that lists it; a
capacity of 0 takes it back. ``endpoint``: where customers reach it, ASCII padded with zeros."""

CORE_SCHEMAS = (POSSESSION, OFFER)
"""Entries of any asset, whatever its kind."""

MAX_LINES_PER_ASSET = 4096
"""In one Book: a week of five-minute intervals twice over."""


def kind_of(schema: Schema) -> str:
    """The kind whose Entries have this schema; ``subak`` for the core's own."""
    return schema.name.partition(".")[0]


def reason_table(kinds: Iterable[Rules]) -> Mapping[tuple[str, int], Reason]:
    """Every reason by (kind, code); the core's stand under the kind ``""``.

    Errors: ValueError if a kind uses a code of the core or one code twice.
    """
    table = {("", reason.code): reason for reason in CORE_REASONS}
    for rules in kinds:
        for reason in rules.reasons:
            if not FIRST_KIND_REASON <= reason.code <= 255:
                raise ValueError(f"{rules.name}: reason {reason.name} has code {reason.code}, kinds use {FIRST_KIND_REASON}..255")
            if (rules.name, reason.code) in table:
                raise ValueError(f"{rules.name}: code {reason.code} stands for {table[rules.name, reason.code].name} and {reason.name}")
            table[rules.name, reason.code] = reason
    return table
