/* AVX2 and FMA: 16 sums in a register. */
#include "conv.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,bmi2")))
#define LANES 16
#define MOST 12
typedef __m256i Lanes;

#define HELPER static inline __attribute__((always_inline)) TARGET
HELPER Lanes none(void) { return _mm256_setzero_si256(); }
HELPER Lanes bytes(const uint8_t *at) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)at)); }
HELPER Lanes plus(Lanes a, const uint8_t *at) { return _mm256_add_epi16(a, bytes(at)); }
HELPER Lanes minus(Lanes a, const uint8_t *at) { return _mm256_sub_epi16(a, bytes(at)); }
HELPER Lanes join(Lanes a, Lanes b) { return _mm256_add_epi16(a, b); }
HELPER void store(int16_t *at, Lanes a) { _mm256_storeu_si256((void *)at, a); }

HELPER __m256 clamped(__m256 value, float low, float high) {
    return _mm256_min_ps(_mm256_max_ps(value, _mm256_set1_ps(low)), _mm256_set1_ps(high));
}

/* 8 pixels, as 32-bit numbers of 0 to 255. */
HELPER __m256i finish8(const ConvCall *call, uint32_t channel, uint32_t q, __m256i sum) {
    const Step *s = call->step;
    float zero = (float)s->zero;
    sum = _mm256_add_epi32(_mm256_mullo_epi32(sum, _mm256_set1_epi32(s->magnitude[channel])),
                           _mm256_set1_epi32(s->bias[channel]));
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(s->scale[channel]));
    __m256i result = _mm256_add_epi32(_mm256_cvtps_epi32(clamped(value, -zero, LEVELS - zero)),
                                      _mm256_set1_epi32((int)s->zero));
    if (!call->other) return result;
    const void *at = call->other + channel * call->other_channel + q;
    __m256 own = _mm256_cvtepi32_ps(result), a = _mm256_set1_ps(s->own_ratio), b = _mm256_set1_ps(s->other_ratio);
    __m256 other = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(at))), fixed = _mm256_set1_ps(s->fixed);
    value = s->first ? _mm256_fmadd_ps(own, a, _mm256_fmadd_ps(other, b, fixed))
                     : _mm256_fmadd_ps(other, b, _mm256_fmadd_ps(own, a, fixed));
    return _mm256_cvtps_epi32(clamped(value, 0, LEVELS));
}

HELPER void finish16(const ConvCall *call, uint32_t channel, uint32_t q, const int16_t *sums16, const int32_t *sums32) {
    const Step *s = call->step;
    __m256i half[2];
    for (int i = 0; i < 2; i++) {
        __m256i sum = sums32 ? _mm256_loadu_si256((const void *)(sums32 + 8 * i))
                             : _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)(sums16 + 8 * i)));
        half[i] = finish8(call, channel, q + 8 * (uint32_t)i, sum);
    }
    __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(half[0], half[1]), 0xd8);
    __m128i result = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    uint8_t *out = call->out + channel * call->out_channel + q;
    uint32_t left = s->length - q, real = real_bits(s, q);
    if (left >= 16 && real == 0xffff) {
        _mm_storeu_si128((void *)out, result);
        return;
    }
    uint8_t bytes16[16];
    _mm_storeu_si128((void *)bytes16, result);
    for (uint32_t p = 0; p < 16 && p < left; p++) out[p] = real >> p & 1 ? bytes16[p] : call->out_zero;
}

#include "conv_lanes.h"

void convolve_avx2(const ConvCall *call) { convolve(call); }
#endif
