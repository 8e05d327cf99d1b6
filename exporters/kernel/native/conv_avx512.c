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

#include "scaling_avx512.h"

/* What differs from channel to channel; sums come with `more` than they are, and 32 bits may wrap on the way. */
HELPER void scale_channel(Scaling *c, const Step *s, uint32_t channel, int32_t more) {
    c->magnitude = _mm512_set1_ps((float)s->magnitude[channel]);
    c->bias = _mm512_set1_ps((float)s->bias[channel]);
    c->scale = _mm512_set1_ps(s->scale[channel]);
    c->whole_magnitude = _mm512_set1_epi32(s->magnitude[channel]);
    c->whole_bias = _mm512_set1_epi32((int32_t)((uint32_t)s->bias[channel] - (uint32_t)(s->magnitude[channel] * more)));
}

HELPER Scaling scaling_of(const ConvCall *call, uint32_t channel) {
    const Step *s = call->step;
    float zero = (float)s->zero;
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    Scaling c = {
        .low = _mm512_set1_ps(-zero),
        .high = _mm512_set1_ps(LEVELS - zero),
        .zero = _mm512_set1_ps(zero),
        .own = _mm512_set1_ps(s->own_ratio),
        .other = _mm512_set1_ps(s->other_ratio),
        .fixed = _mm512_set1_ps(s->fixed),
        .zeros = call->other ? _mm512_setzero_si512() : _mm512_set1_epi16((short)s->zero),
        .order = order,
        .exact = (int)s->exact,
        .adds = call->other != NULL,
        .first = (int)s->first,
        .shifts = !call->other && s->zero,
    };
    scale_channel(&c, s, channel, 0);
    return c;
}

/* The first 16, 32 or 64 of 64 pixels (`parts` is 1, 2 or 4), as bytes; the others are left undefined. */
HELPER __m512i bytes_of(const Scaling *c, const int16_t *sums, const int32_t *whole, const uint8_t *other,
                        const int parts) {
    __m512i part[4];
#pragma GCC unroll 4
    for (int i = 0; i < parts; i++) {
        __m512i sum = whole ? _mm512_loadu_si512(whole + 16 * i)
                            : _mm512_cvtepi16_epi32(_mm256_loadu_si256((const void *)(sums + 16 * i)));
        part[i] = quantized(c, sum, _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(other + 16 * i))));
    }
    __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(part[0], part[parts > 1]), c->zeros), high = low;
    if (parts > 2) high = _mm512_adds_epi16(_mm512_packs_epi32(part[parts > 2 ? 2 : 0], part[parts - 1]), c->zeros);
    return _mm512_permutexvar_epi32(c->order, _mm512_packus_epi16(low, high));
}

HELPER void finish(const ConvCall *call, uint32_t channel, uint32_t q, uint32_t pixels, const int16_t *sums,
                   const int32_t *whole) {
    const Scaling c = scaling_of(call, channel);
    const uint64_t *real = call->step->real;
    const uint8_t *other = (call->other ? call->other : call->in) + channel * call->other_channel + q;
    uint8_t *out = call->out + channel * call->out_channel + q;
    const __m512i between = _mm512_set1_epi8((char)call->out_zero);
    for (uint32_t p = 0; p < pixels; p += 64) {
        uint32_t left = pixels - p;
        const int32_t *more = whole ? whole + p : NULL;
        __m512i result = left > 32   ? bytes_of(&c, sums + p, more, other + p, 4)
                         : left > 16 ? bytes_of(&c, sums + p, more, other + p, 2)
                                     : bytes_of(&c, sums + p, more, other + p, 1);
        uint64_t stored = left < 64 ? ((uint64_t)1 << left) - 1 : UINT64_MAX;
        result = _mm512_mask_mov_epi8(between, real_bits(real, q + p), result);
        _mm512_mask_storeu_epi8(out + p, stored, result);
    }
}

#include "conv_lanes.h"

#include "conv_close.h"

void convolve_avx512(const ConvCall *call) {
    if (call->grid->close) convolve_close(call);
    else convolve(call);
}
#endif
