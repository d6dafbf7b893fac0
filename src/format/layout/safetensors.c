/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/json.h"
#include "format/layout/layout.h"

/* A 64-bit size, a JSON object of so many bytes, and the tensors' bytes one after another:
 *   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
 *    "__metadata__": {"text": "text", ...}}
 * Offsets count from behind the object. There are no holes and no overlaps, and nothing is left
 * over. */

#define HEAD 8
#define SHOWN 120
#define MAX_TENSORS (1u << 20)

struct parser {
    struct pst__json json;
    struct pst__layouts *layouts;
    struct pst__text name, text;
    uint64_t start, room; /* of the data */
    int has_metadata;
};

static const struct kind {
    const char *name;
    int dtype; /* 0: none of ours */
    int bits;
} kinds[] = {
    {"F64", PST_F64, 64},  {"F32", PST_F32, 32},  {"F16", PST_F16, 16},  {"BF16", PST_BF16, 16},
    {"I64", PST_I64, 64},  {"I32", PST_I32, 32},  {"I16", PST_I16, 16},  {"I8", PST_I8, 8},
    {"U64", PST_U64, 64},  {"U32", PST_U32, 32},  {"U16", PST_U16, 16},  {"U8", PST_U8, 8},
    {"BOOL", PST_BOOL, 8}, {"C64", 0, 64},        {"F8_E5M2", 0, 8},     {"F8_E4M3", 0, 8},
    {"F8_E8M0", 0, 8},     {"F8_E4M3FNUZ", 0, 8}, {"F8_E5M2FNUZ", 0, 8}, {"F6_E2M3", 0, 6},
    {"F6_E3M2", 0, 6},     {"F4", 0, 4},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < PST_COUNTOF(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* More items follow: 1. The closing bracket was taken: 0. *n counts the items. */
static int next_item(struct pst__json *json, int close, int *n, struct pst_error *err)
{
    pst__json_space(json);
    if (pst__json_peek(json) == close) {
        int rc = pst__json_take(json, close, "its end", err);
        return rc < 0 ? rc : 0;
    }
    int rc = (*n)++ == 0
                 ? PST_OK
                 : pst__json_take(json, ',', close == '}' ? "',' or '}'" : "',' or ']'", err);
    if (rc == PST_OK && *n > 1 && pst__json_peek(json) == close)
        rc = pst__json_bad(json, err, "another item behind the comma");
    return rc < 0 ? rc : 1;
}

static int unsigned_number(struct pst__json *json, int64_t *value, struct pst_error *err)
{
    static const char expected[] = "an integer from 0 to 2^63 - 1";
    if (pst__json_peek(json) == '-')
        return pst__json_bad(json, err, expected);
    return pst__json_integer(json, value, expected, err);
}

/* At most `most` numbers. */
static int numbers(struct pst__json *json, int64_t *out, int most, int *n, struct pst_error *err)
{
    int more, rc = pst__json_take(json, '[', "a list of numbers", err);
    *n = 0;
    if (rc < 0)
        return rc;
    while ((more = next_item(json, ']', n, err)) == 1) {
        if (*n > most)
            return pst__fail_at(err, PST_ELIMIT, json->base + (int64_t)json->at,
                                "%s: a list of over %d numbers", json->shown, most);
        if ((rc = unsigned_number(json, &out[*n - 1], err)) < 0)
            return rc;
    }
    return more;
}

static int dtype(struct parser *parser, struct pst__layout *layout, struct pst_error *err)
{
    int rc = pst__json_string(&parser->json, &parser->text, err);
    if (rc < 0)
        return rc;
    char shown[SHOWN];
    const char *name = parser->text.bytes;
    const struct kind *kind = kind_of(name);
    if (!kind)
        return pst__fail_at(err, PST_EUNSUPPORTED, parser->json.base + (int64_t)parser->json.at,
                            "%s: a tensor is of dtype '%s', which is not known", parser->json.shown,
                            pst__printable(shown, sizeof shown, name));
    memcpy(layout->kind, name, strlen(name) + 1);
    layout->dtype = kind->dtype;
    return PST_OK;
}

static int offsets(struct parser *parser, struct pst__layout *layout, struct pst_error *err)
{
    int64_t bounds[2];
    int n, rc = numbers(&parser->json, bounds, 2, &n, err);
    if (rc < 0)
        return rc;
    if (n != 2 || bounds[0] > bounds[1])
        return pst__json_bad(&parser->json, err, "a begin and an end not before it, before this");
    if ((uint64_t)bounds[1] > parser->room)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)(parser->start + parser->room),
                            "%s ends too early: it has %" PRIu64 " bytes behind its header, a "
                            "tensor ends at %" PRId64,
                            parser->json.shown, parser->room, bounds[1]);
    layout->offset = parser->start + (uint64_t)bounds[0];
    layout->bytes = (uint64_t)(bounds[1] - bounds[0]);
    return PST_OK;
}

/* The three members of a tensor, in any order. */
static int tensor(struct parser *parser, struct pst__layout *layout, struct pst_error *err)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    struct pst__json *json = &parser->json;
    int n = 0, seen = 0, more, rc = pst__json_take(json, '{', "an object", err);
    if (rc < 0)
        return rc;
    while ((more = next_item(json, '}', &n, err)) == 1) {
        int key = 0;
        if ((rc = pst__json_string(json, &parser->text, err)) < 0)
            return rc;
        while (key < 3 && strcmp(keys[key], parser->text.bytes) != 0)
            key++;
        if (key == 3 || seen & 1 << key)
            return pst__json_bad(
                json, err, "\"dtype\", \"shape\" and \"data_offsets\" once each, before this");
        seen |= 1 << key;
        if ((rc = pst__json_take(json, ':', "':'", err)) < 0)
            return rc;
        rc = key == 0   ? dtype(parser, layout, err)
             : key == 1 ? numbers(json, layout->shape, PST_MAX_DIMS, &layout->ndim, err)
                        : offsets(parser, layout, err);
        if (rc < 0)
            return rc;
    }
    if (more < 0)
        return more;
    return seen == 7
               ? PST_OK
               : pst__json_bad(json, err, "\"dtype\", \"shape\" and \"data_offsets\", before this");
}

/* What shape and dtype say is what lies between the offsets. */
static int check_size(const struct parser *parser, struct pst__layout *layout,
                      struct pst_error *err)
{
    char shown[SHOWN];
    uint64_t bytes = layout->bytes, bits = (uint64_t)kind_of(layout->kind)->bits;
    if (layout->dtype == 0) {
        for (int i = 0; i < layout->ndim; i++)
            if (__builtin_mul_overflow(bits, (uint64_t)layout->shape[i], &bits))
                return pst__fail(err, PST_ELIMIT, "%s: tensor '%s' has 2^61 bytes or more",
                                 parser->json.shown,
                                 pst__printable(shown, sizeof shown, layout->name));
        if (bits % 8 == 0 && bits / 8 == bytes)
            return PST_OK;
        layout->bytes = bits / 8;
    } else {
        int rc = pst__layout_measure(layout, parser->json.shown, err);
        if (rc < 0 || layout->bytes == bytes)
            return rc;
    }
    return pst__fail_at(err, PST_EFORMAT, parser->json.base + (int64_t)parser->json.at,
                        "%s: tensor '%s': its shape and dtype take %" PRIu64
                        " bytes, its offsets leave %" PRIu64,
                        parser->json.shown, pst__printable(shown, sizeof shown, layout->name),
                        layout->bytes, bytes);
}

static int metadata(struct parser *parser, struct pst_error *err)
{
    struct pst__json *json = &parser->json;
    int n = 0, more, rc;
    if (parser->has_metadata++)
        return pst__json_bad(json, err, "\"__metadata__\" once, before this");
    if ((rc = pst__json_take(json, '{', "an object", err)) < 0)
        return rc;
    while ((more = next_item(json, '}', &n, err)) == 1) {
        if ((rc = pst__json_string(json, &parser->text, err)) < 0 ||
            (rc = pst__json_take(json, ':', "':'", err)) < 0 ||
            (rc = pst__json_string(json, &parser->text, err)) < 0)
            return rc;
    }
    return more;
}

static int member(struct parser *parser, struct pst_error *err)
{
    struct pst__json *json = &parser->json;
    int rc = pst__json_string(json, &parser->name, err);
    if (rc == PST_OK)
        rc = pst__json_take(json, ':', "':'", err);
    if (rc < 0)
        return rc;
    if (strcmp(parser->name.bytes, "__metadata__") == 0)
        return metadata(parser, err);
    if (parser->layouts->n == MAX_TENSORS)
        return pst__fail(err, PST_ELIMIT, "%s has over %u tensors", json->shown, MAX_TENSORS);
    struct pst__layout *layout = pst__layouts_add(parser->layouts);
    if (!layout || !(layout->name = pst__alloc(parser->name.used, PST_MEM_HEAP)))
        return PST_ENOMEM;
    memcpy(layout->name, parser->name.bytes, parser->name.used);
    if ((rc = tensor(parser, layout, err)) < 0)
        return rc;
    return check_size(parser, layout, err);
}

static int object(struct parser *parser, struct pst_error *err)
{
    int n = 0, more, rc;
    struct pst__json *json = &parser->json;
    /* The format wants the brace first. */
    if (pst__json_peek(json) != '{')
        return pst__json_bad(json, err, "an object");
    if ((rc = pst__json_take(json, '{', "an object", err)) < 0)
        return rc;
    while ((more = next_item(json, '}', &n, err)) == 1)
        if ((rc = member(parser, err)) < 0)
            return rc;
    if (more < 0)
        return more;
    return json->at == json->end ? PST_OK : pst__json_bad(json, err, "the end of the header");
}

static int by_name(const void *a, const void *b)
{
    const struct pst__layout *one = a, *other = b;
    return strcmp(one->name, other->name);
}

/* Tensors without bytes before those that begin where they do. */
static int by_place(const void *a, const void *b)
{
    const struct pst__layout *one = a, *other = b;
    if (one->offset != other->offset)
        return one->offset < other->offset ? -1 : 1;
    if (one->bytes != other->bytes)
        return one->bytes < other->bytes ? -1 : 1;
    return strcmp(one->name, other->name);
}

static int check_places(const struct parser *parser, struct pst_error *err)
{
    char shown[SHOWN];
    struct pst__layout *layout = parser->layouts->layout;
    size_t n = parser->layouts->n;
    uint64_t end = parser->start;
    if (n > 0)
        qsort(layout, n, sizeof *layout, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(layout[i - 1].name, layout[i].name) == 0)
            return pst__fail_at(err, PST_EFORMAT, HEAD, "%s: two tensors are named '%s'",
                                parser->json.shown,
                                pst__printable(shown, sizeof shown, layout[i].name));
    if (n > 0)
        qsort(layout, n, sizeof *layout, by_place);
    for (size_t i = 0; i < n; end += layout[i++].bytes)
        if (layout[i].offset != end)
            return pst__fail_at(err, PST_EFORMAT, (int64_t)layout[i].offset,
                                "%s: tensor '%s' begins at byte %" PRIu64 ", expected %" PRIu64
                                ", where the one before it ends",
                                parser->json.shown,
                                pst__printable(shown, sizeof shown, layout[i].name),
                                layout[i].offset, end);
    if (end != parser->start + parser->room)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)end,
                            "%s: %" PRIu64 " bytes at byte %" PRIu64 " belong to no tensor",
                            parser->json.shown, parser->start + parser->room - end, end);
    return PST_OK;
}

static int read_header(uint8_t **header, size_t *size, const struct pst__reader *reader,
                       struct pst_error *err)
{
    uint8_t head[HEAD];
    if (reader->size < HEAD)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)reader->size,
                            "%s has %" PRIu64 " bytes, a file of safetensors has at least %d",
                            reader->shown, reader->size, HEAD);
    int rc = reader->read(reader->self, 0, HEAD, head, err);
    if (rc < 0)
        return rc;
    uint64_t n = 0;
    for (int i = HEAD - 1; i >= 0; i--)
        n = n << 8 | head[i];
    if (n > PST__SAFETENSORS_MAX_HEADER)
        return pst__fail_at(err, PST_ELIMIT, 0,
                            "%s has a header of %" PRIu64 " bytes, the limit is %d", reader->shown,
                            n, PST__SAFETENSORS_MAX_HEADER);
    if (n > reader->size - HEAD)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)reader->size,
                            "%s ends within its header: %" PRIu64 " bytes at 8 expected, it has "
                            "%" PRIu64,
                            reader->shown, n, reader->size);
    *size = (size_t)n;
    *header = pst__alloc(*size, PST_MEM_HEAP);
    if (!*header)
        return PST_ENOMEM;
    return n > 0 ? reader->read(reader->self, HEAD, *size, *header, err) : PST_OK;
}

int pst__safetensors_read(struct pst__layouts *layouts, const struct pst__reader *reader,
                          struct pst_error *err)
{
    uint8_t *header = NULL;
    size_t size = 0;
    *layouts = (struct pst__layouts){0};
    int rc = read_header(&header, &size, reader, err);
    if (rc == PST_OK) {
        struct parser parser = {
            .json = {.shown = reader->shown,
                     .data = header,
                     .end = size,
                     .base = HEAD,
                     .max_text = size},
            .layouts = layouts,
            .start = HEAD + size,
            .room = reader->size - HEAD - size,
        };
        rc = object(&parser, err);
        if (rc == PST_OK)
            rc = check_places(&parser, err);
        pst__free(parser.name.bytes);
        pst__free(parser.text.bytes);
    }
    pst__free(header);
    if (rc < 0)
        pst__layouts_reset(layouts);
    return rc == PST_ENOMEM ? pst__fail(err, rc, "no memory for the header of %s", reader->shown)
                            : rc;
}
