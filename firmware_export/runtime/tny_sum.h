/* Addition of whole tensors. */
#ifndef TNY_SUM_H
#define TNY_SUM_H

#include "tny_add.h"
#include "tny_codes.h"

#define TNY_WIDE_ADD_SHIFT 15

static inline void tny_add_tensors(const tny_add_t *add, const int8_t *conv, const int8_t *other, int8_t *out,
                                   size_t count)
{
  TNY_ENTER(add->layer);
  for (size_t i = 0; i < count; i++) {
    out[i] = tny_add(add, conv[i], other[i]);
    TNY_TRACE(add->tensor, i, out[i]);
  }
}

/* One operand on the common scale; wraps around where TFLite Micro does. */
TNY_INLINE uint32_t tny_wide_operand(int32_t code, int32_t zero, tny_scale_t scale)
{
  return (uint32_t)tny_rescale((int32_t)((uint32_t)(code - zero) << TNY_WIDE_ADD_SHIFT), scale);
}

static inline void tny_add_wide(const tny_add_t *add, const void *first, const void *second, void *out, size_t count)
{
  TNY_ENTER(add->layer);
  for (size_t i = 0; i < count; i++) {
    const uint32_t one = tny_wide_operand(tny_load(first, i, 1), add->zero_conv, add->conv);
    const uint32_t two = tny_wide_operand(tny_load(second, i, 1), add->zero_other, add->other);
    const int32_t sum = tny_rescale((int32_t)(one + two), add->out);
    tny_store(out, i, tny_offset(sum, add->zero_out, add->low, add->high), 1);
    TNY_TRACE(add->tensor, i, tny_load(out, i, 1));
  }
}

#endif
