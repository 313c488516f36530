"""n-bit weights: recipes, integer codes, and stock ``.tflite`` files that hold them."""
