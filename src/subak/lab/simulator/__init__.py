"""The whole network in one process, from one seed: pretend clock, chain and wire, and the real code of everything that is believed."""
