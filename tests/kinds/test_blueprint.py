"""The blueprint keeps every promise; copy this file with it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import strategies as st

from subak.core.kind import Assets, Column, Context, Judged, Lines
from subak.kinds._blueprint import kind
from subak.kinds._blueprint.rules import ALREADY_COUNTED, BASELINE, TICKS_DROPPED, TOO_FAST, BlueprintRules
from subak.kinds.conformance import KindConformance


class TestConformance(KindConformance):
    rules = kind.rules

    def rated(self) -> st.SearchStrategy[int]:
        return st.sampled_from([600, 5000])


def test_each_reason_once() -> None:
    hour = np.arange(1, 8)[:, None] * 3600
    ticks = np.array([100, 400, 300, 100_000, 100_010, 100_020, 1 << 60])[:, None]
    hour[5] = hour[4]
    lines = Lines(np.ones((7, 1), np.bool_), np.zeros((7, 1), np.uint8), hour - 3600, hour, {"ticks": ticks})
    never = {column.name: np.zeros(1, np.int64) for column in kind.rules.carried}
    judged = kind.rules.judge(
        lines, Assets(np.zeros(1, np.uint64), np.array([600]), np.zeros((1, 32), np.uint8)), never, Context({}, {}, 0, 86_400)
    )
    assert judged.reasons[:, 0].tolist() == [BASELINE, 0, TICKS_DROPPED, TOO_FAST, 0, ALREADY_COUNTED, TOO_FAST]
    assert judged.work["ticks"][:, 0].tolist() == [0, 300, 0, 0, 10, 0, 0]
    assert judged.carried["mark_ticks"].tolist() == [100_010]


class Bent(BlueprintRules):
    """The blueprint's rules with their result bent by a subclass."""

    def bend(self, judged: Judged, lines: Lines, assets: Assets, carried: Mapping[str, Column]) -> Judged:
        raise NotImplementedError

    def judge(self, lines: Lines, assets: Assets, carried: Mapping[str, Column], context: Context) -> Judged:
        return self.bend(super().judge(lines, assets, carried, context), lines, assets, carried)


class PaysDuplicates(Bent):
    def bend(self, judged: Judged, lines: Lines, assets: Assets, carried: Mapping[str, Column]) -> Judged:
        again = np.where(judged.reasons == ALREADY_COUNTED, 10, judged.work["ticks"]) * lines.present
        return Judged(judged.reasons, {"ticks": again}, judged.carried)


class PaysRefused(Bent):
    def bend(self, judged: Judged, lines: Lines, assets: Assets, carried: Mapping[str, Column]) -> Judged:
        clamped = np.where(judged.reasons == TOO_FAST, 10, judged.work["ticks"]) * lines.present
        return Judged(judged.reasons, {"ticks": clamped}, judged.carried)


class Forgets(Bent):
    def bend(self, judged: Judged, lines: Lines, assets: Assets, carried: Mapping[str, Column]) -> Judged:
        return Judged(judged.reasons, judged.work, {name: np.zeros_like(column) for name, column in judged.carried.items()})


class LooksAround(Bent):
    def bend(self, judged: Judged, lines: Lines, assets: Assets, carried: Mapping[str, Column]) -> Judged:
        return Judged(judged.reasons, judged.work, {**judged.carried, "mark_ticks": judged.carried["mark_ticks"] + len(assets)})


class Invents(Bent):
    def bend(self, judged: Judged, lines: Lines, assets: Assets, carried: Mapping[str, Column]) -> Judged:
        return Judged(np.where(judged.reasons == TOO_FAST, 200, judged.reasons).astype(np.uint8), judged.work, judged.carried)


class PricesInSteps(BlueprintRules):
    def price(self, work: Mapping[str, Column], context: Context) -> Mapping[str, Column]:
        return {"bootstrap": work["ticks"] // 1000 * 999}


@pytest.mark.parametrize(
    ("bent", "promise"),
    [
        (PaysDuplicates(), KindConformance.test_duplicates_are_paid_once),
        (PaysRefused(), KindConformance.test_only_accepted_lines_have_work_and_none_is_negative),
        (Forgets(), KindConformance.test_epochs_do_not_matter),
        (LooksAround(), KindConformance.test_order_and_blocks_of_assets_do_not_matter),
        (Invents(), KindConformance.test_never_raises_and_has_the_promised_shape),
        (PricesInSteps(), KindConformance.test_splitting_or_merging_devices_gains_nothing),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, BlueprintRules) else "",
)
def test_the_conformance_tests_notice(bent: BlueprintRules, promise: object) -> None:
    class Conformance(TestConformance):
        __test__ = False
        rules = bent

    assert callable(promise)
    with pytest.raises(AssertionError):
        promise(Conformance())
