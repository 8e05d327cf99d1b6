/* Sums of close grids' slots brought back to 8 bits and written (conv_close.h). */
#define SLOTS 8 /* most slots of a tile: 16 registers of sums */

/* 64 results, of which part i is that of pixels 4 j + i, as 32 bits. Packing takes four of each part in turn: of every
 * sixteen pixels 0, 4, 8, 12, then 1, 5, 9, 13, and so on. */
HELPER __m512i packed(const Scaling *c, const __m512i part[4]) {
    __m512i low = _mm512_packs_epi32(part[0], part[1]), high = _mm512_packs_epi32(part[2], part[3]);
    if (c->shifts) low = _mm512_adds_epi16(low, c->zeros), high = _mm512_adds_epi16(high, c->zeros);
    const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return _mm512_shuffle_epi8(_mm512_packus_epi16(low, high), order);
}

/* Bytes of pixels 4 j + i. */
HELPER __m512i every_fourth(__m512i bytes, const int i) {
    const __m512i byte = _mm512_srli_epi32(bytes, 8 * (unsigned)i); /* and the bytes above it */
    return i == 3 ? byte : _mm512_and_si512(byte, _mm512_set1_epi32(255));
}

/* Where the results of a tile go: which pixels are real, what is added, the first of them, what is between. */
typedef struct {
    const uint64_t *real;
    const uint8_t *other;
    uint8_t *out;
    __m512i between;
} Finish;

HELPER void write_slot(const Finish *f, const int v, __m512i result) {
    _mm512_storeu_si512(f->out + v * LINE, _mm512_mask_mov_epi8(f->between, f->real[v], result));
}

/* From sums of 16 bits. Multiplying pairs of words, one of which by 0, makes either a product of 32 bits. */
HELPER void finish_words(const Finish *f, const Scaling *scaling, const __m512i *both, const __m512i *high,
                         const int slots, const int exact, const int adds, const int first, const int shifts) {
    Scaling c = *scaling;
    c.exact = exact, c.adds = adds, c.first = first, c.shifts = shifts;
    const __m512i lower = _mm512_srli_epi32(_mm512_slli_epi32(c.whole_magnitude, 16), 16);
    const __m512i upper = _mm512_slli_epi32(c.whole_magnitude, 16);
#pragma GCC unroll 8
    for (int v = 0; v < slots; v++) {
        const __m512i even = _mm512_sub_epi16(both[v], _mm512_slli_epi16(high[v], 8)), odd = high[v];
        __m512i part[4], more = adds ? _mm512_loadu_si512(f->other + v * LINE) : even;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __m512i product = _mm512_madd_epi16(i % 2 ? odd : even, i < 2 ? lower : upper);
            const __m512 sum = _mm512_cvtepi32_ps(_mm512_add_epi32(product, c.whole_bias));
            part[i] = rounded(&c, sum, adds ? every_fourth(more, i) : more);
        }
        write_slot(f, v, packed(&c, part));
    }
}

static TARGET __attribute__((noinline)) void finish_whole(const Finish *f, const Scaling *c, __m512i whole[SLOTS][4],
                                                          const int slots) {
    for (int v = 0; v < slots; v++) {
        __m512i part[4], more = _mm512_setzero_si512();
        if (c->adds) more = _mm512_loadu_si512(f->other + v * LINE);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) part[i] = quantized(c, whole[v][i], every_fourth(more, i));
        write_slot(f, v, packed(c, part));
    }
}
