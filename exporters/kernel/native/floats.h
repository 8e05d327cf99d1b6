/* Networks of float32 numbers: the same grids and jobs, four bytes a pixel, and a weight for each tap. */
#ifndef RECYCLE_FLOATS_H
#define RECYCLE_FLOATS_H

#include "job.h"

typedef struct {
    const Step *step;
    uint32_t from, to;                  /* output channels */
    const float *in;                    /* first channel of the grid */
    const Grid *grid;
    const float *other;                 /* first pixel of what is added, or NULL */
    float *out;                         /* first pixel of the result */
    size_t other_channel, out_channel;  /* from one channel to the next, numbers */
} FloatCall;

typedef void (*ConvolveFloats)(const FloatCall *call);

void convolve_floats_portable(const FloatCall *call);
#if defined(__x86_64__)
void convolve_floats_avx2(const FloatCall *call);
void convolve_floats_avx512(const FloatCall *call);
#elif defined(__aarch64__)
void convolve_floats_neon(const FloatCall *call);
#endif

/* The path that goes with one for bytes. */
ConvolveFloats floats_beside(Convolve convolve);

/* How far from a pixel of the result a tap is, in numbers. */
size_t tap_distance(const Grid *g, const Window *w, uint32_t tap);

/* Distances of a convolution's taps; 0 where memory ran out. */
int lay_floats(Network *n, Step *s, const uint32_t *taps);

/* A constant's numbers to their place, and a job, as run_job. */
void put_float_constant(const Network *n, const Step *s, uint8_t *workspace);
void run_float_job(const Runner *r, const Job *job, Channels some, const float *in, float *out, uint8_t *workspace);

#endif
