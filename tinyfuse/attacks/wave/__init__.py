"""Attacks where the adversary stands: in the air, before the front end."""
