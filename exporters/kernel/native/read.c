/* Reads a packed network. Everything in it may be hostile: each number is checked before it is used.
 *
 * Little-endian 32-bit words:
 *   magic, version, tensors, steps, input, output
 *   a tensor: channels, height, width, zero point
 *   a step: kind, input, output, window (height, width, strides down and right, padding top, left, bottom, right; of
 *     sums and constants 1 x 1)
 *     a convolution besides: other or NONE, zero, first, own_ratio, other_ratio, fixed (float32),
 *       biases (int32), scales (float32), magnitudes (int32), bytes of the taps, the taps, up to 3 bytes of 0
 *     a sum besides: other, zero (not used), first, own_ratio, other_ratio, fixed
 *     a constant besides: a byte for each of its channels, rows and columns, up to 3 bytes of 0
 * Taps of an output channel: their number, then for each the distance from the last (from -1) less one, times
 * two, plus one where it is subtracted; each in groups of seven bits, the lowest first (LEB128). A tap is
 * (input channel * height + row) * width + column of the window.
 * Version 2 is of float32 numbers: read_floats.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

#define MAGIC 0x4b594352u /* RCYK */
#define VERSION 1
#define FLOATS 2 /* a version, too */
#define MOST_ITEMS 4096
#define MOST_CHANNELS 16384
#define LARGEST_SIDE 4096
#define LARGEST_WINDOW 31
#define LARGEST_IMAGE (1u << 28)

int read_word(Reader *r, uint32_t *value) {
    if (r->end - r->at < 4) return REFUSE(r, "it ends too early");
    *value = r->at[0] | (uint32_t)r->at[1] << 8 | (uint32_t)r->at[2] << 16 | (uint32_t)r->at[3] << 24;
    r->at += 4;
    return 1;
}

int read_within(Reader *r, const char *name, uint32_t low, uint32_t high, uint32_t *value) {
    if (!read_word(r, value)) return 0;
    if (*value < low || *value > high) return REFUSE(r, "%s is %u, expected %u to %u", name, *value, low, high);
    return 1;
}

int read_real(Reader *r, const char *name, float *value) {
    uint32_t bits;
    if (!read_word(r, &bits)) return 0;
    memcpy(value, &bits, 4);
    return isfinite(*value) ? 1 : REFUSE(r, "%s is no finite number", name);
}

static int group(Reader *r, uint32_t *value) {
    *value = 0;
    for (int shift = 0; shift < 28; shift += 7) {
        if (r->at == r->end) return REFUSE(r, "the taps end too early");
        uint8_t byte = *r->at++;
        *value |= (uint32_t)(byte & 127) << shift;
        if (byte < 128) return 1;
    }
    return REFUSE(r, "a tap takes too many bytes");
}

void *read_room(Reader *r, size_t count, size_t each) {
    void *found = calloc(count ? count : 1, each);
    if (!found) snprintf(r->why, MESSAGE, "no memory for %zu items", count);
    return found;
}

static int read_tensor(Reader *r, Tensor *tensor, uint32_t largest_zero) {
    tensor->made_by = tensor->home = tensor->turned_by = NONE;
    if (!read_within(r, "a number of channels", 1, MOST_CHANNELS, &tensor->channels) ||
        !read_within(r, "a height", 1, LARGEST_SIDE, &tensor->height) ||
        !read_within(r, "a width", 1, LARGEST_SIDE, &tensor->width) ||
        !read_within(r, "a zero point", 0, largest_zero, &tensor->zero))
        return 0;
    if ((uint64_t)tensor->channels * tensor->height * tensor->width > LARGEST_IMAGE)
        return REFUSE(r, "a tensor of %u x %u x %u is too large", tensor->channels, tensor->height, tensor->width);
    return 1;
}

static int read_window(Reader *r, Window *w) {
    return read_within(r, "a window's height", 1, LARGEST_WINDOW, &w->height) &&
           read_within(r, "a window's width", 1, LARGEST_WINDOW, &w->width) &&
           read_within(r, "a stride", 1, LARGEST_STRIDE, &w->down) &&
           read_within(r, "a stride", 1, LARGEST_STRIDE, &w->right) &&
           read_within(r, "padding", 0, w->height - 1, &w->top) && read_within(r, "padding", 0, w->width - 1, &w->left) &&
           read_within(r, "padding", 0, w->height - 1, &w->bottom) && read_within(r, "padding", 0, w->width - 1, &w->rest);
}

/* Both tensors exist, the input is made already, the output is not, and sizes fit. */
static int check_tensors(Reader *r, Network *n, Step *s, uint32_t number) {
    Tensor *in = &n->tensor[s->input], *out = &n->tensor[s->output];
    const Window *w = &s->window;
    if (s->input != n->input && in->made_by == NONE) return REFUSE(r, "step %u reads what no step has made", number);
    if (s->output == n->input || out->made_by != NONE) return REFUSE(r, "step %u makes what is made already", number);
    out->made_by = number; /* also where it is refused: then nothing runs */
    if (s->kind == CONSTANT) return 1;
    uint32_t height = in->height + w->top + w->bottom, width = in->width + w->left + w->rest;
    if (height < w->height || width < w->width || out->height != (height - w->height) / w->down + 1 ||
        out->width != (width - w->width) / w->right + 1)
        return REFUSE(r, "step %u: its window does not give %u x %u of %u x %u", number, out->height, out->width,
                      in->height, in->width);
    if (s->kind == MAXPOOL && (in->channels != out->channels || in->zero != out->zero))
        return REFUSE(r, "step %u: pooling does not change channels or zero point", number);
    if (s->kind == ADD && in->channels != out->channels) return REFUSE(r, "step %u: a sum does not change channels", number);
    return 1;
}

static int read_addition(Reader *r, Network *n, Step *s) {
    if (!read_word(r, &s->other) || !read_within(r, "a zero point", 0, LEVELS, &s->zero) ||
        !read_within(r, "the operand", 0, 1, &s->first) || !read_real(r, "a ratio", &s->own_ratio) ||
        !read_real(r, "a ratio", &s->other_ratio) || !read_real(r, "a sum", &s->fixed))
        return 0;
    if (fabs(s->own_ratio) + fabs(s->other_ratio) + fabs(s->fixed) > 1 << 20) return REFUSE(r, "ratios are too large");
    return check_other(r, n, s);
}

int check_other(Reader *r, const Network *n, const Step *s) {
    if (s->other == NONE) return s->kind == CONV ? 1 : REFUSE(r, "a sum has nothing that is added");
    if (s->other >= n->tensors || s->other == s->output ||
        (s->other != n->input && n->tensor[s->other].made_by == NONE))
        return REFUSE(r, "what is added is not made before");
    const Tensor *a = &n->tensor[s->other], *b = &n->tensor[s->output];
    if (a->channels != b->channels || a->height != b->height || a->width != b->width)
        return REFUSE(r, "what is added has another shape");
    return 1;
}

int read_taps(Reader *r, uint32_t channels, uint32_t inputs, uint32_t **taps) {
    uint32_t bytes;
    if (!read_word(r, &bytes)) return 0;
    if (bytes > (size_t)(r->end - r->at)) return REFUSE(r, "the taps end too early");
    Reader inner = {r->at, r->at + bytes, r->why};
    uint32_t *at = *taps = read_room(r, (size_t)bytes, sizeof **taps); /* a number takes a byte or more */
    if (!at) return 0;
    for (uint32_t channel = 0; channel < channels; channel++) {
        uint32_t count, tap = 0;
        if (!group(&inner, &count)) return 0;
        if (count > inputs) return REFUSE(r, "channel %u has %u taps of %u", channel, count, inputs);
        for (*at++ = count; count; count--) {
            uint32_t step;
            if (!group(&inner, &step)) return 0;
            tap += step >> 1;
            if (tap >= inputs) return REFUSE(r, "channel %u has tap %u of %u", channel, tap, inputs);
            *at++ = tap++ << 1 | (step & 1);
        }
    }
    if (inner.at != inner.end) return REFUSE(r, "bytes are left after the taps");
    uint32_t filled = (bytes + 3) / 4 * 4;
    if (filled > (size_t)(r->end - r->at)) return REFUSE(r, "it ends too early");
    r->at += filled;
    return 1;
}

/* Brings the zero point of the input into the bias: sum w (x - zero) = sum w x - zero sum w. */
static int check_sums(Reader *r, const Network *n, Step *s, const uint32_t *taps) {
    const Tensor *in = &n->tensor[s->input];
    s->exact = 1;
    for (uint32_t channel = 0; channel < n->tensor[s->output].channels; channel++) {
        int64_t count = *taps++, sum = 0, m = s->magnitude[channel];
        for (int64_t i = 0; i < count; i++) sum += *taps++ & 1 ? -1 : 1;
        int64_t bias = s->bias[channel] - m * in->zero * sum;
        if (llabs(bias) + count * LEVELS * m > INT32_MAX)
            return REFUSE(r, "channel %u may leave 32 bits", channel);
        s->bias[channel] = (int32_t)bias;
        int64_t largest = llabs(bias) + count * LEVELS * m;
        s->exact &= largest < 1 << 24 && (double)largest * fabs(s->scale[channel]) < 1 << 30;
    }
    return 1;
}

static int read_conv(Reader *r, Network *n, Step *s, uint32_t **taps) {
    uint32_t channels = n->tensor[s->output].channels;
    uint64_t inputs = (uint64_t)n->tensor[s->input].channels * s->window.height * s->window.width;
    if (!read_addition(r, n, s)) return 0;
    const uint32_t groups = (channels + GROUP - 1) / GROUP; /* zeros, to the end of the last */
    if (!(s->bias = read_room(r, groups, 4 * GROUP)) || !(s->scale = read_room(r, groups, 4 * GROUP)) ||
        !(s->magnitude = read_room(r, groups, 4 * GROUP)))
        return 0;
    for (uint32_t i = 0; i < channels; i++) {
        uint32_t bits;
        if (!read_word(r, &bits)) return 0;
        memcpy(&s->bias[i], &bits, 4);
    }
    for (uint32_t i = 0; i < channels; i++)
        if (!read_real(r, "a scale", &s->scale[i])) return 0;
    for (uint32_t i = 0; i < channels; i++) {
        uint32_t magnitude;
        if (!read_within(r, "a magnitude", 1, 128, &magnitude)) return 0;
        s->magnitude[i] = (int32_t)magnitude;
    }
    return read_taps(r, channels, (uint32_t)inputs, taps) && check_sums(r, n, s, *taps);
}

static int read_values(Reader *r, const Tensor *t, Step *s) {
    const size_t count = (size_t)t->channels * t->height * t->width, filled = (count + 3) / 4 * 4;
    if (filled > (size_t)(r->end - r->at)) return REFUSE(r, "it ends too early");
    if (!(s->values = read_room(r, count, 1))) return 0;
    memcpy(s->values, r->at, count);
    r->at += filled;
    return 1;
}

static int is_point(const Window *w) {
    return w->height == 1 && w->width == 1 && w->down == 1 && w->right == 1;
}

static int read_step(Reader *r, Network *n, uint32_t number, uint32_t **taps) {
    Step *s = &n->step[number];
    s->other = NONE;
    if (!read_within(r, "a kind of step", CONV, CONSTANT, &s->kind) ||
        !read_within(r, "a tensor", 0, n->tensors - 1, &s->input) ||
        !read_within(r, "a tensor", 0, n->tensors - 1, &s->output) || !read_window(r, &s->window))
        return 0;
    if (s->input == s->output) return REFUSE(r, "step %u reads what it makes", number);
    if (s->kind > MAXPOOL && !is_point(&s->window)) return REFUSE(r, "step %u: its window is not 1 x 1", number);
    if (n->floats && !read_floats(r, n, s, taps)) return 0;
    if (!n->floats && s->kind == CONV && !read_conv(r, n, s, taps)) return 0;
    if (!n->floats && s->kind == ADD && !read_addition(r, n, s)) return 0;
    if (!n->floats && s->kind == CONSTANT && !read_values(r, &n->tensor[s->output], s)) return 0;
    return check_tensors(r, n, s, number);
}

static int read_all(Reader *r, Network *n, uint32_t **taps) {
    uint32_t magic, version;
    if (!read_word(r, &magic) || magic != MAGIC) return REFUSE(r, "it is no packed network");
    if (!read_word(r, &version) || (version != VERSION && version != FLOATS))
        return REFUSE(r, "its version is neither %u nor %u", VERSION, FLOATS);
    n->floats = version == FLOATS;
    if (n->floats) n->layout = ROWS;
    if (!read_within(r, "the number of tensors", 2, MOST_ITEMS, &n->tensors) ||
        !read_within(r, "the number of steps", 1, MOST_ITEMS - 1, &n->steps) ||
        !read_within(r, "the input", 0, n->tensors - 1, &n->input) ||
        !read_within(r, "the output", 0, n->tensors - 1, &n->output))
        return 0;
    if (n->steps != n->tensors - 1) return REFUSE(r, "each step makes one tensor: %u of %u", n->steps, n->tensors);
    if (!(n->tensor = read_room(r, n->tensors, sizeof *n->tensor)) || !(n->step = read_room(r, n->steps, sizeof *n->step)))
        return 0;
    for (uint32_t i = 0; i < n->tensors; i++)
        if (!read_tensor(r, &n->tensor[i], n->floats ? 0 : LEVELS)) return 0;
    for (uint32_t i = 0; i < n->steps; i++)
        if (!read_step(r, n, i, &taps[i])) return 0;
    if (n->output == n->input) return REFUSE(r, "its output is its input");
    return r->at == r->end ? 1 : REFUSE(r, "bytes are left at its end");
}

Network *network_read(const uint8_t *bytes, size_t size, enum layout layout, uint32_t images, char why[MESSAGE]) {
    Reader reader = {bytes, bytes + size, why};
    Network *network = calloc(1, sizeof *network);
    uint32_t **taps = calloc(MOST_ITEMS, sizeof *taps);
    if (network) network->layout = layout, network->images = images;
    int good = network && taps ? read_all(&reader, network, taps) && network_lay_out(network, taps, why)
                               : REFUSE(&reader, "no memory");
    for (uint32_t i = 0; taps && i < MOST_ITEMS; i++) free(taps[i]);
    free(taps);
    if (good) return network;
    network_free(network);
    return NULL;
}

void network_free(Network *network) {
    if (!network) return;
    for (uint32_t i = 0; network->step && i < network->steps; i++) {
        Step *s = &network->step[i];
        void *owned[] = {s->bias,      s->magnitude, s->scale,  s->first_chunk, s->chunks,
                         s->distances, s->real,      s->blocks, s->lines,       s->slots,
                         s->order,     s->values,    s->offset, s->value,
                         s->begin};
        for (size_t j = 0; j < sizeof owned / sizeof *owned; j++) free(owned[j]);
    }
    free(network->tensor);
    free(network->step);
    free(network->grid);
    free(network);
}
