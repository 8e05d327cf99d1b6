/* MANY images: the steps before a part one image after the other, the part for all at once, what follows one after the
 * other again (lay_many.c). */
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "lay_close.h"
#include "spread.h"

#define MOST_ROWS (LARGEST_STRIDE * WIDEST)

#if defined(__x86_64__)
#include <immintrin.h>

/* Every other byte of a row of 16, from a multiple of 16 on. */
static inline void split_row(const uint8_t *from, uint8_t *even, uint8_t *odd) {
    const __m128i x = _mm_load_si128((const void *)from);
    const __m128i both = _mm_packus_epi16(_mm_and_si128(x, _mm_set1_epi16(255)), _mm_srli_epi16(x, 8));
    _mm_storel_epi64((void *)even, both);
    _mm_storeh_pd((void *)odd, _mm_castsi128_pd(both));
}
#endif

/* Copies a row into a grid, all of whose places are of the phase: every `right`-th pixel. */
static inline void put_row(const Grid *g, const uint8_t *from, uint8_t *to, uint32_t row, uint32_t count) {
    ptrdiff_t at[PLACES];
    const uint32_t places = places_of_row(g, row, at);
    for (uint32_t i = 0; i < places; i++)
        for (uint32_t x = 0; x < count; x++) to[at[i] + (ptrdiff_t)x] = from[(size_t)x * g->right];
}

/* Where rows of a single image lie, and where those of its phase begin in a grid of several. */
typedef struct {
    const Grid *from, *to;
    uint32_t width, height;
    size_t source[MOST_ROWS], target[MOST_ROWS];
} Rows;

static Rows rows_of(const Tensor *t, const Grid *from, const Grid *to) {
    Rows r = {.from = from, .to = to, .width = t->width, .height = t->height};
    const size_t phase = (size_t)(to->above + to->slots + to->below) * LINE;
    for (uint32_t y = 0; y < t->height; y++) {
        r.source[y] = row_at(from, y);
        r.target[y] = y % to->down * to->right * phase;
    }
    return r;
}

#if defined(__x86_64__)
/* A channel of 16 x 16 pixels to four phases of 8 x 8. */
static inline void enter_halved(const Rows *r, const uint8_t *from, uint8_t *to) {
    const size_t phase = r->target[1] / 2;
    for (uint32_t y = 0; y < 16; y++) {
        uint8_t *even = to + r->target[y] + y / 2 * LINE;
        split_row(from + r->source[y], even, even + phase);
    }
}

static int is_halved(const Rows *r) {
    return r->to->right == 2 && r->to->down == 2 && r->to->parts == 1 && r->width == 16 && r->height == 16 &&
           r->from->close == 16;
}
#endif

/* A channel from where a single image lies to a grid of several. */
static void enter_channel(const Rows *r, const uint8_t *from, uint8_t *to) {
    const Grid *g = r->to;
    const size_t phase = (size_t)(g->above + g->slots + g->below) * LINE;
    for (uint32_t y = 0; y < r->height; y++)
        for (uint32_t part = 0; part < g->right; part++)
            put_row(g, from + r->source[y] + part, to + r->target[y] + part * phase, y / g->down, r->width / g->right);
}

/* The tensor that the part needs, to each grid that reads it. */
static void enter(const Network *one, const Network *many, uint32_t image, const uint8_t *from, uint8_t *to) {
    const Tensor *t = &many->tensor[many->cut];
    const Grid *source = home(one, many->cut);
    for (uint32_t i = 0; i < many->grids; i++) {
        const Grid *g = &many->grid[i];
        if (g->tensor != many->cut) continue;
        const uint8_t *in = from + source->place + source->origin;
        uint8_t *out = to + g->place + g->origin + image_at(g, image);
        const Rows rows = rows_of(t, source, g);
        void (*put)(const Rows *, const uint8_t *, uint8_t *) = enter_channel;
#if defined(__x86_64__)
        if (is_halved(&rows)) put = enter_halved;
#endif
        for (uint32_t channel = 0; channel < t->channels; channel++)
            put(&rows, in + channel * source->channel, out + channel * g->channel);
    }
}

/* All rows of all channels; for compilers, of a constant width. */
static inline void copy_rows(const Tensor *t, const uint8_t *in, size_t apart, const size_t *at, uint8_t *to,
                             const uint32_t width) {
    for (uint32_t channel = 0; channel < t->channels; channel++, in += apart)
        for (uint32_t y = 0; y < t->height; y++, to += width) memcpy(to, in + at[y], width);
}

/* What the part leaves of one image, channels first. */
static void leave(const Network *many, uint32_t image, const uint8_t *from, uint8_t *to) {
    const Tensor *t = &many->tensor[many->leave];
    const Grid *g = home(many, many->leave);
    const uint8_t *in = from + g->place + g->origin + image_at(g, image);
    size_t at[WIDEST];
    for (uint32_t y = 0; y < t->height; y++) at[y] = row_at(g, y);
    if (t->width == 4) copy_rows(t, in, g->channel, at, to, 4);
    else if (t->width == 8) copy_rows(t, in, g->channel, at, to, 8);
    else copy_rows(t, in, g->channel, at, to, t->width);
}

/* Whether a job of one image is one of those from a step on, copying it out included. */
static int follows(const Network *n, const Job *job, uint32_t step) {
    return job->step ? (uint32_t)(job->step - n->step) >= step : job->kind == EMPTY;
}

int run_many(Runner *r, Runner *of_many, const uint8_t *in, uint8_t *out, uint8_t *workspace) {
    const Network *one = r->network, *many = of_many->network;
    const size_t given = bytes_given(one), made = bytes_made(one);
    const Tensor *t = &many->tensor[many->leave];
    const int last = many->leave == one->output;
    uint8_t *side_by_side = take_workspace(of_many);
    uint8_t *left = last ? NULL : malloc((size_t)t->channels * t->height * t->width);
    const int good = side_by_side && (last || left);
    for (uint32_t i = 0; good && i < MANY; i++) {
        for (uint32_t j = 0; j < r->jobs && !follows(one, &r->job[j], many->first); j++)
            run_job(r, &r->job[j], 0, r->job[j].channels, in + i * given, NULL, workspace);
        enter(one, many, i, workspace, side_by_side);
    }
    for (uint32_t i = 0; good && i < of_many->jobs; i++) {
        const Job *job = &of_many->job[i];
        run_job(of_many, job, 0, job->channels, NULL, NULL, side_by_side);
    }
    for (uint32_t i = 0; good && i < MANY; i++) {
        leave(many, i, side_by_side, last ? out + i * made : left);
        if (last) continue;
        put_image(one, many->leave, workspace, left);
        for (uint32_t j = 0; j < r->jobs; j++)
            if (follows(one, &r->job[j], many->planar))
                run_job(r, &r->job[j], 0, r->job[j].channels, NULL, out + i * made, workspace);
    }
    free(left);
    if (side_by_side) give_workspace(of_many, side_by_side);
    return good;
}
