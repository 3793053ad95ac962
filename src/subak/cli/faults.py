"""Errors that are answers: their text says what disagreed and what to do. Known by name, so that the door loads nothing to know them."""

from __future__ import annotations

import os

KNOWN_FAULTS = frozenset(
    {
        "builtins.OSError",
        "httpx.HTTPError",
        "msgspec.ValidationError",
        "subak.archive.store.ArchiveError",
        "subak.chain.accounts.KeyFileRefused",
        "subak.chain.contracts.ChainForgot",
        "subak.chain.contracts.ChainRefused",
        "subak.chain.deploy.PlanRefused",
        "subak.chain.local.LocalChainError",
        "subak.chain.network_file.NetworkFileRefused",
        "subak.chain.rpc.NotMined",
        "subak.chain.rpc.RpcError",
        "subak.chain.rpc.RpcUnreachable",
        "subak.chain.succession.SuccessionRefused",
        "subak.cli.buying.CannotBuy",
        "subak.cli.found.CannotBuild",
        "subak.cli.registering.TableRefused",
        "subak.cli.investing.CannotInvest",
        "subak.cli.nodes.CannotHost",
        "subak.cli.storing.CannotStore",
        "subak.cli.units.NotReadable",
        "subak.cli.voting.CannotVote",
        "subak.customer.config.CustomerFileRefused",
        "subak.customer.loop.NoMoney",
        "subak.customer.paying.ClerkUnreachable",
        "subak.customer.paying.VoucherRefused",
        "subak.customer.store.LimitReached",
        "subak.customer.store.OtherNetwork",
        "subak.customer.wallet.WalletRefused",
        "subak.explorer.earnings.MissingRate",
        "subak.explorer.earnings.RatesRefused",
        "subak.explorer.statements.UnknownAsset",
        "subak.host.keys.KeyFileRefused",
        "subak.kinds.registry.KindMismatch",
        "subak.kinds.storage.customer.errors.StoreError",
        "subak.kinds.storage.customer.keys.KeyFileRefused",
        "subak.kinds.storage.host.store.StoreRefused",
        "subak.lab.town.TownError",
        "subak.verifier.checking.CannotCheck",
        "subak.verifier.omission.OmissionRefused",
        "subak.verifier.watching.WalletTooSmall",
        "subak.verifier.replaying.CannotReplay",
    }
)
"""Classes of errors, and whatever derives from them."""

EXTRAS = {
    "h3": "policy",
    "jinja2": "explorer",
    "pvlib": "policy",
    "pymodbus": "host",
    "sqlalchemy": "explorer",
    "starlette": "explorer",
    "uvicorn": "verifier",
    "uvloop": "verifier",
    "zfec": "storage",
    "h11": "storage",
    "httptools": "storage",
}
"""What a package that is not installed comes with."""

REMEDIES = {
    "Assets_NoPrecompile": "this chain cannot check P-256; leave --with-proof away, the verifiers take the device's own Entry",
    "Assets_NotAllowed": "only the owner's account can do that, and before genesis the founder's",
    "Attestations_NotIssuer": "the network takes nobody's word but its issuers'; `subak attest list` names them",
    "AssetShares_BadReceiver": "an issuer has to attest the receiver first; `subak attest list` names them",
    "AssetShares_NotOwned": "give the asset to the share contract first: it must own what its milestones speak of",
    "Channels_StakeTooSmall": "name another clerk, or a smaller limit",
    "Channels_ExpiryOutOfBounds": "name fewer days",
    "GovernorInsufficientProposerVotes": "have tokens delegated to the account first: `subak delegate`",
    "Minter_StepTooLarge": "move a pool's share in smaller steps, one an epoch",
    "Treasury_AboveCap": "a month's grants are capped; propose less, or later",
    "ERC20InsufficientBalance": "pay some into the account first",
}
"""What to do about a contract's refusal, by Solidity's name."""


def in_words(fault: BaseException) -> str | None:
    """What the person at the door is told; None for a fault that is a bug."""
    while isinstance(fault, BaseExceptionGroup) and len(fault.exceptions) == 1:
        fault = fault.exceptions[0]
    if isinstance(fault, ModuleNotFoundError):
        missing = (fault.name or "").partition(".")[0]
        extra = EXTRAS.get(missing)
        return f"this needs {missing}, which is not installed: pip install 'subak[{extra}]'" if extra else None
    names = [f"{each.__module__}.{each.__qualname__}" for each in type(fault).__mro__]
    if not KNOWN_FAULTS.intersection(names):
        return None
    words = str(fault)
    if isinstance(fault, OSError) and fault.filename is not None and fault.strerror:
        words = f"{os.fsdecode(fault.filename)}: {fault.strerror}"
    remedy = REMEDIES.get(getattr(fault, "name", ""), "")
    if "insufficient funds" in words.lower():
        remedy = "the account has too little of the chain's own coin to pay for gas: send it some"
    if type(fault).__name__ == "RpcUnreachable":
        remedy = "is that the chain's address, and is it up?"
    return f"{type(fault).__name__}: {words}" + (f" ({remedy})" if remedy else "")
