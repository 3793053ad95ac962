"""Beside the device: keys, outbox, and the loop that runs a kind's source."""
