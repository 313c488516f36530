/* early_w6 as TensorFlow Lite Micro takes it: 94368 bytes. */
#ifndef EARLY_W6_MODEL_H
#define EARLY_W6_MODEL_H

#define EARLY_W6_MODEL_BYTES 94368
/* Measured by TFLM's recording allocator on a 64-bit host; a 32-bit core needs a little less. */
#define EARLY_W6_TFLM_ARENA_BYTES 44544

extern const unsigned char early_w6_model[EARLY_W6_MODEL_BYTES];

#endif
