/* What the emulated boards offer to a program: a serial port for results, a counter, and a reset that ends the run. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __riscv

#define BOARD_READ_STACK "mv %0, sp"

static inline void board_start(void)
{
}

static inline void board_restart(void)
{
}

/* The counter, mtime, is taken to have 32 bits: enough for 2^32 times a hundred instructions. */
static inline int board_wrapped(void)
{
  return 0;
}

static inline uint32_t board_now(void)
{
  return *(volatile uint32_t *)BOARD_COUNTER;
}

static inline uint32_t board_since(uint32_t start)
{
  return board_now() - start;
}

static inline void board_end(void)
{
  *(volatile uint32_t *)BOARD_STOP = 0x5555u; /* the board is switched off, and the emulator with it */
  for (;;) {
  }
}

#else

#define BOARD_READ_STACK "mov %0, sp"

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
#ifdef BOARD_STRICT_ALIGNMENT
  *(volatile uint32_t *)0xE000ED14u |= 8u; /* CCR: loads and stores that are not aligned fault, as on ARMv6-M */
#endif
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
  *(volatile uint32_t *)BOARD_STOP = 0x05FA0004u; /* AIRCR: system reset; the emulator stops there */
  for (;;) {
  }
}

#endif

#endif
