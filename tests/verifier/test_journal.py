"""What a verifier said once stays said; what it heard is kept as far as it proves anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from subak.core.nouns import Hash, Seal, Vote
from subak.core.nouns.document import Address, Signature
from subak.verifier.journal import MOST_HEARD, Equivocation, Journal

ME, OTHER = Address(b"\x01" * 20), Address(b"\x02" * 20)


def vote(result: int, signer: Address = ME, round_: int = 0) -> Vote:
    return Vote(3, 1, round_, Hash(bytes([result]) * 32), signer, Signature(bytes([result]) * 64))


def seal(book: int, signer: Address, value: int) -> Seal:
    return Seal(Hash(bytes([book]) * 32), signer, Hash(bytes([value]) * 32), Signature(bytes([value]) * 64))


def test_a_second_different_vote_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    assert Journal(tmp_path).keep_vote(vote(1)) == vote(1)
    again = Journal(tmp_path)
    assert again.keep_vote(vote(1)) == vote(1)
    with pytest.raises(Equivocation, match=r"already signed 0x0101.*now asked for 0x0202"):
        again.keep_vote(vote(2))
    assert again.vote(3, 1, 0) == vote(1)
    assert again.keep_vote(vote(2, round_=1)) == vote(2, round_=1)


def test_what_others_said_is_kept_until_it_proves_equivocation(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep_vote(vote(1))
    journal.hear_votes([vote(7, OTHER)])
    journal.hear_votes([vote(7, OTHER), vote(8, OTHER), vote(9, OTHER)])
    heard = Journal(tmp_path).heard_votes(3, 1, 0)
    assert [each.result[0] for each in heard if each.signer == OTHER] == [7, 8]
    assert len([each for each in heard if each.signer == OTHER]) == MOST_HEARD
    assert [each for each in heard if each.signer == ME] == [vote(1)]
    assert journal.heard_votes(3, 2, 0) == []


def test_the_first_seal_of_each_signer_stands(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.keep_seal(seal(5, ME, 1)) == seal(5, ME, 1)
    assert Journal(tmp_path).keep_seal(seal(5, ME, 2)) == seal(5, ME, 1)
    journal.hear_seals([seal(5, ME, 1), seal(5, OTHER, 3)])
    journal.hear_seals([seal(5, OTHER, 4), seal(6, OTHER, 4)])
    assert Journal(tmp_path).heard_seals(bytes([5]) * 32) == [seal(5, ME, 1), seal(5, OTHER, 3)]
    assert journal.seal(bytes([6]) * 32) is None
