/* From reset to main on an emulated core: memory, and on a Cortex-M floating point and vector unit. */
#include "board.h"
#include "records.h"

extern uint32_t tny_data, tny_data_end, tny_data_load, tny_bss, tny_bss_end, tny_stack_top;
int main(void);
void tny_reset(void);
void tny_begin(void);
void tny_fault(void);

/* A record of tag 'F' tells the host; see main.c. */
__attribute__((aligned(4))) void tny_fault(void)
{
  static const uint8_t nothing = 0;
  send_record('F', &nothing, 0);
  board_end();
}

#ifndef __riscv
__attribute__((section(".tny_vectors"), used)) static void *const vectors[16] = {
  &tny_stack_top, (void *)tny_reset, (void *)tny_fault, (void *)tny_fault, (void *)tny_fault, (void *)tny_fault,
  (void *)tny_fault, (void *)tny_fault, NULL, NULL, NULL, (void *)tny_fault, (void *)tny_fault, NULL,
  (void *)tny_fault, (void *)tny_fault
};
#endif

void tny_begin(void)
{
  const uint32_t *from = &tny_data_load;
  for (uint32_t *to = &tny_data; to < &tny_data_end;) {
    *to++ = *from++;
  }
  for (volatile uint32_t *to = &tny_bss; to < &tny_bss_end;) {
    *to++ = 0;
  }
  board_start();
  (void)main();
  board_end();
}

#ifdef __riscv

/* The first instructions of the memory: a board without firmware begins there. */
__attribute__((naked, section(".tny_vectors"), used)) void tny_reset(void)
{
  __asm volatile(
      "la sp, tny_stack_top\n\t"
      "la t0, tny_fault\n\t"
      ".option push\n\t"
      ".option arch, +zicsr\n\t"
      "csrw mtvec, t0\n\t"
      ".option pop\n\t"
      "j tny_begin");
}

#else

/* The unit must be on before any function may use its registers, even to save them. */
__attribute__((naked)) void tny_reset(void)
{
  __asm volatile(
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
      "ldr r0, =0xE000ED88\n\t" /* CPACR: full access to coprocessors 10 and 11 */
      "ldr r1, [r0]\n\t"
      "orr r1, r1, #0xF00000\n\t"
      "str r1, [r0]\n\t"
      "dsb\n\t"
      "isb\n\t"
#endif
      "bl tny_begin\n\t"
      ".ltorg");
}

#endif
