/* What the emulated boards offer to a program: a serial port for results, a counter, and a reset that ends the run. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* CMSDK UART at BOARD_UART: data, state (bit 0: transmitter full, bit 1: a byte was received), control, ..., divider. */
static volatile uint32_t *const board_uart = (volatile uint32_t *)BOARD_UART;
static volatile uint32_t *const board_systick = (volatile uint32_t *)0xE000E010u;
#define BOARD_WRAP 0xFFFFFFu

static inline void board_start(void)
{
  board_uart[4] = 16u; /* the least divider */
  board_uart[2] = 3u;  /* transmit and receive */
  board_systick[1] = BOARD_WRAP;
  board_systick[2] = 0u;
  board_systick[0] = 5u; /* the core's own clock, no interrupt */
}

static inline void board_put(uint8_t byte)
{
  while ((board_uart[1] & 1u) != 0u) {
  }
  board_uart[0] = byte;
}

static inline void board_send(const void *data, size_t size)
{
  for (const uint8_t *byte = data; size > 0u; size--) {
    board_put(*byte++);
  }
}

static inline uint8_t board_get(void)
{
  while ((board_uart[1] & 2u) == 0u) {
  }
  return (uint8_t)board_uart[0];
}

/* From the top again, without the note that the counter wrapped. */
static inline void board_restart(void)
{
  board_systick[2] = 0u;
}

/* Whether it wrapped since. */
static inline int board_wrapped(void)
{
  return (board_systick[0] & 0x10000u) != 0u;
}

/* Ticks count down. */
static inline uint32_t board_now(void)
{
  return board_systick[2];
}

static inline uint32_t board_since(uint32_t start)
{
  return (start - board_now()) & BOARD_WRAP;
}

static inline void board_end(void)
{
  *(volatile uint32_t *)0xE000ED0Cu = 0x05FA0004u; /* AIRCR: system reset; the emulator stops there */
  for (;;) {
  }
}

#endif
