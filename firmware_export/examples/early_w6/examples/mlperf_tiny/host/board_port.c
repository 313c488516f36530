/* To try the application where there is a console: the serial port is standard input and output. */
#include "../board_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void port_start(void)
{
}

void port_put(char byte)
{
  (void)putchar(byte);
}

char port_get(void)
{
  (void)fflush(stdout);
  const int byte = getchar();
  if (byte == EOF) {
    exit(0);
  }
  return (char)byte;
}

uint64_t port_microseconds(void)
{
  return (uint64_t)clock() * 1000000u / (uint64_t)CLOCKS_PER_SEC;
}
