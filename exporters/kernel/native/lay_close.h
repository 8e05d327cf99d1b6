/* Close grids: where every tap is at whole cache lines. lay_close.c says how. */
#ifndef RECYCLE_LAY_CLOSE_H
#define RECYCLE_LAY_CLOSE_H

#include "network.h"

#define PLACES (2 * AROUND + 1) /* at most, of one row */

/* Which grids are close; 0 where memory ran out. */
int choose_close(Network *n);

/* Whether the result of a step has the size of its grid's phases, and its window reaches no further than it may. */
int fits_close(const Network *n, const Step *s);

#define WIDEST (LINE / MANY) /* columns, and rows, of what several images side by side may make */

/* Which steps several images side by side make; 0 where there are none (lay_many.c). */
int choose_part(Network *n);
int needs_home(const Network *n, uint32_t tensor);

/* A tap: how far from a pixel of the result, the column aside, for which, with its sign, the bucket stands. */
typedef struct {
    size_t distance;
    uint32_t bucket;
} Spot;

/* Those of the window over the first channel. */
void spots_of_window(const Step *s, const Grid *g, Spot *spots);

/* An output channel's taps as chunks: one for each column of the window, whose sum together fits 16 bits, or where
 * that is not so one or more for each, whose sums do by themselves; returns how many. `spots`: those of
 * the window, and room for twice as many as there are taps. */
uint32_t put_close(Step *s, const Grid *g, const uint32_t *taps, Spot *spots, Chunk *chunks, uint32_t *place);

/* Which pixels of a result are in the image; 0 where memory ran out. */
int mark_close(Step *s, const Grid *g, const Tensor *out);

/* Where a row is, from its grid's origin; of a close grid, every place that has it, the first in `row_at`. */
size_t row_at(const Grid *g, uint32_t row);
uint32_t places_of_row(const Grid *g, uint32_t row, ptrdiff_t at[PLACES]);

/* lay_out.c's */
uint32_t speaker(Grid *grid, uint32_t which);
size_t channel_size(const Grid *g);
void put_distance(Step *s, uint32_t place, size_t value);
uint32_t parts_of(const uint32_t *taps, uint32_t *entries); /* that an output channel is cut into */

#endif
