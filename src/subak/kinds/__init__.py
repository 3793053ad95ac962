"""Kinds of infrastructure. Ours are found through the same entry points as a stranger's."""
