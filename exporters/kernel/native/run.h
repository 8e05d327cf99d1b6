/* Running a network. These functions are the library's own interface, besides ONNX Runtime's. */
#ifndef RECYCLE_RUN_H
#define RECYCLE_RUN_H

#include "conv.h"

#if defined(_WIN32)
#define EXPORTED __declspec(dllexport)
#else
#define EXPORTED __attribute__((visibility("default")))
#endif

typedef struct Runner Runner;

/* A runner of a packed network; NULL, with the reason in `why`, where it is not sound. `path` as for
 * `convolve_for`. Any number of threads may run it at a time. */
EXPORTED Runner *recycle_open(const uint8_t *bytes, size_t size, const char *path, char why[MESSAGE]);
EXPORTED void recycle_close(Runner *runner);

/* Channels, height and width of the input, then of the output. */
EXPORTED void recycle_shape(const Runner *runner, uint32_t shape[6]);

/* Bytes of each number that is given and made: 1, of 8 bits without a sign, or 4, float32. */
EXPORTED uint32_t recycle_number(const Runner *runner);

/* Weights, output channels whose sums are proved to fit 16 bits, others; bytes of a workspace; steps. */
EXPORTED void recycle_counts(const Runner *runner, uint64_t counts[5]);

/* Makes `images` images, channels first, of numbers as `recycle_number` says, by threads of the caller's: each of them
 * calls `recycle_take_part`, with a number of its own, the same in every call if may be; it comes back when nothing is
 * left to begin. One is enough, and any number does no harm. After all are back `recycle_disband` frees the team; it
 * gives 0, as `recycle_team` gives NULL, where memory ran out. */
typedef struct Team Team;
EXPORTED Team *recycle_team(Runner *runner, const void *in, void *out, size_t images);
EXPORTED void recycle_take_part(Team *team, uint32_t own);
EXPORTED int recycle_disband(Team *team);

/* The most threads that have taken part in a call so far; 1 before the first. */
EXPORTED uint32_t recycle_known(const Runner *runner);

/* Runs one image, and writes the seconds that each step took: for measurements. */
EXPORTED int recycle_time(Runner *runner, const void *in, double *seconds);

#endif
