/* Where images lie, and how far from a pixel of the result each tap is.
 *
 * A convolution runs over the flat pixels of its input's grid, padding between rows included: pixel q of the
 * result is at q from where its channel begins, and tap (row, column) of a channel reads q + a constant. So one
 * list of distances serves every pixel, at any padding and stride. What is computed between rows is not kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floats.h"
#include "lay_close.h"
#include "tables.h"

#define SMALL 49 /* pixels of a result that is made by tables in a mixed layout: 7 x 7, for 8 x 8 fill a line */

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

uint32_t speaker(Grid *grid, uint32_t which) {
    while (grid[which].parent != which) which = grid[which].parent = grid[grid[which].parent].parent;
    return which;
}

static void join(Grid *grid, uint32_t a, uint32_t b) {
    a = speaker(grid, a), b = speaker(grid, b);
    grid[b].parent = a;
    grid[a].row = larger(grid[a].row, grid[b].row);
}

/* The grid of a tensor with these strides; a new one where there is none. */
static uint32_t grid_of(Network *n, uint32_t tensor, uint32_t down, uint32_t right) {
    for (uint32_t i = 0; i < n->grids; i++)
        if (n->grid[i].tensor == tensor && n->grid[i].down == down && n->grid[i].right == right) return i;
    n->grid[n->grids] = (Grid){.tensor = tensor, .down = down, .right = right, .parent = n->grids,
                               .channels = n->tensor[tensor].channels, .zero = n->tensor[tensor].zero};
    return n->grids++;
}

/* Pixels of a row and rows that a step reads, where the grid's padding is at least the step's. */
static void require_size(Network *n, const Step *s) {
    Grid *g = &n->grid[s->grid];
    const Tensor *out = &n->tensor[s->output], *in = &n->tensor[s->input];
    const Window *w = &s->window;
    uint32_t below = (w->height - 1 + g->top - w->top) / g->down, beside = (w->width - 1 + g->left - w->left) / g->right;
    uint32_t one = g->down == 1 && g->right == 1;
    g->rows = larger(g->rows, out->height + below);
    g->row = larger(g->row, one ? in->width + larger(w->rest, g->left) : out->width + beside);
}

static void choose_grids(Network *n) {
    for (uint32_t i = 0; i < n->tensors; i++) n->tensor[i].home = needs_home(n, i) ? grid_of(n, i, 1, 1) : NONE;
    for (uint32_t i = n->first; i < n->planar; i++) {
        Step *s = &n->step[i];
        if (s->kind == CONSTANT && n->images > 1) continue;
        uint32_t pooled = s->kind != CONV, before = n->grids; /* others go by rows: they read the home */
        s->grid = pooled ? n->tensor[s->input].home : grid_of(n, s->input, s->window.down, s->window.right);
        s->spread = n->grids > before && (n->images == 1 || s->input != n->cut);
        if (pooled) continue;
        Grid *g = &n->grid[s->grid];
        g->top = larger(g->top, s->window.top);
        g->left = larger(g->left, s->window.left);
    }
    for (uint32_t i = 0; i < n->tensors; i++) {
        if (n->tensor[i].home == NONE) continue;
        Grid *g = &n->grid[n->tensor[i].home];
        g->rows = g->top + n->tensor[i].height;
        g->row = g->left + n->tensor[i].width;
    }
    for (uint32_t i = n->first; i < n->planar; i++)
        if (n->step[i].kind == CONV) require_size(n, &n->step[i]);
    for (uint32_t i = n->first; i < n->planar; i++) {
        const Step *s = &n->step[i];
        if (s->kind != CONV) continue;
        join(n->grid, n->tensor[s->output].home, s->grid);
        if (s->other != NONE) join(n->grid, n->tensor[s->output].home, n->tensor[s->other].home);
    }
    for (uint32_t i = 0; i < n->grids; i++) n->grid[i].row = n->grid[speaker(n->grid, i)].row;
}

/* Whole cache lines where a channel fits one, so that no read is split; else off the powers of two, which
 * would put all channels into few sets of the cache. */
size_t channel_size(const Grid *g) {
    size_t used = (size_t)g->down * g->right * g->rows * g->row + g->left; /* the last row's padding */
    if (g->close) used = (size_t)g->down * g->right * (g->above + g->slots + g->below) * g->slot;
    if (g->unit == LINE) return used;
    if (used <= 32) return g->close ? 32 : 64;
    size_t found = (used + 31) / 32 * 32;
    return found % 512 ? found : found + 32;
}

static int place_grids(Network *n, char why[MESSAGE]) {
    for (uint32_t i = 0; i < n->grids; i++) {
        Grid *g = &n->grid[i];
        g->channel = channel_size(g);
        g->origin = g->close ? (size_t)g->above * g->slot : (size_t)g->top * g->row + g->left;
        g->size = (g->channel * (g->channels + 1) + SLACK + 63) / 64 * 64;
        g->place = n->workspace;
        n->workspace += g->size;
        if (n->workspace > MOST_MEMORY / bytes_each(n)) return snprintf(why, MESSAGE, "its images do not fit memory"), 0;
    }
    return 1;
}

size_t tap_distance(const Grid *g, const Window *w, uint32_t tap) {
    uint32_t column = tap % w->width + g->left - w->left, row = tap / w->width % w->height + g->top - w->top;
    uint32_t channel = tap / w->width / w->height, phase = row % g->down * g->right + column % g->right;
    return channel * g->channel + (phase * (size_t)g->rows + row / g->down) * g->row + column / g->right;
}

void put_distance(Step *s, uint32_t place, size_t value) {
    if (s->wide) ((uint32_t *)s->distances)[place] = (uint32_t)value;
    else ((uint16_t *)s->distances)[place] = (uint16_t)value;
}

/* Writes the taps of one sign that chunk `part` of `parts` has, filled up to whole fours; returns how many. */
static uint32_t put_sign(Step *s, const Grid *g, const uint32_t *taps, uint32_t minus, uint32_t part, uint32_t parts,
                         uint32_t place) {
    uint32_t count = taps[0], total = 0, seen = 0, written = 0;
    for (uint32_t i = 1; i <= count; i++) total += (taps[i] & 1) == minus;
    uint64_t low = (uint64_t)total * part / parts, high = (uint64_t)total * (part + 1) / parts;
    for (uint32_t i = 1; i <= count; i++)
        if ((taps[i] & 1) == minus && seen++ >= low && seen <= high)
            put_distance(s, place + written++, tap_distance(g, &s->window, taps[i] >> 1));
    while (written % 4) put_distance(s, place + written++, g->channels * g->channel);
    return written;
}

uint32_t parts_of(const uint32_t *taps, uint32_t *entries) {
    uint32_t signs[2] = {0, 0};
    for (uint32_t i = 1; i <= taps[0]; i++) signs[taps[i] & 1]++;
    uint32_t parts = larger(1, (larger(signs[0], signs[1]) + CHUNK - 1) / CHUNK);
    *entries = taps[0] + 6 * parts; /* at most three are filled up of either sign */
    return parts;
}

static int lay_out_taps(Network *n, Step *s, const uint32_t *taps) {
    const Grid *g = &n->grid[s->grid];
    uint32_t channels = n->tensor[s->output].channels, chunks = 0, each, place = 0;
    uint64_t entries = 0;
    uint32_t most = 0;
    const uint32_t *at = taps;
    for (uint32_t i = 0; i < channels; at += 1 + at[0], i++) {
        uint32_t parts = parts_of(at, &each);
        chunks += g->close ? s->window.width + 2 * parts : parts, entries += each, n->weights += at[0];
        if (g->close) entries += at[0] + 4 * (s->window.width + 2 * parts); /* as many of either sign, in twos */
        *(parts > 1 ? &n->chunked : &n->narrow) += 1;
        most = larger(most, at[0]);
    }
    if (entries > UINT32_MAX - 4) return 0; /* places are of 32 bits */
    s->wide = !g->close && g->channel * g->channels > UINT16_MAX;
    s->first_chunk = calloc(channels + 1, sizeof *s->first_chunk);
    s->chunks = calloc(chunks, sizeof *s->chunks);
    s->distances = calloc((size_t)entries + 4, s->wide ? 4 : 2);
    const size_t of_window = (size_t)s->window.height * s->window.width;
    Spot *spots = g->close ? calloc(of_window + 2 * (size_t)most, sizeof *spots) : NULL;
    if (!s->first_chunk || !s->chunks || !s->distances || (g->close && !spots)) return free(spots), 0;
    if (g->close) spots_of_window(s, g, spots);
    chunks = 0;
    for (uint32_t i = 0; i < channels; taps += 1 + taps[0], i++) {
        uint32_t parts = parts_of(taps, &each);
        s->first_chunk[i] = chunks;
        if (g->close) chunks += put_close(s, g, taps, spots, &s->chunks[chunks], &place);
        for (uint32_t part = 0; !g->close && part < parts; part++) {
            Chunk *c = &s->chunks[chunks++];
            c->start = place;
            place += c->plus = (uint16_t)put_sign(s, g, taps, 0, part, parts, place);
            place += c->minus = (uint16_t)put_sign(s, g, taps, 1, part, parts, place);
        }
    }
    s->first_chunk[channels] = chunks;
    free(spots);
    return 1;
}

static int mark_pixels(Network *n, Step *s) {
    const Grid *g = &n->grid[s->grid];
    const Tensor *out = &n->tensor[s->output];
    if (g->close) return mark_close(s, g, out);
    s->length = (out->height - 1) * g->row + out->width;
    s->real = calloc(s->length / 64 + 2, sizeof *s->real);
    if (!s->real) return 0;
    for (uint32_t q = 0; q < s->length; q++)
        if (q % g->row < out->width) s->real[q / 64] |= (uint64_t)1 << q % 64;
    return 1;
}

/* Whether tables are to make a step's result, in a mixed layout: where it is so small that most of a grid's lines would
 * be empty, and sums fit 32 bits. */
static int suits_tables(const Network *n, const Step *s) {
    const Tensor *made = &n->tensor[s->output], *in = &n->tensor[s->input];
    if ((uint64_t)made->height * made->width > SMALL) return 0;
    return s->kind != CONV || (uint64_t)in->channels * s->window.height * s->window.width <= MOST_TAPS;
}

/* From this step on all are by tables. */
static uint32_t first_planar(const Network *n) {
    uint32_t first = n->layout == TABLES ? 0 : n->steps;
    while (n->layout == MIXED && first && suits_tables(n, &n->step[first - 1])) first--;
    return first;
}

static int all_close(const Network *n) {
    uint32_t close = 0;
    for (uint32_t i = 0; i < n->grids; i++) close += n->grid[i].close > 0;
    return close == n->grids;
}

int network_lay_out(Network *n, uint32_t *const *taps, char why[MESSAGE]) {
    n->planar = first_planar(n);
    if (n->images > 1 && !choose_part(n)) return snprintf(why, MESSAGE, "no part of it suits several images"), 0;
    n->grid = calloc(n->tensors + n->steps, sizeof *n->grid);
    if (!n->grid) return snprintf(why, MESSAGE, "no memory"), 0;
    choose_grids(n);
    if (n->layout != ROWS && !choose_close(n)) return snprintf(why, MESSAGE, "no memory"), 0;
    if (n->images > 1 && !all_close(n)) return snprintf(why, MESSAGE, "no part of it suits several images"), 0;
    if (!place_grids(n, why)) return 0;
    for (uint32_t i = n->first; i < n->planar; i++)
        if (n->step[i].kind == CONV &&
            (!mark_pixels(n, &n->step[i]) ||
             !(n->floats ? lay_floats : lay_out_taps)(n, &n->step[i], taps[i])))
            return snprintf(why, MESSAGE, "no memory"), 0;
#if defined(__x86_64__)
    return n->planar == n->steps || n->images > 1 || lay_tables(n, taps, why);
#else
    return 1;
#endif
}
