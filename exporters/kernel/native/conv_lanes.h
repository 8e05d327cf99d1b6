/* The vector paths: included by one file for each instruction set, which defines
 *
 *   TARGET       the attribute that lets a function use it
 *   Lanes        a vector of LANES sums of 16 bits; MOST vectors and more fit its registers
 *   none()       zeros
 *   plus(a, at)  a with LANES unsigned bytes at `at` added; minus(a, at) with them subtracted
 *   join(a, b)   their sum
 *   store(at, a) writes LANES of int16_t
 *   finish(call, channel, q, pixels, sums, whole)  sums of pixels from q on to 8 bits; `whole`, where not NULL,
 *                has them in 32 bits; both may be read to the end of their last 64
 *
 * A tile is some vectors of pixels, for which the list of an output channel's taps is read once. Where there are
 * few vectors, several sums are kept for each, so that one addition need not wait for the last.
 */
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline)) TARGET

typedef struct {
    const ConvCall *call;
    uint32_t q, pixels; /* where the tile begins, and its pixels of the result */
} Tile;

/* Sums of one chunk over `vectors` vectors, with `ways` partial sums of each; both are constants here. */
ALWAYS void add_taps(const uint8_t *in, const void *distances, int wide, const Chunk *c, const int vectors,
                     const int ways, int16_t *sums) {
    Lanes sum[MOST];
#pragma GCC unroll 16
    for (int v = 0; v < vectors * ways; v++) sum[v] = none();
#define DISTANCE(i) (wide ? ((const uint32_t *)distances)[c->start + (i)] : ((const uint16_t *)distances)[c->start + (i)])
#define TAPS(from, to, operation)                                                                                \
    for (uint32_t i = (from), end = (to); i < end; i += (uint32_t)ways) {                                       \
        _Pragma("GCC unroll 4") for (int w = 0; w < ways; w++) {                                                \
            const uint8_t *at = in + DISTANCE(i + (uint32_t)w);                                                  \
            _Pragma("GCC unroll 16") for (int v = 0; v < vectors; v++)                                          \
                sum[w * vectors + v] = operation(sum[w * vectors + v], at + v * LANES);                          \
        }                                                                                                        \
    }
    TAPS(0, c->plus, plus)
    TAPS(c->plus, (uint32_t)c->plus + c->minus, minus)
#undef TAPS
#undef DISTANCE
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) {
#pragma GCC unroll 4
        for (int w = 1; w < ways; w++) sum[v] = join(sum[v], sum[w * vectors + v]);
        store(sums + v * LANES, sum[v]);
    }
}

ALWAYS void one_tile(const Tile *t, const int wide, const int vectors) {
    const ConvCall *call = t->call;
    const Step *s = call->step;
    const int ways = vectors * 4 <= MOST ? 4 : vectors * 2 <= MOST ? 2 : 1;
    const uint8_t *in = call->in + t->q;
    for (uint32_t channel = call->from; channel < call->to; channel++) {
        int16_t sums[(MOST * LANES + 63) / 64 * 64] __attribute__((aligned(64)));
        int32_t whole[(MOST * LANES + 63) / 64 * 64] __attribute__((aligned(64)));
        uint32_t c = s->first_chunk[channel], end = s->first_chunk[channel + 1];
        add_taps(in, s->distances, wide, &s->chunks[c], vectors, ways, sums);
        int several = end - c > 1;
        if (several) {
            for (int p = 0; p < vectors * LANES; p++) whole[p] = sums[p];
            while (++c < end) {
                add_taps(in, s->distances, wide, &s->chunks[c], vectors, ways, sums);
                for (int p = 0; p < vectors * LANES; p++) whole[p] += sums[p];
            }
        }
        finish(call, channel, t->q, t->pixels, sums, several ? whole : NULL);
    }
}

#define CASE(n)                                                     \
    case n:                                                         \
        if (t->call->step->wide) one_tile(t, 1, n);                 \
        else one_tile(t, 0, n);                                     \
        break;

static TARGET void run_tile(const Tile *t, uint32_t vectors) {
    switch (vectors) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#if MOST > 12
        CASE(13) CASE(14) CASE(15) CASE(16)
#endif
    }
}

/* Tiles as equal as can be. */
static TARGET void convolve(const ConvCall *call) {
    uint32_t length = call->step->length, vectors = (length + LANES - 1) / LANES, tiles = (vectors + MOST - 1) / MOST;
    for (uint32_t i = 0, from = 0; i < tiles; i++) {
        uint32_t to = (uint32_t)((uint64_t)vectors * (i + 1) / tiles), q = from * LANES;
        Tile t = {call, q, (to * LANES < length ? to * LANES : length) - q};
        run_tile(&t, to - from);
        from = to;
    }
}
