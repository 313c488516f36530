/* Addition of whole tensors. */
#ifndef TNY_SUM_H
#define TNY_SUM_H

#include "tny_add.h"
#include "tny_tensor.h"

#define TNY_WIDE_ADD_SHIFT 15

/* y = clamp(round((first' + second') * out) + zero_out), each operand first brought to a common scale. */
typedef struct {
  tny_scale_t first, second, out;
  int16_t zero_first, zero_second, zero_out, low, high;
  uint16_t layer, tensor;
} tny_wide_add_t;

static inline void tny_add_tensors(const tny_add_t *add, const int8_t *first, const int8_t *second, int8_t *out,
                                   size_t count)
{
  TNY_ENTER(add->layer);
  for (size_t i = 0; i < count; i++) {
    out[i] = tny_add(add, first[i], second[i]);
    TNY_TRACE(add->tensor, i, out[i]);
  }
}

/* One operand on the common scale; wraps around where TFLite Micro does. */
TNY_INLINE uint32_t tny_wide_operand(int32_t code, int32_t zero, tny_scale_t scale)
{
  return (uint32_t)tny_rescale((int32_t)((uint32_t)(code - zero) << TNY_WIDE_ADD_SHIFT), scale);
}

static inline void tny_add_wide(const tny_wide_add_t *add, const void *first, const void *second, void *out,
                                size_t count)
{
  TNY_ENTER(add->layer);
  for (size_t i = 0; i < count; i++) {
    const uint32_t one = tny_wide_operand(tny_load(first, i, 1), add->zero_first, add->first);
    const uint32_t two = tny_wide_operand(tny_load(second, i, 1), add->zero_second, add->second);
    const int32_t sum = tny_rescale((int32_t)(one + two), add->out);
    tny_store(out, i, tny_offset(sum, add->zero_out, add->low, add->high), 1);
    TNY_TRACE(add->tensor, i, tny_load(out, i, 1));
  }
}

#endif
