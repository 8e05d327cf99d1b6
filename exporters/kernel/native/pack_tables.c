/* A convolution as lookups in tables.
 *
 * A table is a line of 64 activations that a pixel's window reads. A step of it makes, for BLOCK output channels, up to
 * four taps of each: 64 bytes say where in the line they are, and their signs. So one instruction looks up 64
 * activations, and one multiplies them and adds four to each of 16 sums of 32 bits, which no number of taps can
 * overflow that has passed read.c. Steps are the same for all pixels.
 *
 * A line has as many steps for a block as the channel with most taps of it needs. So channels are sorted, within groups
 * of GROUP, by their number of taps: a block has those that are alike, and what it makes is brought back into order
 * when 64 results are written at once.
 */
#include "tables.h"

#if defined(__x86_64__)
#include <stdlib.h>
#include <string.h>

#define FOUR 4

typedef struct {
    uint8_t left[BLOCK];      /* taps of each channel that no step has yet, at most LINE */
    uint32_t start[BLOCK];    /* where they are among all places */
    uint32_t offset;          /* bytes from the window's beginning */
    uint32_t number;          /* of the line: row of the window * lines of a row + line in it */
} Line;

typedef struct {
    const Plane *in;
    const Window *window;
    uint32_t per_row;         /* lines of a row of the window */
    uint32_t *index;          /* of every line: its number among those that have taps, plus one */
    Line *line;
    uint8_t *places;          /* of a block's taps, by line and channel */
    uint32_t *spots;          /* and where each is, as they are listed */
    uint32_t lines;
    size_t lines_room, places_room, spots_room;
    uint32_t *offsets;        /* what is made, of all blocks: a line and TABLE_STEP bytes for each step */
    uint8_t *steps;
    size_t made, offset_room, step_room;
} Packer;

/* Makes room for `count` items of `size` bytes; 0 where memory ran out. */
static int grow(void *array, size_t *room, size_t count, size_t size) {
    if (count <= *room) return 1;
    const size_t wanted = count + count / 2 + 64;
    void **place = array, *found = realloc(*place, wanted * size);
    if (!found) return 0;
    *place = found, *room = wanted;
    return 1;
}

/* The line of a tap, and where it is there: number * LINE + place. */
static uint32_t spot_of(const Packer *p, uint32_t channel, uint32_t within) {
    const uint32_t byte = within % p->window->width * p->in->deep + channel;
    return (within / p->window->width * p->per_row + byte / LINE) * LINE + byte % LINE;
}

static int count_tap(Packer *p, uint32_t number, uint32_t lane) {
    if (!p->index[number]) {
        if (!grow(&p->line, &p->lines_room, p->lines + 1, sizeof *p->line)) return 0;
        const size_t row = number / p->per_row * p->in->row;
        p->line[p->lines] = (Line){.offset = (uint32_t)(row + number % p->per_row * LINE), .number = number};
        p->index[number] = ++p->lines;
    }
    p->line[p->index[number] - 1].left[lane]++;
    return 1;
}

/* Finds and counts the taps of a channel, which are in order: input channel, row, column. */
static int count_taps(Packer *p, const uint32_t *taps, uint32_t lane, uint32_t *spots) {
    const uint32_t area = p->window->height * p->window->width;
    for (uint32_t i = 1, channel = 0, first = 0; i <= taps[0]; i++) {
        const uint32_t tap = taps[i] >> 1;
        if (tap - first >= 2 * area) channel = tap / area, first = channel * area;
        else if (tap - first >= area) channel++, first += area;
        *spots = spot_of(p, channel, tap - first);
        if (!count_tap(p, *spots++ / LINE, lane)) return 0;
    }
    return 1;
}

/* Sorts the taps of a block's channels by line and channel. */
static int sort_taps(Packer *p, const uint32_t *const taps[BLOCK]) {
    size_t total = 0;
    uint32_t start = 0;
    for (uint32_t lane = 0; lane < BLOCK; lane++) total += taps[lane] ? taps[lane][0] : 0;
    if (!grow(&p->places, &p->places_room, total, 1) || !grow(&p->spots, &p->spots_room, total, sizeof *p->spots))
        return 0;
    uint32_t *spots = p->spots;
    p->lines = 0;
    for (uint32_t lane = 0; lane < BLOCK && taps[lane]; spots += taps[lane++][0])
        if (!count_taps(p, taps[lane], lane, spots)) return 0;
    for (uint32_t i = 0; i < p->lines; i++)
        for (uint32_t lane = 0; lane < BLOCK; lane++) {
            p->line[i].start[lane] = start;
            start += p->line[i].left[lane];
            p->line[i].left[lane] = 0;
        }
    spots = p->spots;
    for (uint32_t lane = 0; lane < BLOCK && taps[lane]; lane++)
        for (uint32_t i = 1; i <= taps[lane][0]; i++, spots++) {
            Line *line = &p->line[p->index[*spots / LINE] - 1];
            const uint32_t place = *spots % LINE | (taps[lane][i] & 1) * SUBTRACTED;
            p->places[line->start[lane] + line->left[lane]++] = (uint8_t)place;
        }
    for (uint32_t i = 0; i < p->lines; i++) p->index[p->line[i].number] = 0;
    return 1;
}

/* Writes a step that takes what it can of a line; 0 where memory ran out. */
static int put_step(Packer *p, Line *line) {
    if (!grow(&p->offsets, &p->offset_room, p->made + 1, sizeof *p->offsets) ||
        !grow(&p->steps, &p->step_room, p->made + 1, TABLE_STEP))
        return 0;
    uint8_t *step = p->steps + p->made * TABLE_STEP;
    p->offsets[p->made++] = line->offset;
    memset(step, 0, TABLE_STEP);
    for (uint32_t lane = 0; lane < BLOCK; lane++)
        for (uint32_t slot = FOUR * lane; slot < FOUR * lane + FOUR && line->left[lane]; slot++) {
            const uint8_t code = p->places[line->start[lane] + --line->left[lane]];
            step[slot] = code | TAKEN;
        }
    return 1;
}

static int pack_block(Packer *p, Block *block, const uint32_t *const taps[BLOCK]) {
    if (!sort_taps(p, taps)) return 0;
    block->step = p->made;
    for (uint32_t i = 0; i < p->lines; i++) {
        uint32_t most = 0;
        for (uint32_t lane = 0; lane < BLOCK; lane++)
            most = p->line[i].left[lane] > most ? p->line[i].left[lane] : most;
        for (uint32_t done = 0; done < most; done += FOUR)
            if (!put_step(p, &p->line[i])) return 0;
    }
    block->steps = (uint32_t)(p->made - block->step);
    return 1;
}

/* Sorts up to GROUP channels by their number of taps, most first: `place` and `taps` of each. */
static void sort_channels(uint32_t count, uint8_t place[GROUP], const uint32_t *taps[GROUP]) {
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *list = taps[i];
        uint32_t at = i;
        for (; at && taps[at - 1][0] < list[0]; at--) taps[at] = taps[at - 1], place[at] = place[at - 1];
        taps[at] = list, place[at] = (uint8_t)i;
    }
}

/* Brings what a group's channels have each into the order in which they are made. */
static void reorder(Step *s, uint32_t channel, const uint8_t place[GROUP], uint32_t count) {
    int32_t bias[GROUP], magnitude[GROUP];
    float scale[GROUP];
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t from = channel + place[i];
        bias[i] = s->bias[from], magnitude[i] = s->magnitude[from], scale[i] = s->scale[from];
    }
    memcpy(s->bias + channel, bias, count * sizeof *bias);
    memcpy(s->magnitude + channel, magnitude, count * sizeof *magnitude);
    memcpy(s->scale + channel, scale, count * sizeof *scale);
}

static int pack_group(Packer *p, Step *s, uint32_t channel, uint32_t count, const uint32_t **taps) {
    const uint32_t *lists[GROUP] = {NULL};
    uint8_t *place = s->order + channel;
    for (uint32_t i = 0; i < GROUP; i++) place[i] = (uint8_t)i;
    for (uint32_t i = 0; i < count; i++, *taps += 1 + *taps[0]) lists[i] = *taps;
    sort_channels(count, place, lists);
    reorder(s, channel, place, count);
    for (uint32_t i = 0; i < count; i += BLOCK)
        if (!pack_block(p, &s->blocks[(channel + i) / BLOCK], lists + i)) return 0;
    return 1;
}

int pack_tables(const Plane *in, Step *s, uint32_t channels, const uint32_t *taps) {
    const uint32_t groups = (channels + GROUP - 1) / GROUP;
    Packer p = {.in = in, .window = &s->window, .per_row = (s->window.width * in->deep + LINE - 1) / LINE};
    p.index = calloc((size_t)s->window.height * p.per_row, sizeof *p.index);
    s->blocks = calloc(groups, GROUP / BLOCK * sizeof *s->blocks);
    s->order = calloc(groups, GROUP);
    int good = p.index && s->blocks && s->order;
    for (uint32_t channel = 0; good && channel < channels; channel += GROUP)
        good = pack_group(&p, s, channel, channels - channel < GROUP ? channels - channel : GROUP, &taps);
    s->slots = good ? aligned_alloc(LINE, (p.made + 1) * TABLE_STEP) : NULL;
    if (s->slots && p.made) memcpy(s->slots, p.steps, p.made * TABLE_STEP);
    s->lines = p.offsets;
    void *scratch[] = {p.index, p.line, p.places, p.spots, p.steps};
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++) free(scratch[i]);
    return s->slots != NULL;
}
#endif
