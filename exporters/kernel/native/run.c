/* Runs a network, a step after the other, in a workspace that holds every image. */
#include "add.h"
#include "floats.h"
#include "job.h"
#include "lay_close.h"
#include "pool.h"
#include "spread.h"
#include "tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static Runner *open_for(const uint8_t *bytes, size_t size, Convolve convolve, uint32_t images, char why[MESSAGE]) {
    Network *network = network_read(bytes, size, layout_of(convolve), images, why);
    if (!network) return NULL;
    Runner *runner = calloc(1, sizeof *runner);
    if (!runner) {
        network_free(network);
        return snprintf(why, MESSAGE, "no memory"), NULL;
    }
    runner->network = network;
    runner->convolve = convolve;
    if (list_jobs(runner)) return runner;
    recycle_close(runner);
    return snprintf(why, MESSAGE, "no memory"), NULL;
}

Runner *recycle_open(const uint8_t *bytes, size_t size, const char *path, char why[MESSAGE]) {
    Convolve convolve = convolve_for(path);
    if (!convolve) return snprintf(why, MESSAGE, "this processor has no %s", path), NULL;
    Runner *runner = open_for(bytes, size, convolve, 1, why);
    if (!runner || runner->network->floats) return runner;
    if (runner->network->layout != CLOSE && runner->network->layout != MIXED) return runner;
    runner->packed = malloc(size); /* without which images are made one after the other */
    if (runner->packed) memcpy(runner->packed, bytes, runner->size = size);
    return runner;
}

Runner *runner_of_many(Runner *r) {
    Runner *many = atomic_load(&r->many);
    if (many || !r->packed || atomic_exchange(&r->asked, 1)) return many;
    char why[MESSAGE];
    const Network *n = r->network;
    many = open_for(r->packed, r->size, r->convolve, MANY, why);
    if (many && n->tensor[many->network->cut].home == NONE) {
        recycle_close(many); /* it would begin at what tables make */
        many = NULL;
    }
    atomic_store(&r->many, many);
    return many;
}

void recycle_close(Runner *runner) {
    if (!runner) return;
    recycle_close(atomic_load(&runner->many));
    free(runner->packed);
    for (int i = 0; i < KEPT; i++) free(runner->workspace[i]);
    free_jobs(runner);
    network_free(runner->network);
    free(runner);
}

void recycle_shape(const Runner *runner, uint32_t shape[6]) {
    const Network *n = runner->network;
    const Tensor *in = &n->tensor[n->input], *out = &n->tensor[n->output];
    uint32_t found[6] = {in->channels, in->height, in->width, out->channels, out->height, out->width};
    memcpy(shape, found, sizeof found);
}

void recycle_counts(const Runner *runner, uint64_t counts[5]) {
    const Network *n = runner->network;
    uint64_t found[5] = {n->weights, n->narrow, n->chunked, n->workspace * bytes_each(n), n->steps};
    memcpy(counts, found, sizeof found);
}

/* Whether rows of a tensor lie one after the other in its home, with nothing between. */
static int is_solid(const Network *n, uint32_t tensor) {
    const Grid *g = home(n, tensor);
    return (g->close ? g->slot == g->close ? g->close : 0 : g->row) == n->tensor[tensor].width;
}

/* Copies an image of whole rows to or from its place in the workspace. */
static void copy_image(const Network *n, uint32_t tensor, Channels some, uint32_t image, uint8_t *workspace,
                       const uint8_t *from, uint8_t *to) {
    const Tensor *t = &n->tensor[tensor];
    const Grid *g = home(n, tensor);
    const size_t pixels = (size_t)t->height * t->width;
    for (uint32_t channel = some.from; channel < some.to; channel++) {
        uint8_t *inside = first_pixel(n, tensor, workspace) + channel * g->channel + image_at(g, image);
        if (is_solid(n, tensor)) {
            memcpy(from ? inside : to + channel * pixels, from ? from + channel * pixels : inside, pixels);
            continue;
        }
        for (uint32_t row = 0; row < t->height; row++) {
            size_t outside = channel * pixels + (size_t)row * t->width;
            ptrdiff_t at[PLACES];
            uint32_t places = places_of_row(g, row, at);
            if (!from) memcpy(to + outside, inside + row_at(g, row), t->width);
            for (uint32_t i = 0; from && i < places; i++) memcpy(inside + at[i], from + outside, t->width);
        }
    }
}

void put_image(const Network *n, uint32_t tensor, uint8_t *workspace, const uint8_t *from) {
    const Tensor *t = &n->tensor[tensor];
    const Channels all = {0, t->channels};
#if defined(__x86_64__)
    if (n->images == 1 && is_planar(n, tensor)) {
        fill_plane(t, all, workspace, from);
        return;
    }
#endif
    for (uint32_t image = 0; image < n->images; image++) copy_image(n, tensor, all, image, workspace, from, NULL);
}

static void put_constant(const Network *n, const Step *s, uint8_t *workspace) {
    if (n->floats) put_float_constant(n, s, workspace);
    else put_image(n, s->output, workspace, s->values);
}

/* Padding is the zero point, and nothing ever writes another value there; nor where constants are. */
static uint8_t *new_workspace(const Network *n) {
    const size_t bytes = n->workspace * bytes_each(n);
    uint8_t *found = aligned_alloc(64, bytes);
    if (found && n->floats) memset(found, 0, bytes);
    for (uint32_t i = 0; found && !n->floats && i < n->grids; i++) {
        const Grid *g = &n->grid[i];
        memset(found + g->place, (int)g->zero, g->size);
        memset(found + g->place + g->channel * g->channels, 0, g->size - g->channel * g->channels);
    }
    for (uint32_t i = 0; found && !n->floats && i < n->tensors; i++) /* those that are no planes have no size */
        memset(found + n->tensor[i].plane.place, (int)n->tensor[i].zero, n->tensor[i].plane.size);
    for (uint32_t i = 0; found && i < n->steps; i++)
        if (n->step[i].kind == CONSTANT && (n->images == 1 || n->tensor[n->step[i].output].home != NONE))
            put_constant(n, &n->step[i], found);
    return found;
}

uint8_t *take_workspace(Runner *r) {
    for (int i = 0; i < KEPT; i++) {
        uint8_t *found = atomic_exchange(&r->workspace[i], NULL);
        if (found) return found;
    }
    return new_workspace(r->network);
}

void give_workspace(Runner *r, uint8_t *workspace) {
    for (int i = 0; i < KEPT; i++) {
        uint8_t *none = NULL;
        if (atomic_compare_exchange_strong(&r->workspace[i], &none, workspace)) return;
    }
    free(workspace);
}

static void add(const Network *n, const Step *s, Channels some, uint8_t *workspace) {
    const Tensor *t = &n->tensor[s->output];
    const Grid *a = home(n, s->input), *b = home(n, s->other), *to = home(n, s->output);
    const int solid = is_solid(n, s->input) && is_solid(n, s->other) && is_solid(n, s->output);
    const uint32_t rows = solid ? 1 : t->height, pixels = solid ? t->height * t->width : t->width;
    for (uint32_t channel = some.from; channel < some.to; channel++)
        for (uint32_t y = 0; y < rows; y++) {
            uint8_t *made = first_pixel(n, s->output, workspace) + channel * to->channel;
            ptrdiff_t at[PLACES];
            uint32_t places = places_of_row(to, y, at);
            add_bytes(s, first_pixel(n, s->input, workspace) + channel * a->channel + row_at(a, y),
                      first_pixel(n, s->other, workspace) + channel * b->channel + row_at(b, y), made + at[0], pixels);
            for (uint32_t i = 1; i < places; i++) memcpy(made + at[i], made + at[0], pixels);
        }
}

static void conv(const Runner *r, const Step *s, Channels some, uint8_t *workspace) {
    const Network *n = r->network;
    const Grid *g = &n->grid[s->grid];
    ConvCall call = {
        .step = s,
        .from = some.from,
        .to = some.to,
        .in = workspace + g->place,
        .out = first_pixel(n, s->output, workspace),
        .out_channel = home(n, s->output)->channel,
        .out_zero = (uint8_t)n->tensor[s->output].zero,
        .grid = g,
        .home = home(n, s->output),
    };
    if (s->other != NONE) {
        call.other = first_pixel(n, s->other, workspace);
        call.other_channel = home(n, s->other)->channel;
    }
    r->convolve(&call);
}

void run_job(const Runner *r, const Job *job, uint32_t from, uint32_t to, const uint8_t *in, uint8_t *out,
             uint8_t *workspace) {
    const Network *n = r->network;
    const Channels some = {from, to};
    if (n->floats) {
        run_float_job(r, job, some, (const void *)in, (void *)out, workspace);
        return;
    }
#if defined(__x86_64__)
    if (job->planar) {
        const Tensor *t = &n->tensor[job->tensor];
        if (job->kind == FILL) fill_plane(t, some, workspace, in);
        else if (job->kind == EMPTY) empty_plane(t, some, workspace, out);
        else if (job->kind == SPREAD) turn_plane(t, home(n, job->tensor), some, workspace);
        else if (job->step->kind == CONV) convolve_planes(n, job->step, some, workspace);
        else if (job->step->kind == ADD) add_planes(n, job->step, some, workspace);
        else pool_planes(n, job->step, some, workspace);
        return;
    }
#endif
    if (job->kind == FILL) copy_image(n, n->input, some, 0, workspace, in, NULL);
    else if (job->kind == EMPTY) copy_image(n, n->output, some, 0, workspace, NULL, out);
    else if (job->kind == SPREAD) spread(n, &n->grid[job->step->grid], some, workspace);
    else if (job->step->kind == CONV) conv(r, job->step, some, workspace);
    else if (job->step->kind == ADD) add(n, job->step, some, workspace);
    else pool_channels(n, job->step, from, to, first_pixel(n, job->step->input, workspace),
                       first_pixel(n, job->step->output, workspace));
}

static size_t numbers_of(const Tensor *t) { return (size_t)t->channels * t->height * t->width; }

size_t bytes_given(const Network *n) { return numbers_of(&n->tensor[n->input]) * bytes_each(n); }
size_t bytes_made(const Network *n) { return numbers_of(&n->tensor[n->output]) * bytes_each(n); }

uint32_t recycle_number(const Runner *runner) { return (uint32_t)bytes_each(runner->network); }

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int recycle_time(Runner *r, const void *in, double *seconds) {
    const Network *n = r->network;
    uint8_t *workspace = take_workspace(r);
    if (!workspace) return 0;
    memset(seconds, 0, n->steps * sizeof *seconds);
    for (uint32_t i = 0; i + 1 < r->jobs; i++) { /* but for the last, which has nowhere to copy to */
        const Job *job = &r->job[i];
        double started = now();
        run_job(r, job, 0, job->channels, in, NULL, workspace);
        if (job->step) seconds[job->step - n->step] += now() - started;
    }
    give_workspace(r, workspace);
    return 1;
}
