/* The sum of two 8-bit images, as onnxruntime adds on x86. */
#ifndef RECYCLE_ADD_H
#define RECYCLE_ADD_H

#include "network.h"

/* round(fma(a, u, fma(b, v, c))), or b v last, of `count` bytes: `s` has the ratios and their order. */
void add_bytes(const Step *s, const uint8_t *u, const uint8_t *v, uint8_t *to, size_t count);

#endif
