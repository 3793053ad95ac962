"""An Entry that was promised and not listed: who answers, what heals it, and when nothing can be said yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from watch_world import READING, Headed, headed, served

from subak.archive.books import read_contents
from subak.archive.segments import read_segment
from subak.cli.watching import run_prove_omission, run_verify_omission
from subak.core.canon.json import hash_json
from subak.core.canon.segment import raw_rows
from subak.core.canon.typed_data import Acknowledgement, acknowledgement_digest
from subak.core.nouns import Contents
from subak.host.outbox import Outbox
from subak.verifier.omission import FORMAT, HEALED, LISTED, OMITTED, WAITING, OmissionRefused, Promise, prove, verify

HIDDEN, HEALED_LATER, OVERLOOKED = 1, 2, 4
"""Epochs whose readings the first verifier's head leaves out for good, or a Book late, and one in which the lead leaves that head out."""
LATE_EPOCHS = 7


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headed]:
    """Epochs 0 and 1 are final."""
    built = headed(tmp_path_factory.mktemp("town"))
    built.hides, built.overlooks = (HIDDEN, HEALED_LATER), (OVERLOOKED,)
    built.heals = {HEALED_LATER + 1: HEALED_LATER, OVERLOOKED + 1: OVERLOOKED}
    try:
        live_to(built, 1)
        yield built
    finally:
        built.chain.stop()


def live_to(town: Headed, epoch: int) -> None:
    while town.next_epoch <= epoch:
        town.finish(town.propose())


def promise(town: Headed, epoch: int, at: int = 1, count: int = 3) -> Promise:
    """What the first verifier acknowledged of an epoch's readings: some together, one of them in question."""
    ref = town.hidden.get(epoch) or next(ref for ref in book(town, epoch).segments if ref.schema == READING.name)
    rows = raw_rows(read_segment(town.archive, ref, READING), READING, town.network.id)[:count]
    digests = tuple(sha256(row[:-64]).digest() for row in rows)
    received = town.network.clock.end_unix_s(epoch) - 60
    message = Acknowledgement(town.network.id, ref.position, len(digests), sha256(b"".join(digests)).digest(), received)
    digest = acknowledgement_digest(message, town.network.chain_id, town.network.contracts.settlement)
    me = town.verifiers[0]
    return Promise(message, me.address, me.sign_digest(digest), digests, rows[at])


def book(town: Headed, epoch: int) -> Contents:
    final = next(each for each in town.follower.finalised() if each.first == epoch)
    return read_contents(town.archive, final.book_hashes[0])


def test_what_was_listed_in_time_is_no_omission(town: Headed) -> None:
    found = prove(promise(town, 0), town.network, town.archive, town.rpc)
    assert (found.status, found.document) == (LISTED, None)


def test_nothing_is_claimed_while_a_later_book_may_list_it(town: Headed) -> None:
    found = prove(promise(town, HIDDEN), town.network, town.archive, town.rpc)
    assert (found.status, found.document) == (WAITING, None)
    assert f"up to epoch {HIDDEN + LATE_EPOCHS}" in found.words


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda it: it | {"digests": it["digests"][:-1]}, "3 Entries were acknowledged, 2 digests"),
        (lambda it: it | {"digests": list(reversed(it["digests"]))}, "not those that were acknowledged"),
        (lambda it: it | {"entry": "0x00"}, "is none"),
        (lambda it: it | {"acknowledgement": it["acknowledgement"] | {"position": 7}}, "is signed by"),
        (lambda it: {}, "can be read"),
    ],
)
def test_what_is_not_what_was_signed_proves_nothing(town: Headed, broken, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OmissionRefused, match=words):
        prove(Promise.read(broken(promise(town, HIDDEN).as_dict())), town.network, town.archive, town.rpc)


def owner(town: Headed) -> str:
    return "0x" + town.verifiers[0].address.hex()


def test_what_a_later_book_lists_is_healed_and_who_hid_it_answers(town: Headed) -> None:
    live_to(town, HEALED_LATER + 1)
    found = prove(promise(town, HEALED_LATER), town.network, town.archive, town.rpc)
    assert found.status == HEALED
    assert "healed: the Book of epoch 3 lists it" in found.words
    assert found.document is not None
    healing = next(each for each in town.follower.finalised() if each.first == HEALED_LATER + 1)
    assert found.document["healed_by"] == {"epoch": HEALED_LATER + 1, "book": "0x" + healing.book_hashes[0].hex()}
    assert found.document["answers"] == {"role": "verifier", "signer": owner(town), "owner": owner(town)}
    assert verify(json.loads(found.raw), town.network, town.archive, town.rpc) == []


def test_a_lead_that_leaves_out_a_sound_head_answers(town: Headed) -> None:
    live_to(town, OVERLOOKED + 1)
    hidden = promise(town, OVERLOOKED)
    nobody = prove(hidden, town.network, town.archive, town.rpc)
    assert nobody.document is not None
    assert nobody.document["answers"] is None, "without the head nobody can be named"
    found = prove(hidden, town.network, town.archive, town.rpc, lambda epoch: [town.heads[epoch]])
    assert found.document is not None
    opened = next(each for each in town.follower.events() if each.name == "Opened" and each.values["first"] == OVERLOOKED)
    assert found.document["answers"]["role"] == "lead"
    assert found.document["answers"]["signer"] == "0x" + opened.values["lead"].hex()
    assert verify(json.loads(found.raw), town.network, town.archive, town.rpc) == [], "the head stands in the evidence"
    forged = json.loads(found.raw) | {"head": ""}
    assert any(each.startswith("answers") for each in verify(forged, town.network, town.archive, town.rpc))


def test_what_no_book_can_list_any_more_is_omitted(town: Headed) -> None:
    live_to(town, HIDDEN + LATE_EPOCHS - 1)
    assert prove(promise(town, HIDDEN), town.network, town.archive, town.rpc).status == WAITING
    live_to(town, HIDDEN + LATE_EPOCHS)
    found = prove(promise(town, HIDDEN), town.network, town.archive, town.rpc)
    assert found.status == OMITTED
    document = json.loads(found.raw)
    assert (document["format"], document["healed_by"], document["position"]) == (FORMAT, None, town.hidden[HIDDEN].position + 1)
    assert document["answers"] == {"role": "verifier", "signer": owner(town), "owner": owner(town)}
    assert f"leaves out position {document['position']}" in document["why"]
    assert verify(document, town.network, town.archive, town.rpc) == []
    assert hash_json(document) == sha256(found.raw).digest()
    framed = document | {"answers": document["answers"] | {"signer": "0x" + town.verifiers[1].address.hex()}}
    [wrong] = verify(framed, town.network, town.archive, town.rpc)
    assert wrong.startswith("answers")
    with pytest.raises(OmissionRefused, match="format"):
        verify({}, town.network, town.archive, town.rpc)


def test_evidence_is_written_and_checked_by_command(town: Headed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outbox, promised = Outbox(tmp_path / "outbox.sqlite"), promise(town, HEALED_LATER)
    document = json.dumps(promised.as_dict()["acknowledgement"])
    outbox.put(town.homes[0].asset, 0, promised.entry)
    outbox.acknowledged("http://one", document, promised.digests)
    outbox.answered("http://one", [(outbox.unanswered("http://one")[0][0], document)])
    outbox.close()
    with served(town) as url:
        assert run_prove_omission(tmp_path / "outbox.sqlite", None, url, town.rpc.url, tmp_path / "evidence", True) == 1
        told = json.loads(capsys.readouterr().out)
        assert (told["status"], told["answers"]["signer"]) == (HEALED, owner(town))
        evidence = Path(told["file"])
        assert told["reason"] == "0x" + sha256(evidence.read_bytes()).hexdigest()
        assert run_verify_omission(evidence, url, town.rpc.url, True) == 0
        assert json.loads(capsys.readouterr().out)["holds"] is True
        evidence.write_bytes(evidence.read_bytes().replace(b'"healed"', b'"omitted"'))
        assert run_verify_omission(evidence, url, town.rpc.url, False) == 1
        assert "does not hold" in capsys.readouterr().out
