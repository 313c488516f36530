// Prints PASS if every output code equals TensorFlow Lite Micro's, and how long an inference takes.
#include <early_w6.h>

#include "self_test.h"

void setup() {
  Serial.begin(115200);
}

void loop() {
  uint32_t crc;
  const unsigned long start = micros();
  const int failed = self_test(&crc);
  const unsigned long taken = (micros() - start) / SELF_TEST_VECTORS;
  Serial.print(failed == 0 ? "PASS" : "FAIL");
  Serial.print(", CRC-32 ");
  Serial.print(crc, HEX);
  Serial.print(", microseconds for an inference ");
  Serial.println(taken);
  delay(5000);
}
