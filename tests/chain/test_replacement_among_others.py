"""A network without channels, whose verifiers an authority names, replaces its Settlement by the same two steps."""

from __future__ import annotations

import msgspec

from subak.chain.abi import abi
from subak.chain.contracts import Sender
from subak.chain.deploy import contract, create_address, solidity_clock
from subak.chain.local import LocalChain
from subak.chain.settlement import Settlement
from subak.chain.succession import behind, current, followed, standing, succeed
from subak.core.nouns.document import Address
from subak.core.nouns.network import Network

from .conftest import CLOCK, FOUNDER, PLAN, TOKEN, VERIFIERS
from .test_seams import Seamed, seamed

__all__ = ["seamed"]

NOBODY = Address(bytes(20))


def test_the_authority_announces_and_anyone_carries_it_out(seamed: Seamed, chain: LocalChain) -> None:
    rpc, here = seamed.rpc, seamed.contracts
    settlement, challenges = (create_address(FOUNDER.address, rpc.nonce(FOUNDER.address) + place) for place in (0, 1))
    parties = (here.token, here.payment, here.minter, here.stake, NOBODY, here.timelock, challenges, here.settlement)
    creations = {
        "Settlement": (parties, solidity_clock(CLOCK), PLAN.genesis.state_root, PLAN.genesis.policy),
        "Challenges": ((settlement, here.token, here.stake, here.timelock, NOBODY, 100, 10),),
    }
    for name, arguments in creations.items():
        seamed.founder.wait(seamed.founder.submit_raw(f"creation of {name}", None, abi(name).encode_creation(*arguments)))
    next_ = msgspec.structs.replace(here, settlement=settlement, challenges=challenges)
    assert [each.name for each in standing(rpc, here).pointers] == ["Minter"]

    vault = contract(rpc, here, "Vault")
    chain.fund(here.timelock, TOKEN)
    rpc.request("anvil_impersonateAccount", "0x" + here.timelock.hex())
    call = {"from": "0x" + here.timelock.hex(), "to": "0x" + vault.address.hex()}
    rpc.request("eth_sendTransaction", {**call, "data": "0x" + vault.abi.encode_call("announce", settlement).hex()})
    chain.mine()
    assert standing(rpc, here).announced == settlement
    chain.run_from(standing(rpc, here).replaceable_unix_s)
    chain.freeze()

    network, steps = Network("Rooftops", seamed.plan.chain_id, CLOCK, here), list[str]()
    assert succeed(rpc, here, Sender(rpc, VERIFIERS[0]), steps.append) == next_
    assert [step.partition(" ")[0] for step in steps] == ["Minter", "0x" + settlement.hex()]
    assert followed(rpc, network) == current(rpc, network) == msgspec.structs.replace(network, contracts=next_)
    assert (bool(behind(rpc, here)), behind(rpc, next_)) == (True, "")
    assert Settlement(rpc, next_).view().next_epoch == 0
