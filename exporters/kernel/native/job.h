/* What a network does, as jobs that threads may share: each is of some channels, which need nothing of each other. */
#ifndef RECYCLE_JOB_H
#define RECYCLE_JOB_H

#include <stdatomic.h>

#include "run.h"

#define KEPT 64 /* workspaces kept for the next calls: as many as were needed at a time, up to this */

/* The image is copied in; a grid of strides is filled, or a plane; a step; the image is copied out. */
enum { FILL, SPREAD, MAKE, EMPTY };

typedef struct {
    uint32_t kind, channels;
    uint32_t planar, tensor; /* whether it is one of planes; what it fills or makes, or for EMPTY reads */
    uint32_t together;   /* channels of a share are a multiple of this: kernels may make several at a time */
    const Step *step;    /* of SPREAD and MAKE */
    uint64_t *before;    /* channels + 1: what the channels before take, in additions of 64 pixels or their like */
} Job;

struct Runner {
    Network *network;
    _Atomic(Runner *) many; /* of a part of it, for MANY images; NULL where there is none, or not yet */
    _Atomic uint32_t asked; /* whether it has been made, or tried */
    uint8_t *packed;        /* the network as it was given, of which that is made; or NULL */
    size_t size;
    Convolve convolve;
    Job *job;
    uint32_t jobs;
    _Atomic uint32_t known; /* threads that have taken part in a call, at most */
    _Atomic(uint8_t *) workspace[KEPT];
};

/* The jobs of a network in order, with what their channels take; 0 where memory ran out. */
int list_jobs(Runner *r);
void free_jobs(Runner *r);

/* Channels `from` up to `to` of a job. `in` and `out`: of the image, for FILL and EMPTY. */
void run_job(const Runner *r, const Job *job, uint32_t from, uint32_t to, const uint8_t *in, uint8_t *out,
             uint8_t *workspace);

uint8_t *take_workspace(Runner *r); /* NULL where memory ran out */
void give_workspace(Runner *r, uint8_t *workspace);

/* Copies the values of a tensor, channels first, to where they lie; of several images to each. */
void put_image(const Network *n, uint32_t tensor, uint8_t *workspace, const uint8_t *from);

/* What makes a part of MANY images at a time: made when it is first asked for, since many sessions never have as many;
 * NULL where there is none, and for those who ask meanwhile. */
Runner *runner_of_many(Runner *r);

/* Makes MANY images, in a workspace of either runner; 0 where memory ran out. */
int run_many(Runner *r, Runner *of_many, const uint8_t *in, uint8_t *out, uint8_t *workspace);

/* Bytes of an image that is given, and of one that is made. */
size_t bytes_given(const Network *n);
size_t bytes_made(const Network *n);

#endif
