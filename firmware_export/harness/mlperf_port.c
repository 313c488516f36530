/* The MLPerf Tiny application on an emulated board: its serial port, and SysTick counted beyond its 24 bits. */
#include "board_port.h"

#include "board.h"

#define VECTORS 16
#define SYSTICK_VECTOR 15

static volatile uint32_t *const vector_table = (volatile uint32_t *)0xE000ED08u; /* VTOR */
static uint32_t vectors[VECTORS] __attribute__((aligned(128)));
static volatile uint32_t wraps;

static void count_wrap(void)
{
  wraps++;
}

/* board_start, called before main, has set up the port and the counter; the table in ROM has no place for a handler. */
void port_start(void)
{
  const uint32_t *const from = (const uint32_t *)*vector_table;
  for (int i = 0; i < VECTORS; i++) {
    vectors[i] = from[i];
  }
  vectors[SYSTICK_VECTOR] = (uint32_t)count_wrap;
  *vector_table = (uint32_t)vectors;
  __asm volatile("dsb\n\tisb" ::: "memory");
  board_systick[0] = 7u; /* the core's clock, with an interrupt at each wrap */
}

void port_put(char byte)
{
  board_put((uint8_t)byte);
}

char port_get(void)
{
  return (char)board_get();
}

uint64_t port_microseconds(void)
{
  uint32_t high, ticks;
  do { /* a wrap between the two readings would put them a whole round apart */
    high = wraps;
    ticks = BOARD_WRAP - board_now();
  } while (high != wraps);
  return (((uint64_t)high << 24) | ticks) / (BOARD_CLOCK_HZ / 1000000u);
}
