"""tinyfuse: audio+image fusion networks from training to a microcontroller, judged per modality."""

__version__ = "0.1.0"
