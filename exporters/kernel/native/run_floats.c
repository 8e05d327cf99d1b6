/* Runs the jobs of a network of float32 numbers. Padding is 0, and nothing ever writes another value there. */
#include "floats.h"
#include "lay_close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 4096 /* pixels of a row */

/* Those of a channel's taps that are added, or subtracted; with weights of their own all are added. */
static uint32_t put_some(Step *s, const Grid *g, const uint32_t *taps, uint32_t minus, uint32_t place) {
    for (uint32_t tap = 1; tap <= taps[0]; tap++)
        if ((s->value ? 0 : taps[tap] & 1) == minus)
            ((uint32_t *)s->distances)[place++] = (uint32_t)tap_distance(g, &s->window, taps[tap] >> 1);
    return place;
}

int lay_floats(Network *n, Step *s, const uint32_t *taps) {
    const Grid *g = &n->grid[s->grid];
    const uint32_t channels = n->tensor[s->output].channels;
    uint64_t count = 0;
    const uint32_t *at = taps;
    for (uint32_t i = 0; i < channels; i++, at += 1 + at[0]) count += at[0];
    s->begin = calloc(2 * (size_t)channels + 1, sizeof *s->begin);
    s->distances = calloc((size_t)count + 1, sizeof(uint32_t));
    if (count > UINT32_MAX || !s->begin || !s->distances) return 0;
    for (uint32_t i = 0; i < channels; i++, taps += 1 + taps[0]) {
        s->begin[2 * i + 1] = put_some(s, g, taps, 0, s->begin[2 * i]);
        s->begin[2 * i + 2] = put_some(s, g, taps, 1, s->begin[2 * i + 1]);
    }
    n->weights += count;
    return 1;
}

static const Grid *home(const Network *n, uint32_t tensor) { return &n->grid[n->tensor[tensor].home]; }

static float *grid_begin(const Grid *g, uint8_t *workspace) { return (float *)(void *)workspace + g->place; }

static float *first_pixel(const Network *n, uint32_t tensor, uint8_t *workspace) {
    const Grid *g = home(n, tensor);
    return grid_begin(g, workspace) + g->origin;
}

/* Copies an image of whole rows to or from its place. */
static void copy_image(const Network *n, uint32_t tensor, Channels some, uint8_t *workspace, const float *from,
                       float *to) {
    const Tensor *t = &n->tensor[tensor];
    const Grid *g = home(n, tensor);
    for (uint32_t channel = some.from; channel < some.to; channel++)
        for (uint32_t row = 0; row < t->height; row++) {
            float *inside = first_pixel(n, tensor, workspace) + channel * g->channel + row_at(g, row);
            const size_t outside = ((size_t)channel * t->height + row) * t->width;
            if (from) memcpy(inside, from + outside, t->width * sizeof *from);
            else memcpy(to + outside, inside, t->width * sizeof *to);
        }
}

void put_float_constant(const Network *n, const Step *s, uint8_t *workspace) {
    copy_image(n, s->output, (Channels){0, n->tensor[s->output].channels}, workspace, s->values, NULL);
}

/* Fills a grid of strides other than 1 from the tensor's home. Rows and columns that no tap reads are left out. */
static void spread(const Network *n, const Grid *g, Channels some, uint8_t *workspace) {
    const Tensor *t = &n->tensor[g->tensor];
    const Grid *from = home(n, g->tensor);
    for (uint32_t part = 0; part < g->right; part++) {
        const uint32_t first = (part + g->right - g->left % g->right) % g->right, column = (first + g->left) / g->right;
        if (first >= t->width || column >= g->row) continue;
        uint32_t count = (t->width - first + g->right - 1) / g->right;
        count = count < g->row - column ? count : g->row - column;
        for (uint32_t y = 0; y < t->height; y++) {
            const uint32_t row = (y + g->top) / g->down, phase = (y + g->top) % g->down * g->right + part;
            if (row >= g->rows) continue;
            const float *x = first_pixel(n, g->tensor, workspace) + first + row_at(from, y);
            float *to = grid_begin(g, workspace) + ((size_t)phase * g->rows + row) * g->row + column;
            for (uint32_t channel = some.from; channel < some.to; channel++)
                for (uint32_t i = 0; i < count; i++)
                    to[channel * g->channel + i] = x[channel * from->channel + (size_t)i * g->right];
        }
    }
}

ConvolveFloats floats_beside(Convolve convolve) {
#if defined(__x86_64__)
    if (convolve == convolve_avx2) return convolve_floats_avx2;
    if (convolve != convolve_portable) return convolve_floats_avx512;
#elif defined(__aarch64__)
    if (convolve == convolve_neon) return convolve_floats_neon;
#endif
    return (void)convolve, convolve_floats_portable;
}

static void conv(const Runner *r, const Step *s, Channels some, uint8_t *workspace) {
    const Network *n = r->network;
    const FloatCall call = {
        .step = s,
        .from = some.from,
        .to = some.to,
        .in = grid_begin(&n->grid[s->grid], workspace),
        .grid = &n->grid[s->grid],
        .other = s->other == NONE ? NULL : first_pixel(n, s->other, workspace),
        .out = first_pixel(n, s->output, workspace),
        .other_channel = s->other == NONE ? 0 : home(n, s->other)->channel,
        .out_channel = home(n, s->output)->channel,
    };
    floats_beside(r->convolve)(&call);
}

static void add(const Network *n, const Step *s, Channels some, uint8_t *workspace) {
    const Tensor *t = &n->tensor[s->output];
    const Grid *a = home(n, s->input), *b = home(n, s->other), *to = home(n, s->output);
    const int relu = (int)s->relu;
    for (uint32_t channel = some.from; channel < some.to; channel++)
        for (uint32_t y = 0; y < t->height; y++) {
            const float *u = first_pixel(n, s->input, workspace) + channel * a->channel + row_at(a, y);
            const float *v = first_pixel(n, s->other, workspace) + channel * b->channel + row_at(b, y);
            float *made = first_pixel(n, s->output, workspace) + channel * to->channel + row_at(to, y);
            for (uint32_t x = 0; x < t->width; x++) {
                const float sum = u[x] + v[x];
                made[x] = relu && sum < 0 ? 0 : sum;
            }
        }
}

static void largest(float *restrict to, const float *restrict from, size_t count, size_t step) {
    if (step == 1)
        for (size_t i = 0; i < count; i++) to[i] = to[i] > from[i] ? to[i] : from[i];
    else
        for (size_t i = 0; i < count; i++) to[i] = to[i] > from[step * i] ? to[i] : from[step * i];
}

/* The largest under the windows of a row of the result: of their rows first, then of columns. */
static void pool_row(const Step *s, const Tensor *source, const Grid *g, const float *in, uint32_t y, float *out,
                     uint32_t width) {
    float rows[LONGEST + 2 * 32];
    const uint32_t wide = s->window.left + source->width + s->window.rest;
    for (uint32_t i = 0; i < wide; i++) rows[i] = -INFINITY;
    for (uint32_t a = 0; a < s->window.height; a++) {
        const int64_t row = (int64_t)y * s->window.down + a - s->window.top;
        if (row >= 0 && row < source->height)
            largest(rows + s->window.left, in + row_at(g, (uint32_t)row), source->width, 1);
    }
    for (uint32_t i = 0; i < width; i++) out[i] = -INFINITY;
    for (uint32_t b = 0; b < s->window.width; b++) largest(out, rows + b, width, s->window.right);
}

static void pool(const Network *n, const Step *s, Channels some, uint8_t *workspace) {
    const Tensor *source = &n->tensor[s->input], *target = &n->tensor[s->output];
    const Grid *from = home(n, s->input), *to = home(n, s->output);
    for (uint32_t channel = some.from; channel < some.to; channel++)
        for (uint32_t y = 0; y < target->height; y++)
            pool_row(s, source, from, first_pixel(n, s->input, workspace) + channel * from->channel, y,
                     first_pixel(n, s->output, workspace) + channel * to->channel + row_at(to, y), target->width);
}

void run_float_job(const Runner *r, const Job *job, Channels some, const float *in, float *out, uint8_t *workspace) {
    const Network *n = r->network;
    if (job->kind == FILL) copy_image(n, n->input, some, workspace, in, NULL);
    else if (job->kind == EMPTY) copy_image(n, n->output, some, workspace, NULL, out);
    else if (job->kind == SPREAD) spread(n, &n->grid[job->step->grid], some, workspace);
    else if (job->step->kind == CONV) conv(r, job->step, some, workspace);
    else if (job->step->kind == ADD) add(n, job->step, some, workspace);
    else pool(n, job->step, some, workspace);
}
