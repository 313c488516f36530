/* A residual block, row by row and in place: out = add(b(a(x)), shortcut(x)) over the memory of x.
 *
 * Only a few rows of a's output exist at a time, as lanes that b reads. An output row replaces a row of x that has been
 * read already; the exporter proves this for each block.
 */
#ifndef TNY_BLOCK_H
#define TNY_BLOCK_H

#include "tny_conv.h"

typedef struct {
  const tny_conv_t *a, *b, *shortcut; /* shortcut NULL: x itself */
  const tny_add_t *add;
  uint16_t rows_a, rows_b; /* rows of the rings that a and b read */
} tny_block_t;

/* Rows of a up to `until`, and of the shortcut, which lands where the block's output will be. */
TNY_FUNCTION void tny_block_produce(const tny_block_t *block, const tny_ring_t *from, const tny_ring_t *to, int8_t *x,
                              int32_t *filled, int32_t *done, int32_t until, tny_weight_t *scratch)
{
  const tny_sink_t lanes = {NULL, NULL, to, block->b}, codes = {x, NULL, NULL, NULL};
  while (*done < until) {
    const int32_t count = tny_least(block->a->group, until - *done);
    TNY_ENTER(block->a->layer);
    tny_fill(block->a, from, x, filled, tny_reach(block->a, *done + count));
    tny_conv_rows(block->a, from, *done, count, &lanes, scratch);
    if (block->shortcut != NULL) {
      tny_conv_rows(block->shortcut, from, *done, count, &codes, scratch);
    }
    *done += count;
  }
}

TNY_NOINLINE void tny_block(const tny_block_t *block, int8_t *x, tny_lane_t *ring_a, tny_lane_t *ring_b, tny_weight_t *scratch)
{
  const tny_conv_t *const b = block->b;
  const tny_ring_t from = {ring_a, block->rows_a, block->a->row_lanes}, to = {ring_b, block->rows_b, b->row_lanes};
  const tny_sink_t sink = {x, block->add, NULL, NULL};
  int32_t filled = 0, done = 0;
  for (int32_t row = 0; row < block->rows_b; row++) {
    tny_expand(b, tny_row(&to, row), NULL);
  }
  for (int32_t row = 0; row < b->out_h; row += b->group) {
    const int32_t count = tny_least(b->group, b->out_h - row);
    const int32_t until = tny_reach(b, row + count) - b->pad_top;
    tny_block_produce(block, &from, &to, x, &filled, &done, tny_least(until, b->in_h), scratch);
    for (int32_t padding = b->in_h; padding < until; padding++) {
      tny_expand(b, tny_row(&to, padding + b->pad_top), NULL);
    }
    tny_conv_rows(b, &to, row, count, &sink, scratch);
  }
}

#endif
