"""Runs slither and halmos over the contracts and compares what they say with what people decided.

python contracts/analysis/analyse.py slither            exit 1 and name every finding that slither-triage.toml does not judge
python contracts/analysis/analyse.py slither --write    write the triage anew: what is known keeps its verdict, what is new is "open"
python contracts/analysis/analyse.py halmos             prove the properties; exit 1 if any is not as halmos-results.toml says
python contracts/analysis/analyse.py halmos --write     write the results anew

Needs slither and halmos of requirements.txt beside the Python that runs it, and npm's packages. `make analysis` sees to both.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# The native binary: npm's wrapper exits 0 when forge fails.
FORGE = ROOT / "node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
TRIAGE = Path(__file__).with_name("slither-triage.toml")
RESULTS = Path(__file__).with_name("halmos-results.toml")
OUT = "contracts/out/analysis"
OPEN = "open"
SECONDS = 900
"""For one property."""
# Where a finding of these weights stands is told to the expression, of the others to the function.
SHARP = ("High", "Medium")

Finding = tuple[str, str, str]
"""Detector, impact, place."""


def main(arguments: list[str]) -> int:
    runs = {"slither": slither, "halmos": halmos}
    if not arguments or arguments[0] not in runs or arguments[1:] not in ([], ["--write"]):
        print(__doc__)
        return 2
    return runs[arguments[0]](arguments[1:] == ["--write"])


def slither(write: bool) -> int:
    """Compare the findings with the triage."""
    found = findings()
    known = {finding: group for group in triage() for finding in places_of(group)}
    if write:
        TRIAGE.write_text(triage_text(found, known))
    new = [finding for finding in found if finding not in known or known[finding]["verdict"] == OPEN]
    gone = sorted(set(known) - set(found))
    for detector, impact, place in new:
        print(f"not judged: {impact} {detector} at {place}")
    for detector, _, place in gone:
        print(f"no longer found{'' if write else ', take it out with --write'}: {detector} at {place}")
    print(f"slither: {len(found)} findings, {len(new)} not judged, {len(gone)} judged and gone")
    return 1 if new or (gone and not write) else 0


def findings() -> list[Finding]:
    """What slither finds in contracts/src, each once, sorted."""
    shutil.rmtree(ROOT / OUT, ignore_errors=True)
    forge("build", "contracts/src", "--skip", "test", "--build-info", "--force", "--out", OUT, "--cache-path", "contracts/cache/analysis")
    report = ROOT / OUT / "slither.json"
    command = [BIN / "slither", ".", "--foundry-ignore-compile", "--foundry-out-directory", OUT, "--json", report]
    done = subprocess.run(
        [*command, "--filter-paths", "node_modules|contracts/src/local"], capture_output=True, text=True, cwd=ROOT, env=env()
    )
    if not report.exists():
        raise SystemExit(f"slither did not run\n{done.stdout}{done.stderr}")
    results = json.loads(report.read_text())["results"].get("detectors", [])
    return sorted({(each["check"], each["impact"], place(each)) for each in results})


def place(result: dict[str, Any]) -> str:
    """Contract and function of a finding, and for the weighty ones the first expression; without line numbers, which move."""
    first = result["elements"][0]
    fields = first.get("type_specific_fields", {})
    names = [fields.get("signature") or first["name"]]
    parent = fields.get("parent")
    while parent:
        above = parent.get("type_specific_fields", {})
        names.append(above.get("signature") or parent["name"])
        parent = above.get("parent")
    where = ".".join(reversed(names))
    expressions = [each["name"] for each in result["elements"][1:] if each["type"] == "node"]
    return f"{where}: {expressions[0]}" if expressions and result["impact"] in SHARP else where


def triage() -> list[dict[str, Any]]:
    """What was decided, group by group."""
    groups: list[dict[str, Any]] = tomllib.loads(TRIAGE.read_text()).get("finding", []) if TRIAGE.exists() else []
    return groups


def places_of(group: dict[str, Any]) -> list[Finding]:
    return [(group["detector"], group["impact"], place) for place in group["places"]]


def triage_text(found: list[Finding], known: dict[Finding, dict[str, Any]]) -> str:
    """The triage of these findings: known ones under their verdict, new ones open."""
    groups: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for detector, impact, where in found:
        judged = known.get((detector, impact, where), {"verdict": OPEN, "why": ""})
        groups[impact, detector, judged["verdict"], judged["why"]].append(where)
    weights = ["High", "Medium", "Low", "Informational", "Optimization"]
    parts = [
        "# Every finding of slither, and what people think of it. contracts/analysis/analyse.py says when it changes.\n"
        '# verdict: "false" (not so), "meant" (so, and right), "accepted" (so, and not worth a change), "open" (nobody looked yet).\n'
    ]
    for (impact, detector, verdict, why), places in sorted(groups.items(), key=lambda each: (weights.index(each[0][0]), *each[0][1:])):
        lines = [f"[[finding]]\ndetector = {quoted(detector)}\nimpact = {quoted(impact)}\nverdict = {quoted(verdict)}\nwhy = {quoted(why)}"]
        parts.append("\n".join([*lines, "places = [", *(f"    {quoted(where)}," for where in places), "]\n"]))
    return "\n".join(parts)


def halmos(write: bool) -> int:
    """Prove every property, and compare with the list."""
    settings = {"FOUNDRY_TEST": "contracts/test/halmos", "FOUNDRY_OUT": f"{OUT}/halmos", "FOUNDRY_CACHE_PATH": "contracts/cache/halmos"}
    forge("build", "--ast", "--extra-output", "storageLayout", "metadata", **settings)
    before = {each["name"]: each for each in tomllib.loads(RESULTS.read_text())["property"]} if RESULTS.exists() else {}
    now = {name: prove(*name.split("."), settings) for name in properties()}
    if write:
        RESULTS.write_text(results_text(now, before))
    differing = {name: result for name, result in now.items() if result != "proved" and result != before.get(name, {}).get("result")}
    missing = sorted(set(before) ^ set(now))
    for name, result in differing.items():
        print(f"{result}: {name}")
    for name in [] if write else missing:
        print(f"{'new' if name in now else 'gone'}, write the list anew: {name}")
    print(f"halmos: {sum(result == 'proved' for result in now.values())} of {len(now)} properties proved")
    return 1 if differing or (missing and not write) else 0


def properties() -> list[str]:
    """Contract.function of each property, in the order of the files."""
    names = []
    for path in sorted((ROOT / "contracts/test/halmos").glob("*.t.sol")):
        contract = None
        for word, name in re.findall(r"^(?:    )?(contract|function) (\w+)", path.read_text(), re.MULTILINE):
            contract = name if word == "contract" else contract
            if word == "function" and name.startswith("check_"):
                names.append(f"{contract}.{name}")
    return names


def prove(contract: str, function: str, settings: dict[str, str]) -> str:
    """ "proved", "refuted", or "not decided" where the solver gives up."""
    command = [
        BIN / "halmos",
        "--forge-build-out",
        settings["FOUNDRY_OUT"],
        "--contract",
        contract,
        "--match-test",
        rf"^{function}\(",
        "--no-status",
    ]
    bounds = ["--loop", "5", "--solver-timeout-assertion", "60000"]
    try:
        done = subprocess.run([*command, *bounds], capture_output=True, text=True, cwd=ROOT, env=env(**settings), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "not decided"
    said = done.stdout + done.stderr
    print(f"  {contract}.{function}: {' '.join(re.findall(r'paths: .*?s', said)[:1])}", flush=True)
    if "[PASS]" in said:
        return "proved"
    return "refuted" if "Counterexample:" in said else "not decided"


def results_text(now: dict[str, str], before: dict[str, dict[str, Any]]) -> str:
    """The list of results; a remark that stands with a property is kept."""
    parts = [
        "# What halmos says of each property in contracts/test/halmos. contracts/analysis/analyse.py compares.\n"
        '# "proved": for all arguments, loops of up to 5 rounds. "not decided": the solver gives up; the remark says what else tests it.\n'
    ]
    for name, result in now.items():
        remark = before.get(name, {}).get("remark", "")
        remarks = [f"remark = {quoted(remark)}"] if remark else []
        parts.append("\n".join(["[[property]]", f"name = {quoted(name)}", f"result = {quoted(result)}", *remarks]) + "\n")
    return "\n".join(parts)


def forge(*arguments: str, **settings: str) -> None:
    done = subprocess.run([FORGE, *arguments], capture_output=True, text=True, cwd=ROOT, env=env(**settings))
    if done.returncode != 0:
        raise SystemExit(f"forge {arguments[0]} failed\n{done.stdout}{done.stderr}")


def env(**settings: str) -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join([str(FORGE.parent), str(BIN), os.environ["PATH"]]), **settings}


def quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
