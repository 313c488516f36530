"""Integer models as they are deployed: executors behind one protocol, proof, RAM."""
