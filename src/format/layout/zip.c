/* SPDX-License-Identifier: Apache-2.0 */
#include "format/layout/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/strings.h"

/* From behind: the end record says where the directory is, an entry of it where a member's own
 * header is, and behind that lies the data. What is said twice has to be the same, and everything
 * has its place: members, directory, end. So there is one reading of a file, whoever reads it. */

#define END_SIG 0x06054b50u
#define END_BYTES 22
#define LOCATOR_SIG 0x07064b50u
#define LOCATOR_BYTES 20
#define END64_SIG 0x06064b50u
#define END64_BYTES 56
#define ENTRY_SIG 0x02014b50u
#define ENTRY_BYTES 46
#define HEADER_SIG 0x04034b50u
#define HEADER_BYTES 30

#define VERSION 63 /* 6.3, of the format that is known */
/* Bits of flags: how it is compressed, sums behind the data, a name in UTF-8. Others encrypt, or
 * are patches. */
#define FLAGS 0x080e
#define ZIP64_EXTRA 1
#define MAX_MEMBERS (1u << 20)
#define MAX_DIRECTORY (64u << 20) /* bytes */
#define MAX_NAME 4096
#define SHOWN 120

struct directory {
    uint64_t offset, bytes, n;
};

struct parser {
    struct pst__zip *zip;
    const struct pst__reader *reader;
    struct pst_error *err;
    struct directory directory;
};

static int bad(const struct parser *parser, uint64_t at, const char *expected)
{
    return pst__fail_at(parser->err, PST_EFORMAT, (int64_t)at,
                        "%s: byte %" PRIu64 " of the zip file: expected %s", parser->reader->shown,
                        at, expected);
}

static int read_at(const struct parser *parser, uint64_t at, uint8_t *out, size_t n)
{
    const struct pst__reader *reader = parser->reader;
    if (at > reader->size || n > reader->size - at)
        return pst__fail_at(parser->err, PST_ETRUNCATED, (int64_t)reader->size,
                            "%s ends too early: %zu bytes of the zip file at %" PRIu64
                            " expected, it has %" PRIu64,
                            reader->shown, n, at, reader->size);
    return reader->read(reader->self, at, n, out, parser->err);
}

/* --- the end
 * ------------------------------------------------------------------------------------- */

/* A field of 16 or 32 bits that is full stands for one of 64. */
static int is_told(uint64_t narrow, uint64_t full, uint64_t wide)
{
    return narrow == wide || narrow == full;
}

/* The record of 64 bits in front of the end at `at`, if there is one; *at becomes its place. */
static int read_end64(struct parser *parser, uint64_t *at)
{
    uint8_t bytes[END64_BYTES];
    if (*at < LOCATOR_BYTES)
        return PST_OK;
    int rc = read_at(parser, *at - LOCATOR_BYTES, bytes, LOCATOR_BYTES);
    if (rc < 0)
        return rc;
    struct pst__bytes locator = pst__bytes_over(bytes, LOCATOR_BYTES);
    if (pst__bytes_le32(&locator) != LOCATOR_SIG)
        return PST_OK;
    uint64_t place = *at - LOCATOR_BYTES;
    uint32_t disk = pst__bytes_le32(&locator);
    uint64_t end64 = pst__bytes_le64(&locator);
    if (disk != 0 || pst__bytes_le32(&locator) > 1)
        return bad(parser, place, "a file on one disk");
    if (place < END64_BYTES || end64 != place - END64_BYTES)
        return bad(parser, place, "the 64-bit end record in front of this");
    if ((rc = read_at(parser, end64, bytes, sizeof bytes)) < 0)
        return rc;
    struct pst__bytes end = pst__bytes_over(bytes, sizeof bytes);
    uint32_t sig = pst__bytes_le32(&end);
    uint64_t rest = pst__bytes_le64(&end);
    pst__bytes_take(&end, 4); /* versions */
    uint64_t disks = pst__bytes_le64(&end), here = pst__bytes_le64(&end);
    struct directory wide = {.n = pst__bytes_le64(&end)};
    wide.bytes = pst__bytes_le64(&end);
    wide.offset = pst__bytes_le64(&end);
    const struct directory *narrow = &parser->directory;
    if (sig != END64_SIG || rest != END64_BYTES - 12 || disks != 0 || here != wide.n)
        return bad(parser, end64, "a 64-bit end record without extensions, of one disk");
    if (!is_told(narrow->n, UINT16_MAX, wide.n) ||
        !is_told(narrow->bytes, UINT32_MAX, wide.bytes) ||
        !is_told(narrow->offset, UINT32_MAX, wide.offset))
        return bad(parser, end64, "what the end of the file says of the directory");
    parser->directory = wide;
    *at = end64;
    return PST_OK;
}

static int read_end(struct parser *parser)
{
    uint8_t bytes[END_BYTES];
    uint64_t size = parser->reader->size, at = size - END_BYTES;
    if (size < END_BYTES)
        return pst__fail_at(parser->err, PST_ETRUNCATED, (int64_t)size,
                            "%s: a zip file has at least %d bytes, it has %" PRIu64,
                            parser->reader->shown, END_BYTES, size);
    int rc = read_at(parser, at, bytes, sizeof bytes);
    if (rc < 0)
        return rc;
    struct pst__bytes end = pst__bytes_over(bytes, sizeof bytes);
    if (pst__bytes_le32(&end) != END_SIG)
        return bad(parser, at, "the end of the directory, without a comment (was the file cut?)");
    uint32_t disks = pst__bytes_le32(&end);
    uint16_t here = pst__bytes_le16(&end);
    struct directory *directory = &parser->directory;
    *directory = (struct directory){.n = pst__bytes_le16(&end)};
    directory->bytes = pst__bytes_le32(&end);
    directory->offset = pst__bytes_le32(&end);
    if (disks != 0 || here != directory->n || pst__bytes_le16(&end) != 0)
        return bad(parser, at, "an end record of one disk and without a comment");
    if ((rc = read_end64(parser, &at)) < 0)
        return rc;
    if (directory->n > MAX_MEMBERS || directory->bytes > MAX_DIRECTORY)
        return pst__fail_at(parser->err, PST_ELIMIT, (int64_t)at,
                            "%s: a directory of %" PRIu64 " members and %" PRIu64
                            " bytes, at most %u and %u are read",
                            parser->reader->shown, directory->n, directory->bytes, MAX_MEMBERS,
                            MAX_DIRECTORY);
    if (directory->offset > at || directory->bytes != at - directory->offset ||
        directory->n > directory->bytes / ENTRY_BYTES)
        return bad(parser, at, "the directory in front of this, and no more");
    return PST_OK;
}

/* --- an entry
 * ------------------------------------------------------------------------------------- */

struct entry {
    uint16_t version, flags, method, n_name, n_extra, n_comment, disk;
    uint64_t packed, bytes, header;
};

/* Values of 64 bits for the fields that are full, in this order. */
static int widen(const struct parser *parser, struct entry *entry, struct pst__bytes extra,
                 uint64_t at)
{
    uint64_t *fields[] = {&entry->bytes, &entry->packed, &entry->header};
    int is_seen = 0;
    while (pst__bytes_left(&extra) > 0) {
        uint16_t id = pst__bytes_le16(&extra), size = pst__bytes_le16(&extra);
        const uint8_t *data = pst__bytes_take(&extra, size);
        if (extra.over)
            return bad(parser, at, "an entry whose extra fields are whole");
        if (id != ZIP64_EXTRA)
            continue;
        if (is_seen++)
            return bad(parser, at, "one field of 64-bit values in an entry");
        struct pst__bytes values = pst__bytes_over(data, size);
        for (size_t i = 0; i < PST_COUNTOF(fields); i++)
            if (*fields[i] == UINT32_MAX)
                *fields[i] = pst__bytes_le64(&values);
        if (values.over)
            return bad(parser, at, "64-bit values for the fields that are full");
    }
    return PST_OK;
}

static int check_entry(const struct parser *parser, const struct entry *entry, uint64_t at)
{
    if (entry->flags & ~FLAGS || entry->version > VERSION)
        return pst__fail_at(parser->err, PST_EUNSUPPORTED, (int64_t)at,
                            "%s: a member of the zip file is encrypted, or of a newer kind: "
                            "version %d, flags 0x%x",
                            parser->reader->shown, entry->version, entry->flags);
    if (entry->disk != 0)
        return bad(parser, at, "a file on one disk");
    if (entry->n_name == 0 || entry->n_name > MAX_NAME)
        return bad(parser, at, "a name of 1 to 4096 bytes");
    if (entry->method == 0 && entry->packed != entry->bytes)
        return bad(parser, at, "a stored member to be as large as it is stored");
    return PST_OK;
}

/* The member's own header, which says the same, and where the data begins. */
static int read_header(const struct parser *parser, const struct entry *entry,
                       struct pst__zip_member *member)
{
    uint8_t bytes[HEADER_BYTES + MAX_NAME];
    uint64_t at = entry->header;
    int rc = read_at(parser, at, bytes, HEADER_BYTES + (size_t)entry->n_name);
    if (rc < 0)
        return rc;
    struct pst__bytes head = pst__bytes_over(bytes, HEADER_BYTES);
    uint32_t sig = pst__bytes_le32(&head);
    pst__bytes_take(&head, 2); /* version */
    uint16_t flags = pst__bytes_le16(&head), method = pst__bytes_le16(&head);
    pst__bytes_take(&head, 4 + 3 * 4); /* time, sum and sizes: the directory has them */
    uint16_t n_name = pst__bytes_le16(&head), n_extra = pst__bytes_le16(&head);
    if (sig != HEADER_SIG || flags != entry->flags || method != entry->method ||
        n_name != entry->n_name || memcmp(bytes + HEADER_BYTES, member->name, n_name) != 0)
        return bad(parser, at, "the header of the member that the directory tells of");
    member->header = at;
    member->offset = at + HEADER_BYTES + n_name + n_extra;
    member->bytes = entry->packed;
    member->is_stored = entry->method == 0;
    uint64_t end = parser->directory.offset;
    if (member->offset > end || member->bytes > end - member->offset)
        return bad(parser, at, "a member that ends before the directory begins");
    return PST_OK;
}

static int take_name(const struct parser *parser, struct pst__zip_member *member,
                     const uint8_t *name, size_t n, uint64_t at)
{
    if (memchr(name, 0, n))
        return bad(parser, at, "a name without a NUL");
    member->name = pst__alloc(n + 1, PST_MEM_HEAP);
    if (!member->name)
        return PST_ENOMEM;
    memcpy(member->name, name, n);
    member->name[n] = 0;
    return PST_OK;
}

static int read_entry(struct parser *parser, struct pst__bytes *directory)
{
    uint64_t at = parser->directory.offset + directory->pos;
    if (pst__bytes_le32(directory) != ENTRY_SIG)
        return bad(parser, at, "another entry of the directory");
    struct entry entry;
    pst__bytes_take(directory, 2); /* the version that wrote it */
    entry.version = pst__bytes_le16(directory) & 0xff;
    entry.flags = pst__bytes_le16(directory);
    entry.method = pst__bytes_le16(directory);
    pst__bytes_take(directory, 8); /* time and sum */
    entry.packed = pst__bytes_le32(directory);
    entry.bytes = pst__bytes_le32(directory);
    entry.n_name = pst__bytes_le16(directory);
    entry.n_extra = pst__bytes_le16(directory);
    entry.n_comment = pst__bytes_le16(directory);
    entry.disk = pst__bytes_le16(directory);
    pst__bytes_take(directory, 6); /* attributes */
    entry.header = pst__bytes_le32(directory);
    const uint8_t *name = pst__bytes_take(directory, entry.n_name);
    const uint8_t *extra = pst__bytes_take(directory, entry.n_extra);
    pst__bytes_take(directory, entry.n_comment);
    if (directory->over)
        return bad(parser, at, "an entry that ends with the directory");
    int rc = widen(parser, &entry, pst__bytes_over(extra, entry.n_extra), at);
    if (rc == PST_OK)
        rc = check_entry(parser, &entry, at);
    if (rc < 0)
        return rc;
    struct pst__zip *zip = parser->zip;
    void *items = zip->member;
    if (pst__grow(&items, &zip->room, zip->n + 1, sizeof *zip->member) < 0)
        return PST_ENOMEM;
    zip->member = items;
    struct pst__zip_member *member = &zip->member[zip->n++];
    *member = (struct pst__zip_member){0};
    rc = take_name(parser, member, name, entry.n_name, at);
    return rc == PST_OK ? read_header(parser, &entry, member) : rc;
}

/* --- all of them
 * ------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct pst__zip_member *one = a, *other = b;
    return strcmp(one->name, other->name);
}

static int by_place(const void *a, const void *b)
{
    const struct pst__zip_member *one = a, *other = b;
    return (one->header > other->header) - (one->header < other->header);
}

static int check_members(const struct parser *parser)
{
    char shown[SHOWN];
    struct pst__zip_member *member = parser->zip->member;
    size_t n = parser->zip->n;
    if (n < 2)
        return PST_OK;
    qsort(member, n, sizeof *member, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(member[i - 1].name, member[i].name) == 0)
            return pst__fail_at(parser->err, PST_EFORMAT, (int64_t)member[i].header,
                                "%s: two members of the zip file are named '%s'",
                                parser->reader->shown,
                                pst__printable(shown, sizeof shown, member[i].name));
    qsort(member, n, sizeof *member, by_place);
    for (size_t i = 1; i < n; i++)
        if (member[i].header < member[i - 1].offset + member[i - 1].bytes)
            return bad(parser, member[i].header, "members that do not overlap");
    return PST_OK;
}

static int read_directory(struct parser *parser)
{
    size_t size = (size_t)parser->directory.bytes;
    uint8_t *bytes = pst__alloc(size > 0 ? size : 1, PST_MEM_HEAP);
    if (!bytes)
        return PST_ENOMEM;
    int rc = read_at(parser, parser->directory.offset, bytes, size);
    struct pst__bytes directory = pst__bytes_over(bytes, size);
    for (uint64_t i = 0; i < parser->directory.n && rc == PST_OK; i++)
        rc = read_entry(parser, &directory);
    if (rc == PST_OK && pst__bytes_left(&directory) > 0)
        rc = bad(parser, parser->directory.offset + directory.pos, "the end of the directory");
    pst__free(bytes);
    return rc;
}

int pst__zip_ends(const struct pst__zip_member *member, const char *suffix)
{
    size_t n = strlen(member->name), m = strlen(suffix);
    return n > m && memcmp(member->name + n - m, suffix, m) == 0;
}

void pst__zip_reset(struct pst__zip *zip)
{
    for (size_t i = 0; i < zip->n; i++)
        pst__free(zip->member[i].name);
    pst__free(zip->member);
    *zip = (struct pst__zip){0};
}

int pst__zip_read(struct pst__zip *zip, const struct pst__reader *reader, struct pst_error *err)
{
    *zip = (struct pst__zip){0};
    struct parser parser = {.zip = zip, .reader = reader, .err = err};
    int rc = read_end(&parser);
    if (rc == PST_OK)
        rc = read_directory(&parser);
    if (rc == PST_OK)
        rc = check_members(&parser);
    if (rc == PST_ENOMEM)
        rc = pst__fail(err, rc, "no memory for the directory of %s", reader->shown);
    if (rc < 0)
        pst__zip_reset(zip);
    return rc;
}
