/* The serial protocol of MLPerf Tiny's runner: a command ends with '%', every answer with the line "m-ready". Lines that
 * begin with "m-" are messages, those that begin with "e-" errors. */
#include "buffer.h"
#include "mlperf_api.h"
#include "words.h"

#define LINE_BYTES 80u
/* The runner knows the protocol by this string. */
#define PROFILE "ULPMark for tinyML Firmware V0.0.1"
/* The protocol's: the runner always gives both numbers. */
#define INFERENCES 1u
#define WARM_UP 10u

typedef struct {
  const char *name;
  void (*run)(char *rest);
  const char *help;
} command_t;

static void say_name(char *rest)
{
  (void)rest;
  th_printf("m-name-dut-[%s]\r\n", TH_VENDOR_NAME_STRING);
}

static void say_profile(char *rest)
{
  (void)rest;
  th_printf("m-profile-[%s]\r\nm-model-[%s]\r\n", PROFILE, TH_MODEL_VERSION);
}

static void say_timestamp(char *rest)
{
  (void)rest;
  th_timestamp();
}

static void say_results(char *rest)
{
  (void)rest;
  th_results();
}

static void reset(char *rest)
{
  (void)rest;
  buffer_clear();
  th_final_initialize();
  th_printf("m-init-done\r\n");
}

static void repeat(uint32_t count)
{
  for (; count > 0u; count--) {
    th_infer();
  }
}

static void measure(uint32_t count, uint32_t warm_up)
{
  th_load_tensor();
  th_printf("m-warmup-start-%lu\r\n", (unsigned long)warm_up);
  repeat(warm_up);
  th_printf("m-warmup-done\r\nm-infer-start-%lu\r\n", (unsigned long)count);
  th_timestamp();
  th_pre();
  repeat(count);
  th_post();
  th_timestamp();
  th_printf("m-infer-done\r\n");
  th_results();
}

static void infer(char *rest)
{
  uint32_t count = INFERENCES, warm_up = WARM_UP;
  const char *const measured = next_word(&rest);
  const char *const unmeasured = next_word(&rest);
  if (measured != NULL && (!read_number(measured, &count) || count == 0u)) {
    th_printf("e-[infer needs a number of inferences above 0]\r\n");
  } else if (unmeasured != NULL && !read_number(unmeasured, &warm_up)) {
    th_printf("e-[infer: '%s' is no number of inferences to warm up]\r\n", unmeasured);
  } else if (!buffer_is_full()) {
    th_printf("e-[infer: load the %lu bytes of the input first]\r\n", (unsigned long)TH_INPUT_BYTES);
  } else {
    measure(count, warm_up);
  }
}

static void help(char *rest);

static const command_t commands[] = {
  {"name", say_name, "the device"},
  {"profile", say_profile, "the protocol and the model"},
  {"timestamp", say_timestamp, "microseconds since the start"},
  {"help", help, "this list"},
  {"reset", reset, "forget the input and the results"},
  {"db", buffer_command, "load N: expect N bytes; HEX: some of them; print [N=16] [OFFSET=0]: show them"},
  {"infer", infer, "[N=1] [W=10]: N inferences on the loaded bytes after W that are not measured"},
  {"results", say_results, "of the last inference"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void help(char *rest)
{
  (void)rest;
  th_printf("%s\r\n", PROFILE);
  for (size_t i = 0; i < COMMANDS; i++) {
    th_printf("%s: %s\r\n", commands[i].name, commands[i].help);
  }
}

static void run(char *word, char *rest)
{
  for (size_t i = 0; i < COMMANDS; i++) {
    if (same_word(word, commands[i].name)) {
      commands[i].run(rest);
      return;
    }
  }
  th_printf("e-[Unknown command: %s]\r\n", word);
}

void ee_serial_command_parser_callback(char *command)
{
  char *const word = next_word(&command);
  if (word != NULL) {
    run(word, command);
  }
  th_printf("m-ready\r\n");
}

void ee_serial_callback(char received)
{
  static char line[LINE_BYTES + 1u];
  static uint32_t length;
  if (received != '%') {
    /* Line ends and noise separate words, and do not come back to the host in an error. */
    line[length < LINE_BYTES ? length : LINE_BYTES] = received >= ' ' && received <= '~' ? received : ' ';
    length += length <= LINE_BYTES ? 1u : 0u;
    return;
  }
  if (length > LINE_BYTES) {
    th_printf("e-[A command has at most %u characters]\r\nm-ready\r\n", LINE_BYTES);
  } else {
    line[length] = '\0';
    th_command_ready(line);
  }
  length = 0;
}

void ee_benchmark_initialize(void)
{
  th_serialport_initialize();
  th_timestamp_initialize();
  th_final_initialize();
  th_printf("m-init-done\r\nm-ready\r\n");
}
