/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs a fuzz target over the files named on the command line, where there is no libFuzzer: for
 * other compilers and other checkers, and to look at one input under a debugger. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    uint8_t *data = NULL;
    size_t size = 0, room = 0, n;
    do {
        if (size == room) {
            room = room ? 2 * room : 1 << 16;
            uint8_t *grown = realloc(data, room);
            if (!grown) {
                perror(path);
                exit(2);
            }
            data = grown;
        }
        n = fread(data + size, 1, room - size, file);
        size += n;
    } while (n > 0);
    fclose(file);
    /* A block of just this size, so that checkers see a read past it. */
    uint8_t *exact = realloc(data, size ? size : 1);
    LLVMFuzzerTestOneInput(exact ? exact : data, size);
    free(exact ? exact : data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    for (int i = 1; i < argc; i++)
        failed |= run_file(argv[i]) < 0;
    printf("%d inputs\n", argc - 1);
    return failed;
}
