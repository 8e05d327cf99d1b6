/* A tensor's home, and the grids of other strides that are filled from it. */
#ifndef RECYCLE_SPREAD_H
#define RECYCLE_SPREAD_H

#include "network.h"

static inline const Grid *home(const Network *n, uint32_t tensor) { return &n->grid[n->tensor[tensor].home]; }

static inline uint8_t *first_pixel(const Network *n, uint32_t tensor, uint8_t *workspace) {
    const Grid *g = home(n, tensor);
    return workspace + g->place + g->origin;
}

/* Bytes from the first image to another, of several side by side. */
static inline size_t image_at(const Grid *g, uint32_t image) { return (size_t)image * g->parts * g->close; }

/* Fills a grid of strides other than 1 from the tensor's home. Rows and columns that no tap reads are left out. */
void spread(const Network *n, const Grid *g, Channels some, uint8_t *workspace);

#endif
