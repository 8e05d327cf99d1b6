/* Planes: images pixel after pixel, so that the channels of a pixel, and of those beside it, are lines of 64 bytes.
 *
 * A channel count is filled up to 16, 32 or a multiple of 64, and images have all the padding that their readers
 * need. Then what a window reads of a row is one run of bytes; a line of taps is 64 of these, at a distance that is
 * the same for every pixel. Strides cost nothing: pixels of the result are further apart.
 */
#include "tables.h"

#if defined(__x86_64__)
#include <stdio.h>
#include <stdlib.h>

#include "lay_close.h"

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Bytes of a pixel. Off multiples of 512, which would put many pixels into few sets of the cache. */
static uint32_t deep(uint32_t channels) {
    const uint32_t found = channels <= 16 ? 16 : channels <= 32 ? 32 : (channels + LINE - 1) / LINE * LINE;
    return found % 512 ? found : found + LINE;
}

/* Pixels that windows reach beyond the end of a side. */
static uint32_t beyond(uint32_t made, uint32_t stride, uint32_t window, uint32_t before, uint32_t side) {
    const uint32_t reached = (made - 1) * stride + window;
    return reached > before + side ? reached - before - side : 0;
}

static void require_padding(const Network *n, const Step *s) {
    const Tensor *in = &n->tensor[s->input], *out = &n->tensor[s->output];
    const Window *w = &s->window;
    Plane *p = &n->tensor[s->input].plane;
    p->top = larger(p->top, w->top);
    p->left = larger(p->left, w->left);
    p->bottom = larger(p->bottom, beyond(out->height, w->down, w->height, w->top, in->height));
    p->rest = larger(p->rest, beyond(out->width, w->right, w->width, w->left, in->width));
    /* a line's end, and pixels of a narrow result's fours that are not there */
    p->slack = larger(p->slack, LINE + (out->width < 4 ? 3 * w->right * p->deep : 0));
}

/* A plane for what a step by tables makes or reads; the first reader fills it where a grid has it. */
static void require_plane(Network *n, uint32_t tensor, uint32_t step) {
    Tensor *t = &n->tensor[tensor];
    t->plane.deep = deep(t->channels);
    if (!is_planar(n, tensor) && t->turned_by == NONE) t->turned_by = step;
}

static int place_planes(Network *n, char why[MESSAGE]) {
    for (uint32_t i = n->planar; i < n->steps; i++) {
        const Step *s = &n->step[i];
        require_plane(n, s->output, i);
        if (s->kind == CONSTANT) continue;
        require_plane(n, s->input, i);
        if (s->other != NONE) require_plane(n, s->other, i);
        if (s->kind == CONV) require_padding(n, s);
    }
    for (uint32_t i = 0; i < n->tensors; i++) {
        Plane *p = &n->tensor[i].plane;
        if (!p->deep) continue;
        p->row = (size_t)(p->left + n->tensor[i].width + p->rest) * p->deep;
        p->origin = p->top * p->row + (size_t)p->left * p->deep;
        p->size = ((p->top + n->tensor[i].height + p->bottom) * p->row + p->slack + 63) / 64 * 64;
        p->place = n->workspace;
        n->workspace += p->size;
        if (n->workspace > MOST_MEMORY) return snprintf(why, MESSAGE, "its images do not fit memory"), 0;
    }
    return 1;
}

/* Counts weights, and channels whose sums fit 16 bits, as other layouts report them. */
static void count_taps(Network *n, uint32_t channels, const uint32_t *taps) {
    for (uint32_t entries; channels--; taps += 1 + taps[0]) {
        n->weights += taps[0];
        *(parts_of(taps, &entries) > 1 ? &n->chunked : &n->narrow) += 1;
    }
}

static uint32_t most_taps(uint32_t channels, const uint32_t *taps) {
    uint32_t most = 0;
    for (; channels--; taps += 1 + taps[0]) most = larger(most, taps[0]);
    return most;
}

int lay_tables(Network *n, uint32_t *const *taps, char why[MESSAGE]) {
    if (!place_planes(n, why)) return 0;
    for (uint32_t i = n->planar; i < n->steps; i++) {
        Step *s = &n->step[i];
        if (s->kind != CONV) continue;
        const uint32_t channels = n->tensor[s->output].channels;
        if (most_taps(channels, taps[i]) > MOST_TAPS) return snprintf(why, MESSAGE, "its channels have too many taps"), 0;
        count_taps(n, channels, taps[i]);
        if (!pack_tables(&n->tensor[s->input].plane, s, channels, taps[i])) return snprintf(why, MESSAGE, "no memory"), 0;
    }
    return 1;
}
#endif
