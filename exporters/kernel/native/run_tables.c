/* What runs over planes, besides the lookups: images in and out, from grids, and pooling. */
#include "tables.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#include <string.h>

#include "add.h"
#include "lay_close.h"

static uint8_t *first_of(const Tensor *t, uint8_t *workspace) { return workspace + t->plane.place + t->plane.origin; }

/* 16 times 16 bytes turned: byte j of what lies at `from[i]` becomes byte i of `to[j]`. */
static void turn_16(const uint8_t *const from[16], __m128i to[16]) {
    __m128i next[16];
    for (int i = 0; i < 16; i++) to[i] = _mm_loadu_si128((const void *)from[i]);
    for (int round = 0; round < 2; round++) { /* each takes two steps of a perfect shuffle */
        for (int i = 0; i < 8; i++) {
            next[2 * i] = _mm_unpacklo_epi8(to[i], to[i + 8]);
            next[2 * i + 1] = _mm_unpackhi_epi8(to[i], to[i + 8]);
        }
        for (int i = 0; i < 8; i++) {
            to[2 * i] = _mm_unpacklo_epi8(next[i], next[i + 8]);
            to[2 * i + 1] = _mm_unpackhi_epi8(next[i], next[i + 8]);
        }
    }
}

void turn_plane(const Tensor *t, const Grid *g, Channels some, uint8_t *workspace) {
    const uint8_t *source = workspace + g->place + g->origin, *from[16];
    __m128i pixel[16];
    for (uint32_t channel = some.from; channel < some.to; channel += 16)
        for (uint32_t y = 0; y < t->height; y++)
            for (uint32_t x = 0; x < t->width; x += 16) {
                const uint8_t *at = source + channel * g->channel + row_at(g, y) + x;
                for (uint32_t i = 0; i < 16; i++) { /* the last one again, where there are no more */
                    from[i] = at;
                    if (channel + i + 1 < some.to) at += g->channel;
                }
                turn_16(from, pixel);
                uint8_t *to = first_of(t, workspace) + y * t->plane.row + (size_t)x * t->plane.deep + channel;
                for (uint32_t i = 0; i < 16 && x + i < t->width; i++)
                    _mm_storeu_si128((void *)(to + i * t->plane.deep), pixel[i]);
            }
}

void fill_plane(const Tensor *t, Channels some, uint8_t *workspace, const uint8_t *from) {
    const Plane *p = &t->plane;
    for (uint32_t channel = some.from; channel < some.to; channel++)
        for (uint32_t y = 0; y < t->height; y++) {
            uint8_t *inside = first_of(t, workspace) + y * p->row + channel;
            const uint8_t *outside = from + ((size_t)channel * t->height + y) * t->width;
            for (uint32_t x = 0; x < t->width; x++) inside[(size_t)x * p->deep] = outside[x];
        }
}

void empty_plane(const Tensor *t, Channels some, uint8_t *workspace, uint8_t *to) {
    const uint32_t pixels = t->height * t->width;
    const uint8_t *first = first_of(t, workspace), *from[16];
    __m128i channel[16];
    for (uint32_t pixel = 0; pixel < pixels; pixel += 16) {
        const uint32_t there = pixels - pixel < 16 ? pixels - pixel : 16;
        for (uint32_t c = some.from; c < some.to; c += 16) {
            for (uint32_t i = 0; i < 16; i++) {
                const uint32_t which = i < there ? pixel + i : pixels - 1;
                from[i] = first + which / t->width * t->plane.row + (size_t)(which % t->width) * t->plane.deep + c;
            }
            turn_16(from, channel);
            for (uint32_t i = 0; i < 16 && c + i < some.to; i++) {
                uint8_t *out = to + (size_t)(c + i) * pixels + pixel;
                if (there == 16) _mm_storeu_si128((void *)out, channel[i]);
                else memcpy(out, &channel[i], there);
            }
        }
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
