/* GNU's compiler for RISC-V leaves this file to a C library, but has one of its own beside it; clang's is the next. */
#pragma GCC system_header
#if defined(__GNUC__) && !defined(__clang__)
#include <stdint-gcc.h>
#else
#include_next <stdint.h>
#endif
