/* The inner loops of tickets, which numpy has as well. See ../loops.py, and FORMAT.md for what they compute. Nothing here is trusted with a file: sizes and indices are checked before. */
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define HELPER static inline __attribute__((always_inline))
/* Of the functions that gain by it the loader takes the one for this processor; other compilers write what any has. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 6
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

EXPORT const uint32_t recycle_ticket_version = 1; /* ../loops.py has it too */

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)
#define CLASSES 256
#define CODES 255

/* Where weights are: at first + i * step, or at first + places[i] * step. */
typedef struct {
    uint64_t first, step;
    const int64_t *places;
} Where;

/* Of the highest byte of a word, so many bits from one of them on, the highest being number 0. */
typedef struct {
    uint64_t key;
    uint32_t first, count;
} Axis;

/* Number `index` of a stream, of which bits 63 to 33 count. */
HELPER uint64_t drawn(uint64_t key, uint64_t index) {
    uint64_t z = key + (index + 1) * GOLDEN;
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    return (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
}

HELPER uint64_t bits_of(const Axis *axis, uint64_t word) { return word << axis->first >> (64 - axis->count); }

HELPER void cells(const Where *where, size_t n, const Axis *weight, const Axis *score, uint16_t *cell,
                  uint8_t *negative, const int listed, const int of_weight, const int of_score, const int of_sign) {
    const Where w = *where;
    const Axis a = *weight, b = *score;
    for (size_t i = 0; i < n; i++) {
        const uint64_t index = w.first + (listed ? (uint64_t)w.places[i] : i) * w.step;
        uint64_t found = 0;
        if (of_weight || of_sign) {
            const uint64_t word = drawn(a.key, index);
            if (of_sign) negative[i] = (uint8_t)(word >> 63);
            if (of_weight) found = bits_of(&a, word);
        }
        if (of_score) found = found << b.count | bits_of(&b, drawn(b.key, index));
        cell[i] = (uint16_t)found;
    }
}

#define CELLS(listed, of_weight, of_score, of_sign)                                                              \
    cells(where, n, weight, score, cell, negative, listed, of_weight, of_score, of_sign)
#define OF_SIGN(listed, of_weight, of_score)                  \
    do {                                                      \
        if (negative) CELLS(listed, of_weight, of_score, 1);  \
        else CELLS(listed, of_weight, of_score, 0);           \
    } while (0)
#define OF_AXES(listed)                                                 \
    do {                                                                \
        if (weight->count && score->count) OF_SIGN(listed, 1, 1);       \
        else if (weight->count) OF_SIGN(listed, 1, 0);                  \
        else if (score->count) OF_SIGN(listed, 0, 1);                   \
        else OF_SIGN(listed, 0, 0);                                     \
    } while (0)

/* Where in the table n weights are, and, unless that is NULL, whether the seed gives them a negative sign. */
EXPORT CLONES void recycle_ticket_cells(const Where *where, size_t n, const Axis *weight, const Axis *score,
                                        uint16_t *cell, uint8_t *negative) {
    if (where->places) OF_AXES(1);
    else OF_AXES(0);
}

HELPER void codes(const int8_t *left, const int8_t *above, const int8_t *before, const int8_t *after, const int8_t *sums,
                  const uint8_t *negative, size_t n, uint8_t *code, const int has_left, const int has_above,
                  const int has_before, const int has_after) {
    for (size_t i = 0; i < n; i++) {
        int8_t near = 0, sum = sums[i];
        if (has_left) near = (int8_t)(near + 3 * left[i]);
        if (has_above) near = (int8_t)(near + 3 * above[i]);
        if (has_before) near = (int8_t)(near + before[i]);
        if (has_after) near = (int8_t)(near + after[i]);
        sum = sum < -7 ? -7 : sum > 7 ? 7 : sum;
        const int8_t own = (int8_t)(sum * 17 + near);
        code[i] = (uint8_t)((negative[i] ? -own : own) + CODES / 2);
    }
}

/* The codes of weights by their neighbours' signs, NULL where there is no such neighbour, and by the sums of all that came
 * before. */
EXPORT CLONES void recycle_ticket_codes(const int8_t *left, const int8_t *above, const int8_t *before,
                                        const int8_t *after, const int8_t *sums, const uint8_t *negative, size_t n,
                                        uint8_t *code) {
#define CASE(which)                                                                                           \
    case which:                                                                                               \
        codes(left, above, before, after, sums, negative, n, code, which & 1, which & 2, which & 4, which & 8); \
        break
    switch ((left ? 1 : 0) + (above ? 2 : 0) + (before ? 4 : 0) + (after ? 8 : 0)) {
        CASE(0); CASE(1); CASE(2); CASE(3); CASE(4); CASE(5); CASE(6); CASE(7);
        CASE(8); CASE(9); CASE(10); CASE(11); CASE(12); CASE(13); CASE(14); CASE(15);
    }
#undef CASE
}

/* The classes of whole rows of kernels, or of a part of one: sums of the table's entries, of what `codes` stand for (of
 * all the same, `alone`, if that is NULL), and of levels; a sum has 512 steps, of which four are a class. */
EXPORT CLONES void recycle_ticket_classes(const uint16_t *cell, const int16_t *table, const uint8_t *codes,
                                          const int16_t *by_code, int32_t all, const int16_t *filters,
                                          const int16_t *channels, size_t rows, size_t columns, uint8_t *found) {
    for (size_t row = 0; row < rows; row++) {
        const int32_t common = all + (filters ? filters[row] : 0);
        for (size_t i = 0; i < columns; i++) {
            const size_t at = row * columns + i;
            int32_t sum = common + table[cell ? cell[at] : 0] + (codes ? by_code[codes[at]] : 0) + (channels ? channels[i] : 0);
            sum = sum < 0 ? 0 : sum > 511 ? 511 : sum;
            found[at] = (uint8_t)(sum >> 2);
        }
    }
}

/* Of a run of weights by their classes, those whose bit is set; how many. Class c's next bit is number next[c] of `bits`,
 * and the one after steps[c] further. */
EXPORT size_t recycle_ticket_spread(const uint8_t *classes, size_t n, const uint8_t *bits, int64_t *next,
                                    const int64_t *steps, uint16_t *places) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t class = classes[i];
        const int64_t at = next[class];
        places[count] = (uint16_t)i;
        count += bits[at >> 3] >> (at & 7) & 1;
        next[class] = at + steps[class];
    }
    return count;
}

/* Marks the weights at a position of these kernels. */
EXPORT void recycle_ticket_mark(const int64_t *kernels, size_t n, size_t positions, size_t position, uint8_t mark,
                                uint8_t *marks) {
    for (size_t i = 0; i < n; i++) marks[(size_t)kernels[i] * positions + position] = mark;
}

/* Writes the signs of the weights that these kernels keep at a position, and adds them to their sums. A weight that moved
 * (`moved` NULL: none did) has the other sign, or, if `known` is 0, no sign that is known. */
EXPORT void recycle_ticket_settle(const int64_t *kernels, size_t n, const uint8_t *negative, const uint8_t *moved,
                                  uint32_t known, int8_t *signs, int8_t *sums) {
    for (size_t i = 0; i < n; i++) {
        const size_t at = (size_t)kernels[i];
        const int turned = moved ? moved[i] : 0;
        const int sign = turned && !known ? 0 : 1 - 2 * (negative[at] ^ (turned && known));
        signs[at] = (int8_t)sign;
        sums[at] = (int8_t)(sums[at] + sign);
    }
}

/* Sets bits of a vector that begins at `base`: those at the places, or, if that is NULL, the first `count`. */
EXPORT void recycle_ticket_set(const uint32_t *places, size_t count, int64_t base, uint8_t *bits) {
    for (size_t i = 0; i < count; i++) {
        const size_t at = (size_t)base + (places ? places[i] : i);
        bits[at >> 3] |= (uint8_t)(1 << (at & 7));
    }
}

/* How many of a run are of each of the 256 classes. */
EXPORT void recycle_ticket_count(const uint8_t *classes, size_t n, int64_t *counts) {
    int64_t more[CLASSES] = {0}; /* two of each, for the next weight is often of the same class */
    for (size_t i = 0; i + 1 < n; i += 2) counts[classes[i]]++, more[classes[i + 1]]++;
    if (n & 1) counts[classes[n - 1]]++;
    for (size_t i = 0; i < CLASSES; i++) counts[i] += more[i];
}

/* Puts each bit of a run where its class's next one goes. */
EXPORT void recycle_ticket_gather(const uint8_t *classes, const uint8_t *bits, size_t n, int64_t *next, uint8_t *found) {
    for (size_t i = 0; i < n; i++) found[next[classes[i]]++] = bits[i];
}

/* Adds a run to counts of all bits, and of those set, by class and code; `codes` NULL: all have the code `alone`. */
EXPORT void recycle_ticket_counted(const uint8_t *classes, const uint8_t *codes, uint32_t alone, const uint8_t *bits,
                                   size_t n, uint32_t *all, uint32_t *set) {
    for (size_t i = 0; i < n; i++) {
        const size_t at = (size_t)classes[i] * CODES + (codes ? codes[i] : alone);
        all[at]++;
        set[at] += bits[i];
    }
}

/* Adds rows of kernels to sums by filter and by channel, three one after the other: of what classes foretell, of p (1 -
 * p), and of set bits. */
EXPORT CLONES void recycle_ticket_foretold(const uint8_t *classes, const uint8_t *bits, size_t rows, size_t columns,
                                           const float *chance, const float *curve, double *filters, double *channels) {
    for (size_t row = 0; row < rows; row++) {
        double foretold = 0, curved = 0, set = 0;
        for (size_t i = 0; i < columns; i++) {
            const size_t at = row * columns + i;
            const double p = chance[classes[at]], c = curve[classes[at]], bit = bits[at];
            foretold += p, curved += c, set += bit;
            channels[i] += p, channels[columns + i] += c, channels[2 * columns + i] += bit;
        }
        filters[row] += foretold, filters[rows + row] += curved, filters[2 * rows + row] += set;
    }
}

/* Adds every `step`th weight to counts by entry of the table and class, and those set to counts by entry. */
EXPORT void recycle_ticket_by_cell(const uint8_t *classes, const uint16_t *cells, const uint8_t *bits, size_t n,
                                   size_t step, size_t number, int64_t *all, int64_t *set) {
    for (size_t i = 0; i < n; i += step) {
        const size_t cell = cells ? cells[i] : 0;
        all[cell * number + classes[i]]++;
        set[cell] += bits[i];
    }
}
