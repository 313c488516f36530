/* Words and numbers of a command. */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>
#include <stdint.h>

/* The next word of `*rest`, which moves behind it; NULL if there is none. The space after the word becomes its end. */
static inline char *next_word(char **rest)
{
  char *word = *rest;
  while (*word == ' ') {
    word++;
  }
  char *end = word;
  while (*end != ' ' && *end != '\0') {
    end++;
  }
  *rest = *end == '\0' ? end : end + 1;
  *end = '\0';
  return end == word ? NULL : word;
}

static inline int same_word(const char *a, const char *b)
{
  while (*a != '\0' && *a == *b) {
    a++;
    b++;
  }
  return *a == *b;
}

/* Whether `word` is a decimal number of at most nine digits, which always fits; NULL is none. */
static inline int read_number(const char *word, uint32_t *value)
{
  int digits = 0;
  *value = 0;
  while (word != NULL && digits < 9 && word[digits] >= '0' && word[digits] <= '9') {
    *value = *value * 10u + (uint32_t)(word[digits] - '0');
    digits++;
  }
  return digits > 0 && word[digits] == '\0';
}

/* 0 to 15, or -1 for anything else. */
static inline int read_hex_digit(char digit)
{
  if (digit >= '0' && digit <= '9') {
    return digit - '0';
  }
  const char small = (char)(digit | 0x20);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

#endif
