/* A convolution of float32 numbers, for one size of register: included where these are defined.
 *
 *   TARGET                    instructions that may be used
 *   LANES, MOST               numbers in a register, and registers of sums of a tile
 *   Lanes                     a register
 *   all(x), load(at), store(at, a)
 *   madd(a, b, c)             a b + c, rounded once but on the portable path
 *   plus(a, b), above(a, b)   the sum; the larger, b where either is no number
 *   kept(a, bits)             a where the bit of its lane is set, 0 elsewhere
 *
 * A tile of pixels has its sums in registers while an output channel's taps are read once: of each, where it is and its
 * weight. Small tiles have several sums for each register of pixels, so that no multiplication waits for the last.
 */
#define ALWAYS static inline __attribute__((always_inline)) TARGET

/* Writes the pixels of a register up to the result's last: what comes after may be another channel. */
ALWAYS void put(float *at, Lanes a, uint32_t pixels) {
    if (pixels >= LANES) {
        store(at, a);
        return;
    }
    float some[LANES];
    store(some, a);
    for (uint32_t i = 0; i < pixels; i++) at[i] = some[i];
}

/* Taps `from` up to `to` of a layer: with weights of their own where `own` is set, else all of them `weight`. */
ALWAYS void add_taps(const float *in, const Step *s, uint32_t from, uint32_t to, float weight, const int own,
                     const int vectors, const int ways, Lanes *sum) {
    const uint32_t *distance = s->distances;
    const float *value = s->value;
    const Lanes same = all(weight);
    uint32_t i = from;
    for (; i + (uint32_t)ways <= to; i += (uint32_t)ways) {
#pragma GCC unroll 4
        for (int w = 0; w < ways; w++) {
            const uint32_t tap = i + (uint32_t)w;
            const float *at = in + distance[tap];
            const Lanes factor = own ? all(value[tap]) : same;
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++)
                sum[w * vectors + v] = madd(load(at + v * LANES), factor, sum[w * vectors + v]);
        }
    }
    for (; i < to; i++) {
        const float *at = in + distance[i];
        const Lanes factor = own ? all(value[i]) : same;
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) sum[v] = madd(load(at + v * LANES), factor, sum[v]);
    }
}

/* Pixels `q` to `q + pixels` of each channel. */
ALWAYS void one_tile(const FloatCall *call, uint32_t q, uint32_t pixels, const int own, const int vectors) {
    const Step *s = call->step;
    const int ways = vectors * 4 <= MOST ? 4 : vectors * 2 <= MOST ? 2 : 1;
    for (uint32_t channel = call->from; channel < call->to; channel++) {
        const uint32_t *begin = s->begin + 2 * channel;
        const float magnitude = own ? 0 : s->scale[channel];
        Lanes sum[MOST];
#pragma GCC unroll 16
        for (int v = 0; v < ways * vectors; v++) sum[v] = all(0);
        add_taps(call->in + q, s, begin[0], begin[1], magnitude, own, vectors, ways, sum);
        if (!own) add_taps(call->in + q, s, begin[1], begin[2], -magnitude, own, vectors, ways, sum);
        const Lanes bias = all(s->offset[channel]);
        const float *other = call->other ? call->other + channel * call->other_channel + q : NULL;
        float *out = call->out + channel * call->out_channel + q;
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
#pragma GCC unroll 4
            for (int w = 1; w < ways; w++) sum[v] = plus(sum[v], sum[w * vectors + v]);
            Lanes made = plus(sum[v], bias);
            if (other) made = plus(made, load(other + v * LANES));
            if (s->relu) made = above(all(0), made);
            made = kept(made, (uint32_t)real_bits(s->real, q + (uint32_t)v * LANES));
            put(out + v * LANES, made, pixels - (uint32_t)v * LANES);
        }
    }
}

#define CASE(n)                                                \
    case n:                                                    \
        if (call->step->value) one_tile(call, q, pixels, 1, n); \
        else one_tile(call, q, pixels, 0, n);                   \
        break;

static TARGET void run_tile(const FloatCall *call, uint32_t q, uint32_t pixels, uint32_t vectors) {
    switch (vectors) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#if MOST > 12
        CASE(13) CASE(14) CASE(15) CASE(16)
#endif
    }
}

#define FITS 32768 /* bytes of a tile's activations, of all channels, that should stay in the first cache */
#define FEWEST 4   /* registers of a tile all the same */

/* Registers of a tile: what an output channel's taps read is read again for the next. */
static uint32_t most(const FloatCall *call) {
    const Window *w = &call->step->window;
    const Grid *g = call->grid;
    const uint64_t beside = (w->height - 1) / w->down * (uint64_t)g->row + (w->width - 1) / w->right;
    const uint64_t numbers = FITS / sizeof(float) / g->channels / ((uint64_t)w->down * w->right);
    const uint64_t fit = numbers > beside ? (numbers - beside) / LANES : 0;
    return fit > MOST ? MOST : fit < FEWEST ? FEWEST : (uint32_t)fit;
}

/* Tiles as equal as can be. */
static TARGET void convolve(const FloatCall *call) {
    const uint32_t length = call->step->length, vectors = (length + LANES - 1) / LANES, fit = most(call);
    const uint32_t tiles = (vectors + fit - 1) / fit;
    for (uint32_t i = 0, from = 0; i < tiles; i++) {
        const uint32_t to = (uint32_t)((uint64_t)vectors * (i + 1) / tiles), q = from * LANES;
        run_tile(call, q, (to * LANES < length ? to * LANES : length) - q, to - from);
        from = to;
    }
}
