"""The digits' front ends: grey pictures of 28x28, and 39 frames of 12 MFCC and the log energy, laid out as 28x28.

Values of both lie in [0, 1]. The frame layout follows Khacef et al., "Written and spoken digits database for multimodal
learning" (doi:10.5281/zenodo.3515935): 50 ms window, 25 ms shift, 39 frames of about one second, 39 x 13 = 507 values.
"""

from __future__ import annotations

from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.spectrum import Mfcc

SAMPLE_RATE_HZ = CLIP_SAMPLES = 8000
SIDE = 28
FRONT_END = Mfcc(rate=SAMPLE_RATE_HZ, length=CLIP_SAMPLES, level_rms=0.1, placement="loudest", window=400, hop=200,
                 top_db=80.0, bands=40, coefficients=13, drop_first=True, append_energy=True, normalise="unit",
                 input_shape=(SIDE, SIDE, 1))
PICTURE = Picture(size=(SIDE, SIDE), crop="stretch")
FRAMES, COEFFICIENTS = FRONT_END.values_shape
VALUES = FRAMES * COEFFICIENTS
# Part of every checksum of data that was published so far: the text may grow, its words must not change.
PARAMETERS = (f"mfcc-1 {FRONT_END.rate} {FRONT_END.length} {FRONT_END.window} {FRONT_END.hop} {COEFFICIENTS} "
              f"{FRONT_END.bands} {FRONT_END.top_db} {FRONT_END.level_rms}")

level, place, mfcc = FRONT_END.level, FRONT_END.place, FRONT_END.values_of
