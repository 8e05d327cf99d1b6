/* Reads the steps of a packed network of float32 numbers, any of which may be hostile.
 *
 * After its window comes of a convolution: other or NONE, whether negative results become 0 (relu), biases (float32),
 *   whether each tap has a weight of its own, if not magnitudes (float32, of each output channel), bytes of the taps, the
 *   taps as read.c has them, up to 3 bytes of 0, then if so the weights (float32, in their order)
 * of a sum: other, relu; of a constant: a float32 number for each of its channels, rows and columns.
 */
#include <stdio.h>

#include "reader.h"

static int read_reals(Reader *r, const char *name, size_t count, float **values) {
    if (count > (size_t)(r->end - r->at) / 4) return REFUSE(r, "it ends too early");
    if (!(*values = read_room(r, count, sizeof **values))) return 0;
    for (size_t i = 0; i < count; i++)
        if (!read_real(r, name, &(*values)[i])) return 0;
    return 1;
}

static int read_after(Reader *r, const Network *n, Step *s) {
    return read_word(r, &s->other) && check_other(r, n, s) && read_within(r, "the relu", 0, 1, &s->relu);
}

static size_t count_taps(const uint32_t *taps, uint32_t channels) {
    size_t count = 0;
    for (; channels--; taps += 1 + taps[0]) count += taps[0];
    return count;
}

static int read_float_conv(Reader *r, Network *n, Step *s, uint32_t **taps) {
    const uint32_t channels = n->tensor[s->output].channels;
    const uint64_t inputs = (uint64_t)n->tensor[s->input].channels * s->window.height * s->window.width;
    uint32_t each;
    if (!read_after(r, n, s) || !read_reals(r, "a bias", channels, &s->offset) ||
        !read_within(r, "whether taps have weights", 0, 1, &each) ||
        (!each && !read_reals(r, "a magnitude", channels, &s->scale)) ||
        !read_taps(r, channels, (uint32_t)inputs, taps))
        return 0;
    return !each || read_reals(r, "a weight", count_taps(*taps, channels), &s->value);
}

int read_floats(Reader *r, Network *n, Step *s, uint32_t **taps) {
    const Tensor *made = &n->tensor[s->output];
    if (s->kind == CONV) return read_float_conv(r, n, s, taps);
    if (s->kind == ADD) return read_after(r, n, s);
    if (s->kind != CONSTANT) return 1;
    return read_reals(r, "a number", (size_t)made->channels * made->height * made->width, (float **)(void *)&s->values);
}
