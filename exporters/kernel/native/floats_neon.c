/* NEON: 4 numbers in a register. */
#include "floats.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define TARGET
#define LANES 4
#define MOST 16
typedef float32x4_t Lanes;

#define HELPER static inline __attribute__((always_inline)) TARGET
HELPER Lanes all(float x) { return vdupq_n_f32(x); }
HELPER Lanes load(const float *at) { return vld1q_f32(at); }
HELPER void store(float *at, Lanes a) { vst1q_f32(at, a); }
HELPER Lanes madd(Lanes a, Lanes b, Lanes c) { return vfmaq_f32(c, a, b); }
HELPER Lanes plus(Lanes a, Lanes b) { return vaddq_f32(a, b); }
HELPER Lanes above(Lanes a, Lanes b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
HELPER Lanes kept(Lanes a, uint32_t bits) {
    static const uint32_t lane[4] = {1, 2, 4, 8};
    const uint32x4_t set = vtstq_u32(vdupq_n_u32(bits), vld1q_u32(lane));
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), set));
}

#include "floats_lanes.h"

void convolve_floats_neon(const FloatCall *call) { convolve(call); }
#endif
