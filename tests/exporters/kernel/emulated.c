/* Runs packed networks on another processor, emulated: built and started by test_neon.py.
 *
 * Its first argument is a file of cases, each of five words of 32 bits (the length of the path's name, the bytes of the
 * network, its images, the bytes that are given and made) and what they say: the name, the network, the images. What is
 * made goes to its standard output, case after case. */
#include <stdio.h>
#include <stdlib.h>

#include "run.h"

/* Memory of exactly that size, so that what is read beyond is another's. */
static uint8_t *read_some(FILE *file, uint32_t size) {
    uint8_t *found = malloc(size ? size : 1);
    if (!found || fread(found, 1, size, file) != size) exit(3);
    return found;
}

int main(int count, char **arguments) {
    FILE *file = count > 1 ? fopen(arguments[1], "rb") : NULL;
    if (!file) return 2;
    uint32_t words[5];
    while (fread(words, sizeof *words, 5, file) == 5) {
        char why[MESSAGE], name[32] = {0};
        if (words[0] >= sizeof name || fread(name, 1, words[0], file) != words[0]) return 3;
        uint8_t *network = read_some(file, words[1]), *given = read_some(file, words[3]);
        uint8_t *made = malloc(words[4] ? words[4] : 1);
        Runner *runner = recycle_open(network, words[1], words[0] ? name : NULL, why);
        if (!runner || !made) {
            fprintf(stderr, "%s\n", runner ? "no memory" : why);
            return 4;
        }
        Team *team = recycle_team(runner, given, made, words[2]);
        if (!team) return 5;
        recycle_take_part(team, 0);
        if (!recycle_disband(team)) return 6;
        if (fwrite(made, 1, words[4], stdout) != words[4]) return 7;
        recycle_close(runner);
        free(network);
        free(given);
        free(made);
    }
    return 0;
}
