"""A founder's commands: a policy for kinds, assets from a table and from one key file, issuers; what is refused is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from subak.archive.books import read_limit_tables, read_policy
from subak.archive.store import FolderArchive
from subak.chain.snapshot import Follower, fold
from subak.core.canon import ed25519, p256
from subak.core.canon.ids import P256, asset_id
from subak.core.nouns import Requirement
from subak.host.keys import load_or_create
from subak.kinds.registry import rules_for

from .paper import ALICE, BUILDER, CELL, FOUNDER, ISSUER, Paper, door

OWNER = bytes(range(20))
KEY = ed25519.public_key(b"k" * 32)
HEADER = "owner,curve,key,kind,cell,rated\n"
KEY_P256 = p256.public_key(b"k" * 32)
GOOD_P256 = f"0x{OWNER.hex()},2,0x{KEY_P256.hex()},storage,0x{CELL},5000\n"
GOOD = f"0x{OWNER.hex()},1,0x{KEY.hex()},energy,0x{CELL},5000\n"
DAYS = ("--first", "2017-06-01", "--last", "2017-06-02")


def test_a_policy_is_made_for_kinds_with_its_tables(tmp_path: Path) -> None:
    (tmp_path / "assets.csv").write_text(HEADER + GOOD + GOOD_P256)
    archive = FolderArchive(tmp_path / "archive")
    told = door(
        *("policy", "build", "--out", tmp_path / "archive", "--kinds", "storage,energy", "--assets", tmp_path / "assets.csv", *DAYS),
        *(
            "--parameters",
            "storage.tasks_per_day=48,energy.zone_resolution=5",
            "--requires",
            f"energy:licence:owner:{CELL},storage:kyc:owner",
        ),
        *("--escrow-epochs", 3, "--issuer-cap-bps", 2500, "--cell-cap-bps", 1000, "--cell-resolution", 4),
        *("--fade-from-epoch", 90, "--sunset-epoch", 180, "--usage-k-bps", 4000, "--late-epochs", 9, "--json"),
    ).json()
    assert (told["kinds"], told["tables"]) == (["energy", "storage"], {"energy": {"clear_sky": 48}, "storage": {}})
    policy = read_policy(archive, bytes.fromhex(told["policy"][2:]))
    assert rules_for(policy).keys() == {"energy", "storage"}
    assert policy.kinds["storage"].parameters == {"tasks_per_day": 48}
    assert policy.kinds["energy"].parameters["zone_resolution"] == 5
    assert policy.kinds["energy"].parameters["hold_seconds"] == 7 * 86_400
    assert policy.kinds["energy"].requires == (Requirement("licence", "owner", int(CELL, 16)),)
    assert policy.kinds["storage"].requires == (Requirement("kyc", "owner"),)
    assert (policy.usage.k_bps, policy.late_epochs) == (4000, 9)
    found = policy.bootstrap
    assert (found.escrow_epochs, found.issuer_cap_bps, found.cell_cap_bps, found.cell_resolution) == (3, 2500, 1000, 4)
    assert (found.fade_from_epoch, found.sunset_epoch) == (90, 180)
    sky = read_limit_tables(archive, policy)["energy"]["clear_sky"]
    assert set(sky["cell"].tolist()) == {int(CELL, 16)}


def test_a_policy_without_the_sun_needs_neither_cells_nor_days(tmp_path: Path) -> None:
    done = door("policy", "build", "--out", tmp_path, "--kinds", "storage", "--sunset-epoch", 5)
    assert done.code == 0
    digest = done.out.split()[1]
    policy = read_policy(FolderArchive(tmp_path), bytes.fromhex(digest[2:]))
    assert (policy.bootstrap.sunset_epoch, policy.usage.k_bps, policy.late_epochs) == (5, 0, 7)
    assert "storage: tasks_per_day 460" in done.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--kinds", "tides"), "--kinds is 'tides': name each kind once, of those that are installed: energy, storage"),
        (("--kinds", "storage,storage"), "--kinds is 'storage,storage'"),
        (("--kinds", " , "), "--kinds is ' , '"),
        (("--kinds", "energy", *DAYS), "name --cells or --assets"),
        (("--kinds", "energy", "--cells", CELL), "name --first and --last"),
        (("--kinds", "energy", "--cells", "zz", *DAYS), "'zz' is no H3 cell"),
        (
            ("--kinds", "energy", "--cells", CELL, "--first", "1 June", "--last", "2017-06-02"),
            "--first is '1 June': write a day as 2017-06-01",
        ),
        (("--kinds", "energy", "--cells", CELL, "--first", "2017-06-03", "--last", "2017-06-02"), "2017-06-02 is before the first one"),
        (("--kinds", "storage", "--parameters", "tasks_per_day=3"), "--parameters has 'tasks_per_day=3': write kind.name=number"),
        (("--kinds", "storage", "--parameters", "storage.tasks_per_day=-3"), "write kind.name=number, of the kinds storage"),
        (("--kinds", "storage", "--parameters", "energy.zone_resolution=3"), "of the kinds storage"),
        (("--kinds", "storage", "--requires", "storage:kyc:landlord"), "--requires has 'storage:kyc:landlord': write kind:topic:asset"),
        (("--kinds", "storage", "--requires", "storage:two words:owner"), "'two words' is not a name"),
    ],
)
def test_what_no_policy_follows_from_is_said(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = door("policy", "build", "--out", tmp_path, *options)
    assert (done.code, done.out) == (1, "")
    assert words in done.err


@pytest.mark.parametrize("options", [("--fade-from-epoch", 3), ("--fade-from-epoch", 3, "--sunset-epoch", 2), ("--usage-k-bps", 10_000)])
def test_pots_that_would_fade_for_ever_or_pay_self_dealing_are_a_wrong_command_line(tmp_path: Path, options: tuple[object, ...]) -> None:
    done = door("policy", "build", "--out", tmp_path, "--kinds", "storage", *options)
    assert done.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("owner,key\n", "they have to be"),
        (HEADER + GOOD + GOOD, "rows 2 and 3 are the same asset"),
        (HEADER + GOOD.replace("energy", "tides"), "row 2, kind = 'tides'"),
        (HEADER + GOOD.replace(KEY.hex(), "00" * 32), "row 2, key"),
        (HEADER + GOOD.replace(",1,0x", ",3,0x"), "row 2, curve = '3': 1 is Ed25519, 2 is P-256"),
        (HEADER + GOOD.replace(",1,0x", ",2,0x"), "a P-256 key has 33 bytes, compressed, not 32"),
        (HEADER + GOOD + GOOD_P256.replace(KEY_P256.hex(), "02" + "ff" * 32), "row 3, key"),
        (HEADER + GOOD.replace("5000", "five"), "row 2, rated = 'five'"),
        (HEADER + GOOD.replace("5000", "-1"), "row 2, rated = '-1': not a number of 64 bits"),
        (HEADER + GOOD.replace("5000", str(2**64)), "not a number of 64 bits"),
        (HEADER + GOOD.replace(OWNER.hex(), "ab"), "an address has 20 bytes, this has 1"),
        (HEADER + GOOD.replace(",5000", ""), "row 2 has not as many fields as the first row: 6"),
        (HEADER + GOOD.replace(",5000", ",5000,6"), "row 2 has not as many fields as the first row: 6"),
    ],
)
def test_a_bad_row_is_named_with_its_value(paper: Paper, tmp_path: Path, table: str, words: str) -> None:
    (tmp_path / "assets.csv").write_text(table)
    done = door("assets", "import", tmp_path / "assets.csv", "--network", paper.file, "--key", paper.key(FOUNDER))
    assert (done.code, done.out) == (1, "")
    assert words in done.err


def test_assets_of_both_curves_are_imported_once(paper: Paper, tmp_path: Path) -> None:
    table = tmp_path / "assets.csv"
    table.write_text(HEADER + GOOD)
    options = ("assets", "import", table, "--network", paper.file, "--key", paper.key(FOUNDER), "--json")
    assert door(*options, "--dry-run").json()["registered"] == 0
    assert door(*options).json()["registered"] == 1
    table.write_text(HEADER + GOOD + GOOD_P256)
    told = door(*options).json()
    assert (told["rows"], told["already_registered"], told["registered"]) == (2, 1, 1)
    assert told["assets"] == ["0x" + asset_id(P256, KEY_P256, OWNER).hex()]
    known = fold(Follower(paper.rpc, paper.network.contracts, paper.network.clock).events(), paper.network.clock, 0).assets
    rows = {row["asset"]: row for row in known.iter_rows(named=True)}
    row = rows[asset_id(P256, KEY_P256, OWNER)]
    assert (row["curve"], row["key"], row["kind"], row["rated"], row["possessed"]) == (2, KEY_P256, "storage", 5000, False)


def test_a_device_of_one_key_file_is_registered_and_the_chain_sees_whose_it_is(paper: Paper, tmp_path: Path) -> None:
    key_file = tmp_path / "device.key"
    options = ("assets", "register", "--network", paper.file, "--key-file", key_file, "--kind", "storage", "--cell", CELL, "--rated", 1024)
    done = door(*options, "--key", paper.key(ALICE), "--with-proof", "--json").json()
    device = load_or_create(key_file)
    assert (device.curve, done["key"], done["proved"]) == (P256, "0x" + device.public.hex(), True)
    assert done["asset"] == "0x" + asset_id(P256, device.public, ALICE.address).hex()
    known = fold(Follower(paper.rpc, paper.network.contracts, paper.network.clock).events(), paper.network.clock, 0).assets
    assert {row[0]: row[1] for row in known.select("asset", "possessed").iter_rows()}[bytes.fromhex(done["asset"][2:])]
    again = door(*options, "--key", paper.key(ALICE), "--with-proof")
    assert (again.code, again.out.startswith("was registered before: " + done["asset"])) == (0, True)
    for_builder = door(*options, "--key", paper.key(FOUNDER), "--owner", "0x" + BUILDER.address.hex(), "--json").json()
    assert (for_builder["owner"], for_builder["proved"]) == ("0x" + BUILDER.address.hex(), False)
    other = door(*options, "--key", paper.key(ALICE), "--owner", "0x" + FOUNDER.address.hex())
    assert (other.code, "Assets_NotAllowed" in other.err, "before genesis the founder's" in other.err) == (1, True, True)


def test_a_proof_of_an_ed25519_key_is_refused_before_anything_is_sent(paper: Paper, tmp_path: Path) -> None:
    load_or_create(tmp_path / "device.key")
    options = ("--network", paper.file, "--key", paper.key(ALICE), "--key-file", tmp_path / "device.key", "--cell", CELL)
    done = door("assets", "register", *options, "--kind", "storage", "--rated", 1, "--with-proof")
    assert (done.code, "holds a key of ed25519, not of p256" in done.err) == (1, True)
    done = door("assets", "register", *options, "--kind", "tides", "--rated", 1)
    assert "the kind is 'tides'; installed are ['energy', 'storage']" in done.err


def test_words_of_issuers(paper: Paper) -> None:
    network, asset = ("--network", paper.file), "0x" + "5a" * 32
    account = "0x" + ALICE.address.hex()
    given = door("attest", "give", asset, "installed", "--days", 30, *network, "--key", paper.key(ISSUER), "--json").json()
    assert paper.now + 29 * 86_400 < given["expires_unix_s"] <= paper.now + 30 * 86_400
    door("attest", "give", account, "person", "--days", 100_000, *network, "--key", paper.key(ISSUER), "--json").json()
    told = door("attest", "list", *network, "--json").json()
    issuer = "0x" + ISSUER.address.hex()
    assert told["issuers"] == [{"topic": "installed", "issuer": issuer}, {"topic": "person", "issuer": issuer}]
    assert [(each["topic"], each["subject"], each["counts"]) for each in told["words"]] == [
        ("installed", asset, True),
        ("person", account, True),
    ]
    assert door("attest", "list", *network, "--topic", "person", "--json").json()["words"] == told["words"][1:]
    assert door("attest", "list", *network, "--subject", asset, "--json").json()["words"] == told["words"][:1]
    assert door("attest", "list", *network, "--issuer", "0x" + ALICE.address.hex(), "--json").json() == {"issuers": [], "words": []}
    stranger = door("attest", "give", asset, "installed", "--days", 1, *network, "--key", paper.key(ALICE))
    assert (stranger.code, "Attestations_NotIssuer" in stranger.err) == (1, True)
    assert "`subak attest list` names them" in stranger.err
    assert (
        f"says 'installed' of {asset} no longer" in door("attest", "revoke", asset, "installed", *network, "--key", paper.key(ISSUER)).out
    )
    words = door("attest", "list", *network).out
    assert asset not in words
    assert f"person: the word of {issuer} counts" in words
    bad = door("attest", "give", "0x12", "installed", "--days", 1, *network, "--key", paper.key(ISSUER))
    assert "the subject is '0x12': write 0x and an asset's 64 hex digits, or an account's 40" in bad.err
    blank = door("attest", "give", asset, "two words", "--days", 1, *network, "--key", paper.key(ISSUER))
    assert "'two words' is not a name" in blank.err


def test_the_door_says_a_known_fault_in_one_line(paper: Paper, tmp_path: Path) -> None:
    """The real program: no traceback, exit code 1, JSON on standard output only."""
    (tmp_path / "assets.csv").write_text(HEADER + GOOD.replace("5000", "five"))
    key = str(paper.key(FOUNDER))
    command = [sys.executable, "-m", "subak", "assets", "import", str(tmp_path / "assets.csv"), "--network", str(paper.file), "--key", key]
    bad = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == f"TableRefused: {tmp_path}/assets.csv: row 2, rated = 'five': not a whole number\n"
    (tmp_path / "assets.csv").write_text(HEADER)
    good = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert (good.returncode, good.stderr, json.loads(good.stdout)["rows"]) == (0, "", 0)
