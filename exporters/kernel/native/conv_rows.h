/* AVX2 over close grids whose slots are rows (lay_close.c): 32 pixels a vector, or 16 of four rows of four.
 *
 * Of 32 pixels bytes are added in pairs, as words: even + 256 odd; and the odd ones once more by themselves. Modulo
 * 2^16 the sums of both come out of the two. That is one load and three additions or shifts for 32 pixels, where bytes
 * made words take two loads and four. Of 16 pixels bytes are made words as they are loaded.
 */
#define VECTORS 6 /* most of a tile: 12 registers of sums */

typedef struct {
    const ConvCall *call;
    __m256i first[2], last[2]; /* words whose pixel is the first, or the last, of its row, of every other vector */
} Rows;

/* In assembler, for compilers load what is used twice twice, and copy sums from one register to another. */
#define TAP(operation, at)                                                                           \
    {                                                                                                \
        const uint8_t *from = in + (size_t)unit * (at);                                              \
        _Pragma("GCC unroll 6") for (int v = 0; v < vectors; v++) {                                  \
            __m256i x = _mm256_loadu_si256((const void *)(from + 32 * v));                           \
            __asm__("" : "+x"(x));                                                                   \
            __asm__(operation " %1, %0, %0" : "+x"(both[v]) : "x"(x));                               \
            x = _mm256_srli_epi16(x, 8);                                                             \
            __asm__(operation " %1, %0, %0" : "+x"(odd[v]) : "x"(x));                                \
        }                                                                                            \
    }

/* Sums of one column's taps over vectors of 32 pixels, a constant here. */
HELPER void add_rows(const uint8_t *in, const uint16_t *distances, const Chunk *c, const int vectors, const int unit,
                     __m256i *even, __m256i *odd) {
    __m256i both[VECTORS];
#pragma GCC unroll 6
    for (int v = 0; v < vectors; v++) both[v] = odd[v] = _mm256_setzero_si256();
    const uint16_t *at = distances + c->start, *middle = at + c->plus, *end = middle + c->minus;
    if (vectors <= 2) { /* they are in twos */
        for (; at < middle; at += 2) {
            TAP("vpaddw", at[0])
            TAP("vpaddw", at[1])
        }
        for (; at < end; at += 2) {
            TAP("vpsubw", at[0])
            TAP("vpsubw", at[1])
        }
    } else {
        for (; at < middle; at++) TAP("vpaddw", at[0])
        for (; at < end; at++) TAP("vpsubw", at[0])
    }
#pragma GCC unroll 6
    for (int v = 0; v < vectors; v++) even[v] = _mm256_sub_epi16(both[v], _mm256_slli_epi16(odd[v], 8));
}
#undef TAP

/* Words one further on, or one before; what comes in from the next vector, or the one before it. */
HELPER __m256i word_later(__m256i x, __m256i next) {
    return _mm256_alignr_epi8(_mm256_permute2x128_si256(x, next, 0x21), x, 2);
}
HELPER __m256i word_earlier(__m256i x, __m256i before) {
    return _mm256_alignr_epi8(x, _mm256_permute2x128_si256(before, x, 0x21), 14);
}

/* Moves sums of a column to the pixels of the result that they belong to. */
HELPER void move_rows(const Rows *t, const Chunk *c, const int vectors, __m256i *even, __m256i *odd) {
    const __m256i edge = _mm256_set1_epi16(c->edge);
    if (c->column > 0) {
#pragma GCC unroll 6
        for (int v = 0; v < vectors; v++) {
            const __m256i later = word_later(even[v], even[v + 1 < vectors ? v + 1 : v]);
            even[v] = odd[v];
            odd[v] = _mm256_blendv_epi8(later, edge, t->last[v % 2]);
        }
    } else {
#pragma GCC unroll 6
        for (int v = vectors - 1; v >= 0; v--) {
            const __m256i earlier = word_earlier(odd[v], odd[v > 0 ? v - 1 : v]);
            odd[v] = even[v];
            even[v] = _mm256_blendv_epi8(earlier, edge, t->first[v % 2]);
        }
    }
}

/* 32 results from sums of 32 bits, of which vector i has those of pixels 4 j + i. */
HELPER __m256i bytes_of_rows(const Scaling *c, const __m256i sum[4], const uint8_t *other) {
    __m256i value[4], more = _mm256_setzero_si256();
    if (c->adds) more = _mm256_loadu_si256((const void *)other);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m256i byte = _mm256_srli_epi32(more, 8 * i); /* and the bytes above it */
        value[i] = quantized(c, sum[i], i == 3 ? byte : _mm256_and_si256(byte, _mm256_set1_epi32(255)));
    }
    /* Packing takes four of each vector in turn: of every sixteen pixels 0, 4, 8, 12, then 1, 5, 9, 13, and so on. */
    const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32(value[0], value[1]), c->zeros);
    const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32(value[2], value[3]), c->zeros);
    const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return _mm256_shuffle_epi8(_mm256_packus_epi16(low, high), order);
}

HELPER void widened_rows(__m256i even, __m256i odd, __m256i sum[4]) {
    sum[0] = _mm256_srai_epi32(_mm256_slli_epi32(even, 16), 16);
    sum[1] = _mm256_srai_epi32(_mm256_slli_epi32(odd, 16), 16);
    sum[2] = _mm256_srai_epi32(even, 16);
    sum[3] = _mm256_srai_epi32(odd, 16);
}

/* Where the results of a tile go: which pixels are real, from which on, what is added, the first of them, what is between. */
typedef struct {
    const uint64_t *real;
    uint32_t q;
    const uint8_t *other;
    uint8_t *out;
    __m256i between;
} Finish;

/* Which kind of scaling it is, is a constant here where that is worth it. */
HELPER void finish_rows(const Finish *f, const Scaling *scaling, __m256i total[VECTORS][2], __m256i whole[VECTORS][4],
                        const int vectors, const int several, const int exact, const int adds, const int first) {
    Scaling c = *scaling;
    c.exact = exact, c.adds = adds, c.first = first;
#pragma GCC unroll 6
    for (int v = 0; v < vectors; v++) {
        __m256i sum[4];
        if (!several) widened_rows(total[v][0], total[v][1], sum);
        __m256i result = bytes_of_rows(&c, several ? whole[v] : sum, f->other + 32 * v);
        const uint32_t q = f->q + 32 * (uint32_t)v, bits = (uint32_t)(f->real[q / 64] >> q % 64);
        if (bits != UINT32_MAX) result = _mm256_blendv_epi8(f->between, result, mask_of(bits));
        _mm256_storeu_si256((void *)(f->out + 32 * v), result);
    }
}

HELPER void rows_tile(const Rows *t, const uint32_t q, const int vectors, const int unit) {
    const ConvCall *call = t->call;
    const Step *s = call->step;
    const uint8_t *in = call->in + q;
    const __m256i between = _mm256_set1_epi8((char)call->out_zero);
    for (uint32_t channel = call->from; channel < call->to; channel++) {
        const Chunk *c = &s->chunks[s->first_chunk[channel]], *end = &s->chunks[s->first_chunk[channel + 1]];
        __m256i even[VECTORS], odd[VECTORS], total[VECTORS][2], whole[VECTORS][4];
        const int several = end[-1].part > 0;
        for (int first = 1, before = 0; c < end; c++) {
            add_rows(in, s->distances, c, vectors, unit, even, odd);
            if (c->column) move_rows(t, c, vectors, even, odd);
            if (!first)
#pragma GCC unroll 6
                for (int v = 0; v < vectors; v++) {
                    even[v] = _mm256_add_epi16(even[v], total[v][0]);
                    odd[v] = _mm256_add_epi16(odd[v], total[v][1]);
                }
#pragma GCC unroll 6
            for (int v = 0; v < vectors; v++) total[v][0] = even[v], total[v][1] = odd[v];
            first = (int)c->ends;
            if (!first || !several) continue;
            for (int v = 0; v < vectors; v++) {
                __m256i sum[4];
                widened_rows(total[v][0], total[v][1], sum);
                for (int i = 0; i < 4; i++) whole[v][i] = before ? _mm256_add_epi32(whole[v][i], sum[i]) : sum[i];
            }
            before = 1;
        }
        const Scaling scaling = scaling_of(call, channel);
        const uint8_t *other = (call->other ? call->other : call->in) + channel * call->other_channel + q;
        const Finish f = {s->real, q, other, call->out + channel * call->out_channel + q, between};
        if (several) finish_rows(&f, &scaling, total, whole, vectors, 1, scaling.exact, scaling.adds, scaling.first);
        else if (scaling.exact && !scaling.adds) finish_rows(&f, &scaling, total, whole, vectors, 0, 1, 0, 0);
        else if (scaling.exact && scaling.first) finish_rows(&f, &scaling, total, whole, vectors, 0, 1, 1, 1);
        else finish_rows(&f, &scaling, total, whole, vectors, 0, scaling.exact, scaling.adds, scaling.first);
    }
}

#define TILE(n, unit)                                                                              \
    static TARGET __attribute__((noinline)) void rows_tile_##n##_##unit(const Rows *t, uint32_t q) { \
        rows_tile(t, q, n, unit);                                                                  \
    }
TILE(1, 8) TILE(2, 8) TILE(3, 8) TILE(4, 8) TILE(5, 8) TILE(6, 8)
TILE(2, 64) TILE(4, 64) TILE(6, 64)
#undef TILE

/* Sums of one column's taps over 16 pixels; taps lie in pairs, of which the second is subtracted. */
HELPER __m256i add_half(const uint8_t *in, const uint16_t *distances, const Chunk *c) {
    __m256i sum[4] = {none(), none(), none(), none()};
    const uint16_t *at = distances + c->start, *end = at + c->plus + c->minus;
    for (; at < end; at += 4) {
        sum[0] = plus(sum[0], in + 4 * (size_t)at[0]);
        sum[1] = minus(sum[1], in + 4 * (size_t)at[1]);
        sum[2] = plus(sum[2], in + 4 * (size_t)at[2]);
        sum[3] = minus(sum[3], in + 4 * (size_t)at[3]);
    }
    return join(join(sum[0], sum[1]), join(sum[2], sum[3]));
}

/* Images of up to four rows of four. */
static TARGET __attribute__((noinline)) void half_tile(const Rows *t) {
    const ConvCall *call = t->call;
    const Step *s = call->step;
    const __m128i between = _mm_set1_epi8((char)call->out_zero);
    const __m128i real = _mm256_castsi256_si128(mask_of((uint32_t)s->real[0]));
    for (uint32_t channel = call->from; channel < call->to; channel++) {
        const Chunk *c = &s->chunks[s->first_chunk[channel]], *end = &s->chunks[s->first_chunk[channel + 1]];
        __m256i total = none(), whole[2] = {none(), none()};
        for (; c < end; c++) {
            __m256i sum = add_half(call->in, s->distances, c);
            const __m256i edge = _mm256_set1_epi16(c->edge);
            if (c->column > 0) sum = _mm256_blendv_epi8(word_later(sum, sum), edge, t->last[0]);
            if (c->column < 0) sum = _mm256_blendv_epi8(word_earlier(sum, sum), edge, t->first[0]);
            total = join(total, sum);
            if (!c->ends) continue;
            whole[0] = _mm256_add_epi32(whole[0], _mm256_cvtepi16_epi32(_mm256_castsi256_si128(total)));
            whole[1] = _mm256_add_epi32(whole[1], _mm256_cvtepi16_epi32(_mm256_extracti128_si256(total, 1)));
            total = none();
        }
        const Scaling scaling = scaling_of(call, channel);
        const uint8_t *other = (call->other ? call->other : call->in) + channel * call->other_channel;
        for (int i = 0; i < 2; i++)
            whole[i] = quantized(&scaling, whole[i], scaling.adds ? eight(other + 8 * i) : whole[i]);
        __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(whole[0], whole[1]), 0xd8);
        words = _mm256_adds_epi16(words, scaling.zeros);
        const __m128i result = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((void *)(call->out + channel * call->out_channel), _mm_blendv_epi8(between, result, real));
    }
}

static TARGET void convolve_rows(const ConvCall *call) {
    typedef void Tiles(const Rows *, uint32_t);
    static Tiles *const narrow[VECTORS] = {rows_tile_1_8, rows_tile_2_8, rows_tile_3_8,
                                           rows_tile_4_8, rows_tile_5_8, rows_tile_6_8};
    static Tiles *const wide[VECTORS / 2] = {rows_tile_2_64, rows_tile_4_64, rows_tile_6_64};
    const uint32_t row = call->home->close, half = row == 4, each = row == 64 ? 2 : 1; /* vectors that stay together */
    Rows t = {.call = call};
    for (uint32_t v = 0; v < 2; v++) {
        uint16_t first[16], last[16];
        for (uint32_t j = 0; j < 16; j++) {
            const uint32_t x = 32 * v + (half ? j : 2 * j); /* words of odd pixels have one more */
            first[j] = x % row == 0 ? UINT16_MAX : 0;
            last[j] = (x + 1 + !half) % row == 0 ? UINT16_MAX : 0;
        }
        t.first[v] = _mm256_loadu_si256((const void *)first);
        t.last[v] = _mm256_loadu_si256((const void *)last);
    }
    if (half) {
        half_tile(&t);
        return;
    }
    const uint32_t parts = (call->step->length + 31) / 32 / each, most = VECTORS / each;
    const uint32_t tiles = (parts + most - 1) / most;
    for (uint32_t i = 0, from = 0; i < tiles; i++) {
        const uint32_t to = parts * (i + 1) / tiles;
        (each == 2 ? wide : narrow)[to - from - 1](&t, 32 * each * from);
        from = to;
    }
}

/* Every other pixel of every other row. */
void spread_avx2(const Grid *from, const Grid *to, uint32_t channels, const uint8_t *first, uint8_t *out) TARGET;
void spread_avx2(const Grid *from, const Grid *to, uint32_t channels, const uint8_t *first, uint8_t *out) {
    const size_t phase = (size_t)(to->above + to->slots + to->below) * to->slot, row = to->slot;
    const __m128i low = _mm_set1_epi16(255);
    for (uint32_t channel = 0; channel < channels; channel++, first += from->channel, out += to->channel)
        for (uint32_t y = 0; y < from->slots; y++) {
            const uint8_t *at = first + (size_t)y * from->slot;
            uint8_t *even = out + 2 * (y % 2) * phase + y / 2 * row, *odd = even + phase;
            for (size_t i = 0; i + 16 <= row; i += 16) {
                const __m128i x = _mm_loadu_si128((const void *)(at + 2 * i));
                const __m128i more = _mm_loadu_si128((const void *)(at + 2 * i + 16));
                const __m128i evens = _mm_packus_epi16(_mm_and_si128(x, low), _mm_and_si128(more, low));
                _mm_storeu_si128((void *)(even + i), evens);
                _mm_storeu_si128((void *)(odd + i), _mm_packus_epi16(_mm_srli_epi16(x, 8), _mm_srli_epi16(more, 8)));
            }
            if (row >= 16) continue;
            const __m128i x = _mm_loadu_si128((const void *)at);
            const __m128i both = _mm_packus_epi16(_mm_and_si128(x, low), _mm_srli_epi16(x, 8)); /* of 16 pixels, or twice 8 */
            if (row == 8) {
                _mm_storel_epi64((void *)even, both);
                _mm_storeh_pd((void *)odd, _mm_castsi128_pd(both));
            } else {
                _mm_storeu_si32(even, both);
                _mm_storeu_si32(odd, _mm_bsrli_si128(both, 8));
            }
        }
}
