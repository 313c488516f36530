"""Proofs over the integers of a ``.tflite``: no perturbation within a budget changes what the device answers."""
