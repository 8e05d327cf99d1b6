/* Threads that make images together, several teams of one network at a time: run under ThreadSanitizer by
 * test_threads.py. Its argument is a file with a packed network; it prints how many threads worked together. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { IMAGES = 25, FEW = 5, THREADS = 3, CALLERS = 2, CALLS = 12 };

static Runner *runner;
static size_t given, made;
static uint8_t *images, *expected;

typedef struct {
    Team *team;
    uint32_t own;
} Place;

static void *take_place(void *place) {
    recycle_take_part(((Place *)place)->team, ((Place *)place)->own);
    return NULL;
}

/* Images by a team of that many threads, the caller being one. */
static void make(size_t count, uint32_t threads, uint8_t *out) {
    pthread_t thread[THREADS];
    Place place[THREADS];
    Team *team = recycle_team(runner, images, out, count);
    if (!team) exit(3);
    for (uint32_t i = 1; i < threads; i++) {
        place[i] = (Place){team, i};
        if (pthread_create(&thread[i], NULL, take_place, &place[i])) exit(4);
    }
    recycle_take_part(team, 0);
    for (uint32_t i = 1; i < threads; i++) pthread_join(thread[i], NULL);
    if (!recycle_disband(team)) exit(5);
}

static void *call(void *unused) {
    uint8_t *out = malloc(made * IMAGES);
    for (uint32_t i = 0; out && i < CALLS; i++) {
        size_t count = i % FEW + 1 < FEW ? i % FEW + 1 : IMAGES; /* of which eight are made side by side */
        memset(out, 0, made * IMAGES);
        make(count, 1 + (i + 1) % THREADS, out);
        if (memcmp(out, expected, made * count)) exit(6);
    }
    free(out);
    return unused;
}

int main(int count, char **arguments) {
    static uint8_t bytes[1 << 20];
    char why[MESSAGE];
    uint32_t shape[6];
    FILE *file = count > 1 ? fopen(arguments[1], "rb") : NULL;
    if (!file || !(runner = recycle_open(bytes, fread(bytes, 1, sizeof bytes, file), NULL, why))) return 1;
    fclose(file);
    recycle_shape(runner, shape);
    const uint32_t number = recycle_number(runner);
    given = (size_t)number * shape[0] * shape[1] * shape[2], made = (size_t)number * shape[3] * shape[4] * shape[5];
    if (!(images = malloc(given * IMAGES)) || !(expected = malloc(made * IMAGES))) return 2;
    for (size_t i = 0; i < given * IMAGES; i++) images[i] = (uint8_t)(i * 37 >> 3);
    for (size_t i = 0; number > 1 && i < given / number * IMAGES; i++) ((float *)images)[i] = (float)(i % 17) - 8;
    make(IMAGES, 1, expected);
    pthread_t caller[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        if (pthread_create(&caller[i], NULL, call, NULL)) return 4;
    for (int i = 0; i < CALLERS; i++) pthread_join(caller[i], NULL);
    printf("%u\n", recycle_known(runner));
    recycle_close(runner);
    free(images), free(expected);
}
