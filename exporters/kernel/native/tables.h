/* Tables of activations: how a network is laid out, packed and run where bytes of a register can be looked up by
 * others (AVX-512 VBMI) and multiplied in fours (VNNI). pack_tables.c says how. */
#ifndef RECYCLE_TABLES_H
#define RECYCLE_TABLES_H

#include "conv.h"

/* Bits of a place above where it is in a line: there is a tap, and it is subtracted. As a number of 8 bits they are
 * its weight, times 64. */
#define TAKEN_BITS 6
#define TAKEN (1 << TAKEN_BITS)
#define SUBTRACTED 128

#define MOST_TAPS (1 << 17) /* of an output channel: 2^17 * 255 * 64 fits 32 bits */

/* Where every tensor lies, and the lookups of every step; 0, with the reason, where they do not fit memory. */
int lay_tables(Network *n, uint32_t *const *taps, char why[MESSAGE]);

/* The taps of a step, BLOCK output channels at a time; 0 where memory ran out. */
int pack_tables(const Plane *in, Step *s, uint32_t channels, const uint32_t *taps);

/* Channels of an image to or from its place; a grid's to the tensor's plane; a step of pooling, a sum,
 * a convolution. Where there are several callers, channels begin at multiples of GROUP. */
void fill_plane(const Tensor *t, Channels some, uint8_t *workspace, const uint8_t *from);
void empty_plane(const Tensor *t, Channels some, uint8_t *workspace, uint8_t *to);
void turn_plane(const Tensor *t, const Grid *grid, Channels some, uint8_t *workspace);
void pool_planes(const Network *n, const Step *s, Channels some, uint8_t *workspace);
void add_planes(const Network *n, const Step *s, Channels some, uint8_t *workspace);
void convolve_planes(const Network *n, const Step *s, Channels some, uint8_t *workspace);

#endif
