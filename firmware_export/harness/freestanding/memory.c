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

void *memmove(void *to, const void *from, size_t size)
{
  if ((uintptr_t)to <= (uintptr_t)from) {
    return memcpy(to, from, size); /* byte by byte from the first: what is overwritten was read */
  }
  volatile uint8_t *out = (uint8_t *)to + size;
  for (const uint8_t *in = (const uint8_t *)from + size; size > 0u; size--) {
    *--out = *--in;
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
