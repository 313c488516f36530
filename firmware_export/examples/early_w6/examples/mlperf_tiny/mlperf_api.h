/* The two halves of the benchmark's application: the protocol calls th_*, the code around early_w6 calls ee_*. The names
 * are those of MLPerf Tiny's API, so that the protocol can be replaced by the benchmark's own (README.md). */
#ifndef MLPERF_API_H
#define MLPERF_API_H

#include "early_w6.h"

#include <stddef.h>
#include <stdint.h>

/* What the host is told; -DTH_MODEL_VERSION='"ic01"' makes the runner use the data of that benchmark. */
#ifndef TH_MODEL_VERSION
#define TH_MODEL_VERSION "early_w6"
#endif
#ifndef TH_VENDOR_NAME_STRING
#define TH_VENDOR_NAME_STRING "unspecified"
#endif

/* The codes of all inputs one after the other: image, then audio. */
#define TH_INPUT_BYTES 1568u

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 1, 2)))
#endif
void th_printf(const char *format, ...);
void th_print_number(uint64_t value, unsigned base, int digits);

void th_serialport_initialize(void);
void th_timestamp_initialize(void);
void th_final_initialize(void);
void th_load_tensor(void);
void th_pre(void);
void th_infer(void);
void th_post(void);
void th_results(void);
void th_timestamp(void);
char th_getchar(void);
void th_command_ready(char volatile *command);

void ee_benchmark_initialize(void);
void ee_serial_callback(char received);
void ee_serial_command_parser_callback(char *command);
uint8_t *ee_get_buffer_pointer(void);

#endif
