"""What attacks are made on: float networks, twins, and targets made of targets."""
