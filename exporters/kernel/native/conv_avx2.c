/* AVX2 and FMA: 16 sums in a register. */
#include "conv.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

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

/* What brings the sums of one output channel back to 8 bits. Values in registers: a store of bytes may change
 * anything in memory, as far as a compiler knows. */
typedef struct {
    __m256 magnitude, bias, scale, low, high, zero, own, other, fixed;
    __m256i whole_magnitude, whole_bias, zeros;
    int exact, adds, first;
} Scaling;

HELPER Scaling scaling_of(const ConvCall *call, uint32_t channel) {
    const Step *s = call->step;
    float zero = (float)s->zero;
    return (Scaling){
        .magnitude = _mm256_set1_ps((float)s->magnitude[channel]),
        .bias = _mm256_set1_ps((float)s->bias[channel]),
        .scale = _mm256_set1_ps(s->scale[channel]),
        .low = _mm256_set1_ps(-zero),
        .high = _mm256_set1_ps(LEVELS - zero),
        .zero = _mm256_set1_ps(zero),
        .own = _mm256_set1_ps(s->own_ratio),
        .other = _mm256_set1_ps(s->other_ratio),
        .fixed = _mm256_set1_ps(s->fixed),
        .whole_magnitude = _mm256_set1_epi32(s->magnitude[channel]),
        .whole_bias = _mm256_set1_epi32(s->bias[channel]),
        .zeros = call->other ? _mm256_setzero_si256() : _mm256_set1_epi16((short)s->zero),
        .exact = (int)s->exact,
        .adds = call->other != NULL,
        .first = (int)s->first,
    };
}

/* 8 sums times the magnitude, plus bias, as float32: of 24 bits (`exact`) float32 loses nothing on the way. */
HELPER __m256 biased(const Scaling *c, __m256i sum) {
    if (c->exact) return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), c->magnitude, c->bias);
    return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_mullo_epi32(sum, c->whole_magnitude), c->whole_bias));
}

/* 8 results, still without the zero point where nothing is added. */
HELPER __m256i quantized(const Scaling *c, __m256i sum, __m256i other) {
    __m256 value = _mm256_mul_ps(biased(c, sum), c->scale);
    if (!c->adds && c->exact) return _mm256_cvtps_epi32(value); /* packing saturates */
    value = _mm256_min_ps(_mm256_max_ps(value, c->low), c->high);
    if (!c->adds) return _mm256_cvtps_epi32(value);
    __m256 own = _mm256_add_ps(_mm256_round_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), c->zero);
    __m256 more = _mm256_cvtepi32_ps(other);
    value = c->first ? _mm256_fmadd_ps(own, c->own, _mm256_fmadd_ps(more, c->other, c->fixed))
                     : _mm256_fmadd_ps(more, c->other, _mm256_fmadd_ps(own, c->own, c->fixed));
    return _mm256_cvtps_epi32(value);
}

HELPER __m256i eight(const uint8_t *at) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)at)); }

/* A byte of ones for each of 32 bits. */
HELPER __m256i mask_of(uint32_t bits) {
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i each = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i x = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(x, each), each);
}

HELPER void finish(const ConvCall *call, uint32_t channel, uint32_t q, uint32_t pixels, const int16_t *sums,
                   const int32_t *whole) {
    const Scaling c = scaling_of(call, channel);
    const uint64_t *real = call->step->real;
    const uint8_t *other = (call->other ? call->other : call->in) + channel * call->other_channel + q;
    uint8_t *out = call->out + channel * call->out_channel + q;
    const __m128i between = _mm_set1_epi8((char)call->out_zero);
    for (uint32_t p = 0; p < pixels; p += 16) {
        __m256i half[2];
        for (int i = 0; i < 2; i++) {
            __m256i sum = whole ? _mm256_loadu_si256((const void *)(whole + p + 8 * i))
                                : _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)(sums + p + 8 * i)));
            half[i] = quantized(&c, sum, eight(other + p + 8 * i));
        }
        __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(half[0], half[1]), 0xd8);
        words = _mm256_adds_epi16(words, c.zeros);
        __m128i result = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        const __m256i mask = mask_of((uint32_t)real_bits(real, q + p));
        result = _mm_blendv_epi8(between, result, _mm256_castsi256_si128(mask));
        if (pixels - p >= 16) {
            _mm_storeu_si128((void *)(out + p), result);
            continue;
        }
        uint8_t bytes16[16];
        _mm_storeu_si128((void *)bytes16, result);
        memcpy(out + p, bytes16, pixels - p);
    }
}

#include "conv_lanes.h"

#include "conv_rows.h"

void convolve_avx2(const ConvCall *call) {
    if (call->grid->close) convolve_rows(call);
    else convolve(call);
}
#endif
