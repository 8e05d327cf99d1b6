/* AVX-512 over close grids (lay_close.c): 64 pixels a vector, all of whose loads are of whole cache lines.
 *
 * Bytes are added in pairs, as words: even + 256 odd; and the odd ones once more by themselves. Modulo 2^16 the sums
 * of both come out of the two. That is one load and three additions or shifts for 64 pixels, where bytes made words
 * take two loads, or loads across lines, and four.
 */
#include "finish_close.h"

#define FEW 2   /* slots of a grid whose taps lie in pairs */

typedef struct {
    __mmask32 even, odd; /* which words' pixels, moved, are in their row */
} Inside;

typedef struct {
    const ConvCall *call;
    Inside inside[2 * AROUND + 1]; /* of each column */
    __m512i order;                 /* 0 to 31 */
} Close;

/* In assembler, for compilers load what is used twice twice, and copy sums from one register to another. */
#define TAP(operation, which, at)                                                              \
    _Pragma("GCC unroll 8") for (int v = 0; v < slots; v++) {                                  \
        __m512i x = ((const __m512i *)(in + (size_t)(at) * LINE))[v];                          \
        __asm__("" : "+v"(x));                                                                 \
        __asm__(operation " %1, %0, %0" : "+v"(both[(which) * slots + v]) : "v"(x));           \
        x = _mm512_srli_epi16(x, 8);                                                           \
        __asm__(operation " %1, %0, %0" : "+v"(high[(which) * slots + v]) : "v"(x));           \
    }

/* Adds one column's taps to the sums of slots of 64 pixels, a constant here; `ways` partial sums of each where there are
 * few: one, or two or four for taps in pairs of which the second is subtracted. */
HELPER void add_column(const uint8_t *in, const uint16_t *distances, const Chunk *c, const int slots, const int ways,
                       __m512i *begun_both, __m512i *begun_high) {
    __m512i both[SLOTS], high[SLOTS];
#pragma GCC unroll 8
    for (int v = 0; v < slots * ways; v++) {
        both[v] = v < slots ? begun_both[v] : _mm512_setzero_si512();
        high[v] = v < slots ? begun_high[v] : _mm512_setzero_si512();
    }
    const uint16_t *at = distances + c->start, *middle = at + c->plus, *end = middle + c->minus;
    if (ways == 1) {
        for (; at < middle; at++) TAP("vpaddw", 0, at[0])
        for (; at < end; at++) TAP("vpsubw", 0, at[0])
    } else {
        for (; at < end; at += ways) {
            TAP("vpaddw", 0, at[0])
            TAP("vpsubw", 1, at[1])
            if (ways == 2) continue;
            TAP("vpaddw", 2 % ways, at[2])
            TAP("vpsubw", 3 % ways, at[3])
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < slots; v++) {
#pragma GCC unroll 4
        for (int w = 1; w < ways; w++) {
            both[v] = _mm512_add_epi16(both[v], both[w * slots + v]);
            high[v] = _mm512_add_epi16(high[v], high[w * slots + v]);
        }
        begun_both[v] = both[v], begun_high[v] = high[v];
    }
}
#undef TAP

/* Moves sums of a column to the pixels of the result that they belong to. */
HELPER void move(const Close *t, const Chunk *c, __m512i *even, __m512i *odd) {
    const Inside inside = t->inside[c->column + AROUND];
    const __m512i edge = _mm512_set1_epi16(c->edge);
    const int half = c->column >> 1; /* rounded down */
    const __m512i near = _mm512_add_epi16(t->order, _mm512_set1_epi16((short)half));
    const __m512i far = _mm512_add_epi16(near, _mm512_set1_epi16(1));
    const __m512i x = *even, y = *odd;
    if (c->column & 1) {
        *even = _mm512_mask_permutexvar_epi16(edge, inside.even, near, y);
        *odd = _mm512_mask_permutexvar_epi16(edge, inside.odd, far, x);
    } else {
        *even = _mm512_mask_permutexvar_epi16(edge, inside.even, near, x);
        *odd = _mm512_mask_permutexvar_epi16(edge, inside.odd, near, y);
    }
}

HELPER void widened(__m512i even, __m512i odd, __m512i sum[4]) {
    sum[0] = _mm512_srai_epi32(_mm512_slli_epi32(even, 16), 16);
    sum[1] = _mm512_srai_epi32(_mm512_slli_epi32(odd, 16), 16);
    sum[2] = _mm512_srai_epi32(even, 16);
    sum[3] = _mm512_srai_epi32(odd, 16);
}

/* Bytes of a slot whose row, so many rows of the slot before or after, is one of the same image. */
HELPER __mmask64 repeated(const Grid *g, int turns) {
    const uint32_t image = g->parts * g->close;
    const int moved = turns * (int)g->close;
    if (moved <= -(int)image || moved >= (int)image) return 0;
    __mmask64 there = image == LINE ? ~(__mmask64)0 : ((__mmask64)1 << image) - 1;
    if (moved < 0) there = there >> -moved << -moved;
    else there = there << (LINE - (int)image + moved) >> (LINE - (int)image + moved);
    for (uint32_t copied = image; copied < LINE; copied *= 2) there |= there << copied;
    return there;
}

/* Rows that slots before and after the image have once more. Those of padding have it for good. */
HELPER void repeat_rows(const Grid *g, uint8_t *first) {
    const int slots = (int)g->slots;
    if (g->parts == 1) return;
    for (int slot = -(int)g->above; slot < slots + (int)g->below; slot++) {
        if (slot >= 0 && slot < slots) {
            slot = slots - 1;
            continue;
        }
        int turns = slot >= 0 ? slot / slots : -((slots - 1 - slot) / slots);
        int moved = turns * (int)g->close; /* bytes further on in the slot that has them */
        const __mmask64 there = repeated(g, turns);
        if (!there) continue;
        const uint8_t *from = first + (slot - turns * slots) * LINE;
        __m512i x = _mm512_maskz_loadu_epi8(there, from + moved);
        _mm512_mask_storeu_epi8(first + slot * LINE, there, x);
    }
}

/* Of a channel whose sums fit 16 bits, over all columns, moved to where they do. Those of its middle column come last,
 * to which others' are added before its own: sums are moved, and stored, only as often as there are columns beside it. */
HELPER void sum_words(const Close *t, const uint8_t *in, const Chunk *c, const Chunk *last, const int slots,
                      const int ways, __m512i *both, __m512i *high) {
    const uint16_t *distances = t->call->step->distances;
    __m512i moved[SLOTS][2];
#pragma GCC unroll 8
    for (int v = 0; v < slots; v++) {
        both[v] = high[v] = _mm512_setzero_si512();
        moved[v][0] = moved[v][1] = _mm512_set1_epi16(last->edge);
    }
    for (; c < last; c++) {
        add_column(in, distances, c, slots, ways, both, high);
#pragma GCC unroll 8
        for (int v = 0; v < slots; v++) {
            __m512i even = _mm512_sub_epi16(both[v], _mm512_slli_epi16(high[v], 8)), odd = high[v];
            move(t, c, &even, &odd);
            moved[v][0] = _mm512_add_epi16(moved[v][0], even);
            moved[v][1] = _mm512_add_epi16(moved[v][1], odd);
            both[v] = high[v] = _mm512_setzero_si512();
        }
    }
    const int later = ways > 1; /* few slots: adding would wait for others' moves */
#pragma GCC unroll 8
    for (int v = 0; v < slots && !later; v++) {
        both[v] = _mm512_add_epi16(moved[v][0], _mm512_slli_epi16(moved[v][1], 8));
        high[v] = moved[v][1];
    }
    add_column(in, distances, last, slots, ways, both, high);
#pragma GCC unroll 8
    for (int v = 0; v < slots && later; v++) {
        both[v] = _mm512_add_epi16(both[v], _mm512_add_epi16(moved[v][0], _mm512_slli_epi16(moved[v][1], 8)));
        high[v] = _mm512_add_epi16(high[v], moved[v][1]);
    }
}

/* Of a channel whose chunks fit 16 bits each by itself. */
static TARGET __attribute__((noinline)) void add_chunk(const Close *t, const Chunk *c, const int slots, __m512i *both,
                                                       __m512i *high, __m512i whole[SLOTS][4]) {
    for (int v = 0; v < slots; v++) {
        __m512i sum[4], even = _mm512_sub_epi16(both[v], _mm512_slli_epi16(high[v], 8)), odd = high[v];
        if (c->column) move(t, c, &even, &odd);
        widened(even, odd, sum);
        for (int i = 0; i < 4; i++) whole[v][i] = _mm512_add_epi32(whole[v][i], sum[i]);
    }
}

HELPER void sum_whole(const Close *t, const uint8_t *in, const Chunk *c, const Chunk *end, const int slots,
                      const int ways, __m512i whole[SLOTS][4]) {
    for (int v = 0; v < slots; v++)
        for (int i = 0; i < 4; i++) whole[v][i] = _mm512_setzero_si512();
    for (; c < end; c++) {
        __m512i both[SLOTS], high[SLOTS];
#pragma GCC unroll 8
        for (int v = 0; v < slots; v++) both[v] = high[v] = _mm512_setzero_si512();
        add_column(in, t->call->step->distances, c, slots, ways, both, high);
        add_chunk(t, c, slots, both, high, whole);
    }
}

HELPER void close_tile(const Close *t, const uint32_t from, const int slots, const int ways) {
    const ConvCall *call = t->call;
    const Step *s = call->step;
    const uint8_t *in = call->in + (size_t)from * LINE;
    const int last = from + (uint32_t)slots == call->home->slots;
    Scaling scaling = scaling_of(call, call->from);
    Finish f = {.real = s->real + from, .between = _mm512_set1_epi8((char)call->out_zero)};
    for (uint32_t channel = call->from; channel < call->to; channel++) {
        const Chunk *c = &s->chunks[s->first_chunk[channel]], *end = &s->chunks[s->first_chunk[channel + 1]];
        uint8_t *out = call->out + channel * call->out_channel;
        scale_channel(&scaling, s, channel, end[-1].part ? 0 : end[-1].edge);
        f.other = (call->other ? call->other : call->in) + channel * call->other_channel + from * LINE;
        f.out = out + from * LINE;
        if (end[-1].part) {
            __m512i whole[SLOTS][4];
            sum_whole(t, in, c, end, slots, ways, whole);
            finish_whole(&f, &scaling, whole, slots);
        } else {
            __m512i both[SLOTS], high[SLOTS];
            sum_words(t, in, c, end - 1, slots, ways, both, high);
            if (!scaling.exact) finish_words(&f, &scaling, both, high, slots, 0, scaling.adds, scaling.first, 1);
            else if (!scaling.adds && scaling.shifts) finish_words(&f, &scaling, both, high, slots, 1, 0, 0, 1);
            else if (!scaling.adds) finish_words(&f, &scaling, both, high, slots, 1, 0, 0, 0);
            else finish_words(&f, &scaling, both, high, slots, 1, 1, scaling.first, 0);
        }
        if (last) repeat_rows(call->home, out);
    }
}

#define TILE(n, ways)                                                                                     \
    static TARGET __attribute__((noinline)) void close_tile_##n##_##ways(const Close *t, uint32_t from) { \
        close_tile(t, from, n, ways);                                                                     \
    }
TILE(1, 4) TILE(2, 2)
TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1)
#undef TILE

static TARGET void convolve_close(const ConvCall *call) {
    typedef void Tile(const Close *, uint32_t);
    static Tile *const few[FEW] = {close_tile_1_4, close_tile_2_2};
    static Tile *const many[SLOTS - FEW] = {close_tile_3_1, close_tile_4_1, close_tile_5_1,
                                            close_tile_6_1, close_tile_7_1, close_tile_8_1};
    Close t = {.call = call};
    uint16_t order[32];
    for (int j = 0; j < 32; j++) {
        order[j] = (uint16_t)j;
        for (int column = -AROUND; column <= AROUND; column++) {
            const int row = (int)call->grid->close, x = 2 * j % row;
            Inside *inside = &t.inside[column + AROUND];
            inside->even |= (__mmask32)(x + column >= 0 && x + column < row) << j;
            inside->odd |= (__mmask32)(x + 1 + column >= 0 && x + 1 + column < row) << j;
        }
    }
    t.order = _mm512_loadu_si512(order);
    const uint32_t slots = call->home->slots, tiles = (slots + SLOTS - 1) / SLOTS;
    for (uint32_t i = 0, from = 0; i < tiles; i++) {
        const uint32_t to = slots * (i + 1) / tiles;
        (slots <= FEW ? few[slots - 1] : many[to - from - FEW - 1])(&t, from);
        from = to;
    }
}

/* Every other pixel of every other row, from a close grid of twice the size. Row r of a phase is row 2 r + a of the
 * image, so a slot has rows of two slots of the image in turn. */
void spread_avx512(const Grid *from, const Grid *to, uint32_t channels, const uint8_t *first, uint8_t *out) TARGET;
void spread_avx512(const Grid *from, const Grid *to, uint32_t channels, const uint8_t *first, uint8_t *out) {
    const size_t phase = (size_t)(to->above + to->slots + to->below) * LINE;
    const __m512i wide = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), middle = _mm512_setr_epi64(0, 2, 1, 3, 4, 6, 5, 7);
    const __m512i narrow = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), low = _mm512_set1_epi16(255);
    const __m512i order = to->close == 32 ? wide : to->close == 16 ? middle : narrow;
    const int four = to->close == 4; /* two rows of one image, then of the next */
    for (uint32_t channel = 0; channel < channels; channel++, first += from->channel, out += to->channel)
        for (uint32_t a = 0; a < 2; a++) {
            uint8_t *even = out + 2 * a * phase, *odd = even + phase;
            for (uint32_t slot = 0; slot < to->slots; slot++) {
                const __m512i x = _mm512_loadu_si512(first + (2 * slot + a) * LINE);
                const __m512i y = _mm512_loadu_si512(first + (2 * slot + a + from->slots / 2) * LINE);
                __m512i e = _mm512_packus_epi16(_mm512_and_si512(x, low), _mm512_and_si512(y, low));
                __m512i o = _mm512_packus_epi16(_mm512_srli_epi16(x, 8), _mm512_srli_epi16(y, 8));
                if (four) e = _mm512_shuffle_epi32(e, _MM_PERM_DBCA), o = _mm512_shuffle_epi32(o, _MM_PERM_DBCA);
                _mm512_storeu_si512(even + slot * LINE, _mm512_permutexvar_epi64(order, e));
                _mm512_storeu_si512(odd + slot * LINE, _mm512_permutexvar_epi64(order, o));
            }
            repeat_rows(to, even);
            repeat_rows(to, odd);
        }
}
