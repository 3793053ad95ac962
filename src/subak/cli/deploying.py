"""What ``subak network deploy`` does."""

from __future__ import annotations

from pathlib import Path

from subak.chain.accounts import Account
from subak.chain.deploy import Plan, PlanRefused, deploy
from subak.chain.network_file import is_deployed_file, load_plan, write_network
from subak.chain.rpc import Rpc
from subak.chain.seams import deploy_seams
from subak.cli.units import hexed, tell
from subak.core.nouns import Network


def run_deploy(file: Path, key: Path, out: Path, dry_run: bool, json: bool) -> int:
    """Deploy the plan in ``file`` and write the network to ``out``."""
    plan, founder = load_plan(file), Account.load(key)
    if out.exists() and is_deployed_file(out):
        raise PlanRefused(f"{out} is a deployed network already: write this one elsewhere with --out")
    if not plan.nodes.rpc:
        raise PlanRefused(f"{file} does not say where the chain is: rpc in [nodes]")
    rpc = Rpc(plan.nodes.rpc)
    if dry_run:
        plan.check()
        plan.check_chain(rpc)
        tell(json, {"deployed": False, "contracts": {}}, f"{plan.name} fits chain {plan.chain_id}; nothing was sent")
        return 0
    contracts = deploy(rpc, founder, plan) if isinstance(plan, Plan) else deploy_seams(rpc, founder, plan)
    network = Network(plan.name, plan.chain_id, plan.clock, contracts, plan.nodes, plan.speed)
    write_network(out, network, plan)
    at = {name: getattr(contracts, name) for name in contracts.__struct_fields__}
    words = [f"{plan.name} is on chain {plan.chain_id}; {out} has its addresses"]
    words += [f"  {name:13} {hexed(address)}" for name, address in at.items() if any(address)]
    if not isinstance(plan, Plan):
        words.append(f"Its vault is empty: send what it shall pay to {hexed(contracts.minter)}")
    tell(json, {"deployed": True, "contracts": {name: hexed(address) for name, address in at.items()}}, "\n".join(words))
    return 0
