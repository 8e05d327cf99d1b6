/* NEON, which every 64-bit ARM processor has: 16 sums in two registers. Bytes are widened as they are added. */
#include "conv.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#define TARGET
#define LANES 16
#define MOST 12 /* 24 of 32 registers */
typedef uint16x8x2_t Lanes;

#define HELPER static inline __attribute__((always_inline)) TARGET
HELPER Lanes none(void) { return (Lanes){{vdupq_n_u16(0), vdupq_n_u16(0)}}; }
HELPER Lanes plus(Lanes a, const uint8_t *at) {
    const uint8x16_t x = vld1q_u8(at);
    return (Lanes){{vaddw_u8(a.val[0], vget_low_u8(x)), vaddw_high_u8(a.val[1], x)}};
}
HELPER Lanes minus(Lanes a, const uint8_t *at) {
    const uint8x16_t x = vld1q_u8(at);
    return (Lanes){{vsubw_u8(a.val[0], vget_low_u8(x)), vsubw_high_u8(a.val[1], x)}};
}
HELPER Lanes join(Lanes a, Lanes b) {
    return (Lanes){{vaddq_u16(a.val[0], b.val[0]), vaddq_u16(a.val[1], b.val[1])}};
}
HELPER void store(int16_t *at, Lanes a) {
    vst1q_s16(at, vreinterpretq_s16_u16(a.val[0]));
    vst1q_s16(at + 8, vreinterpretq_s16_u16(a.val[1]));
}

/* What brings the sums of one output channel back to 8 bits. */
typedef struct {
    float32x4_t magnitude, bias, scale, low, high, zero, own, other, fixed;
    int32x4_t whole_magnitude, whole_bias;
    int16x8_t zeros;
    int exact, adds, first;
} Scaling;

HELPER Scaling scaling_of(const ConvCall *call, uint32_t channel) {
    const Step *s = call->step;
    const float zero = (float)s->zero;
    return (Scaling){
        .magnitude = vdupq_n_f32((float)s->magnitude[channel]),
        .bias = vdupq_n_f32((float)s->bias[channel]),
        .scale = vdupq_n_f32(s->scale[channel]),
        .low = vdupq_n_f32(-zero),
        .high = vdupq_n_f32(LEVELS - zero),
        .zero = vdupq_n_f32(zero),
        .own = vdupq_n_f32(s->own_ratio),
        .other = vdupq_n_f32(s->other_ratio),
        .fixed = vdupq_n_f32(s->fixed),
        .whole_magnitude = vdupq_n_s32(s->magnitude[channel]),
        .whole_bias = vdupq_n_s32(s->bias[channel]),
        .zeros = vdupq_n_s16(call->other ? 0 : (int16_t)s->zero),
        .exact = (int)s->exact,
        .adds = call->other != NULL,
        .first = (int)s->first,
    };
}

/* Four sums times the magnitude, plus bias, as float32: of 24 bits (`exact`) float32 loses nothing on the way. */
HELPER float32x4_t biased(const Scaling *c, int32x4_t sum) {
    if (c->exact) return vfmaq_f32(c->bias, vcvtq_f32_s32(sum), c->magnitude);
    return vcvtq_f32_s32(vmlaq_s32(c->whole_bias, sum, c->whole_magnitude));
}

/* Four results, still without the zero point where nothing is added. */
HELPER int32x4_t quantized(const Scaling *c, int32x4_t sum, uint32x4_t other) {
    float32x4_t value = vmulq_f32(biased(c, sum), c->scale);
    if (!c->adds) return vcvtnq_s32_f32(value); /* it saturates, and so does packing */
    value = vminq_f32(vmaxq_f32(value, c->low), c->high);
    const float32x4_t own = vaddq_f32(vrndnq_f32(value), c->zero), more = vcvtq_f32_u32(other);
    value = c->first ? vfmaq_f32(vfmaq_f32(c->fixed, more, c->other), own, c->own)
                     : vfmaq_f32(vfmaq_f32(c->fixed, own, c->own), more, c->other);
    return vcvtnq_s32_f32(value);
}

/* A byte of ones for each of 16 bits. */
HELPER uint8x16_t mask_of(uint32_t bits) {
    static const uint8_t each[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    return vtstq_u8(vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8))), vld1q_u8(each));
}

HELPER void finish(const ConvCall *call, uint32_t channel, uint32_t q, uint32_t pixels, const int16_t *sums,
                   const int32_t *whole) {
    const Scaling c = scaling_of(call, channel);
    const uint8_t *other = (call->other ? call->other : call->in) + channel * call->other_channel + q;
    uint8_t *out = call->out + channel * call->out_channel + q;
    const uint8x16_t between = vdupq_n_u8(call->out_zero);
    for (uint32_t p = 0; p < pixels; p += 16) {
        const uint8x16_t more = vld1q_u8(other + p);
        const uint16x8_t words[2] = {vmovl_u8(vget_low_u8(more)), vmovl_high_u8(more)};
        int16x8_t half[2];
        for (int i = 0; i < 2; i++) {
            int32x4_t sum[2];
            for (int j = 0; j < 2; j++) {
                const uint32_t at = p + 8 * (uint32_t)i + 4 * (uint32_t)j;
                sum[j] = whole ? vld1q_s32(whole + at) : vmovl_s16(vld1_s16(sums + at));
            }
            const int32x4_t low = quantized(&c, sum[0], vmovl_u16(vget_low_u16(words[i])));
            const int32x4_t high = quantized(&c, sum[1], vmovl_high_u16(words[i]));
            half[i] = vqaddq_s16(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)), c.zeros);
        }
        uint8x16_t result = vcombine_u8(vqmovun_s16(half[0]), vqmovun_s16(half[1]));
        result = vbslq_u8(mask_of((uint32_t)real_bits(call->step->real, q + p)), result, between);
        if (pixels - p >= 16) {
            vst1q_u8(out + p, result);
            continue;
        }
        uint8_t bytes16[16];
        vst1q_u8(bytes16, result);
        memcpy(out + p, bytes16, pixels - p);
    }
}

#include "conv_lanes.h"

void convolve_neon(const ConvCall *call) { convolve(call); }
#endif
