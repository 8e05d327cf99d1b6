/* AVX-512: 16 numbers in a register. */
#include "floats.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi2")))
#define LANES 16
#define MOST 16
typedef __m512 Lanes;

#define HELPER static inline __attribute__((always_inline)) TARGET
HELPER Lanes all(float x) { return _mm512_set1_ps(x); }
HELPER Lanes load(const float *at) { return _mm512_loadu_ps(at); }
HELPER void store(float *at, Lanes a) { _mm512_storeu_ps(at, a); }
HELPER Lanes madd(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
HELPER Lanes plus(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
HELPER Lanes above(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
HELPER Lanes kept(Lanes a, uint32_t bits) { return _mm512_maskz_mov_ps((__mmask16)bits, a); }

#include "floats_lanes.h"

void convolve_floats_avx512(const FloatCall *call) { convolve(call); }
#endif
