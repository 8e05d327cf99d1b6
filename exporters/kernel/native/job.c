/* The jobs of a network, and what their channels take: by that threads share them. */
#include "job.h"

#include <stdlib.h>

#define SCALING 24 /* additions that bringing 64 sums back to 8 bits takes as long as */
#define COPYING 4  /* copying 64 pixels, row by row */

static uint64_t lines(uint64_t pixels) { return (pixels + LINE - 1) / LINE; }

/* What one channel of a job takes, in additions of 64 pixels. */
static uint64_t cost(const Network *n, const Job *job, uint32_t channel) {
    const Step *s = job->step;
    if (job->kind == MAKE && s->kind == CONV) {
        uint64_t taps = SCALING;
        for (uint32_t c = s->first_chunk[channel]; c < s->first_chunk[channel + 1]; c++)
            taps += (uint64_t)s->chunks[c].plus + s->chunks[c].minus;
        return taps * lines(s->length);
    }
    const Tensor *t = &n->tensor[job->kind == FILL ? n->input : job->kind == EMPTY ? n->output : s->input];
    if (job->kind != MAKE) return COPYING * lines((uint64_t)t->height * t->width);
    uint64_t of_a_row = COPYING * (s->window.height + s->window.width) * lines(t->width);
    return of_a_row * n->tensor[s->output].height;
}

static int add_job(Runner *r, uint32_t kind, const Step *step, uint32_t channels) {
    Job *job = &r->job[r->jobs++];
    *job = (Job){.kind = kind, .channels = channels, .step = step};
    if (!(job->before = calloc((size_t)channels + 1, sizeof *job->before))) return 0;
    for (uint32_t i = 0; i < channels; i++) job->before[i + 1] = job->before[i] + cost(r->network, job, i);
    return 1;
}

int list_jobs(Runner *r) {
    const Network *n = r->network;
    if (!(r->job = calloc(2 * (size_t)n->steps + 2, sizeof *r->job))) return 0;
    int good = add_job(r, FILL, NULL, n->tensor[n->input].channels);
    for (uint32_t i = 0; good && i < n->steps; i++) {
        const Step *s = &n->step[i];
        if (s->kind == CONV && s->spread) good = add_job(r, SPREAD, s, n->tensor[s->input].channels);
        good = good && add_job(r, MAKE, s, n->tensor[s->output].channels);
    }
    return good && add_job(r, EMPTY, NULL, n->tensor[n->output].channels);
}

void free_jobs(Runner *r) {
    for (uint32_t i = 0; i < r->jobs; i++) free(r->job[i].before);
    free(r->job);
}
