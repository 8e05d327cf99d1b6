/* Reading a packed network, number by number. Each function gives 0, with the reason in `why`, where what it read cannot
 * be. */
#ifndef RECYCLE_READER_H
#define RECYCLE_READER_H

#include "network.h"

typedef struct {
    const uint8_t *at, *end;
    char *why;
} Reader;

#define REFUSE(reader, ...) (snprintf((reader)->why, MESSAGE, __VA_ARGS__), 0)

int read_word(Reader *r, uint32_t *value);
int read_within(Reader *r, const char *name, uint32_t low, uint32_t high, uint32_t *value);
int read_real(Reader *r, const char *name, float *value); /* a finite one */
void *read_room(Reader *r, size_t count, size_t each);    /* zeros, NULL where memory ran out */

/* The taps of all output channels, one list after the other: number, then 2 * tap + subtracted of each. */
int read_taps(Reader *r, uint32_t channels, uint32_t inputs, uint32_t **taps);

/* Whether `other` of a step is made before, or given, and has its result's shape; a convolution may have none. */
int check_other(Reader *r, const Network *n, const Step *s);

/* What follows the window of a convolution, a sum or a constant of float32 numbers (read_floats.c). */
int read_floats(Reader *r, Network *n, Step *s, uint32_t **taps);

#endif
