/* For compilers that bring no C library: what compiled code calls. Volatile, or the loops become calls of themselves. */
#include <stdint.h>
#include <string.h>

void *memcpy(void *to, const void *from, size_t size)
{
  volatile uint8_t *out = to;
  for (const uint8_t *in = from; size > 0u; size--) {
    *out++ = *in++;
  }
  return to;
}

void *memset(void *to, int value, size_t size)
{
  for (volatile uint8_t *out = to; size > 0u; size--) {
    *out++ = (uint8_t)value;
  }
  return to;
}
