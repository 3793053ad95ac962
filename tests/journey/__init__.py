"""Whole networks, run as a person would run them."""
