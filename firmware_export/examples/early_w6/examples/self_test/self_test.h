/* Feeds 4 vectors to early_w6 and compares every output code with TensorFlow Lite Micro's. */
#ifndef SELF_TEST_H
#define SELF_TEST_H

#include "early_w6.h"
#include "vectors.h"

#include <string.h>

static early_w6_arena_t self_test_arena;

/* CRC-32 (IEEE 802.3) of `size` bytes, going on from `crc`; start with 0. */
static uint32_t self_test_crc32(uint32_t crc, const void *data, size_t size)
{
  const uint8_t *byte = (const uint8_t *)data;
  crc = ~crc;
  for (; size > 0; size--) {
    crc ^= *byte++;
    for (int bit = 0; bit < 8; bit++) {
      crc = (crc & 1u) != 0u ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
    }
  }
  return ~crc;
}

/* How many vectors gave other codes than they should; *crc is that of all output codes. */
static int self_test(uint32_t *crc)
{
  int failed = 0;
  *crc = 0;
  for (int i = 0; i < SELF_TEST_VECTORS; i++) {
    const early_w6_inputs_t inputs = early_w6_inputs(&self_test_arena);
    memcpy(inputs.image, self_test_image[i], sizeof self_test_image[i]);
    memcpy(inputs.audio, self_test_audio[i], sizeof self_test_audio[i]);
    const early_w6_outputs_t outputs = early_w6_infer(&self_test_arena);
    const int wrong = memcmp(outputs.logits, self_test_expected[i], sizeof self_test_expected[i]) != 0;
    *crc = self_test_crc32(*crc, outputs.logits, sizeof self_test_expected[i]);
    failed += wrong;
  }
  return failed;
}

#endif
