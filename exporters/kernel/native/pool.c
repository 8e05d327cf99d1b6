/* The largest value under a window: of its rows first, whole rows at a time, then of its columns. In loops that
 * compilers vectorise. Padding is left out, or 0, which is never larger than a value. */
#include "pool.h"

#include <string.h>

#include "lay_close.h"

#define WHOLE 16 /* pixels that compilers take at a time: so many may be read and made in vain */
#define LONGEST (4096 + 2 * 32 + WHOLE * 8) /* a row with padding and what is in vain at a stride of 8, at most */

/* No two of these overlap. Counts of size_t: loops whose index may wrap are not vectorised. */
static void largest(uint8_t *restrict to, const uint8_t *restrict from, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = to[i] > from[i] ? to[i] : from[i];
}

static void largest_of_every(uint8_t *restrict to, const uint8_t *restrict from, size_t count, size_t step) {
    if (step == 1) largest(to, from, count);
    else if (step == 2)
        for (size_t i = 0; i < count; i++) to[i] = to[i] > from[2 * i] ? to[i] : from[2 * i];
    else
        for (size_t i = 0; i < count; i++) to[i] = to[i] > from[step * i] ? to[i] : from[step * i];
}

/* What the rows under the windows of row y of the result come to, padding on either side being 0. */
static void pool_rows(const Network *n, const Step *s, const uint8_t *in, uint32_t y, uint8_t *rows) {
    const Tensor *source = &n->tensor[s->input];
    const Grid *g = &n->grid[source->home];
    memset(rows + s->window.left, 0, source->width);
    for (uint32_t a = 0; a < s->window.height; a++) {
        const int64_t row = (int64_t)y * s->window.down + a - s->window.top;
        if (row >= 0 && row < source->height)
            largest(rows + s->window.left, in + row_at(g, (uint32_t)row), source->width);
    }
}

static void pool_columns(const Network *n, const Step *s, const uint8_t *rows, uint32_t y, uint8_t *out) {
    const Tensor *target = &n->tensor[s->output];
    uint8_t result[LONGEST];
    ptrdiff_t at[PLACES];
    memset(result, 0, target->width + WHOLE);
    for (uint32_t b = 0; b < s->window.width; b++)
        largest_of_every(result, rows + b, (target->width + WHOLE - 1) / WHOLE * WHOLE, s->window.right);
    uint32_t places = places_of_row(&n->grid[target->home], y, at);
    for (uint32_t i = 0; i < places; i++) memcpy(out + at[i], result, target->width);
}

void pool_channels(const Network *n, const Step *s, uint32_t from, uint32_t to, const uint8_t *in, uint8_t *out) {
    const size_t given = n->grid[n->tensor[s->input].home].channel, made = n->grid[n->tensor[s->output].home].channel;
    const uint32_t height = n->tensor[s->output].height;
    uint8_t rows[2][LONGEST] = {{0}, {0}}; /* in turn, so that none is read as soon as it is written */
    for (uint32_t channel = from; channel < to; channel++)
        for (uint32_t y = 0; y <= height; y++) {
            if (y < height) pool_rows(n, s, in + channel * given, y, rows[y % 2]);
            if (y) pool_columns(n, s, rows[(y - 1) % 2], y - 1, out + channel * made);
        }
}
