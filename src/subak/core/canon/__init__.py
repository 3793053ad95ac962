"""Canonical bytes: everything that is hashed or signed, as ``docs/formats.md`` says, byte by byte.

``vectors/`` holds the golden values that Python, Solidity and the C example test against.
"""
