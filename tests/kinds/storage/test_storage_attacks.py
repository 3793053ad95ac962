"""Row 78 of the attack catalogue, group I, and hosts that want to be paid for what they do not keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pytest
from storage_sets import (
    RULES,
    Kept,
    Signed,
    a_set,
    an_answer,
    assets,
    earned,
    epoch_context,
    in_force,
    in_force_as,
    judge,
    levels,
    named,
    names,
    piece,
)

from subak.core.canon.keccak import keccak256
from subak.core.kind import Column, Judged
from subak.kinds.storage.rules import tree
from subak.kinds.storage.rules.judge import leaf_of
from subak.kinds.storage.rules.schemas import FAULTY_EPOCHS, OFFLINE_EPOCHS, PIECES

HOST, OTHER_HOST = named("host"), named("another host")
SEED = named("seed")
CONTEXT = epoch_context(7, SEED, 480)
TASKS = 20
AT = CONTEXT.first_unix_s + 600


def answers(show: Callable[[int], tuple[bytes, Sequence[bytes]] | None]) -> list[Signed]:
    """A line for every task that ``show`` has a leaf and a path for."""
    shown = [(task, show(task)) for task in range(TASKS)]
    return [an_answer(AT, 7, task, *proof) for task, proof in shown if proof is not None]


def judged(lines: list[Signed], carried: Mapping[str, Column], host: bytes = HOST) -> Judged:
    return judge([lines], assets([host]), carried, CONTEXT)


def test_an_honest_host_is_paid() -> None:
    kept = Kept("a b c")
    assert earned(judged(answers(partial(kept.answer, SEED, HOST)), in_force([kept]))) == 768


def test_I78_seed_known_before_commitment() -> None:
    """Whoever sees the seed and only then signs the set that suits it is still asked about the set before."""
    before, suits = Kept("a b c"), Kept("d")
    lines = [a_set(AT - 60, suits.root, 1), *answers(partial(suits.answer, SEED, HOST))]
    found = judged(lines, in_force([before]))
    assert names(found, [lines]) == ["set_taken", *["wrong"] * TASKS]
    assert earned(found) == 0
    drawn = RULES.draw(assets([HOST]), in_force([before]), CONTEXT)["leaf"]
    assert (drawn == RULES.draw(assets([HOST]), in_force([before]), CONTEXT)["leaf"]).all()
    other = RULES.draw(assets([HOST]), in_force([before]), epoch_context(7, named("next seed"), 480))["leaf"]
    assert (drawn == other).sum() < 3


def test_I78_grinding_of_sets() -> None:
    """The root is no part of the draw: a thousand sets of one size are asked for the same leaves."""
    drawn = {RULES.draw(assets([HOST]), in_force_as(named(str(n)), 1000), CONTEXT)["leaf"].tobytes() for n in range(1000)}
    assert len(drawn) == 1


def test_I78_beacon_out_of_reach() -> None:
    """Without a beacon in time nothing is asked: nobody is paid, and nobody is to blame."""
    kept, context = Kept("a b c"), epoch_context(7, b"", 480)
    lines = answers(partial(kept.answer, b"", HOST))
    found = judge([lines], assets([HOST]), in_force([kept]), context)
    assert set(names(found, [lines])) == {"not_asked"}
    assert found.carried[OFFLINE_EPOCHS][0] == found.carried[FAULTY_EPOCHS][0] == earned(found) == 0


def test_I78_skip_by_not_proving() -> None:
    """Who leaves out what it cannot show earns nothing in that epoch, as who shows nothing."""
    kept = Kept("a b c")
    for skipped in range(TASKS):
        lines = answers(partial(kept.answer, SEED, HOST))
        found = judged(lines[:skipped] + lines[skipped + 1 :], in_force([kept]))
        assert earned(found) == 0
        assert found.carried[FAULTY_EPOCHS][0] == 1
    silent = judged([], in_force([kept]))
    assert silent.carried[OFFLINE_EPOCHS][0] == 1


def test_I78_add_in_mid_period() -> None:
    """A piece that was added after the epoch began is neither asked for nor paid for in it."""
    before, now = Kept("a b c"), Kept("a b c d e")
    drawn = RULES.draw(assets([HOST]), in_force([before]), CONTEXT)["leaf"]
    assert drawn.max() < 3 * 256
    lines = [a_set(AT - 60, now.root, 5), *answers(partial(before.answer, SEED, HOST))]
    found = judged(lines, in_force([before]))
    assert earned(found) == 768
    assert found.carried[PIECES][0] == 5


def test_I78_remove_in_mid_period() -> None:
    """Letting a piece go after the question is known does not take the question back."""
    before, now = Kept("a b c"), Kept("a - c")
    lines = [a_set(AT - 60, now.root, 3), *answers(partial(now.answer, SEED, HOST))]
    found = judged(lines, in_force([before]))
    assert "wrong" in names(found, [lines])
    assert earned(found) == 0


def test_I78_leaf_count_0() -> None:
    """A set without slots is asked nothing, and no number is divided by nothing."""
    carried = in_force_as(Kept("a").root, 0)
    lines = answers(lambda task: (bytes(1024), []))
    found = judged(lines, carried)
    assert set(names(found, [lines])) == {"not_asked"}
    assert (RULES.draw(assets([HOST]), carried, CONTEXT)["leaf"] == -1).all()
    assert earned(found) == found.carried[OFFLINE_EPOCHS][0] == 0


def test_I78_leaf_count_1() -> None:
    """A tree of one leaf is no set: the smallest has 256, and the paths to them 8 hashes."""
    leaf = piece("a")[:1024]
    lonely = judged(answers(lambda task: (leaf, [])), in_force_as(tree.leaf_hash(leaf), 1))
    assert lonely.carried[FAULTY_EPOCHS][0] == 1
    assert earned(lonely) == 0
    smallest = Kept("a")
    found = judged(answers(partial(smallest.answer, SEED, HOST)), in_force([smallest]))
    assert earned(found) == 256
    assert len(smallest.answer(SEED, HOST, 0)[1]) == 8


def test_I78_modulo_bias() -> None:
    """No leaf is asked for more often than another, whatever the number of leaves."""
    counts = np.bincount([leaf_of(SEED, HOST, task, 3) for task in range(768 * 100)], minlength=768)
    assert len(counts) == 768
    # Chi-square with 767 degrees of freedom: mean 767, deviation 39.
    assert abs(int(((counts - 100) ** 2).sum()) / 100 - 767) < 4 * 39
    # Of a hash of 64 bits or fewer the upper half of the largest set would be asked for less.
    top = sum(leaf_of(SEED, HOST, task, tree.MOST_PIECES - 1) >= (tree.MOST_PIECES - 1) * 128 for task in range(20_000))
    assert abs(top - 10_000) < 4 * 71


def test_I78_wrong_height() -> None:
    """The number of slots fixes the height: neither a shorter nor a longer tree, nor an inner node in a leaf's place, holds."""
    kept = Kept("a b c d")
    for claimed in (1, 2, 5, 8, 1024):
        lines = answers(partial(_nearest, kept, claimed))
        assert set(names(judged(lines, in_force_as(kept.root, claimed)), [lines])) == {"wrong"}
    inner = levels("a")[0]
    lines = answers(lambda task: ((inner[0] + inner[1]).ljust(1024, b"\0"), kept.answer(SEED, HOST, task)[1][1:]))
    assert set(names(judged(lines, in_force([kept])), [lines])) == {"wrong"}


def _nearest(kept: Kept, claimed: int, task: int) -> tuple[bytes, list[bytes]]:
    """A true proof for the leaf that a set of ``claimed`` slots would be asked for, or for the one it stands for in the real tree."""
    return kept.proof(leaf_of(SEED, HOST, task, claimed) % (256 * kept.pieces))


def test_I78_sha_and_keccak_trees() -> None:
    """A tree by another hash, or without the tags of leaf and node, is another tree."""

    def root_of(leaf: Callable[[bytes], bytes], node: Callable[[bytes, bytes], bytes]) -> tuple[bytes, list[list[bytes]]]:
        level = [leaf(piece("a")[at : at + 1024]) for at in range(0, tree.PIECE_BYTES, 1024)]
        each = [level]
        while len(level) > 1:
            level = [node(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
            each.append(level)
        return level[0], each

    for leaf, node in (
        (lambda data: keccak256(b"\0" + data), lambda left, right: keccak256(b"\1" + left + right)),
        (keccak256, lambda left, right: keccak256(left + right)),
        (lambda data: tree.node_hash(data, b""), lambda left, right: tree.leaf_hash(left + right)),
    ):
        root, each = root_of(leaf, node)

        def show(task: int, each: list[list[bytes]] = each) -> tuple[bytes, list[bytes]]:
            index = leaf_of(SEED, HOST, task, 1)
            return piece("a")[1024 * index :][:1024], [level[index >> height ^ 1] for height, level in enumerate(each[:-1])]

        assert root != levels("a")[-1][0]
        lines = answers(show)
        assert set(names(judged(lines, in_force_as(root, 1)), [lines])) == {"wrong"}


def test_I78_answer_replay_of_another_set() -> None:
    """Answers for the set before, or for one with the same pieces in other places, do not hold."""
    for other in ("c b a", "d e f", "b c a"):
        lines = answers(partial(Kept(other).answer, SEED, HOST))
        found = judged(lines, in_force([Kept("a b c")]))
        assert "wrong" in names(found, [lines])
        assert earned(found) == 0


def test_I78_answer_replay_of_another_epoch() -> None:
    """Last epoch's answers are too late under their own number, and wrong under this one's."""
    kept, last = Kept("a b c"), named("last seed")
    honest = [an_answer(AT, 6, task, *kept.answer(last, HOST, task)) for task in range(TASKS)]
    assert set(names(judged(honest, in_force([kept])), [honest])) == {"timeout"}
    renamed = answers(partial(kept.answer, last, HOST))
    found = judged(renamed, in_force([kept]))
    assert "wrong" in names(found, [renamed])
    assert earned(found) == 0


def test_I78_copying_of_anothers_proof() -> None:
    """Two hosts with the same set are asked for different leaves, so that one disk cannot answer for both by copying."""
    kept = Kept("a b c")
    both = assets([HOST, OTHER_HOST])
    drawn = RULES.draw(both, in_force([kept, kept]), CONTEXT)["leaf"]
    assert (drawn[:, 0] == drawn[:, 1]).sum() < 3
    honest = answers(partial(kept.answer, SEED, HOST))
    found = judge([honest, honest], both, in_force([kept, kept]), CONTEXT)
    assert [earned(found, 0), earned(found, 1)] == [768, 0]
    assert "wrong" in names(found, [honest, honest], 1)


class Cheat:
    """A host that signed a set of eight pieces and kept something less."""

    kept = Kept("a b c d e f g h")

    def carried(self) -> dict[str, Column]:
        return in_force([self.kept])

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        raise NotImplementedError


class KeptOnlyTheHashes(Cheat):
    """Has the whole tree, and no leaf."""

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        return bytes(1024), self.kept.answer(SEED, HOST, task)[1]


class ShowsHashesAsLeaf(KeptOnlyTheHashes):
    """Puts the leaf's hash where the leaf belongs."""

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        leaf, path = self.kept.answer(SEED, HOST, task)
        return tree.leaf_hash(leaf).ljust(1024, b"\0"), path


class KeptOnePiece(Cheat):
    """Answers every task from the one piece that it has."""

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        return self.kept.proof(leaf_of(SEED, HOST, task, 8) % 256)


class AnswersWhatItCan(Cheat):
    """Keeps seven of eight pieces and leaves the other questions out."""

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        index = leaf_of(SEED, HOST, task, 8)
        return None if index < 256 else self.kept.proof(index)


class SaysItWasEmpty(AnswersWhatItCan):
    """Calls the slot empty whose piece it lost."""

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        path = self.kept.answer(SEED, HOST, task)[1]
        return super().show(task) or (bytes(1024), [tree.EMPTY] * 8 + path[8:])


class SignedNonsense(Cheat):
    """Made the root up."""

    def carried(self) -> dict[str, Column]:
        return in_force_as(named("no tree at all"), 8)

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        return self.kept.answer(SEED, HOST, task)


class SignedHoles(Cheat):
    """A large set of empty slots, every answer right."""

    kept = Kept(["-"] * 1024)

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        return self.kept.answer(SEED, HOST, task)


class SignedNothing(Cheat):
    """Answers without ever having signed a set."""

    def carried(self) -> dict[str, Column]:
        return in_force([None])

    def show(self, task: int) -> tuple[bytes, Sequence[bytes]] | None:
        return self.kept.answer(SEED, HOST, task)


@pytest.mark.parametrize(
    "cheat",
    [
        KeptOnlyTheHashes(),
        ShowsHashesAsLeaf(),
        KeptOnePiece(),
        AnswersWhatItCan(),
        SaysItWasEmpty(),
        SignedNonsense(),
        SignedHoles(),
        SignedNothing(),
    ],
    ids=lambda cheat: type(cheat).__name__,
)
def test_a_host_that_answers_for_bytes_it_never_stored_earns_nothing(cheat: Cheat) -> None:
    lines = answers(cheat.show)
    assert lines
    assert earned(judged(lines, cheat.carried())) == 0


def test_a_host_that_keeps_data_of_its_own_is_in_no_pot() -> None:
    """Random data is cheap to make; only customers pay for what is kept."""
    assert RULES.price({"kib_hours": np.array([1 << 50])}, CONTEXT) == {}
