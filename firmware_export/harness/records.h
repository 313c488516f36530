/* Results go to the board's large memory, where the host finds them: at BOARD_RESULTS their size, then records of a tag,
 * a 32-bit size and the content. */
#ifndef RECORDS_H
#define RECORDS_H

#include <stdint.h>
#include <string.h>

static inline void send_record(uint8_t tag, const void *content, uint32_t size)
{
  uint8_t *const memory = (uint8_t *)BOARD_RESULTS;
  uint32_t used;
  memcpy(&used, memory, sizeof used);
  if (used + size + 5u > BOARD_RESULT_BYTES - 4u) {
    return; /* the host misses it, and says so */
  }
  uint8_t *to = memory + 4u + used;
  *to = tag;
  memcpy(to + 1, &size, sizeof size);
  memcpy(to + 5, content, size);
  used += size + 5u;
  memcpy(memory, &used, sizeof used);
}

#endif
