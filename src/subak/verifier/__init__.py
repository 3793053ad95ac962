"""Checks what devices signed, closes epochs, and says under its own stake what everyone is owed."""
