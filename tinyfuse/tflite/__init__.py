"""A .tflite as a checked, typed graph: reading, bounds, soundness, editing. Knows nothing of bits or attacks."""
