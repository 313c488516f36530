"""How weights are brought to few bits, one method per file."""
