"""Measurements beside their targets: ``python -m bench``. Each module measures one thing and has ``run() -> dict[str, float]``."""
