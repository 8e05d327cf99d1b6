/* Max pooling. */
#ifndef RECYCLE_POOL_H
#define RECYCLE_POOL_H

#include "network.h"

/* Channels `from` up to `to` of a pooling, of images whose first pixels are at `in` and at `out`. */
void pool_channels(const Network *n, const Step *s, uint32_t from, uint32_t to, const uint8_t *in, uint8_t *out);

#endif
