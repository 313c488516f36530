/* As much of printf as the protocol needs, without stdio: %s, %d, %u, %x, l before them, and digits as in %02x. */
#include "board_port.h"
#include "mlperf_api.h"

#include <stdarg.h>

#define LONGEST 20 /* digits of 2^64 */

/* `value` in `base` (10 or 16), with zeros in front up to `digits` (at most 20). */
void th_print_number(uint64_t value, unsigned base, int digits)
{
  char text[LONGEST];
  int count = 0;
  do {
    text[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value > 0u || count < digits);
  while (count > 0) {
    port_put(text[--count]);
  }
}

static void print_text(const char *text)
{
  while (*text != '\0') {
    port_put(*text++);
  }
}

static void print_signed(long value, int digits)
{
  if (value < 0) {
    port_put('-');
  }
  th_print_number(value < 0 ? 0u - (unsigned long)value : (unsigned long)value, 10u, digits);
}

/* Print what the text behind a '%' asks for; return its last character. */
static const char *print_value(const char *at, va_list *values)
{
  int digits = 1;
  for (; *at >= '0' && *at <= '9'; at++) {
    digits = *at - '0';
  }
  const int is_long = *at == 'l';
  at += is_long;
  if (*at == 's') {
    print_text(va_arg(*values, const char *));
  } else if (*at == 'd') {
    print_signed(is_long ? va_arg(*values, long) : va_arg(*values, int), digits);
  } else {
    th_print_number(is_long ? va_arg(*values, unsigned long) : va_arg(*values, unsigned), *at == 'x' ? 16u : 10u,
                    digits);
  }
  return at;
}

void th_printf(const char *format, ...)
{
  va_list values;
  va_start(values, format);
  for (; *format != '\0'; format++) {
    if (*format == '%') {
      format = print_value(format + 1, &values);
    } else {
      port_put(*format);
    }
  }
  va_end(values);
}
