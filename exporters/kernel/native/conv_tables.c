/* AVX-512 with VBMI and VNNI: activations looked up in lines (pack_tables.c).
 *
 * Up to four fours of pixels, neighbours in a row, are made at a time, so that a step's places and weights are read
 * once for 16. A step of a pixel is a load with a lookup, and a multiplication: 0.75 cycles for up to 64 taps. Weights
 * are what a place's upper two bits are as they stand, 64 or -64, so sums are 64 times what they should be: see
 * MOST_TAPS for their range. After the four blocks of a group its 64 results are brought into order and written at once.
 */
#include "tables.h"

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni,avx2,fma,bmi2")))
#define HELPER static inline __attribute__((always_inline)) TARGET
#include "scaling_avx512.h"

#define FOURS 4
#define BLOCKS (GROUP / BLOCK)

/* Of each four pixels: where the first one's window begins, what is added, where the result goes, how many are real. */
typedef struct {
    const uint8_t *in[FOURS], *other[FOURS];
    uint8_t *out[FOURS];
    uint32_t real[FOURS];
} Tile;

/* A group of channels as it is scaled. */
typedef struct {
    Scaling of[BLOCKS];
    __m512i order, back; /* which channel is made at each place; where in what is packed each channel is */
    uint32_t bytes;      /* that are written: 16, 32 or 64 */
} Group;

HELPER Scaling scaling_of(const ConvCall *call, uint32_t channel) {
    const Step *s = call->step;
    const float zero = (float)s->zero;
    const __m512i magnitude = _mm512_loadu_si512(s->magnitude + channel), bias = _mm512_loadu_si512(s->bias + channel);
    return (Scaling){
        .magnitude = _mm512_mul_ps(_mm512_cvtepi32_ps(magnitude), _mm512_set1_ps(1.0F / TAKEN)), /* exact */
        .bias = _mm512_cvtepi32_ps(bias),
        .scale = _mm512_loadu_ps(s->scale + channel),
        .low = _mm512_set1_ps(-zero),
        .high = _mm512_set1_ps(LEVELS - zero),
        .zero = _mm512_set1_ps(zero),
        .own = _mm512_set1_ps(s->own_ratio),
        .other = _mm512_set1_ps(s->other_ratio),
        .fixed = _mm512_set1_ps(s->fixed),
        .whole_magnitude = magnitude,
        .whole_bias = bias,
        .zeros = call->other ? _mm512_setzero_si512() : _mm512_set1_epi16((short)s->zero),
    };
}

static TARGET Group group_of(const ConvCall *call, uint32_t channel) {
    Group g = {.bytes = call->target->plane.deep < GROUP ? call->target->plane.deep : GROUP};
    uint8_t back[GROUP];
    const uint8_t *order = call->step->order + channel;
    for (uint32_t i = 0; i < BLOCKS; i++) g.of[i] = scaling_of(call, channel + i * BLOCK);
    for (uint32_t i = 0; i < GROUP; i++) /* packing takes fours of the blocks in turn */
        back[order[i]] = (uint8_t)(i % BLOCK / 4 * BLOCK + i / BLOCK * 4 + i % 4);
    g.order = _mm512_loadu_si512(order);
    g.back = _mm512_loadu_si512(back);
    return g;
}

/* 16 sums of each of 4 `fours` pixels, a constant here. */
HELPER void look_up(const ConvCall *call, const Block *b, const Tile *t, const int fours, __m512i *out) {
    const size_t apart = (size_t)call->source->plane.deep * call->step->window.right;
    const uint32_t *line = call->step->lines + b->step, *end = line + b->steps;
    const __m512i *slots = (const void *)(call->step->slots + b->step * TABLE_STEP);
    __m512i sum[4 * FOURS];
#pragma GCC unroll 16
    for (int i = 0; i < 4 * fours; i++) sum[i] = _mm512_setzero_si512();
    for (; line < end; slots++, line++) {
        const __m512i places = *slots; /* of which a lookup takes the low 6 bits */
        const __m512i weights = _mm512_and_si512(places, _mm512_set1_epi8((char)(TAKEN | SUBTRACTED)));
#pragma GCC unroll 16
        for (int i = 0; i < 4 * fours; i++) {
            const __m512i a = _mm512_loadu_si512(t->in[i / 4] + *line + (unsigned)(i % 4) * apart);
            sum[i] = _mm512_dpbusd_epi32(sum[i], _mm512_permutexvar_epi8(places, a), weights);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4 * fours; i++) out[i] = sum[i];
}

#define LOOK_UP(n)                                                                                                 \
    static TARGET __attribute__((noinline)) void look_up_##n(const ConvCall *call, const Block *b, const Tile *t, \
                                                             __m512i *out) {                                      \
        look_up(call, b, t, n, out);                                                                               \
    }
LOOK_UP(1) LOOK_UP(2) LOOK_UP(3) LOOK_UP(4)
#undef LOOK_UP

/* As float32 a sum is taken 64 times too large, by a magnitude that is that much smaller: nothing is lost. */
HELPER __m512i summed(const Group *g, __m512i sum) {
    return g->of[0].exact ? sum : _mm512_srai_epi32(sum, TAKEN_BITS);
}

/* Up to 64 results of a pixel, from the sums of its blocks. */
HELPER void finish_pixel(const Group *g, const __m512i *sum, const uint8_t *other, uint8_t *out) {
    __m512i more = _mm512_setzero_si512(), part[BLOCKS];
    if (g->of[0].adds) { /* no more than is there: the last image may end here */
        more = g->bytes == 64   ? _mm512_loadu_si512(other)
               : g->bytes == 32 ? _mm512_zextsi256_si512(_mm256_loadu_si256((const void *)other))
                                : _mm512_zextsi128_si512(_mm_loadu_si128((const void *)other));
        more = _mm512_permutexvar_epi8(g->order, more);
    }
    part[0] = quantized(&g->of[0], summed(g, sum[0]), _mm512_cvtepu8_epi32(_mm512_castsi512_si128(more)));
    part[1] = quantized(&g->of[1], summed(g, sum[4 * FOURS]), _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(more, 1)));
    part[2] = quantized(&g->of[2], summed(g, sum[8 * FOURS]), _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(more, 2)));
    part[3] = quantized(&g->of[3], summed(g, sum[12 * FOURS]), _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(more, 3)));
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(part[0], part[1]), g->of[0].zeros);
    const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(part[2], part[3]), g->of[0].zeros);
    const __m512i result = _mm512_permutexvar_epi8(g->back, _mm512_packus_epi16(low, high));
    if (g->bytes == 64) _mm512_storeu_si512(out, result);
    else if (g->bytes == 32) _mm256_storeu_si256((void *)out, _mm512_castsi512_si256(result));
    else _mm_storeu_si128((void *)out, _mm512_castsi512_si128(result));
}

/* Results of the real pixels of a tile. Which kind of scaling it is, is a constant here. */
HELPER void finish(const ConvCall *call, const Group *group, const Tile *t, const uint32_t fours, const __m512i *sum,
                   const int exact, const int adds, const int first) {
    Group g = *group; /* in registers: a store of bytes may change anything in memory */
    for (int i = 0; i < BLOCKS; i++) g.of[i].exact = exact, g.of[i].adds = adds, g.of[i].first = first;
    const size_t apart = call->target->plane.deep, other_apart = adds ? call->more->plane.deep : 0;
    for (uint32_t four = 0; four < fours; four++) {
        const uint8_t *other = t->other[four];
        uint8_t *out = t->out[four];
        for (uint32_t i = 0; i < t->real[four]; i++, out += apart, other += other_apart)
            finish_pixel(&g, sum + 4 * four + i, other, out);
    }
}

#define FINISH(name, exact, adds, first)                                                                             \
    static TARGET __attribute__((noinline)) void finish_##name(const ConvCall *call, const Group *g, const Tile *t, \
                                                               uint32_t fours, const __m512i *sum) {                \
        finish(call, g, t, fours, sum, exact, adds, first);                                                          \
    }
FINISH(plain, 1, 0, 0)
FINISH(first, 1, 1, 1)
FINISH(second, 1, 1, 0)
FINISH(any, 0, call->other != NULL, (int)call->step->first)
#undef FINISH

static TARGET void run_tile(const ConvCall *call, const Group *g, uint32_t channel, const Tile *t, uint32_t fours) {
    typedef void LookUp(const ConvCall *, const Block *, const Tile *, __m512i *);
    static LookUp *const ways[FOURS] = {look_up_1, look_up_2, look_up_3, look_up_4};
    const Step *s = call->step;
    __m512i sum[BLOCKS][4 * FOURS];
    if (!fours) return;
    for (uint32_t i = 0; i < BLOCKS; i++) ways[fours - 1](call, &s->blocks[channel / BLOCK + i], t, sum[i]);
    if (!s->exact) finish_any(call, g, t, fours, sum[0]);
    else if (!call->other) finish_plain(call, g, t, fours, sum[0]);
    else if (s->first) finish_first(call, g, t, fours, sum[0]);
    else finish_second(call, g, t, fours, sum[0]);
}

/* A group of channels of every pixel. The last four pixels of a row are some of the four before once more, where its
 * length is no multiple. */
static TARGET void make_group(const ConvCall *call, uint32_t channel) {
    const Group g = group_of(call, channel);
    const Window *w = &call->step->window;
    const Plane *in = &call->source->plane, *out = &call->target->plane, *more = call->more ? &call->more->plane : out;
    const uint32_t height = call->target->height, width = call->target->width;
    Tile t;
    uint32_t fours = 0;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x += 4) {
            const size_t from = x + 4 <= width || width < 4 ? x : width - 4;
            t.in[fours] = call->in + y * w->down * in->row + from * w->right * in->deep;
            t.out[fours] = call->out + y * out->row + from * out->deep + channel;
            t.other[fours] = call->other ? call->other + y * more->row + from * more->deep + channel : NULL;
            t.real[fours++] = width < 4 ? width : 4;
            if (fours < FOURS) continue;
            run_tile(call, &g, channel, &t, fours);
            fours = 0;
        }
    run_tile(call, &g, channel, &t, fours);
}

void convolve_tables(const ConvCall *call) {
    for (uint32_t channel = call->from; channel < call->to; channel += GROUP) make_group(call, channel);
}

void convolve_mixed(const ConvCall *call) {
    if (call->source) convolve_tables(call);
    else convolve_avx512(call);
}
#endif
