from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from subak.core.canon.keccak import keccak256
from subak.core.canon.typed_data import (
    ACKNOWLEDGEMENT_TYPE,
    INTAKE_DOMAIN,
    SETTLEMENT_DOMAIN,
    VOTE_TYPE,
    Acknowledgement,
    EpochRoot,
    acknowledgement_digest,
    result_hash,
    vote_digest,
)

word = st.binary(min_size=32, max_size=32)
words = st.lists(word, max_size=4).map(tuple)
u32, u64, u128 = (st.integers(0, 2**bits - 1) for bits in (32, 64, 128))
roots = st.builds(EpochRoot, u32, u32, word, word, word, word, word, word, u128, u128, words, words)
acknowledgements = st.builds(Acknowledgement, word, u64, u32, word, u64)
chains = st.integers(0, 2**256 - 1)
contracts = st.binary(min_size=20, max_size=20)


def theirs(type_text: str, name: str, chain_id: int, contract: bytes, values: list[Any]) -> bytes:
    """The digest as eth-account makes it from the type's text; a struct within stands as its values."""
    types: dict[str, list[dict[str, str]]] = {}
    for one in type_text.rstrip(")").split(")"):
        struct, inner = one.split("(")
        types[struct] = [dict(zip(("type", "name"), field.split(" "), strict=True)) for field in inner.split(",")]
    primary = next(iter(types))

    def named(struct: str, values: list[Any]) -> dict[str, Any]:
        pairs = zip(types[struct], values, strict=True)
        return {field["name"]: named(field["type"], value) if field["type"] in types else value for field, value in pairs}

    domain_fields = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]
    message = encode_typed_data(
        full_message={
            "types": {"EIP712Domain": [{"name": name, "type": kind} for name, kind in domain_fields], **types},
            "primaryType": primary,
            "domain": {"name": name, "version": "1", "chainId": chain_id, "verifyingContract": "0x" + contract.hex()},
            "message": named(primary, values),
        }
    )
    return keccak256(b"\x19" + message.version + message.header + message.body)


def plain(message: EpochRoot | Acknowledgement) -> list[Any]:
    return [list(value) if isinstance(value, tuple) else value for value in asdict(message).values()]


@settings(max_examples=40, deadline=None)
@given(roots, u32, u32, chains, contracts)
def test_a_vote_is_what_wallets_sign(message: EpochRoot, attempt: int, round_: int, chain_id: int, contract: bytes) -> None:
    expected = theirs(VOTE_TYPE, SETTLEMENT_DOMAIN, chain_id, contract, [message.first, attempt, round_, plain(message)])
    assert vote_digest(message.first, attempt, round_, result_hash(message), chain_id, contract) == expected


@settings(max_examples=40, deadline=None)
@given(acknowledgements, chains, contracts)
def test_acknowledgement_is_what_wallets_sign(message: Acknowledgement, chain_id: int, contract: bytes) -> None:
    expected = theirs(ACKNOWLEDGEMENT_TYPE, INTAKE_DOMAIN, chain_id, contract, plain(message))
    assert acknowledgement_digest(message, chain_id, contract) == expected


def test_golden(vectors: Callable[[str], Any]) -> None:
    golden = vectors("epoch_root.json")
    values: list[Any] = [int(value) if isinstance(value, str) else value for value in golden["message"].values()]
    fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    root = EpochRoot(*fields)
    assert result_hash(root) == golden["result"]
    vote = (root.first, golden["attempt"], golden["round"], golden["result"])
    assert vote_digest(*vote, golden["domain"]["chainId"], golden["domain"]["verifyingContract"]) == golden["digest"]

    golden = vectors("acknowledgement.json")
    taken = Acknowledgement(*golden["message"].values())
    assert acknowledgement_digest(taken, golden["domain"]["chainId"], golden["domain"]["verifyingContract"]) == golden["digest"]


def test_values_that_do_not_fit_are_named() -> None:
    zero = bytes(32)
    root = EpochRoot(0, 0, zero, zero, zero, zero, zero, zero, 0, 0, (zero,), (zero,))
    for changed, name in (
        (replace(root, last=2**32), "last"),
        (replace(root, rewards=2**128), "rewards"),
        (replace(root, fees=-1), "fees"),
        (replace(root, state_root=bytes(31)), "stateRoot"),
        (replace(root, book_hashes=(bytes(33),)), "bookHashes"),
    ):
        with pytest.raises(ValueError, match=name):
            result_hash(changed)
    with pytest.raises(ValueError, match="verifyingContract"):
        vote_digest(0, 0, 0, result_hash(root), 1, bytes(19))
    with pytest.raises(ValueError, match="position"):
        acknowledgement_digest(Acknowledgement(zero, 2**64, 0, zero, 0), 1, bytes(20))
