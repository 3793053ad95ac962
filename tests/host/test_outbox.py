"""What verifiers promised stays provable until final Books list it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from subak.host.agent import _promised
from subak.host.outbox import Outbox

ASSET = b"\x01" * 32
ENTRIES = [bytes([number]) * 200 for number in range(4)]
DIGESTS = [sha256(entry[:-64]).digest() for entry in ENTRIES]


def acknowledgement(*which: int) -> dict[str, object]:
    return {"position": which[0], "count": len(which), "entries": "0x" + sha256(b"".join(DIGESTS[each] for each in which)).hexdigest()}


def test_each_entry_is_under_the_acknowledgement_that_is_for_it() -> None:
    """The second was refused, the third was known from an earlier body."""
    earlier, fresh = acknowledgement(2), acknowledgement(0, 3)
    told = {"acknowledgement": fresh, "known_acknowledgements": [{"indices": [2], **earlier}]}
    found = _promised(told, [1], ENTRIES)
    assert {index: json.loads(document) for index, (document, _) in found.items()} == {0: fresh, 2: earlier, 3: fresh}
    assert {index: digests for index, (_, digests) in found.items()} == {
        0: (DIGESTS[0], DIGESTS[3]),
        2: (DIGESTS[2],),
        3: (DIGESTS[0], DIGESTS[3]),
    }
    other = {"acknowledgement": acknowledgement(0, 1), "known_acknowledgements": []}
    assert [digests for _, digests in _promised(other, [1], ENTRIES).values()] == [()] * 3, "a promise of something else proves nothing"


def test_promises_are_kept_with_all_digests_until_a_final_book_lists_the_entries(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    for sequence, entry in enumerate(ENTRIES):
        outbox.put(ASSET, sequence, entry)
    numbers = [number for number, _ in outbox.unanswered("http://one")]
    document = json.dumps(acknowledgement(0, 1, 2))
    outbox.acknowledged("http://one", document, DIGESTS[:3])
    outbox.answered("http://one", [(number, document) for number in numbers[:3]])
    outbox.listed(ASSET, [(0, 1)])
    outbox.close()
    outbox = Outbox(tmp_path / "outbox.sqlite")
    [promise] = outbox.promises()
    assert (promise.verifier, promise.asset, promise.sequence, promise.entry) == ("http://one", ASSET, 2, ENTRIES[2])
    assert (promise.document, promise.digests) == (document, tuple(DIGESTS[:3]))
    outbox.listed(ASSET, [(2, 2)])
    assert outbox.promises() == []
    assert outbox.unanswered("http://one") == [(numbers[3], ENTRIES[3])]
    outbox.close()
