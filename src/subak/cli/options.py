"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of words.")]
Csv = Annotated[bool, typer.Option("--csv", help="For bookkeepers: a table for spreadsheets instead of words.")]
ArchiveUrl = Annotated[str, typer.Option("--archive", help="Any verifier's archive: http://…/archive")]
RpcUrl = Annotated[str, typer.Option("--rpc", help="JSON-RPC of the chain.")]
NetworkFile = Annotated[Path, typer.Option("--network", help="network.toml", exists=True, dir_okay=False)]
AccountKey = Annotated[
    Path, typer.Option("--key", help="File of the account's key that signs and pays the gas.", exists=True, dir_okay=False)
]
WalletFolder = Annotated[Path, typer.Option("--wallet", help="The customer's folder of keys and memory.", file_okay=False)]
StorageFolder = Annotated[Path, typer.Option("--folder", help="The customer's folder of the files' index and master key.", file_okay=False)]
SharesAddress = Annotated[str, typer.Argument(help="Address of the share contract, 0x…")]

WALLET = Path("wallet")
"""Where customer.toml expects the wallet too."""
STORAGE = Path("storage")
"""Where customer.toml expects the files' index too."""
