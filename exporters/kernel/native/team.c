/* Threads that make images together.
 *
 * Of a batch each makes images of its own, as long as there is one for every thread that is known; the few that are
 * left, or the only one, they make together, a job after the other, each job in shares of its channels. Whoever ends
 * the last share of a job opens the next. Nobody is counted on: a thread that never comes takes no share, and one that
 * comes late begins where the others are. So the threads may be those of any pool, busy or not.
 *
 * Which shares are there is one word: the number of the job, and a bit for each share that nobody has taken yet. A
 * thread takes the share with its own number first, so that its cache has the lists that it had in the last call.
 */
#include "job.h"

#include <stdlib.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#define YIELD() sched_yield()
#else
#define YIELD() ((void)0)
#endif
#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

#define SHARES 32      /* at most, of a job */
#define LEAST 1024     /* additions of 64 pixels, about a quarter of a microsecond, below which nothing is shared */
#define PATIENCE 2000  /* pauses after which one that waits lets others have its processor */
#define WELL 4         /* threads that share any job well */

struct Team {
    Runner *runner, *many; /* the latter of MANY images, or NULL */
    const uint8_t *in;
    uint8_t *out;
    size_t images, alone; /* all; those that each thread makes by itself come first, */
    size_t groups, units; /* MANY at a time, so often, then one; how many of either */
    uint64_t jobs;        /* of all images that are made together */
    uint8_t *workspace;   /* of those */
    _Alignas(64) _Atomic uint64_t open;   /* number of the job * 2^SHARES, and its shares that nobody has taken */
    _Alignas(64) _Atomic uint32_t ended;  /* shares of that job */
    _Atomic uint32_t joined, shares;      /* threads; shares of that job */
    _Alignas(64) _Atomic size_t next;     /* image, or images, to be made by one thread */
    _Atomic size_t made;                  /* such images */
};

/* Opens a job, of which share `own` (modulo their number) is the caller's already; how many it has, 0 after the last. */
static uint32_t open_job(Team *t, uint64_t number, uint32_t own) {
    const Runner *r = t->runner;
    const uint32_t joined = atomic_load(&t->joined), most = joined < SHARES ? joined : SHARES;
    uint64_t shares = 0, bits = 0;
    if (number < t->jobs) {
        const Job *job = &r->job[number % r->jobs];
        shares = 1 + job->before[job->channels] / LEAST;
        shares = shares > most ? most : shares;
        bits = (((uint64_t)1 << shares) - 1) & ~((uint64_t)1 << own % shares);
    }
    atomic_store_explicit(&t->ended, 0, memory_order_relaxed);
    atomic_store_explicit(&t->shares, (uint32_t)shares, memory_order_relaxed);
    atomic_store_explicit(&t->open, number << SHARES | bits, memory_order_release);
    return (uint32_t)shares;
}

/* The first channel of a share. */
static uint32_t beginning(const Job *job, uint32_t share, uint32_t shares) {
    if (share == shares) return job->channels;
    uint64_t wanted = job->before[job->channels] / shares * share;
    uint32_t low = 0, high = job->channels;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (job->before[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low / job->together * job->together;
}

static void run_share(const Team *t, uint64_t number, uint32_t share, uint32_t shares) {
    const Runner *r = t->runner;
    const Job *job = &r->job[number % r->jobs];
    const size_t image = t->alone + (size_t)(number / r->jobs);
    const uint32_t from = beginning(job, share, shares), to = beginning(job, share + 1, shares);
    if (from == to) return;
    run_job(r, job, from, to, t->in + image * bytes_given(r->network), t->out + image * bytes_made(r->network),
            t->workspace);
}

/* Waits until another job is open; what is open. */
static uint64_t await(Team *t, uint64_t number) {
    uint64_t open;
    for (uint32_t turn = 0; (open = atomic_load_explicit(&t->open, memory_order_acquire)) >> SHARES == number; turn++) {
        if (turn < PATIENCE) PAUSE();
        else YIELD();
    }
    return open;
}

/* Runs a share, and what the caller takes of the jobs that it opens; until one is left to others. */
static void run_on(Team *t, uint64_t number, uint32_t share, uint32_t own) {
    uint32_t shares = atomic_load_explicit(&t->shares, memory_order_relaxed); /* the job cannot end without this one */
    while (shares) {
        run_share(t, number, share, shares);
        if (shares > 1 && atomic_fetch_add_explicit(&t->ended, 1, memory_order_acq_rel) + 1 < shares) return;
        shares = open_job(t, ++number, own);
        if (shares) share = own % shares;
    }
}

static void make_together(Team *t, uint32_t own) {
    uint64_t open = atomic_load_explicit(&t->open, memory_order_acquire);
    while (open >> SHARES < t->jobs) {
        const uint64_t number = open >> SHARES, left = open & (((uint64_t)1 << SHARES) - 1);
        if (!left) {
            open = await(t, number);
            continue;
        }
        const uint32_t shares = atomic_load_explicit(&t->shares, memory_order_relaxed);
        const uint32_t wanted = own % (shares ? shares : 1);
        const uint32_t share = left >> wanted & 1 ? wanted : (uint32_t)__builtin_ctzll(left);
        if (!atomic_compare_exchange_weak_explicit(&t->open, &open, open & ~((uint64_t)1 << share),
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        run_on(t, number, share, own);
        open = atomic_load_explicit(&t->open, memory_order_acquire);
    }
}

static void make_alone(Team *t) {
    Runner *r = t->runner;
    if (atomic_load(&t->next) >= t->units) return;
    uint8_t *workspace = take_workspace(r);
    if (!workspace) return; /* others make them, or `recycle_disband` says so */
    for (size_t unit; (unit = atomic_fetch_add(&t->next, 1)) < t->units;) {
        const size_t image = unit < t->groups ? unit * MANY : unit + t->groups * (MANY - 1);
        const uint8_t *in = t->in + image * bytes_given(r->network);
        uint8_t *out = t->out + image * bytes_made(r->network);
        if (unit < t->groups && !run_many(r, t->many, in, out, workspace)) continue;
        for (uint32_t i = 0; unit >= t->groups && i < r->jobs; i++)
            run_job(r, &r->job[i], 0, r->job[i].channels, in, out, workspace);
        atomic_fetch_add(&t->made, 1);
    }
    give_workspace(r, workspace);
}

static int anything_left(const Team *t) {
    return atomic_load(&t->next) < t->units || atomic_load(&t->open) >> SHARES < t->jobs;
}

/* Images that are made together: of those that are left when each thread has made as many, all or none. Many threads
 * gain little by sharing a small job, so where most of them have an image each, that is sooner done. */
static size_t count_together(size_t images, size_t known) {
    const size_t left = images % known, most = known < SHARES ? known : SHARES;
    return images == 1 ? 1 : known <= WELL || 2 * left <= most ? left : 0;
}

/* How often MANY images are made at a time: as often by each thread that is known, or not at all. */
static size_t count_groups(Team *t) {
    const size_t known = recycle_known(t->runner), each = t->alone / (MANY * known);
    if (each) t->many = runner_of_many(t->runner);
    return t->many ? each * known : 0;
}

Team *recycle_team(Runner *r, const void *in, void *out, size_t images) {
    Team *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    if (!t) return NULL;
    const size_t together = count_together(images, recycle_known(r));
    *t = (Team){.runner = r, .in = in, .out = out, .images = images, .alone = images - together,
                .jobs = (uint64_t)together * r->jobs};
    t->groups = count_groups(t);
    t->units = t->alone - t->groups * (MANY - 1);
    if (together && !(t->workspace = take_workspace(r))) {
        free(t);
        return NULL;
    }
    atomic_store(&t->shares, 1);
    atomic_store(&t->open, t->jobs ? 1 : 0);
    return t;
}

void recycle_take_part(Team *t, uint32_t own) {
    if (!anything_left(t)) return;
    atomic_fetch_add(&t->joined, 1);
    make_alone(t);
    make_together(t, own);
}

int recycle_disband(Team *t) {
    Runner *r = t->runner;
    uint32_t joined = atomic_load(&t->joined), known = atomic_load(&r->known);
    while (joined > known && !atomic_compare_exchange_weak(&r->known, &known, joined)) {}
    int good = atomic_load(&t->made) == t->units && atomic_load(&t->open) >> SHARES >= t->jobs;
    if (t->workspace) give_workspace(r, t->workspace);
    free(t);
    return good;
}

uint32_t recycle_known(const Runner *r) {
    uint32_t known = atomic_load(&r->known);
    return known ? known : 1;
}
