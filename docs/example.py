"""A real home whose meter says twice what its panels made: what the rules pay, refuse and say. Runs offline."""

import numpy as np
import polars as pl

from subak.core.kind import Assets, Context, Lines
from subak.kinds.energy import kind
from subak.lab.recording import CELL, CLEAR_SKY, Cheat, june_2017

june, sky = june_2017(), pl.read_parquet(CLEAR_SKY)
end = np.arange(june.first_unix_s, june.end_unix_s + 1, 3600).reshape(-1, 1)  # a row per hour, a column per home
meter = pl.DataFrame([june.counters_at(9, hour, Cheat.DOUBLED) for hour in end[:, 0].tolist()])
counters = {name: meter[name].to_numpy().reshape(-1, 1) for name in meter.columns}
lines = Lines(end > 0, np.zeros(end.shape, np.uint8), end - 3600, end, counters)
home = Assets(np.array([CELL], np.uint64), np.array([june.rated_w(9)]))
law = Context({}, {"clear_sky": {name: sky[name].to_numpy() for name in sky.columns}}, june.first_unix_s, june.end_unix_s)
judged = kind.rules.judge(lines, home, {each.name: np.zeros(1, np.int64) for each in kind.rules.carried}, law)

for reason in kind.rules.reasons:
    if count := int((judged.reasons == reason.code).sum()):
        print(f"{count} {reason.status.name.lower()}: {reason.sentence}")
claimed_wh, paid_wh = meter["export_wh"][-1] - meter["export_wh"][0], judged.work["export_wh"].sum()
print(f"{(judged.reasons == 0).sum()} accepted: {paid_wh} of {claimed_wh} Wh earn")
