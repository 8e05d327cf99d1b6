/* AVX-512 (F, BW, VL): 32 sums in a register. */
#include "conv.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi2")))
#define LANES 32
#define MOST 16
typedef __m512i Lanes;

#define HELPER static inline __attribute__((always_inline)) TARGET
HELPER Lanes none(void) { return _mm512_setzero_si512(); }
HELPER Lanes bytes(const uint8_t *at) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)at)); }
HELPER Lanes plus(Lanes a, const uint8_t *at) { return _mm512_add_epi16(a, bytes(at)); }
HELPER Lanes minus(Lanes a, const uint8_t *at) { return _mm512_sub_epi16(a, bytes(at)); }
HELPER Lanes join(Lanes a, Lanes b) { return _mm512_add_epi16(a, b); }
HELPER void store(int16_t *at, Lanes a) { _mm512_storeu_si512(at, a); }

HELPER __m512 clamped(__m512 value, float low, float high) {
    return _mm512_min_ps(_mm512_max_ps(value, _mm512_set1_ps(low)), _mm512_set1_ps(high));
}

HELPER void finish16(const ConvCall *call, uint32_t channel, uint32_t q, const int16_t *sums16, const int32_t *sums32) {
    const Step *s = call->step;
    float zero = (float)s->zero;
    __m512i sum = sums32 ? _mm512_loadu_si512(sums32)
                         : _mm512_cvtepi16_epi32(_mm256_loadu_si256((const void *)sums16));
    sum = _mm512_add_epi32(_mm512_mullo_epi32(sum, _mm512_set1_epi32(s->magnitude[channel])),
                           _mm512_set1_epi32(s->bias[channel]));
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(s->scale[channel]));
    __m512i result = _mm512_add_epi32(_mm512_cvtps_epi32(clamped(value, -zero, LEVELS - zero)),
                                      _mm512_set1_epi32((int)s->zero));
    if (call->other) {
        const void *at = call->other + channel * call->other_channel + q;
        __m512 own = _mm512_cvtepi32_ps(result), a = _mm512_set1_ps(s->own_ratio), b = _mm512_set1_ps(s->other_ratio);
        __m512 other = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at))), fixed = _mm512_set1_ps(s->fixed);
        value = s->first ? _mm512_fmadd_ps(own, a, _mm512_fmadd_ps(other, b, fixed))
                         : _mm512_fmadd_ps(other, b, _mm512_fmadd_ps(own, a, fixed));
        result = _mm512_cvtps_epi32(clamped(value, 0, LEVELS));
    }
    uint32_t left = s->length - q, stored = left < 16 ? (1u << left) - 1 : 0xffff;
    result = _mm512_mask_mov_epi32(_mm512_set1_epi32(call->out_zero), (__mmask16)real_bits(s, q), result);
    _mm_mask_storeu_epi8(call->out + channel * call->out_channel + q, (__mmask16)stored, _mm512_cvtepi32_epi8(result));
}

#include "conv_lanes.h"

void convolve_avx512(const ConvCall *call) { convolve(call); }
#endif
