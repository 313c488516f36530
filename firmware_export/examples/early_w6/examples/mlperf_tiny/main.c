/* Bytes from the serial port to the protocol, for ever. */
#include "mlperf_api.h"

int main(void)
{
  ee_benchmark_initialize();
  for (;;) {
    ee_serial_callback(th_getchar());
  }
}
