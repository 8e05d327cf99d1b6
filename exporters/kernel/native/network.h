/* A network of ternary convolutions on 8-bit activations, or of sparse ones on float32, as it lies in memory. Sizes in
 * bytes unless said. */
#ifndef RECYCLE_NETWORK_H
#define RECYCLE_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#define NONE UINT32_MAX
#define CHUNK 128     /* weights of one sign whose sum of 8-bit values fits 16 bits: 128 * 255 = 32,640 */
#define LEVELS 255    /* largest activation */
#define SLACK 256     /* a vector may be read this far past the last pixel that is used */
#define MESSAGE 256   /* room for a reason */
#define LINE 64       /* bytes of a cache line */
#define BLOCK 16      /* output channels that are made at a time by tables, */
#define GROUP 64      /* and that are written at a time */
#define MOST_MEMORY ((size_t)1 << 32) /* of a workspace */
#define MANY 8        /* images that small layers make at a time */
#define LARGEST_STRIDE 8
#define AROUND 3      /* rows and columns that a window over a close grid may reach beyond it */

enum { CONV = 1, MAXPOOL = 2, ADD = 3, CONSTANT = 4 };

/* How images lie: rows with padding between; the same where close grids may be, of slots of a cache line or of a row
 * (lay_close.c); pixel after pixel for tables (lay_tables.c); or close as long as images are large, and for tables
 * from there on. */
enum layout { ROWS, CLOSE, CLOSE_ROWS, TABLES, MIXED };

/* Channels of an image, from one up to another. */
typedef struct {
    uint32_t from, to;
} Channels;

/* A window that slides over an image: pixels. */
typedef struct {
    uint32_t height, width, down, right; /* size; strides */
    uint32_t top, left, bottom, rest;    /* padding; `rest` is on the right */
} Window;

/* An image of several channels laid out so that every tap of a convolution is a constant distance.
 *
 * A channel is `down * right` phases, of which phase (a, b) holds padded pixels (i * down + a, j * right + b) at
 * i * row + j. With strides of 1 that is the padded image, the padding right of a row being the padding left of
 * the next. Channel number `channels` is zeros: where a list of taps is filled up, it points there.
 *
 * Close grids (`lay_close.c`) have no padding beside rows, and every tap of theirs is at whole slots. */
typedef struct {
    uint32_t tensor, down, right, top, left;
    uint32_t rows, row;     /* of a phase; pixels */
    uint32_t channels, zero;
    size_t channel, size, place; /* from one channel to the next; of all; in the workspace */
    uint32_t close;         /* pixels of a row of a close grid, 4 to 64; 0 where it is not close */
    uint32_t parts;         /* rows of an image that lie in a slot of such a grid; the next image's follow */
    uint32_t slot;          /* bytes of a slot: LINE, or one row */
    uint32_t slots, above, below; /* of a phase of a close grid: of the image, and before and after it */
    uint32_t unit;          /* bytes that a distance counts */
    uint32_t ways;          /* sums of each pixel: where there are two or four, taps lie in pairs, one of them subtracted */
    uint32_t moves;         /* whether its path moves sums of both signs together into 16 bits, by a chunk's `edge` */
    uint32_t twos;          /* whether taps of a sign, or pairs, are filled up to an even number */
    size_t origin;          /* first pixel of the first phase, from where a channel begins */
    uint32_t parent;        /* grids whose rows must be equally long are joined: the one that speaks for them */
} Grid;

/* How a tensor lies where taps are looked up in tables: pixel after pixel, `deep` bytes of channels each, with the
 * padding that its readers need. */
typedef struct {
    uint32_t deep, top, left, bottom, rest;
    uint32_t slack;         /* bytes that may be read past the last pixel */
    size_t row, origin;     /* from one row to the next; to the image's first pixel */
    size_t size, place;     /* of all; in the workspace */
} Plane;

/* Steps of lookups that make BLOCK output channels: where the first is, and how many. */
typedef struct {
    size_t step;
    uint32_t steps;
} Block;

#define TABLE_STEP 64 /* bytes of such a step: 64 places in a line */

typedef struct {
    uint32_t channels, height, width, zero;
    uint32_t made_by;       /* number of the step, NONE for the input */
    uint32_t home;          /* its grid of strides 1, NONE where steps by tables make it */
    Plane plane;            /* where such steps make or read it; `deep` is 0 elsewhere */
    uint32_t turned_by;     /* the first of them, which fills the plane from the grid; NONE where there is none */
} Tensor;

/* Up to CHUNK added and CHUNK subtracted taps of one output channel; over a close grid, those of them that are in
 * one column of the window. */
typedef struct {
    uint32_t start;         /* in the list of distances: `plus` of them, then `minus` */
    uint16_t plus, minus;
    int16_t column, edge;   /* close: pixels that it is to the right; what it comes to where that is padding, or of
                             * column 0 what is added to the sums of all so that they fit 16 bits */
    uint16_t ends;          /* close: whether it is the last of those whose sum is proved to fit 16 bits */
    uint16_t part;          /* close: the number of those */
} Chunk;

typedef struct {
    uint32_t kind, input, output;
    Window window;
    uint32_t grid;          /* what it reads */
    uint32_t spread;        /* whether that has to be filled first */
    void *values;           /* of a constant: channels, rows, columns */
    /* of a convolution; the first six of a sum, too */
    uint32_t other;         /* tensor that is added, or NONE */
    uint32_t zero;          /* zero point of its own result, before anything is added */
    uint32_t first;         /* whether its result is the first operand of the addition */
    float own_ratio, other_ratio, fixed;
    uint32_t exact;         /* sums with bias take at most 24 bits, and what they are scaled to 30 */
    uint32_t wide;          /* whether distances take 32 bits */
    uint32_t length;        /* pixels of a channel of the result, in rows of the grid */
    int32_t *bias, *magnitude;
    float *scale;
    uint32_t *first_chunk;  /* of each output channel, and one past the last */
    Chunk *chunks;
    void *distances;
    uint64_t *real;         /* bit q: pixel q of the result is in the image, not between its rows */
    /* in tables, where bias, magnitude and scale are in the order in which channels are made: */
    Block *blocks;          /* of each BLOCK output channels */
    uint32_t *lines;        /* of each step: bytes from a pixel's window to its line, */
    uint8_t *slots;         /* and what is looked up in it */
    uint8_t *order;         /* of each GROUP of output channels: which of it they are */
    /* of float32 numbers, where scale is the magnitude of each output channel's weights, if it has but one: */
    uint32_t *begin;        /* in distances, of 32 bits: of each channel its added taps, then those that are subtracted */
    float *offset, *value;  /* bias of each output channel; weight of each tap, or NULL */
    uint32_t relu;          /* whether negative results become 0; of a sum, too */
} Step;

typedef struct {
    uint32_t tensors, steps, grids, input, output;
    Tensor *tensor;
    Step *step;
    Grid *grid;
    enum layout layout;
    uint32_t images;           /* that lie side by side: 1, or MANY (lay_many.c), */
    uint32_t first, cut, leave; /* of which steps from `first` on are made, from images of the one tensor to the other */
    uint32_t planar;           /* steps from this one on are by tables; or, of several images, not made */
    uint32_t floats;           /* its numbers are float32; sizes of grids are then in numbers, as everywhere pixels are */
    size_t workspace;
    uint64_t weights, narrow, chunked; /* weights; output channels of one chunk, of several */
} Network;

/* Reads and checks a packed network, and lays it out, for one image or a part of it for several; NULL, with the reason
 * in `why`, where anything is wrong with it, or it has no such part. */
Network *network_read(const uint8_t *bytes, size_t size, enum layout layout, uint32_t images, char why[MESSAGE]);
void network_free(Network *network);

/* Bytes of a number. */
static inline size_t bytes_each(const Network *n) { return n->floats ? sizeof(float) : 1; }

/* Whether a tensor is made as a plane. */
static inline int is_planar(const Network *n, uint32_t tensor) {
    const uint32_t by = n->tensor[tensor].made_by;
    return by == NONE ? n->planar == 0 : by >= n->planar;
}

/* Lays out its images and the distances of its taps; 0, with the reason, where they do not fit memory. */
int network_lay_out(Network *network, uint32_t *const *taps, char why[MESSAGE]);

#endif
