/* early_w6 under MLPerf Tiny's API. Valid as C99 and as C++. */
#include "board_port.h"
#include "mlperf_api.h"

/* The benchmark's pictures (ic01, vww01) come as unsigned bytes: with -DTH_UNSIGNED_BYTES=1, code = byte - 128. */
#ifndef TH_UNSIGNED_BYTES
#define TH_UNSIGNED_BYTES 0
#endif
#define FLIPPED_BITS (TH_UNSIGNED_BYTES ? 0x80 : 0)

/* Results are printed in millionths. One code is this many of them, with 16 binary places. */
static const int64_t MILLIONTHS = (int64_t)(EARLY_W6_LOGITS_SCALE * 65536e6 + 0.5);
/* Then no product of that and a code leaves 64 bits. */
typedef char scale_fits[(int64_t)EARLY_W6_LOGITS_SCALE < 2000 ? 1 : -1];

static early_w6_arena_t arena;
static early_w6_outputs_t outputs;
static const uint8_t *loaded;

void th_serialport_initialize(void)
{
  port_start();
}

void th_timestamp_initialize(void)
{
  th_printf("m-timestamp-mode-performance\r\n");
  th_timestamp();
}

void th_final_initialize(void)
{
  loaded = NULL;
  outputs.logits = NULL;
}

void th_timestamp(void)
{
  const uint64_t now = port_microseconds();
  th_printf("m-lap-us-");
  th_print_number(now, 10u, 1);
  th_printf("\r\n");
}

void th_load_tensor(void)
{
  loaded = ee_get_buffer_pointer();
}

/* Give one input its part of the loaded bytes; return what follows them. */
static const uint8_t *fill(void *input, const uint8_t *from, size_t size)
{
  for (uint8_t *to = (uint8_t *)input; size > 0u; size--) {
    *to++ = (uint8_t)(*from++ ^ FLIPPED_BITS);
  }
  return from;
}

/* The network overwrites its inputs, so that every inference begins with filling them; the measured time has both. */
void th_infer(void)
{
  const early_w6_inputs_t inputs = early_w6_inputs(&arena);
  const uint8_t *from = loaded;
  from = fill(inputs.image, from, EARLY_W6_IMAGE_SIZE * sizeof *inputs.image);
  from = fill(inputs.audio, from, EARLY_W6_AUDIO_SIZE * sizeof *inputs.audio);
  (void)from;
  outputs = early_w6_infer(&arena);
}

/* For what a board wants to do before and after the measured inferences, such as changing its clock. */
void th_pre(void)
{
}

void th_post(void)
{
}

static void print_result(int32_t code)
{
  const int64_t value = ((int64_t)code - EARLY_W6_LOGITS_ZERO_POINT) * MILLIONTHS;
  const uint64_t rounded = ((uint64_t)(value < 0 ? -value : value) + 0x8000u) >> 16;
  if (value < 0) {
    port_put('-');
  }
  th_print_number(rounded / 1000000u, 10u, 1);
  port_put('.');
  th_print_number(rounded % 1000000u, 10u, 6);
}

void th_results(void)
{
  if (outputs.logits == NULL) {
    th_printf("e-[results: there are none before infer]\r\n");
    return;
  }
  th_printf("m-results-[");
  for (int i = 0; i < EARLY_W6_LOGITS_SIZE; i++) {
    if (i > 0) {
      port_put(',');
    }
    print_result(outputs.logits[i]);
  }
  th_printf("]\r\n");
}

char th_getchar(void)
{
  return port_get();
}

/* The bytes are polled and come from no interrupt: the command may run at once. */
void th_command_ready(char volatile *command)
{
  ee_serial_command_parser_callback((char *)command);
}
