/* Put before a package's sources: TNY_PROFILE counts per layer, TNY_VALUES hands out every value of every tensor. */
#ifndef TRACE_H
#define TRACE_H

#include <stdint.h>

#ifdef TNY_PROFILE
void harness_enter(uint32_t layer);
#define TNY_ENTER(layer) harness_enter(layer)
#endif

#ifdef TNY_VALUES
void harness_value(uint32_t tensor, uint32_t index, int32_t value);
#define TNY_TRACE(tensor, index, value) harness_value((uint32_t)(tensor), (uint32_t)(index), (int32_t)(value))
#endif

#endif
