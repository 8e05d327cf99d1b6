/* Fills grids of strides other than 1. */
#include "spread.h"

#include <string.h>

#include "conv.h"
#include "lay_close.h"

/* Every `step`-th byte. For the usual stride of 2 eight bytes at a time, of which one past the last may be read. */
static inline void gather(uint8_t *to, const uint8_t *from, uint32_t count, uint32_t step) {
    uint32_t i = 0;
    if (step == 2)
        for (; i + 4 <= count; i += 4) {
            uint64_t x;
            memcpy(&x, from + 2 * i, 8);
            x &= 0x00ff00ff00ff00ffu;
            x = (x | x >> 8) & 0x0000ffff0000ffffu;
            uint32_t four = (uint32_t)(x | x >> 16);
            memcpy(to + i, &four, 4);
        }
    for (; i < count; i++) to[i] = from[(size_t)step * i];
}

#if defined(__x86_64__)
/* Whether a grid has every other pixel of every other row of another, both of whose slots are rows. */
static int halves_rows(const Grid *g, const Grid *from) {
    return g->down == 2 && g->right == 2 && from->close == 2 * g->close && from->slots == 2 * g->slots;
}
#endif

/* Fills a close grid of strides other than 1 from the tensor's home. */
static void spread_close(const Network *n, const Grid *g, Channels some, uint8_t *workspace) {
    const Tensor *t = &n->tensor[g->tensor];
    const Grid *from = home(n, g->tensor);
#if defined(__x86_64__)
    if (n->layout == CLOSE_ROWS && halves_rows(g, from)) {
        spread_avx2(from, g, some.to - some.from, first_pixel(n, g->tensor, workspace) + some.from * from->channel,
                    workspace + g->place + g->origin + some.from * g->channel);
        return;
    }
    if (n->layout != CLOSE_ROWS && g->down == 2 && g->right == 2 && from->close == 2 * g->close &&
        from->slots == 4 * g->slots && t->height == from->slots * from->parts) {
        spread_avx512(from, g, some.to - some.from, first_pixel(n, g->tensor, workspace) + some.from * from->channel,
                      workspace + g->place + g->origin + some.from * g->channel);
        return;
    }
#endif
    const size_t phase = (size_t)(g->above + g->slots + g->below) * g->slot;
    for (uint32_t y = 0; y < t->height; y++) {
        ptrdiff_t at[PLACES];
        uint32_t places = places_of_row(g, y / g->down, at);
        for (uint32_t part = 0; part < g->right; part++) {
            const uint8_t *x = first_pixel(n, g->tensor, workspace) + row_at(from, y) + part;
            uint8_t *to = workspace + g->place + g->origin + (y % g->down * g->right + part) * phase;
            for (uint32_t i = 0; i < places; i++)
                for (uint32_t channel = some.from; channel < some.to; channel++)
                    for (uint32_t image = 0; image < n->images; image++)
                        gather(to + at[i] + channel * g->channel + image_at(g, image),
                               x + channel * from->channel + image_at(from, image), t->width / g->right, g->right);
        }
    }
}

void spread(const Network *n, const Grid *g, Channels some, uint8_t *workspace) {
    const Tensor *t = &n->tensor[g->tensor];
    const Grid *from = home(n, g->tensor);
    if (g->close) {
        spread_close(n, g, some, workspace);
        return;
    }
    for (uint32_t part = 0; part < g->right; part++) {
        uint32_t first = (part + g->right - g->left % g->right) % g->right, column = (first + g->left) / g->right;
        if (first >= t->width || column >= g->row) continue;
        uint32_t count = (t->width - first + g->right - 1) / g->right;
        count = count < g->row - column ? count : g->row - column;
        const uint8_t *source = first_pixel(n, g->tensor, workspace) + first;
        for (uint32_t y = 0; y < t->height; y++) {
            uint32_t row = (y + g->top) / g->down, phase = (y + g->top) % g->down * g->right + part;
            if (row >= g->rows) continue;
            const uint8_t *x = source + row_at(from, y);
            uint8_t *to = workspace + g->place + ((size_t)phase * g->rows + row) * g->row + column;
            for (uint32_t channel = some.from; channel < some.to; channel++)
                gather(to + channel * g->channel, x + channel * from->channel, count, g->right);
        }
    }
}
