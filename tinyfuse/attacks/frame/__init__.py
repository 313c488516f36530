"""Attacks where the adversary stands: in the scene, before the camera's frame is cropped and resized."""
