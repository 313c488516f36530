/* The self test where there is a console. */
#include "../self_test.h"

#include <stdio.h>

int main(void)
{
  uint32_t crc;
  const int failed = self_test(&crc);
  printf("%s: %d of %d vectors differ, CRC-32 %08lx (expected %08lx)\n", failed == 0 ? "PASS" : "FAIL", failed,
         SELF_TEST_VECTORS, (unsigned long)crc, (unsigned long)SELF_TEST_CRC32);
  return failed == 0 ? 0 : 1;
}
