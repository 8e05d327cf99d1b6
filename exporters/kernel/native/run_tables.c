/* What runs over planes, besides the lookups: images in and out, from grids, and pooling. */
#include "tables.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#include <string.h>

#include "add.h"
#include "lay_close.h"

static uint8_t *first_of(const Tensor *t, uint8_t *workspace) { return workspace + t->plane.place + t->plane.origin; }

void copy_plane(const Tensor *t, Channels some, uint8_t *workspace, const uint8_t *from, uint8_t *to) {
    const Plane *p = &t->plane;
    const size_t pixels = (size_t)t->height * t->width;
    for (uint32_t y = 0; y < t->height; y++)
        for (uint32_t channel = some.from; channel < some.to; channel++) {
            uint8_t *inside = first_of(t, workspace) + y * p->row + channel;
            const size_t outside = channel * pixels + (size_t)y * t->width;
            if (from)
                for (uint32_t x = 0; x < t->width; x++) inside[(size_t)x * p->deep] = from[outside + x];
            else
                for (uint32_t x = 0; x < t->width; x++) to[outside + x] = inside[(size_t)x * p->deep];
        }
}

/* 16 channels of 16 pixels in a row: from channels `apart` bytes from each other, of which `there` are, to pixels. */
static void turn_16(const uint8_t *from, size_t apart, uint32_t there, __m128i pixel[16]) {
    __m128i next[16];
    for (uint32_t i = 0; i < 16; i++)
        pixel[i] = _mm_loadu_si128((const void *)(from + (i < there ? i : there - 1) * apart));
    for (int round = 0; round < 2; round++) { /* each takes two steps of a perfect shuffle */
        for (int i = 0; i < 8; i++) {
            next[2 * i] = _mm_unpacklo_epi8(pixel[i], pixel[i + 8]);
            next[2 * i + 1] = _mm_unpackhi_epi8(pixel[i], pixel[i + 8]);
        }
        for (int i = 0; i < 8; i++) {
            pixel[2 * i] = _mm_unpacklo_epi8(next[i], next[i + 8]);
            pixel[2 * i + 1] = _mm_unpackhi_epi8(next[i], next[i + 8]);
        }
    }
}

void turn_plane(const Tensor *t, const Grid *g, Channels some, uint8_t *workspace) {
    const uint8_t *source = workspace + g->place + g->origin;
    for (uint32_t channel = some.from; channel < some.to; channel += 16)
        for (uint32_t y = 0; y < t->height; y++)
            for (uint32_t x = 0; x < t->width; x += 16) {
                const uint32_t channels = some.to - channel, pixels = t->width - x;
                __m128i pixel[16];
                turn_16(source + channel * g->channel + row_at(g, y) + x, g->channel, channels, pixel);
                uint8_t *to = first_of(t, workspace) + y * t->plane.row + (size_t)x * t->plane.deep + channel;
                for (uint32_t i = 0; i < 16 && i < pixels; i++)
                    _mm_storeu_si128((void *)(to + i * t->plane.deep), pixel[i]);
            }
}

static void pool_pixel(const Tensor *in, const Window *w, int64_t row, int64_t column, Channels some,
                       uint8_t *workspace, uint8_t *to) {
    memset(to + some.from, 0, some.to - some.from);
    for (int64_t y = row; y < row + w->height; y++)
        for (int64_t x = column; x < column + w->width; x++) {
            if (y < 0 || x < 0 || y >= in->height || x >= in->width) continue;
            const uint8_t *from = first_of(in, workspace) + (size_t)y * in->plane.row + (size_t)x * in->plane.deep;
            for (uint32_t i = some.from; i < some.to; i++) to[i] = from[i] > to[i] ? from[i] : to[i];
        }
}

void pool_planes(const Network *n, const Step *s, Channels some, uint8_t *workspace) {
    const Tensor *in = &n->tensor[s->input], *out = &n->tensor[s->output];
    const Window *w = &s->window;
    for (uint32_t y = 0; y < out->height; y++)
        for (uint32_t x = 0; x < out->width; x++)
            pool_pixel(in, w, (int64_t)y * w->down - w->top, (int64_t)x * w->right - w->left, some, workspace,
                       first_of(out, workspace) + y * out->plane.row + (size_t)x * out->plane.deep);
}

void add_planes(const Network *n, const Step *s, Channels some, uint8_t *workspace) {
    const Tensor *a = &n->tensor[s->input], *b = &n->tensor[s->other], *out = &n->tensor[s->output];
    for (uint32_t y = 0; y < out->height; y++)
        for (uint32_t x = 0; x < out->width; x++)
            add_bytes(s, first_of(a, workspace) + y * a->plane.row + (size_t)x * a->plane.deep + some.from,
                      first_of(b, workspace) + y * b->plane.row + (size_t)x * b->plane.deep + some.from,
                      first_of(out, workspace) + y * out->plane.row + (size_t)x * out->plane.deep + some.from,
                      some.to - some.from);
}

void convolve_planes(const Network *n, const Step *s, Channels some, uint8_t *workspace) {
    const Tensor *in = &n->tensor[s->input], *out = &n->tensor[s->output];
    const Tensor *other = s->other == NONE ? NULL : &n->tensor[s->other];
    const ConvCall call = {
        .step = s,
        .from = some.from,
        .to = some.to,
        .in = first_of(in, workspace) - s->window.top * in->plane.row - (size_t)s->window.left * in->plane.deep,
        .other = other ? first_of(other, workspace) : NULL,
        .out = first_of(out, workspace),
        .source = in,
        .more = other,
        .target = out,
    };
    convolve_tables(&call);
}
#endif
