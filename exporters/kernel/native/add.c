/* Sums of images by themselves; those behind a convolution are added as it is scaled (conv_*.c). */
#include "add.h"

#include <math.h>
#include <string.h>

#define ROUNDING 12582912.0f /* 1.5 * 2^23: added and taken off, it rounds to the nearest, halves to even */

/* a u + (b v + c), each product rounded with its sum: u is what is multiplied last. */
typedef struct {
    float a, b, c;
} Ratios;

static void add_anywhere(const Ratios *r, const uint8_t *u, const uint8_t *v, uint8_t *to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float value = fmaf(u[i], r->a, fmaf(v[i], r->b, r->c));
        value = value > 0 ? value : 0;
        value = value < LEVELS ? value : LEVELS;
        to[i] = (uint8_t)(value + ROUNDING - ROUNDING);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma"))) static __m128i add_8(const Ratios *r, __m128i u, __m128i v) {
    const __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(u)), y = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
    const __m256 near = _mm256_fmadd_ps(y, _mm256_set1_ps(r->b), _mm256_set1_ps(r->c));
    const __m256 value = _mm256_min_ps(_mm256_fmadd_ps(x, _mm256_set1_ps(r->a), near), _mm256_set1_ps(LEVELS));
    const __m256i whole = _mm256_cvtps_epi32(_mm256_max_ps(value, _mm256_setzero_ps()));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    return _mm_packus_epi16(words, words);
}

__attribute__((target("avx2,fma"))) static void add_fma(const Ratios *r, const uint8_t *u, const uint8_t *v,
                                                        uint8_t *to, size_t count) {
    for (; count >= 8; count -= 8, u += 8, v += 8, to += 8)
        _mm_storel_epi64((void *)to, add_8(r, _mm_loadl_epi64((const void *)u), _mm_loadl_epi64((const void *)v)));
    if (!count) return;
    uint8_t rest[2][8] = {{0}};
    memcpy(rest[0], u, count);
    memcpy(rest[1], v, count);
    _mm_storel_epi64((void *)rest[0], add_8(r, _mm_loadl_epi64((void *)rest[0]), _mm_loadl_epi64((void *)rest[1])));
    memcpy(to, rest[0], count);
}
#endif

void add_bytes(const Step *s, const uint8_t *u, const uint8_t *v, uint8_t *to, size_t count) {
    const Ratios r = {s->first ? s->own_ratio : s->other_ratio, s->first ? s->other_ratio : s->own_ratio, s->fixed};
    const uint8_t *last = s->first ? u : v, *next = s->first ? v : u;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        add_fma(&r, last, next, to, count);
        return;
    }
#endif
    add_anywhere(&r, last, next, to, count);
}
