"""What the network agrees on: nouns, canonical bytes, the contract with kinds, the settlement.

Pure: nothing here reads a clock, rolls dice, or touches a file or a socket. Import-linter guards it.
"""
