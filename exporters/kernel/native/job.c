/* The jobs of a network, and what their channels take: by that threads share them. */
#include "job.h"

#include <stdlib.h>

#define SCALING 24 /* additions that bringing 64 sums back to 8 bits takes as long as */
#define FINISHING 4 /* taps that writing 64 sums of float32 takes as long as */
#define LOOKED_UP 4 /* steps of tables that bringing 16 sums back takes as long as */
#define TOGETHER 4 /* channels of a grid */
#define COPYING 4  /* copying 64 pixels, row by row */

static uint64_t lines(uint64_t pixels) { return (pixels + LINE - 1) / LINE; }

/* What one channel of a job takes, in additions of 64 pixels. */
static uint64_t cost(const Network *n, const Job *job, uint32_t channel) {
    const Step *s = job->step;
    if (job->kind == MAKE && s->kind == CONV && job->planar) {
        const Tensor *made = &n->tensor[s->output];
        const Block *b = &s->blocks[channel / BLOCK];
        return (uint64_t)made->height * made->width * (b->steps + LOOKED_UP) / BLOCK;
    }
    if (job->kind == MAKE && s->kind == CONV && n->floats) {
        const uint64_t taps = s->begin[2 * channel + 2] - s->begin[2 * channel];
        return (taps + FINISHING) * lines(s->length) * 4;
    }
    if (job->kind == MAKE && s->kind == CONV) {
        uint64_t taps = SCALING;
        for (uint32_t c = s->first_chunk[channel]; c < s->first_chunk[channel + 1]; c++)
            taps += (uint64_t)s->chunks[c].plus + s->chunks[c].minus;
        return taps * lines(s->length);
    }
    const Tensor *t = &n->tensor[job->kind == MAKE ? s->input : job->tensor];
    if (job->kind != MAKE || s->kind != MAXPOOL) return COPYING * lines((uint64_t)t->height * t->width);
    uint64_t of_a_row = COPYING * (s->window.height + s->window.width) * lines(t->width);
    return of_a_row * n->tensor[s->output].height;
}

static int add_job(Runner *r, uint32_t kind, const Step *step, uint32_t tensor, uint32_t planar) {
    Job *job = &r->job[r->jobs++];
    const uint32_t channels = r->network->tensor[tensor].channels;
    *job = (Job){.kind = kind, .channels = channels, .planar = planar, .tensor = tensor, .step = step};
    job->together = planar ? GROUP : TOGETHER;
    if (!(job->before = calloc((size_t)channels + 1, sizeof *job->before))) return 0;
    for (uint32_t i = 0; i < channels; i++) job->before[i + 1] = job->before[i] + cost(r->network, job, i);
    return 1;
}

/* The planes that a step by tables is the first to read, filled from their grids. */
static int add_turns(Runner *r, const Step *s, uint32_t number) {
    const Network *n = r->network;
    const uint32_t other = s->other == s->input ? NONE : s->other;
    if (s->kind == CONSTANT) return 1;
    return (n->tensor[s->input].turned_by != number || add_job(r, SPREAD, s, s->input, 1)) &&
           (other == NONE || n->tensor[other].turned_by != number || add_job(r, SPREAD, s, other, 1));
}

int list_jobs(Runner *r) {
    const Network *n = r->network;
    if (!(r->job = calloc(3 * (size_t)n->steps + 2, sizeof *r->job))) return 0;
    const int one = n->images == 1; /* others are filled from where single images lie (run_many.c) */
    int good = !one || add_job(r, FILL, NULL, n->input, is_planar(n, n->input));
    for (uint32_t i = n->first; good && i < (one ? n->steps : n->planar); i++) {
        const Step *s = &n->step[i];
        if (i >= n->planar) good = add_turns(r, s, i);
        else if (s->kind == CONV && s->spread) good = add_job(r, SPREAD, s, s->input, 0);
        good = good && (s->kind == CONSTANT || add_job(r, MAKE, s, s->output, i >= n->planar));
    }
    return good && (!one || add_job(r, EMPTY, NULL, n->output, is_planar(n, n->output)));
}

void free_jobs(Runner *r) {
    for (uint32_t i = 0; i < r->jobs; i++) free(r->job[i].before);
    free(r->job);
}
