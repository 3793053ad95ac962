"""The EVM edge: what the network asks of a chain, and the chain that runs on a laptop.

JSON-RPC over httpx, eth-abi, eth-account and coincurve; the compiled contracts travel in ``artifacts/``.
"""
