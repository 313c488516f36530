/* The bytes that the host loads: the input of the inferences that follow. */
#ifndef BUFFER_H
#define BUFFER_H

void buffer_clear(void);
int buffer_is_full(void);

/* `db load N`, `db HEX`, `db print [N] [OFFSET]`; `rest` is what follows `db`. */
void buffer_command(char *rest);

#endif
