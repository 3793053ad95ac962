"""A real home whose meter says twice what its panels made: what the rules pay, what they refuse, and why. Runs offline."""

import numpy as np
import polars as pl

from subak.core.kind import Assets, Context, Lines
from subak.kinds.energy import kind
from subak.lab.recording import CELL, CLEAR_SKY, Cheat, june_2017

june, sky = june_2017(), pl.read_parquet(CLEAR_SKY)
end = np.arange(june.first_unix_s, june.end_unix_s + 1, 3600)[:, None]  # a row per hour, a column per home
meter = pl.DataFrame([june.counters_at(9, hour, Cheat.DOUBLED) for hour in end[:, 0].tolist()])
lines = Lines(end > 0, np.zeros(end.shape, np.uint8), end - 3600, end, {each.name: each.to_numpy()[:, None] for each in meter})
home = Assets(cell=np.array([CELL], np.uint64), rated=np.array([june.rated_w(9)]), id=np.zeros((1, 32), np.uint8))
law = Context({}, {"clear_sky": {each.name: each.to_numpy() for each in sky}}, june.first_unix_s, june.end_unix_s)
judged = kind.rules.judge(lines, home, {each.name: np.zeros(1, np.int64) for each in kind.rules.carried}, law)
why = {0: "accepted"} | {each.code: each.sentence for each in kind.rules.reasons}
for code, count in zip(*np.unique(judged.reasons, return_counts=True), strict=True):
    print(f"{count} hours, {judged.work['export_wh'][judged.reasons == code].sum()} Wh counted: {why[code]}")
