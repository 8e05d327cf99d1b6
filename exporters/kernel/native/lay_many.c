/* Several images side by side, for layers so small that one does not fill the lines of a close grid: a part of the
 * network is laid out for MANY of them.
 *
 * Slots have rows of each image one after the other, as many of each as there is room for; a line of 64 bytes has one
 * row of eight images of eight columns, or two of four. Everything else is as for one: a window's row is a distance of
 * lines, its columns move sums by pixels, and where an image ends is where the next one's row begins.
 *
 * The part is steps that follow each other, all of them convolutions of such results (or constants), that need one
 * tensor of those before and leave one for those after: these are copied from and to where single images lie.
 */
#include "lay_close.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 8 /* steps at either end of a run without which it might be a part */

static int suits(const Network *n, const Step *s) {
    const Tensor *made = &n->tensor[s->output];
    if (s->kind == CONSTANT) return 1;
    return s->kind == CONV && made->width <= WIDEST && made->height <= WIDEST && fits_close(n, s);
}

static int is_constant(const Network *n, uint32_t tensor) {
    const uint32_t by = n->tensor[tensor].made_by;
    return by != NONE && n->step[by].kind == CONSTANT;
}

/* Whether a tensor is made by steps from one up to another. */
static int made_within(const Network *n, uint32_t tensor, uint32_t from, uint32_t to) {
    const uint32_t by = n->tensor[tensor].made_by;
    return by != NONE && by >= from && by < to;
}

/* What is known of each tensor: whether steps of a part read it, and whether something after the part does. */
enum { INSIDE = 1, AFTER = 2 };

static void mark_reads(const Network *n, uint32_t from, uint32_t to, uint8_t as, uint8_t *marks) {
    for (uint32_t i = from; i < to; i++) {
        const Step *s = &n->step[i];
        if (s->kind == CONSTANT) continue;
        marks[s->input] |= as;
        if (s->other != NONE) marks[s->other] |= as;
    }
}

/* Whether a part needs one tensor and leaves one, that none of its steps reads; which. `marks`: room for all. */
static int is_part(Network *n, uint32_t from, uint32_t to, uint8_t *marks) {
    memset(marks, 0, n->tensors);
    mark_reads(n, from, to, INSIDE, marks);
    mark_reads(n, to, n->steps, AFTER, marks);
    marks[n->output] |= AFTER;
    n->first = from, n->planar = to, n->cut = n->leave = NONE;
    for (uint32_t tensor = 0; tensor < n->tensors; tensor++) {
        const int inside = marks[tensor] & INSIDE, after = marks[tensor] & AFTER;
        const int made = made_within(n, tensor, from, to);
        if (inside && after) return 0;
        if (is_constant(n, tensor)) continue;
        if (inside && !made) {
            if (n->cut != NONE) return 0;
            n->cut = tensor;
        }
        if (after && !made_within(n, tensor, to, n->steps)) {
            if (n->leave != NONE || !made) return 0;
            n->leave = tensor;
        }
    }
    return n->cut != NONE && n->leave != NONE;
}

/* Weights, kept or not. */
static uint64_t size_of(const Network *n, uint32_t from, uint32_t to) {
    uint64_t size = 0;
    for (uint32_t i = from; i < to; i++) {
        const Step *s = &n->step[i];
        if (s->kind != CONV) continue;
        const uint64_t each = (uint64_t)n->tensor[s->input].channels * s->window.height * s->window.width;
        size += each * n->tensor[s->output].channels;
    }
    return size;
}

/* The largest run of steps that suit, and of it the longest part. */
int choose_part(Network *n) {
    uint64_t largest = 0;
    uint32_t first = 0, last = 0;
    for (uint32_t run = 0, end; run < n->steps; run = end + 1) {
        for (end = run; end < n->steps && suits(n, &n->step[end]); end++) {}
        if (size_of(n, run, end) <= largest) continue;
        largest = size_of(n, run, end);
        first = run, last = end;
    }
    uint8_t *marks = calloc(n->tensors, 1);
    int found = 0;
    for (uint32_t from = first; marks && from < last && from < first + TRIES && !found; from++)
        for (uint32_t to = last; to > from && to + TRIES > last && !found; to--) found = is_part(n, from, to, marks);
    free(marks);
    return found;
}

int needs_home(const Network *n, uint32_t tensor) {
    if (n->images == 1) return !is_planar(n, tensor);
    if (made_within(n, tensor, n->first, n->planar) && !is_constant(n, tensor)) return 1;
    for (uint32_t i = n->first; i < n->planar; i++) {
        const Step *s = &n->step[i];
        if (s->kind != CONV) continue;
        if (s->other == tensor) return 1;
        if (s->input == tensor && (is_constant(n, tensor) || (s->window.down == 1 && s->window.right == 1))) return 1;
    }
    return 0;
}
