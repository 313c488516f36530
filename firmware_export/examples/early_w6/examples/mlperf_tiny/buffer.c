/* What comes in is written only after all of it was found good, so that a refused command changes nothing. */
#include "buffer.h"

#include "mlperf_api.h"
#include "words.h"

#define PRINTED_BYTES 16u
#define PRINTED_PER_LINE 8u

static uint8_t bytes[TH_INPUT_BYTES];
static uint32_t expected, loaded;

uint8_t *ee_get_buffer_pointer(void)
{
  return bytes;
}

void buffer_clear(void)
{
  expected = 0;
  loaded = 0;
}

int buffer_is_full(void)
{
  return loaded == TH_INPUT_BYTES;
}

static void begin(char *rest)
{
  uint32_t size;
  buffer_clear();
  if (!read_number(next_word(&rest), &size) || size == 0u) {
    th_printf("e-[db load needs a number of bytes above 0]\r\n");
  } else if (size > TH_INPUT_BYTES) {
    th_printf("e-[db load: %lu bytes are more than the %lu of the input]\r\n", (unsigned long)size,
              (unsigned long)TH_INPUT_BYTES);
  } else {
    expected = size;
    th_printf("m-[Expecting %lu bytes]\r\n", (unsigned long)size);
  }
}

/* How many bytes `digits` stands for; 0, and an error said, unless they are hexadecimal and still expected. */
static uint32_t checked(const char *digits)
{
  uint32_t count = 0;
  while (digits[count] != '\0') {
    if (read_hex_digit(digits[count]) < 0) {
      th_printf("e-[db: '%s' is no load, no print and not hexadecimal]\r\n", digits);
      return 0;
    }
    count++;
  }
  if (count % 2u != 0u) {
    th_printf("e-[db: an odd number of hexadecimal digits]\r\n");
    return 0;
  }
  if (count / 2u > expected - loaded) {
    th_printf("e-[db: %lu bytes, %lu expected; db load N begins anew]\r\n", (unsigned long)(count / 2u),
              (unsigned long)(expected - loaded));
    return 0;
  }
  return count / 2u;
}

static void store(const char *digits)
{
  const uint32_t count = checked(digits);
  for (uint32_t i = 0; i < count; i++) {
    bytes[loaded++] = (uint8_t)(read_hex_digit(digits[2u * i]) * 16 + read_hex_digit(digits[2u * i + 1u]));
  }
  if (count > 0u && loaded == expected) {
    th_printf("m-load-done\r\n");
  }
}

static void print(char *rest)
{
  uint32_t count = PRINTED_BYTES, offset = 0;
  const char *const size = next_word(&rest);
  const char *const start = next_word(&rest);
  if ((size != NULL && !read_number(size, &count)) || (start != NULL && !read_number(start, &offset))) {
    th_printf("e-[db print takes a number of bytes and an offset]\r\n");
    return;
  }
  for (uint32_t i = 0; i < count && offset + i < loaded; i++) {
    th_printf(i % PRINTED_PER_LINE != 0u ? "-%02x" : i == 0u ? "m-buffer-%02x" : "\r\nm-buffer-%02x",
              (unsigned)bytes[offset + i]);
  }
  th_printf("\r\n");
}

void buffer_command(char *rest)
{
  const char *const word = next_word(&rest);
  if (word == NULL) {
    th_printf("e-[db needs load, print or hexadecimal digits]\r\n");
  } else if (same_word(word, "load")) {
    begin(rest);
  } else if (same_word(word, "print")) {
    print(rest);
  } else {
    store(word);
  }
}
