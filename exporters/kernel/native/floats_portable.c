/* For any processor: four numbers, of which compilers make a register where there is one. */
#include "floats.h"

#include <string.h>

#define TARGET
#define LANES 4
#define MOST 12
typedef float Lanes __attribute__((vector_size(16)));

static inline Lanes all(float x) { return (Lanes){x, x, x, x}; }
static inline Lanes load(const float *at) {
    Lanes a;
    memcpy(&a, at, sizeof a);
    return a;
}
static inline void store(float *at, Lanes a) { memcpy(at, &a, sizeof a); }
static inline Lanes madd(Lanes a, Lanes b, Lanes c) { return a * b + c; }
static inline Lanes plus(Lanes a, Lanes b) { return a + b; }
static inline Lanes above(Lanes a, Lanes b) {
    for (int i = 0; i < LANES; i++) b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}
static inline Lanes kept(Lanes a, uint32_t bits) {
    for (int i = 0; i < LANES; i++) a[i] = bits >> i & 1 ? a[i] : 0;
    return a;
}

#include "floats_lanes.h"

void convolve_floats_portable(const FloatCall *call) { convolve(call); }
