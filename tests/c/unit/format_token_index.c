/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tensor.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "check.h"
#include "unit/token_indices.h"

#define HEADER 34
#define MOST_SEQUENCES 3000
#define MOST_DOCUMENTS 1500

static uint64_t drawn;

static uint64_t draw(uint64_t n)
{
    return pst__keyed_word(11, drawn++) % n;
}

/* An index of Megatron, and what is in it. */
static struct {
    uint8_t bytes[HEADER + 13 * MOST_SEQUENCES + 8 * (MOST_DOCUMENTS + 1)];
    size_t size, used; /* used: without the modes */
    uint64_t n_sequences, n_documents, n_tokens, ends[MOST_DOCUMENTS];
    int dtype;
} file;

static void put(uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        file.bytes[file.size++] = (uint8_t)(value >> (8 * i));
}

static const struct {
    uint8_t code, size, dtype;
} kinds[] = {{1, 1, PST_U8},  {2, 1, PST_I8},  {3, 2, PST_I16},
             {4, 4, PST_I32}, {5, 8, PST_I64}, {8, 2, PST_U16}};

static void make_megatron(uint64_t n_sequences, uint64_t n_documents, int has_modes)
{
    static uint64_t length[MOST_SEQUENCES], bound[MOST_DOCUMENTS + 1];
    size_t kind = draw(6);
    file.size = 0;
    file.dtype = kinds[kind].dtype;
    file.n_sequences = n_sequences;
    file.n_documents = n_documents;
    file.n_tokens = 0;
    memcpy(file.bytes, "MMIDIDX\0", 9);
    file.size = 9;
    put(1, 8);
    put(kinds[kind].code, 1);
    put(n_sequences, 8);
    put(n_documents + 1, 8);
    for (uint64_t s = 0; s < n_sequences; s++)
        put(length[s] = draw(4) ? draw(100) : 0, 4);
    for (uint64_t s = 0, at = 0; s < n_sequences; s++) {
        put(at, 8);
        at += length[s] * kinds[kind].size;
    }
    for (uint64_t d = 0; d <= n_documents; d++)
        bound[d] = d == 0 ? 0 : d == n_documents ? n_sequences : d * n_sequences / n_documents;
    for (uint64_t d = 0, s = 0; d <= n_documents; d++) {
        put(bound[d], 8);
        for (; s < bound[d]; s++)
            file.n_tokens += length[s];
        if (d > 0)
            file.ends[d - 1] = file.n_tokens;
    }
    file.used = file.size;
    for (uint64_t s = 0; has_modes && s < n_sequences; s++)
        put(draw(256), 1);
}

static int parse(struct pst__token_index *index, size_t size, int with_ends, struct pst_error *err)
{
    struct index_bytes bytes = {file.bytes, size};
    struct pst__reader reader = index_reader(&bytes);
    pst_error_init(err);
    return pst__megatron_read(index, &reader, with_ends, err);
}

static int is_right(const struct pst__token_index *index)
{
    return index->dtype == file.dtype && index->n_documents == file.n_documents &&
           index->n_tokens == file.n_tokens &&
           (!index->ends || file.n_documents == 0 ||
            memcmp(index->ends, file.ends, file.n_documents * 8) == 0);
}

static void megatron(void)
{
    struct pst__token_index index;
    struct pst_error err;
    for (int round = 0; round < 400; round++) {
        uint64_t documents = draw(round < 350 ? 20 : MOST_DOCUMENTS);
        uint64_t sequences = documents == 0 ? 0 : draw(round < 350 ? 40 : MOST_SEQUENCES);
        make_megatron(sequences, documents, (int)draw(2));
        for (int with_ends = 0; with_ends < 2; with_ends++) {
            if (parse(&index, file.size, with_ends, &err) < 0)
                check_fail(__FILE__, __LINE__, "%s", err.message);
            CHECK(is_right(&index));
            CHECK_INT(index.ends != NULL, with_ends);
            pst__token_index_reset(&index);
        }
    }
}

/* A file that was cut, or has more at its end. */
static void megatron_of_another_size(void)
{
    struct pst__token_index index;
    struct pst_error err;
    int64_t blocks = pst__mem_blocks();
    for (int has_modes = 0; has_modes < 2; has_modes++) {
        make_megatron(7, 3, has_modes);
        for (size_t size = 0; size < file.size + 20; size++)
            for (int with_ends = 0; with_ends < 2; with_ends++) {
                /* The modes may be left out. */
                int is_good = size == file.used || size == file.used + 7;
                int rc = parse(&index, size, with_ends, &err);
                CHECK(is_good ? rc == PST_OK : rc == PST_ETRUNCATED || rc == PST_EFORMAT);
                CHECK(is_good || (err.offset >= 0 && strstr(err.message, "'a.idx' ")));
                if (rc == PST_OK)
                    CHECK(is_right(&index));
                pst__token_index_reset(&index);
                check_tried(1);
            }
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A flipped bit is found, or what is read is what was written; but for the dtype and the end of the
 * last sequence, which only the size of the tokens' file contradicts, and bounds of documents,
 * which nothing does while they rise. */
static void megatron_flipped(void)
{
    struct pst__token_index index;
    struct pst_error err;
    int64_t blocks = pst__mem_blocks(), harmless = 0;
    for (int round = 0; round < 20; round++) {
        make_megatron(9, 4, round & 1);
        for (size_t bit = 0; bit < 8 * file.used; bit++)
            for (int with_ends = 0; with_ends < 2; with_ends++) {
                file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                int rc = parse(&index, file.size, with_ends, &err);
                file.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                check_tried(1);
                if (rc < 0) {
                    CHECK(err.offset >= 0 && err.message[0]);
                    continue;
                }
                size_t at = bit / 8;
                int is_dtype = at == 17, is_bound = at >= HEADER + 12 * 9;
                int is_end = (at >= HEADER + 4 * 8 && at < HEADER + 4 * 9) ||
                             (at >= HEADER + 12 * 9 - 8 && at < HEADER + 12 * 9);
                if (!is_dtype && !is_end && !(with_ends && is_bound))
                    CHECK(is_right(&index));
                CHECK(index.n_documents == file.n_documents);
                harmless += is_right(&index);
                pst__token_index_reset(&index);
            }
    }
    CHECK(harmless > 0); /* without ends most of the arrays are not read */
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void set(size_t at, uint64_t value, size_t n)
{
    size_t size = file.size;
    file.size = at;
    put(value, n);
    file.size = size;
}

static void megatron_refusals(void)
{
    struct pst__token_index index;
    struct pst_error err;
    static const struct {
        size_t at, n;
        uint64_t value;
        int status;
        const char *text;
    } cases[] = {
        {0, 1, 'm', PST_EFORMAT, "does not begin with MMIDIDX"},
        {9, 8, 2, PST_EUNSUPPORTED, "is of version 2"},
        {17, 1, 6, PST_EUNSUPPORTED, "of type 6"},
        {17, 1, 9, PST_EFORMAT, "of type 9"},
        {18, 8, UINT64_MAX, PST_ETRUNCATED, "too few for 18446744073709551615 sequences"},
        {18, 8, UINT64_MAX / 8, PST_ETRUNCATED, "too few for"},
        {26, 8, UINT64_MAX / 8 + 2, PST_ETRUNCATED, "bounds of documents"},
        {26, 8, 0, PST_EFORMAT, "has no bounds"},
        {26, 8, 3, PST_EFORMAT, "bytes behind its arrays, expected none or 9"},
        {HEADER + 4, 4, UINT32_MAX, PST_EFORMAT, "sequence 1 has -1 tokens"},
        {HEADER + 36 + 8, 8, UINT64_MAX, PST_EFORMAT, "sequence 1 begins at byte -1, expected"},
        {HEADER + 108, 8, 1, PST_EFORMAT,
         "bound 0 of the documents is sequence 1, expected 0 to 0"},
        {HEADER + 108 + 8, 8, 10, PST_EFORMAT, "is sequence 10, expected 0 to 9"},
        {HEADER + 108 + 16, 8, 0, PST_EFORMAT, "bound 2 of the documents is sequence 0, expected "},
        {HEADER + 108 + 32, 8, 8, PST_EFORMAT,
         "bound 4 of the documents is sequence 8, expected 9"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        make_megatron(9, 4, 0);
        set(cases[c].at, cases[c].value, cases[c].n);
        CHECK_INT(parse(&index, file.size, 1, &err), cases[c].status);
        CHECK_HAS(err.message, cases[c].text);
        CHECK(err.offset >= 0 && (size_t)err.offset <= file.size);
    }
    /* Without the ends, what is looked at is looked at as closely. */
    make_megatron(9, 4, 0);
    set(HEADER + 4 * 8, 100, 4);
    set(HEADER + 36 + 8 * 8, INT64_MAX, 8);
    CHECK_INT(parse(&index, file.size, 0, &err), PST_EFORMAT);
    make_megatron(0, 0, 0);
    CHECK_INT(parse(&index, file.size, 0, &err), PST_OK);
    CHECK_INT(index.n_tokens, 0);
}

static void datatrove(void)
{
    struct pst__token_index index;
    struct pst_error err;
    int64_t blocks = pst__mem_blocks();
    for (int round = 0; round < 200; round++) {
        uint64_t n = draw(round < 150 ? 10 : MOST_DOCUMENTS), end = 0;
        file.size = 0;
        for (uint64_t d = 0; d < n; d++)
            put(file.ends[d] = end += draw(3) * draw(1000000), 8);
        for (int with_ends = 0; with_ends < 2; with_ends++) {
            struct index_bytes bytes = {file.bytes, file.size};
            struct pst__reader reader = index_reader(&bytes);
            CHECK_INT(pst__datatrove_read(&index, &reader, with_ends, NULL), PST_OK);
            CHECK_INT(index.n_documents, n);
            CHECK_INT(index.n_tokens, end);
            CHECK(!index.ends || memcmp(index.ends, file.ends, n * 8) == 0);
            pst__token_index_reset(&index);
            bytes.size++;
            reader.size++;
            pst_error_init(&err);
            CHECK_INT(pst__datatrove_read(&index, &reader, with_ends, &err), PST_EFORMAT);
            CHECK_HAS(err.message, "expected a multiple of 8");
            CHECK_INT(err.offset, n * 8);
        }
        if (n < 2 || file.ends[0] == 0)
            continue;
        set(8, file.ends[0] - 1, 8);
        struct index_bytes bytes = {file.bytes, file.size};
        struct pst__reader reader = index_reader(&bytes);
        pst_error_init(&err);
        CHECK_INT(pst__datatrove_read(&index, &reader, 1, &err), PST_EFORMAT);
        CHECK_HAS(err.message, "document 1 ends at token");
        CHECK_INT(err.offset, 8);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(megatron), CASE(megatron_of_another_size), CASE(megatron_flipped),
           CASE(megatron_refusals), CASE(datatrove))
