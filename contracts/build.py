"""Compiles the contracts and writes what the Python package carries of them.

python contracts/build.py           write src/subak/chain/artifacts/<Name>.json
python contracts/build.py --check   exit 1 and name what differs from the sources
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORGE = ROOT / "node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
ARTIFACTS = ROOT / "src/subak/chain/artifacts"
OUT = "contracts/out/deployable"

# Contract name -> the file that declares it.
DEPLOYABLE = {
    "Token": "Token.sol",
    "Minter": "Minter.sol",
    "Stake": "Stake.sol",
    "Assets": "Assets.sol",
    "Settlement": "Settlement.sol",
    "Challenges": "Challenges.sol",
    "Channels": "Channels.sol",
    "TestDollar": "TestDollar.sol",
    "TestCollection": "TestCollection.sol",
    "Timelock": "Timelock.sol",
    "SubakGovernor": "SubakGovernor.sol",
    "Treasury": "Treasury.sol",
    "Guardian": "Guardian.sol",
    "Attestations": "Attestations.sol",
    "AssetShares": "AssetShares.sol",
    "SharesFactory": "SharesFactory.sol",
    "AllowList": "AllowList.sol",
    "Vault": "Vault.sol",
    "MirrorAssets": "MirrorAssets.sol",
}


def compile_sources() -> None:
    """Always from scratch and without the tests, so that the compiler's input is the same for everyone."""
    options = ["--force", "--skip", "test", "--out", OUT, "--cache-path", "contracts/cache/deployable"]
    done = subprocess.run([FORGE, "build", "contracts/src", *options], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"forge build failed\n{done.stdout}{done.stderr}")


def artifact(name: str, source: str) -> str:
    """The artifact's text, the same bytes for the same sources."""
    compiled = json.loads((ROOT / OUT / source / f"{name}.json").read_text())
    kept = {
        "contractName": name,
        "abi": compiled["abi"],
        "bytecode": compiled["bytecode"]["object"],
        "metadata": compiled["rawMetadata"],
    }
    return json.dumps(kept, sort_keys=True, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    compile_sources()
    wanted = {f"{name}.json": artifact(name, source) for name, source in DEPLOYABLE.items()}
    present = {path.name: path.read_text() for path in ARTIFACTS.glob("*.json")}
    differing = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    if arguments:
        for name in differing:
            print(f"{ARTIFACTS.relative_to(ROOT) / name} does not match contracts/src: run python contracts/build.py")
        return 1 if differing else 0
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in wanted:
            (ARTIFACTS / name).write_text(wanted[name])
        else:
            (ARTIFACTS / name).unlink()
    print(f"{len(wanted)} artifacts, {len(differing)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
