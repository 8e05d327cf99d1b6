/* AVX-512: sums of 32 bits brought back to 8. Included where HELPER, with the instruction set, is defined. */
#include <immintrin.h>

#include "conv.h"

/* What brings sums back to 8 bits: each lane's output channel may be another. Values in registers: a store of bytes may
 * change anything in memory, as far as a compiler knows. */
typedef struct {
    __m512 magnitude, bias, scale, low, high, zero, own, other, fixed;
    __m512i whole_magnitude, whole_bias, zeros, order; /* the last two as the path likes them */
    int exact, adds, first, shifts; /* the last: whether `zeros` are not zeros */
} Scaling;

/* 16 sums times the magnitude, plus bias, as float32: of 24 bits (`exact`) float32 loses nothing on the way. */
HELPER __m512 biased(const Scaling *c, __m512i sum) {
    if (c->exact) return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), c->magnitude, c->bias);
    return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_mullo_epi32(sum, c->whole_magnitude), c->whole_bias));
}

/* 16 results of sums with their bias, still without the zero point where nothing is added and values are small. */
HELPER __m512i rounded(const Scaling *c, __m512 sum, __m512i other) {
    __m512 value = _mm512_mul_ps(sum, c->scale);
    if (!c->adds && c->exact) return _mm512_cvtps_epi32(value); /* packing saturates */
    value = _mm512_min_ps(_mm512_max_ps(value, c->low), c->high);
    if (!c->adds) return _mm512_cvtps_epi32(value);
    __m512 own = _mm512_add_ps(_mm512_roundscale_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), c->zero);
    __m512 more = _mm512_cvtepi32_ps(other);
    value = c->first ? _mm512_fmadd_ps(own, c->own, _mm512_fmadd_ps(more, c->other, c->fixed))
                     : _mm512_fmadd_ps(more, c->other, _mm512_fmadd_ps(own, c->own, c->fixed));
    return _mm512_cvtps_epi32(value);
}

HELPER __m512i quantized(const Scaling *c, __m512i sum, __m512i other) { return rounded(c, biased(c, sum), other); }
