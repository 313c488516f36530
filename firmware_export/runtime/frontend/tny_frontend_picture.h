/* From a camera's frame to the codes of an input: grey or colour, crop, resize with Pillow's weights, one table of codes. */
#ifndef TNY_FRONTEND_PICTURE_H
#define TNY_FRONTEND_PICTURE_H

#include "tny_core.h"

enum { TNY_GREY, TNY_RGB888, TNY_RGB565, TNY_RGB565_BE, TNY_YUYV };

/* One direction of a resize: output i is the sum over j < count[i] of weights[i * most + j] times input first[i] + j. */
typedef struct {
  const uint16_t *first, *count;
  const int32_t *weights;
  uint16_t size, most;
} tny_taps_t;

typedef struct {
  tny_taps_t rows, columns;
  const int16_t *codes;            /* of 256 pixels, for each channel where `by_channel` */
  uint32_t height, width;          /* of a frame */
  uint16_t out_height, out_width, top, left;
  uint32_t cells;
  int32_t zero_code;
  uint8_t channels, by_channel, wide;
  uint8_t rows_first;              /* rows are weighed before columns, else behind them; each rounds */
} tny_picture_t;

TNY_INLINE uint8_t tny_byte(int32_t x)
{
  return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* One row of a frame as bytes of grey or of red, green and blue. */
TNY_FUNCTION void tny_pixels(const uint8_t *row, uint32_t width, int format, uint32_t channels, uint8_t *out)
{
  for (uint32_t x = 0; x < width; x++) {
    int32_t red, green, blue;
    if (format == TNY_GREY) {
      red = green = blue = row[x];
    } else if (format == TNY_RGB888) {
      red = row[3 * x];
      green = row[3 * x + 1];
      blue = row[3 * x + 2];
    } else if (format == TNY_YUYV) {
      const int32_t luma = row[2 * x];
      const int32_t u = row[4 * (x / 2) + 1] - 128, v = row[4 * (x / 2) + 3] - 128;
      red = channels == 1u ? luma : tny_byte(luma + ((91881 * v + 32768) >> 16));
      green = channels == 1u ? luma : tny_byte(luma - ((22554 * u + 46802 * v + 32768) >> 16));
      blue = channels == 1u ? luma : tny_byte(luma + ((116130 * u + 32768) >> 16));
    } else {
      const int32_t first = row[2 * x], second = row[2 * x + 1];
      const int32_t word = format == TNY_RGB565_BE ? first * 256 + second : second * 256 + first;
      red = word >> 11;
      green = (word >> 5) & 63;
      blue = word & 31;
      red = red * 8 + (red >> 2);
      green = green * 4 + (green >> 4);
      blue = blue * 8 + (blue >> 2);
    }
    if (channels == 3u) {
      *out++ = (uint8_t)red;
      *out++ = (uint8_t)green;
      *out++ = (uint8_t)blue;
    } else { /* equal parts give themselves: the weights add up to 65536 */
      *out++ = (uint8_t)((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16);
    }
  }
}

TNY_INLINE uint8_t tny_weighed(int32_t sum)
{
  return tny_byte(sum >> 22);
}

TNY_FUNCTION void tny_across(const tny_taps_t *columns, const uint8_t *row, uint32_t channels, uint8_t *out)
{
  for (uint32_t x = 0; x < columns->size; x++) {
    const int32_t *const weights = columns->weights + (size_t)x * columns->most;
    const uint8_t *const pixel = row + (size_t)columns->first[x] * channels;
    for (uint32_t channel = 0; channel < channels; channel++) {
      int32_t sum = (int32_t)1 << 21;
      for (uint32_t j = 0; j < columns->count[x]; j++) {
        sum += weights[j] * pixel[j * channels + channel];
      }
      *out++ = tny_weighed(sum);
    }
  }
}

TNY_INLINE void tny_put_pixel(const tny_picture_t *picture, void *codes, uint32_t cell, uint32_t channel, uint32_t pixel)
{
  const int16_t code = picture->codes[(picture->by_channel != 0u ? channel * 256u : 0u) + pixel];
  if (picture->wide != 0u) {
    ((int16_t *)codes)[cell] = code;
  } else {
    ((int8_t *)codes)[cell] = (int8_t)code;
  }
}

/* One output row of the ring's rows. */
TNY_FUNCTION void tny_down(const tny_taps_t *rows, uint32_t y, const uint8_t *ring, uint32_t stride, uint8_t *out)
{
  const int32_t *const weights = rows->weights + (size_t)y * rows->most;
  for (uint32_t x = 0; x < stride; x++) {
    int32_t sum = (int32_t)1 << 21;
    for (uint32_t j = 0; j < rows->count[y]; j++) {
      sum += weights[j] * ring[(rows->first[y] + j) % rows->most * stride + x];
    }
    out[x] = tny_weighed(sum);
  }
}

TNY_FUNCTION void tny_blacken(const tny_picture_t *picture, void *codes, uint32_t cell, uint32_t count)
{
  for (uint32_t end = cell + count * picture->channels; cell < end; cell++) {
    tny_put_pixel(picture, codes, cell, cell % picture->channels, 0u);
  }
}

/* A frame whose rows are `stride` bytes apart. `work`: two rows of it as bytes, one of the input, a ring of rows.most. */
TNY_FUNCTION int tny_picture(const tny_picture_t *picture, const uint8_t *frame, size_t stride, int format, uint8_t *work,
                             void *codes)
{
  if (format < TNY_GREY || format > TNY_YUYV || (format == TNY_YUYV && picture->width % 2u != 0u)) {
    return 0;
  }
  const tny_taps_t *const rows = &picture->rows, *const columns = &picture->columns;
  const uint32_t channels = picture->channels, row = picture->width * channels, across = columns->size * channels;
  const uint32_t kept = picture->rows_first != 0u ? row : across;
  uint8_t *const weighed = work + row, *const line = weighed + row, *const ring = line + across;
  uint32_t read = 0;
  tny_blacken(picture, codes, 0, (uint32_t)picture->out_height * picture->out_width);
  for (uint32_t y = 0; y < rows->size; y++) {
    read = read < rows->first[y] ? rows->first[y] : read; /* cropped */
    for (const uint32_t end = (uint32_t)rows->first[y] + rows->count[y]; read < end; read++) {
      uint8_t *const place = ring + read % rows->most * kept;
      tny_pixels(frame + read * stride, picture->width, format, channels, picture->rows_first != 0u ? place : work);
      if (picture->rows_first == 0u) {
        tny_across(columns, work, channels, place);
      }
    }
    if (picture->rows_first != 0u) {
      tny_down(rows, y, ring, kept, weighed);
      tny_across(columns, weighed, channels, line);
    } else {
      tny_down(rows, y, ring, kept, line);
    }
    const uint32_t cell = ((y + picture->top) * picture->out_width + picture->left) * channels;
    for (uint32_t x = 0; x < across; x++) {
      tny_put_pixel(picture, codes, cell + x, x % channels, line[x]);
    }
  }
  for (uint32_t cell = (uint32_t)picture->out_height * picture->out_width * channels; cell < picture->cells; cell++) {
    if (picture->wide != 0u) {
      ((int16_t *)codes)[cell] = (int16_t)picture->zero_code;
    } else {
      ((int8_t *)codes)[cell] = (int8_t)picture->zero_code;
    }
  }
  return 1;
}

#endif
