/* AVX2 with FMA: 8 numbers in a register. */
#include "floats.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,bmi2")))
#define LANES 8
#define MOST 12
typedef __m256 Lanes;

#define HELPER static inline __attribute__((always_inline)) TARGET
HELPER Lanes all(float x) { return _mm256_set1_ps(x); }
HELPER Lanes load(const float *at) { return _mm256_loadu_ps(at); }
HELPER void store(float *at, Lanes a) { _mm256_storeu_ps(at, a); }
HELPER Lanes madd(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
HELPER Lanes plus(Lanes a, Lanes b) { return _mm256_add_ps(a, b); }
HELPER Lanes above(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }
HELPER Lanes kept(Lanes a, uint32_t bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), lane), lane);
    return _mm256_and_ps(a, _mm256_castsi256_ps(set));
}

#include "floats_lanes.h"

void convolve_floats_avx2(const FloatCall *call) { convolve(call); }
#endif
