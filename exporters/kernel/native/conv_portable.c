/* Any processor: what the vector paths do, a row of pixels at a time, for the compiler to vectorise. */
#include <math.h>
#include <string.h>

#include "conv.h"

#define TILE 512 /* pixels */
#define ROUNDING 12582912.0f /* 1.5 * 2^23: added and taken off, it rounds to the nearest, halves to even */

static size_t distance_at(const Step *s, uint32_t place) {
    return s->wide ? ((const uint32_t *)s->distances)[place] : ((const uint16_t *)s->distances)[place];
}

/* Modulo 2^16 on the way; what a chunk comes to fits 16 bits. */
static void add_chunk(const ConvCall *call, const Chunk *c, uint32_t q, uint32_t pixels, int32_t *sums) {
    uint16_t part[TILE] = {0};
    for (uint32_t i = 0; i < c->plus; i++) {
        const uint8_t *x = call->in + distance_at(call->step, c->start + i) + q;
        for (uint32_t p = 0; p < pixels; p++) part[p] = (uint16_t)(part[p] + x[p]);
    }
    for (uint32_t i = 0; i < c->minus; i++) {
        const uint8_t *x = call->in + distance_at(call->step, c->start + c->plus + i) + q;
        for (uint32_t p = 0; p < pixels; p++) part[p] = (uint16_t)(part[p] - x[p]);
    }
    for (uint32_t p = 0; p < pixels; p++) sums[p] += (int16_t)part[p];
}

static float clamped(float value, float low, float high) {
    value = value < low ? low : value;
    return value > high ? high : value;
}

static float rounded(float value) { return value + ROUNDING - ROUNDING; }

static void finish(const ConvCall *call, uint32_t channel, uint32_t q, uint32_t pixels, const int32_t *sums) {
    const Step *s = call->step;
    float zero = (float)s->zero;
    uint8_t *out = call->out + channel * call->out_channel + q;
    for (uint32_t p = 0; p < pixels; p++) {
        float value = (float)(sums[p] * s->magnitude[channel] + s->bias[channel]) * s->scale[channel];
        value = rounded(clamped(value, -zero, LEVELS - zero)) + zero;
        if (call->other) {
            float other = call->other[channel * call->other_channel + q + p];
            value = s->first ? fmaf(value, s->own_ratio, fmaf(other, s->other_ratio, s->fixed))
                             : fmaf(other, s->other_ratio, fmaf(value, s->own_ratio, s->fixed));
            value = rounded(clamped(value, 0, LEVELS));
        }
        out[p] = real_bits(s->real, q + p) & 1 ? (uint8_t)value : call->out_zero;
    }
}

void convolve_portable(const ConvCall *call) {
    const Step *s = call->step;
    for (uint32_t q = 0; q < s->length; q += TILE) {
        uint32_t pixels = s->length - q < TILE ? s->length - q : TILE;
        for (uint32_t channel = call->from; channel < call->to; channel++) {
            int32_t sums[TILE] = {0};
            for (uint32_t c = s->first_chunk[channel]; c < s->first_chunk[channel + 1]; c++)
                add_chunk(call, &s->chunks[c], q, pixels, sums);
            finish(call, channel, q, pixels, sums);
        }
    }
}
