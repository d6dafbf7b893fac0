/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_JSON_H
#define PST_FORMAT_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

/* The parts of JSON (RFC 8259), for parsers that know what they expect. Nothing of the bytes is
 * trusted, and what is not the standard is refused. */

#define PST__JSON_DEPTH 64 /* of values within values */

/* A text that is built up; its memory is kept from one to the next. It ends in a NUL, which `used`
 * counts, and holds no other. Zero-initialised means empty; free `bytes` with pst__free(). */
struct pst__text {
    void *bytes;
    size_t used, room;
};

struct pst__json {
    const char *shown; /* what the bytes are of, for messages */
    const uint8_t *data;
    size_t at, end;
    int64_t line;    /* for messages; 0: there are no lines */
    int64_t base;    /* of data's first byte in the file, for messages */
    size_t max_text; /* bytes that a text may have */
    /* 1: \udc80 to \udcff stand for the bytes 80 to ff, which is what Python writes of names that
     * are not UTF-8, and os.fsencode() makes bytes of them again. */
    int has_bytes;
    struct pst__text skipped;
};

/* PST_EFORMAT: `expected`, and what is there instead. */
int pst__json_bad(const struct pst__json *json, struct pst_error *err, const char *expected);
int pst__json_peek(const struct pst__json *json); /* the next byte, or -1 */
void pst__json_space(struct pst__json *json);
/* Takes this byte, with space before and behind it. */
int pst__json_take(struct pst__json *json, int byte, const char *expected, struct pst_error *err);
int pst__json_string(struct pst__json *json, struct pst__text *text, struct pst_error *err);
/* A number without a fraction and an exponent. */
int pst__json_integer(struct pst__json *json, int64_t *value, const char *expected,
                      struct pst_error *err);
/* Any value; depth: in how many it lies. */
int pst__json_skip(struct pst__json *json, int depth, struct pst_error *err);

#endif
