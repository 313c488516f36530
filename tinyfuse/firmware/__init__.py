"""From an integer model to C99 that computes the same codes on a microcontroller."""
