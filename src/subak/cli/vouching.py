"""What an issuer does: vouch for assets and accounts, and take it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from subak.chain.accounts import Account
from subak.chain.attestations import Attestations, subject_of
from subak.chain.contracts import Event, Sender
from subak.chain.network_file import load_network
from subak.chain.rpc import Rpc
from subak.chain.snapshot import text_of
from subak.cli.units import DAY_S, NotReadable, address, hexed, table, tell, when

NEVER = (1 << 40) - 1
"""The latest expiry that the chain can hold."""


@dataclass(frozen=True)
class Word:
    """What an issuer said of something, and did not take back."""

    topic: str
    """What."""
    subject: bytes
    """Of whom: an asset's id of 32 bytes, or an account of 20."""
    issuer: bytes
    """Who says it."""
    expires_unix_s: int
    """Until when."""
    accepted: bool
    """Whether the network takes this issuer's word on the topic now."""

    def counts(self, unix_s: int) -> bool:
        """Whether it stands at this network time."""
        return self.accepted and unix_s < self.expires_unix_s


def run_give(network_file: Path, key: Path, subject: str, topic: str, days: int, json: bool) -> int:
    """An issuer's word from now on."""
    rpc, attestations, account = _as_issuer(network_file, key)
    about = _subject(subject)
    expires = min(rpc.block("latest").timestamp + days * DAY_S, NEVER)
    receipt = attestations.attest(about, topic, expires)
    told = {**_of(about, topic, account), "expires_unix_s": expires, "transaction": hexed(receipt.transaction)}
    tell(json, told, f"{hexed(account.address)} says {topic!r} of {hexed(about)} until {when(expires)}")
    return 0


def run_revoke(network_file: Path, key: Path, subject: str, topic: str, json: bool) -> int:
    """The issuer's own word is over."""
    _, attestations, account = _as_issuer(network_file, key)
    about = _subject(subject)
    receipt = attestations.revoke(about, topic)
    told = {**_of(about, topic, account), "transaction": hexed(receipt.transaction)}
    tell(json, told, f"{hexed(account.address)} says {topic!r} of {hexed(about)} no longer")
    return 0


def run_list(network_file: Path, topic: str, subject: str, issuer: str, json: bool) -> int:
    """Words that were not taken back, and the issuers whose words count."""
    network = load_network(network_file)
    rpc = Rpc(network.nodes.rpc)
    head = rpc.block("latest")
    contract = Attestations(rpc, network.contracts).contract
    issuers, words = fold_words(contract.events(0, head.number, ["IssuerSet", "Attested", "Revoked"]))
    about, by = (_subject(subject) if subject else b""), (address(issuer, "the issuer") if issuer else b"")
    issuers = sorted((name, who) for name, who in issuers if topic in ("", name) and by in (b"", who))
    words = [each for each in words if topic in ("", each.topic) and by in (b"", each.issuer) and about in (b"", each.subject)]
    told = {
        "issuers": [{"topic": name, "issuer": hexed(who)} for name, who in issuers],
        "words": [
            {
                "topic": each.topic,
                "subject": hexed(each.subject),
                "issuer": hexed(each.issuer),
                "expires_unix_s": each.expires_unix_s,
                "counts": each.counts(head.timestamp),
            }
            for each in words
        ],
    }
    lines = [f"{name}: the word of {hexed(who)} counts" for name, who in issuers] or ["nobody's word counts"]
    rows = [_row(each, head.timestamp) for each in words]
    lines += [table(("topic", "subject", "issuer", "until", ""), rows)] if rows else ["nothing is attested"]
    tell(json, told, "\n".join(lines))
    return 0


def fold_words(events: Iterable[Event]) -> tuple[list[tuple[str, bytes]], list[Word]]:
    """Issuers by topic whose word counts, and every word that was not taken back, sorted. ``events``: all of the contract, in order."""
    accepted: set[tuple[str, bytes]] = set()
    expires: dict[tuple[str, bytes, bytes], int] = {}
    for event in events:
        values = event.values
        topic, issuer = text_of(values["topic"]), bytes(values["issuer"])
        if event.name == "IssuerSet":
            (accepted.add if values["accepted"] else accepted.discard)((topic, issuer))
        elif event.name == "Attested":
            expires[topic, _who(values["subject"]), issuer] = values["expiry"]
        elif event.name == "Revoked":
            expires.pop((topic, _who(values["subject"]), issuer), None)
    words = [Word(topic, who, issuer, until, (topic, issuer) in accepted) for (topic, who, issuer), until in sorted(expires.items())]
    return sorted(accepted), words


def _as_issuer(network_file: Path, key: Path) -> tuple[Rpc, Attestations, Account]:
    network, account = load_network(network_file), Account.load(key)
    rpc = Rpc(network.nodes.rpc)
    return rpc, Attestations(rpc, network.contracts, Sender(rpc, account)), account


def _subject(text: str) -> bytes:
    digits = text.removeprefix("0x")
    try:
        raw = bytes.fromhex(digits)
        subject_of(raw)
    except ValueError:
        raise NotReadable(f"the subject is {text!r}: write 0x and an asset's 64 hex digits, or an account's 40") from None
    return raw


def _who(subject: bytes) -> bytes:
    """An account without the zeros before it."""
    return bytes(subject[12:]) if not any(subject[:12]) else bytes(subject)


def _of(about: bytes, topic: str, issuer: Account) -> dict[str, str]:
    return {"topic": topic, "subject": hexed(about), "issuer": hexed(issuer.address)}


def _row(each: Word, now: int) -> tuple[str, ...]:
    why = "" if each.counts(now) else "over" if now >= each.expires_unix_s else "its issuer does not count"
    return each.topic, hexed(each.subject), hexed(each.issuer), when(each.expires_unix_s), why
