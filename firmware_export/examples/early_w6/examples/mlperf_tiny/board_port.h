/* What a board has to bring. There are no defaults: a function that is missing is an error of the linker, and no device
 * that stays silent. */
#ifndef BOARD_PORT_H
#define BOARD_PORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Serial port, 115200 baud, 8 data bits, no parity, 1 stop bit; and the clock. */
void port_start(void);

/* Both wait until it is done. */
void port_put(char byte);
char port_get(void);

/* Microseconds since some moment, never going back. */
uint64_t port_microseconds(void);

#ifdef __cplusplus
}
#endif

#endif
