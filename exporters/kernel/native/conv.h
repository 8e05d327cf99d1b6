/* A convolution of ternary weights, its sums brought back to 8 bits, and what is added to them. */
#ifndef RECYCLE_CONV_H
#define RECYCLE_CONV_H

#include "network.h"

typedef struct {
    const Step *step;
    uint32_t from, to;     /* output channels */
    const uint8_t *in;     /* first channel of the grid */
    const uint8_t *other;  /* first pixel of what is added, or NULL */
    uint8_t *out;          /* first pixel of the result */
    size_t other_channel, out_channel; /* from one channel to the next, bytes */
    uint8_t out_zero;      /* written between rows */
    const Grid *grid, *home; /* what is read, and the result's */
    const Tensor *source, *more, *target; /* for tables; `in`, `other` and `out` are their first pixels' bytes */
} ConvCall;

typedef void (*Convolve)(const ConvCall *call);

void convolve_portable(const ConvCall *call);
#if defined(__x86_64__)
void convolve_avx2(const ConvCall *call);   /* this one knows close grids of rows, */
void convolve_avx512(const ConvCall *call); /* this one those of lines, */
void convolve_tables(const ConvCall *call); /* and this one planes: AVX-512 with VBMI and VNNI */
void convolve_mixed(const ConvCall *call);  /* either: `source` says which */

/* From a tensor's close home to its close grid of strides of 2, whose rows are half as long and slots a quarter. */
void spread_avx512(const Grid *from, const Grid *to, uint32_t channels, const uint8_t *first, uint8_t *out);
void spread_avx2(const Grid *from, const Grid *to, uint32_t channels, const uint8_t *first, uint8_t *out);
#elif defined(__aarch64__)
void convolve_neon(const ConvCall *call);
#endif

/* "portable", "avx2", "avx512", "avx512vbmi" (tables alone), "avx512mixed", "neon", or NULL for the fastest that this
 * processor has; NULL where it has it not. */
Convolve convolve_for(const char *name);

/* How images lie for a path. */
enum layout layout_of(Convolve convolve);

/* Bits q .. q + 63 of a step's `real`. */
static inline uint64_t real_bits(const uint64_t *real, uint32_t q) {
    uint64_t bits = real[q / 64] >> q % 64;
    return q % 64 ? bits | real[q / 64 + 1] << (64 - q % 64) : bits;
}

#endif
