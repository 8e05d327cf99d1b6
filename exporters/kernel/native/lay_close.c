/* Close grids, for AVX-512 of slots of 64 bytes, which have rows from all over an image, so that no tap is read across
 * two cache lines. For AVX2, whose loads of 32 bytes seldom are, a slot is one row.
 *
 * Rows are filled up to 8, 16, 32 or 64 pixels, so a slot has room for 64 / close of them. Of the image's rows slot s
 * has s, s + slots, s + 2 slots, and so on: then the row below of each of its pixels is in slot s + 1, at the same
 * place of it. The slots before the first and after the last hold rows once more, or padding, where the image ends.
 * So rows of the window are distances of whole slots. Its columns are not distances: the taps of each are summed by
 * themselves, and their sum is shifted to the side once. What is shifted in from beyond the row is what the taps
 * come to over padding, which is known: the zero point times their signs.
 */
#include "lay_close.h"

#include <stdlib.h>

#define TOGETHER 257 /* weights of either sign whose sum takes at most 2^16 values: 257 * 255 + 1 */
#define COLUMNS (2 * AROUND + 1)
#define VECTOR 32 /* bytes, of AVX2; four rows of four take half of one */

/* The narrowest image, of which a slot of a line would not yet be mostly empty; and how many columns beside a pixel a
 * window may reach: sums of rows are moved to the side by one. */
typedef struct {
    uint32_t narrowest, around;
} Limits;

static Limits limits_of(const Network *n) {
    if (n->images > 1) return (Limits){3, AROUND};
    return n->layout == CLOSE_ROWS ? (Limits){3, 1} : (Limits){5, AROUND};
}

static int32_t floor_of(int32_t a, int32_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

int fits_close(const Network *n, const Step *s) {
    const Tensor *in = &n->tensor[s->input], *out = &n->tensor[s->output];
    const Window *w = &s->window;
    const Limits most = limits_of(n);
    return in->height == out->height * w->down && in->width == out->width * w->right && out->width >= most.narrowest &&
           out->width <= LINE / n->images && w->top <= AROUND * w->down && w->left <= most.around * w->right &&
           w->height - 1 <= w->top + AROUND * w->down && w->width - 1 <= w->left + most.around * w->right;
}

/* Where slots are rows, whole vectors are written: of 16 bytes for four rows of four, else of 32. */
static void size_close(const Network *n, Grid *g) {
    const uint32_t by_row = n->layout == CLOSE_ROWS, width = n->tensor[g->tensor].width / g->right;
    const uint32_t rows = n->tensor[g->tensor].height / g->down;
    g->close = n->images > 1 || (by_row && rows <= 4) ? 4 : 8; /* four rows of four fit half a vector */
    while (g->close < width) g->close *= 2;
    g->slot = by_row ? g->close : LINE;
    g->unit = g->slot == LINE ? LINE : g->close < 8 ? g->close : 8;
    g->parts = g->slot / g->close / n->images;
    g->slots = (rows + g->parts - 1) / g->parts;
    g->moves = !by_row;
    if (!by_row) {
        g->ways = g->slots == 1 ? 4 : g->slots == 2 ? 2 : 1;
        g->twos = g->slots == 1;
        return;
    }
    const uint32_t bytes = rows * g->slot, vector = g->close == 4 ? VECTOR / 2 : VECTOR;
    g->ways = g->close == 4 ? 4 : 1;
    g->twos = bytes <= 2 * VECTOR;
    g->below = larger(g->below, ((bytes + vector - 1) / vector * vector - bytes) / g->slot);
}

/* Whether distances fit 16 bits, in units. */
static int counts_fit(const Network *n, const Grid *g) {
    Grid trial = *g;
    size_close(n, &trial);
    return (trial.channels + 1) * (channel_size(&trial) / trial.unit) <= UINT16_MAX;
}

int choose_close(Network *n) {
    uint8_t *wrong = calloc(n->grids, 1), *read = calloc(n->grids, 1);
    for (uint32_t i = n->first; wrong && read && i < n->planar; i++) {
        const Step *s = &n->step[i];
        if (s->kind != CONV) continue;
        Grid *g = &n->grid[s->grid];
        const Window *w = &s->window;
        uint32_t one = speaker(n->grid, s->grid);
        read[one] = 1;
        if (!fits_close(n, s)) {
            wrong[one] = 1;
            continue;
        }
        g->above = larger(g->above, (uint32_t)-floor_of(-(int32_t)w->top, (int32_t)w->down));
        g->below = larger(g->below, (w->height - 1 - w->top) / w->down);
    }
    for (uint32_t i = 0; wrong && read && i < n->grids; i++) {
        uint32_t one = speaker(n->grid, i);
        wrong[one] |= read[one] && !wrong[one] && !counts_fit(n, &n->grid[i]);
    }
    for (uint32_t i = 0; wrong && read && i < n->grids; i++) {
        uint32_t one = speaker(n->grid, i);
        if (read[one] && !wrong[one]) size_close(n, &n->grid[i]);
    }
    int good = wrong && read;
    free(wrong);
    free(read);
    return good;
}

/* Units from a pixel of the result to a tap of the first channel, the columns aside; what those are goes to `column`. */
static size_t distance(const Grid *g, const Window *w, uint32_t tap, int32_t *column) {
    int32_t down = (int32_t)g->down, right = (int32_t)g->right;
    int32_t x = (int32_t)(tap % w->width) - (int32_t)w->left;
    int32_t y = (int32_t)(tap / w->width % w->height) - (int32_t)w->top;
    int32_t row = floor_of(y, down);
    *column = floor_of(x, right);
    int32_t phase = (y - row * down) * right + x - *column * right;
    int32_t slots = (int32_t)(g->above + g->slots + g->below);
    const size_t down_to = (size_t)(phase * slots + (int32_t)g->above + row);
    return down_to * (g->slot / g->unit);
}

static size_t zeros_at(const Grid *g) { return (g->channels * g->channel + g->above * g->slot) / g->unit; }

/* Of one sign and one column, those numbered from `from` up to `to`; each `apart` from the last. */
static uint32_t put_column(Step *s, const Spot *spots, uint64_t from, uint64_t to, uint32_t place, uint32_t apart) {
    for (uint64_t i = from; i < to; i++) put_distance(s, place + apart * (uint32_t)(i - from), spots[i].distance);
    return (uint32_t)(to - from);
}

/* Makes as many of either sign, filled up with zeros; for four sums in twos. */
static uint32_t fill_pairs(Step *s, const Grid *g, uint32_t place, const uint32_t written[2]) {
    uint32_t pairs = larger(written[0], written[1]);
    if (g->twos) pairs += pairs % 2;
    for (uint32_t sign = 0; sign < 2; sign++)
        for (uint32_t i = written[sign]; i < pairs; i++)
            put_distance(s, place + 2 * i + sign, zeros_at(g));
    return pairs;
}

/* Makes the number of either sign even. */
static void fill_signs(Step *s, const Grid *g, uint32_t place, uint32_t written[2]) {
    if (written[0] % 2) {
        const uint16_t *from = (const uint16_t *)s->distances + place;
        for (uint32_t i = written[0] + written[1]; i > written[0]; i--) put_distance(s, place + i, from[i - 1]);
        put_distance(s, place + written[0]++, zeros_at(g));
    }
    if (written[1] % 2) put_distance(s, place + written[0] + written[1]++, zeros_at(g));
}

void spots_of_window(const Step *s, const Grid *g, Spot *spots) {
    for (uint32_t i = 0; i < s->window.height * s->window.width; i++) {
        int32_t column;
        spots[i].distance = distance(g, &s->window, i, &column);
        spots[i].bucket = 2 * (uint32_t)(column + AROUND);
    }
}

/* Sorts an output channel's taps by column and sign, after those of the window; `begin`: where those of each are. */
static void sort_taps(const Step *s, const Grid *g, const uint32_t *taps, Spot *spots, uint32_t begin[2 * COLUMNS + 1]) {
    const uint32_t each = s->window.height * s->window.width, all = taps[0];
    const size_t apart = g->channel / g->unit;
    const Spot *of_window = spots;
    Spot *sorted = spots + each, *unsorted = sorted + all;
    uint32_t next[2 * COLUMNS] = {0};
    for (uint32_t i = 0; i < all; i++) {
        const uint32_t tap = taps[i + 1] >> 1, channel = tap / each;
        const Spot *at = &of_window[tap - channel * each];
        unsorted[i] = (Spot){at->distance + channel * apart, at->bucket + (taps[i + 1] & 1)};
        next[unsorted[i].bucket]++;
    }
    begin[0] = 0;
    for (uint32_t i = 0; i < 2 * COLUMNS; i++) {
        begin[i + 1] = begin[i] + next[i];
        next[i] = begin[i];
    }
    for (uint32_t i = 0; i < all; i++) sorted[next[unsorted[i].bucket]++] = unsorted[i];
}

uint32_t put_close(Step *s, const Grid *g, const uint32_t *taps, Spot *spots, Chunk *chunks, uint32_t *place) {
    const Window *w = &s->window;
    const uint32_t paired = g->ways > 1;
    uint32_t begin[2 * COLUMNS + 1], signs[2] = {0, 0};
    const Spot *sorted = spots + w->height * w->width;
    sort_taps(s, g, taps, spots, begin);
    for (uint32_t i = 0; i < 2 * COLUMNS; i++) signs[i % 2] += begin[i + 1] - begin[i];
    int one = signs[0] <= CHUNK && signs[1] <= CHUNK; /* all columns together fit 16 bits */
    int16_t more = 0;
    if (!one && g->moves && signs[0] + signs[1] <= TOGETHER) {
        one = 1;
        more = (int16_t)floor_of(LEVELS * ((int32_t)signs[1] - (int32_t)signs[0]), 2);
    }
    int32_t first = floor_of(-(int32_t)w->left, (int32_t)g->right);
    int32_t last = floor_of((int32_t)(w->width - 1 - w->left), (int32_t)g->right);
    uint32_t made = 0;
    for (int32_t i = first; i <= last; i++) {
        const int32_t column = i == last ? 0 : i + (i >= 0); /* the middle one, which is always there, comes last */
        const uint32_t *from = begin + 2 * (column + AROUND);
        const uint64_t count[2] = {from[1] - from[0], from[2] - from[1]};
        const uint64_t most = count[0] > count[1] ? count[0] : count[1];
        const uint64_t parts = one && !column ? 1 : (most + CHUNK - 1) / CHUNK;
        for (uint64_t part = 0; part < parts; part++) {
            uint32_t start = *place, written[2];
            for (uint32_t sign = 0; sign < 2; sign++)
                written[sign] = put_column(s, sorted + from[sign], count[sign] * part / parts,
                                           count[sign] * (part + 1) / parts,
                                           !sign ? start : paired ? start + 1 : start + written[0], 1 + paired);
            int16_t edge = column ? (int16_t)(uint16_t)(g->zero * (written[0] - written[1])) : more;
            if (paired) written[0] = written[1] = fill_pairs(s, g, start, written);
            else if (g->twos) fill_signs(s, g, start, written);
            *place = start + written[0] + written[1];
            chunks[made] = (Chunk){.start = start, .plus = (uint16_t)written[0], .minus = (uint16_t)written[1],
                                   .column = (int16_t)column, .edge = edge, .ends = !one,
                                   .part = one ? 0 : (uint16_t)made};
            made++;
        }
    }
    chunks[made - 1].ends = 1; /* there is one: without taps, that of the middle column */
    return made;
}

int mark_close(Step *s, const Grid *g, const Tensor *out) {
    s->length = g->slots * g->slot;
    s->real = calloc(s->length / 64 + 2, sizeof *s->real);
    for (uint32_t q = 0; s->real && q < s->length; q++) {
        uint32_t row = q % g->slot / g->close % g->parts * g->slots + q / g->slot;
        if (row < out->height && q % g->close < out->width) s->real[q / 64] |= (uint64_t)1 << q % 64;
    }
    return s->real != NULL;
}

size_t row_at(const Grid *g, uint32_t row) {
    return g->close ? (size_t)(row % g->slots) * g->slot + (size_t)(row / g->slots) * g->close : (size_t)row * g->row;
}

uint32_t places_of_row(const Grid *g, uint32_t row, ptrdiff_t at[PLACES]) {
    uint32_t count = 1;
    at[0] = (ptrdiff_t)row_at(g, row);
    for (uint32_t i = 0; g->close && i < g->parts; i++) {
        int32_t slot = (int32_t)row - (int32_t)(i * g->slots);
        if (slot < -(int32_t)g->above || slot >= (int32_t)(g->slots + g->below)) continue;
        if (slot >= 0 && slot < (int32_t)g->slots) continue;
        at[count++] = (ptrdiff_t)slot * g->slot + (ptrdiff_t)(i * g->close);
    }
    return count;
}
