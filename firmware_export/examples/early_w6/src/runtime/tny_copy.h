/* Codes that only move: concatenation is made of such copies. */
#ifndef TNY_COPY_H
#define TNY_COPY_H

#include "tny_tensor.h"

/* `count` rows of `size` bytes, which lie `to` bytes apart in the output. */
static inline void tny_copy(const void *in, void *out, size_t to, size_t size, size_t count)
{
  const char *source = (const char *)in;
  char *target = (char *)out;
  for (; count > 0; count--, source += size, target += to) {
    memcpy(target, source, size);
  }
}

#endif
