"""Transactions through a chain that forgets, and errors that say what disagreed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from subak.chain.abi import decode_revert
from subak.chain.accounts import Account
from subak.chain.contracts import ChainForgot, ChainRefused, Sender
from subak.chain.deploy import deploy, is_deployed
from subak.chain.local import LocalChain
from subak.chain.rpc import Rpc, RpcError, RpcUnreachable
from subak.chain.snapshot import Follower

from .conftest import CLOCK, FOUNDER, GENESIS, PLAN, TOKEN, VERIFIERS, Town, eventually, free_port, kill, wait_for_dump

TO = b"\x99" * 20


def test_what_vanished_before_it_was_mined_is_handed_in_again(folder: Path) -> None:
    with LocalChain(folder, free_port(), GENESIS, 1) as chain:
        rpc = Rpc(chain.url)
        chain.fund(FOUNDER.address, TOKEN)
        sender = Sender(rpc, FOUNDER)
        sender.pay(TO, 1)
        wait_for_dump(folder)
        with chain._lock:  # nothing is mined meanwhile
            sent, later = (sender.submit_raw("payment", TO, b"", wei) for wei in (2, 3))
            os.kill(chain.pid, signal.SIGKILL)
        eventually(chain.ensure_running)
        assert not rpc.knows(sent.hash)
        with pytest.raises(ChainForgot, match="it was number 2, and the chain lost those from 1 on"):
            sender.wait(later)
        assert sender.wait(sent).succeeded
        assert sender.wait(later).succeeded
        assert rpc.balance(TO) == 6


def test_a_number_that_another_transaction_took_is_not_waited_for(town: Town) -> None:
    sender = town.founder
    with town.chain._lock:  # nothing is mined meanwhile
        sent = sender.submit_raw("the first", TO, b"", 1)
        town.rpc.request("anvil_dropTransaction", "0x" + sent.hash.hex())
        other = sender.submit_raw("the other", TO, b"", 2)
    assert other.nonce == sent.nonce
    assert sender.wait(other).succeeded
    with pytest.raises(ChainForgot, match=f"the first: number {sent.nonce} was used by another transaction"):
        sender.wait(sent)


def test_after_a_lost_second_the_next_transaction_takes_the_chains_number(folder: Path) -> None:
    with LocalChain(folder, free_port(), GENESIS, 1) as chain:
        rpc = Rpc(chain.url)
        chain.fund(FOUNDER.address, TOKEN)
        sender = Sender(rpc, FOUNDER)
        for wei in (1, 2, 3):
            sender.pay(TO, wei)
        kill(chain)
        known = rpc.nonce(FOUNDER.address)
        assert rpc.receipt(sender.pay(TO, 100).transaction) is not None
        assert rpc.nonce(FOUNDER.address) == known + 1


def test_a_follower_reads_anew_when_the_chain_forgot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalChain(folder, free_port(), GENESIS, 1) as chain:
        rpc = Rpc(chain.url)
        chain.fund(FOUNDER.address, TOKEN)
        contracts = deploy(rpc, FOUNDER, PLAN)
        follower = Follower(rpc, contracts, CLOCK)
        before = follower.events()
        assert [event.name for event in before] == ["ScheduleSet", "WeightsSet", "Configured", "PolicySet"]
        os.kill(chain.pid, signal.SIGKILL)
        (folder / "state.json").unlink(missing_ok=True)
        eventually(chain.ensure_running)
        assert not is_deployed(rpc, contracts)
        assert follower.events() == ()
        chain.mine()
        # The same founder with the same count gets the same addresses.
        assert deploy(rpc, FOUNDER, PLAN) == contracts
        after = follower.events()
        assert [event.values for event in after] == [event.values for event in before]
        # What was read is not asked for again.
        monkeypatch.setattr(rpc, "logs", lambda *_: pytest.fail("read twice"))
        assert follower.events() == after


def test_a_refusal_names_the_error_and_its_arguments(town: Town) -> None:
    poor = Sender(town.rpc, Account(b"\x55" * 32))
    town.chain.fund(poor.address, TOKEN)
    with pytest.raises(ChainRefused) as refused:
        poor.send(town.contract("Token"), "transfer", TO, 5)
    assert refused.value.name == "ERC20InsufficientBalance"
    assert refused.value.values == {"sender": poor.address, "balance": 0, "needed": 5}
    assert str(refused.value) == f"Token.transfer: ERC20InsufficientBalance(sender=0x{poor.address.hex()}, balance=0, needed=5)"
    with pytest.raises(ChainRefused, match="Assets_NotAllowed"):
        poor.send(town.contract("Assets"), "registerSite", VERIFIERS[0].address, bytes(32), 1)
    with pytest.raises(RpcError, match=r"[Ii]nsufficient funds"):
        Sender(town.rpc, Account(b"\x56" * 32)).pay(TO, 1)


def test_a_transaction_that_reverts_when_mined_says_why(town: Town) -> None:
    """Two that pass their estimate, of which the first spoils the second."""
    owner = town.verifiers[2]
    assets = town.contract("Assets")
    with town.chain._lock:  # nothing is mined meanwhile
        first = owner.submit(assets, "registerSite", owner.address, b"\x31" * 32, 1)
        call = {"from": "0x" + owner.address.hex(), "to": "0x" + assets.address.hex()}
        data = assets.abi.encode_call("registerSite", owner.address, b"\x31" * 32, 1)
        fields = {"chainId": 31337, "nonce": first.nonce + 1, "gas": 500_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
        raw = owner.account.sign_transaction({**fields, "to": bytes(assets.address), "value": 0, "data": data})
        second = type(first)(town.rpc.send_raw(raw), first.nonce + 1, raw, "the second", {**call, "data": "0x" + data.hex()})
    owner.wait(first)
    with pytest.raises(ChainRefused, match="the second: Assets_AlreadyRegistered"):
        owner.wait(second)


def test_a_call_to_nobody_is_an_error(town: Town) -> None:
    nobody = type(town.contract("Token"))("Token", type(town.contracts.token)(TO), town.rpc)
    with pytest.raises(ValueError, match=r"Token.totalSupply gave 0 bytes"):
        nobody.call("totalSupply")


def test_errors_of_nobodys_making() -> None:
    assert decode_revert(b"\x12\x34\x56\x78") is None
    assert decode_revert(b"") is None
    panic = decode_revert(bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big"))
    assert str(panic) == "Panic(reason=overflow)"
    reason = decode_revert(bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no".ljust(32, b"\0"))
    assert str(reason) == "Error(reason=no)"
    assert decode_revert(bytes.fromhex("08c379a0") + b"\x01") is None


def test_errors_do_not_show_a_hosted_nodes_key() -> None:
    rpc = Rpc(f"http://user:pass@127.0.0.1:{free_port()}/v3/s3cret?key=s3cret", timeout_s=1)
    with pytest.raises(RpcUnreachable) as refused:
        rpc.block()
    assert "s3cret" not in str(refused.value)
    assert "pass" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_nobody_there() -> None:
    rpc = Rpc(f"http://127.0.0.1:{free_port()}", timeout_s=1)
    with pytest.raises(RpcUnreachable, match=r"127\.0\.0\.1"):
        rpc.block()


def test_logs_are_read_in_pieces_as_small_as_the_node_wants(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [town.contracts.assets, town.contracts.minter, town.contracts.settlement]
    head = town.rpc.block().number
    whole = town.rpc.logs(0, head, addresses)
    request, spans = town.rpc.request, []

    def picky(method: str, *params: object) -> object:
        if method == "eth_getLogs":
            question = params[0]
            assert isinstance(question, dict)
            span = int(question["toBlock"], 16) - int(question["fromBlock"], 16) + 1
            spans.append(span)
            if span > 2:
                raise RpcError(method, -32005, "query returned more than 2 blocks")
        return request(method, *params)

    monkeypatch.setattr(town.rpc, "request", picky)
    assert town.rpc.logs(0, head, addresses, chunk_blocks=8) == whole
    assert max(spans[1:]) <= 8
    assert whole == sorted(whole, key=lambda log: (log.block, log.index))
    assert all(log.timestamp == town.rpc.block(log.block).timestamp for log in whole)
