"""The whole network on one machine: recorded homes played as devices, simulations, attacks."""
