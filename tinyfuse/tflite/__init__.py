"""A .tflite as a checked, typed graph: reading, bounds, editing. Knows nothing of bits or attacks."""
