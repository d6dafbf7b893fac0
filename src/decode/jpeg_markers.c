/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/jpeg_markers.h"

#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"
#include "decode/orientation.h"

#define BLOCK 64          /* coefficients */
#define MAX_MCU_BLOCKS 10 /* libjpeg's D_MAX_BLOCKS_IN_MCU, T.81 B.2.3 */
#define MAX_AL 13         /* libjpeg's bound on point transforms */
#define UNSEEN -1

struct walk {
    struct pst__bytes bytes;
    struct pst__jpeg_header *header;
    struct pst__jpeg_apps apps;
    struct pst_error *err;
    size_t marker_at;   /* offset of the marker at hand */
    unsigned has_quant; /* bit n: table n is defined */
    unsigned has_dc, has_ac;
    int has_frame;
    /* Progressive: the lowest bit of each coefficient that has come, UNSEEN before the first. */
    int8_t low_bit[PST_JPEG_MAX_COMPONENTS][BLOCK];
    unsigned has_scan; /* sequential: bit c: component c's scan has come */
};

struct segment {
    int marker;
    struct pst__bytes bytes;
};

static int bad(const struct walk *walk, int status, const char *why)
{
    return pst__fail_at(walk->err, status, (int64_t)walk->marker_at, "JPEG %s", why);
}

int pst__jpeg_has_signature(const uint8_t *data, size_t size)
{
    return size >= 3 && data[0] == 0xff && data[1] == PST_JPEG_SOI && data[2] == 0xff;
}

/* The next marker's code; fill bytes before it are legal. */
static int next_marker(struct walk *walk)
{
    walk->marker_at = walk->bytes.pos;
    int c = pst__bytes_u8(&walk->bytes);
    if (c != 0xff && !walk->bytes.over)
        return pst__fail_at(walk->err, PST_EUNCLEAN, (int64_t)walk->marker_at,
                            "JPEG has byte %02x where a marker was expected", c);
    while (c == 0xff)
        c = pst__bytes_u8(&walk->bytes);
    if (walk->bytes.over)
        return bad(walk, PST_ETRUNCATED, "ends where a marker was expected");
    return c;
}

static int read_segment(struct walk *walk, int marker, struct segment *segment)
{
    size_t size = pst__bytes_be16(&walk->bytes);
    const uint8_t *data = size < 2 ? NULL : pst__bytes_take(&walk->bytes, size - 2);
    if (walk->bytes.over)
        return pst__fail_at(walk->err, PST_ETRUNCATED, (int64_t)walk->marker_at,
                            "JPEG segment %02x of %zu bytes ends after the file", marker, size);
    if (!data)
        return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)walk->marker_at,
                            "JPEG segment %02x of %zu bytes, expected at least 2", marker, size);
    *segment = (struct segment){marker, pst__bytes_over(data, size - 2)};
    return PST_OK;
}

static int take_quant(struct walk *walk, struct segment *segment)
{
    struct pst__bytes *b = &segment->bytes;
    while (pst__bytes_left(b) > 0) {
        int head = pst__bytes_u8(b);
        int precision = head >> 4, index = head & 15;
        if (precision > 1 || index > 3)
            return bad(walk, PST_EFORMAT, "quantization table with a number or precision unknown");
        if (!pst__bytes_take(b, (size_t)BLOCK << precision))
            return bad(walk, PST_EFORMAT, "quantization table is cut short");
        walk->has_quant |= 1u << index;
    }
    return PST_OK;
}

/* Code lengths that no prefix code has make libjpeg refuse, but only when the table is used. */
static int has_code(const uint8_t counts[16])
{
    uint32_t code = 0;
    for (int length = 1; length <= 16; length++) {
        code += counts[length - 1];
        /* Nor may a code be all ones. */
        if (counts[length - 1] > 0 && code >= 1u << length)
            return 0;
        code <<= 1;
    }
    return 1;
}

static int take_huffman(struct walk *walk, struct segment *segment)
{
    struct pst__bytes *b = &segment->bytes;
    while (pst__bytes_left(b) > 0) {
        int head = pst__bytes_u8(b);
        int is_ac = head >> 4, index = head & 15;
        const uint8_t *counts = pst__bytes_take(b, 16);
        size_t total = 0;
        for (int i = 0; counts && i < 16; i++)
            total += counts[i];
        const uint8_t *symbols = pst__bytes_take(b, total);
        if (is_ac > 1 || index > 3)
            return bad(walk, PST_EFORMAT, "Huffman table with a number or class unknown");
        if (!counts || !symbols || total > 256)
            return bad(walk, PST_EFORMAT, "Huffman table is cut short");
        if (total == 0 || !has_code(counts))
            return bad(walk, PST_EFORMAT, "Huffman table is not a prefix code");
        for (size_t i = 0; !is_ac && i < total; i++) {
            if (symbols[i] > 15)
                return bad(walk, PST_EFORMAT, "Huffman table for DC has a symbol over 15");
        }
        *(is_ac ? &walk->has_ac : &walk->has_dc) |= 1u << index;
    }
    return PST_OK;
}

static int take_restart_interval(struct walk *walk, struct segment *segment)
{
    if (segment->bytes.size != 2)
        return bad(walk, PST_EFORMAT, "restart interval is not 2 bytes");
    return PST_OK;
}

static int check_size(struct walk *walk)
{
    const struct pst__jpeg_header *h = walk->header;
    if (h->height == 0)
        return bad(walk, PST_EUNSUPPORTED, "gives its height after the first scan, or none");
    if (h->width == 0)
        return bad(walk, PST_EFORMAT, "frame without width");
    int64_t pixels = (int64_t)h->width * h->height;
    if (h->width > PST_MAX_SIDE || h->height > PST_MAX_SIDE || pixels > PST_MAX_PIXELS ||
        pixels / PST_MAX_RATIO > (int64_t)walk->bytes.size)
        return pst__fail_at(walk->err, PST_ELIMIT, (int64_t)walk->marker_at,
                            "JPEG of %d x %d pixels in %zu bytes is over a limit", h->width,
                            h->height, walk->bytes.size);
    return PST_OK;
}

static int check_components(struct walk *walk)
{
    const struct pst__jpeg_header *h = walk->header;
    int most_h = 1, most_v = 1;
    for (int i = 0; i < h->n_components; i++) {
        const struct pst__jpeg_component *c = &h->components[i];
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->quant > 3)
            return bad(walk, PST_EFORMAT, "component with a sampling factor or table unknown");
        for (int k = 0; k < i; k++) {
            if (h->components[k].id == c->id)
                return bad(walk, PST_EUNCLEAN, "has two components of one name");
        }
        most_h = c->h > most_h ? c->h : most_h;
        most_v = c->v > most_v ? c->v : most_v;
    }
    for (int i = 0; i < h->n_components; i++) {
        if (most_h % h->components[i].h != 0 || most_v % h->components[i].v != 0)
            return bad(walk, PST_EUNSUPPORTED, "has fractional sampling");
    }
    return PST_OK;
}

static int take_frame(struct walk *walk, struct segment *segment)
{
    struct pst__jpeg_header *h = walk->header;
    struct pst__bytes *b = &segment->bytes;
    if (walk->has_frame)
        return bad(walk, PST_EFORMAT, "has a second frame");
    walk->has_frame = 1;
    int precision = pst__bytes_u8(b);
    h->height = pst__bytes_be16(b);
    h->width = pst__bytes_be16(b);
    int n = pst__bytes_u8(b);
    if (b->over || b->size != 6 + 3 * (size_t)n)
        return bad(walk, PST_EFORMAT, "frame header has a wrong length");
    if (precision != 8)
        return pst__fail_at(walk->err, PST_EUNSUPPORTED, (int64_t)walk->marker_at,
                            "JPEG with %d bits a sample, expected 8", precision);
    if (n != 1 && n != 3 && n != 4)
        return pst__fail_at(walk->err, PST_EUNSUPPORTED, (int64_t)walk->marker_at,
                            "JPEG with %d components, expected 1, 3 or 4", n);
    h->n_components = n;
    h->is_progressive = segment->marker == PST_JPEG_SOF2;
    for (int i = 0; i < n; i++) {
        struct pst__jpeg_component *c = &h->components[i];
        c->id = pst__bytes_u8(b);
        int factors = pst__bytes_u8(b);
        c->h = (uint8_t)(factors >> 4);
        c->v = factors & 15;
        c->quant = pst__bytes_u8(b);
    }
    int rc = check_size(walk);
    return rc < 0 ? rc : check_components(walk);
}

/* Any marker but SOS and EOI. */
static int take_segment(struct walk *walk, int marker)
{
    struct segment segment;
    int known = marker == PST_JPEG_DHT || marker == PST_JPEG_DQT || marker == PST_JPEG_DRI ||
                marker == PST_JPEG_COM || (marker >= PST_JPEG_APP0 && marker <= PST_JPEG_APP15) ||
                (marker >= PST_JPEG_SOF0 && marker <= PST_JPEG_SOF2);
    if (!known) {
        /* 0xc3 to 0xcf: other frames (lossless, hierarchical, arithmetic), 0xc8 reserved. */
        int status =
            marker > PST_JPEG_SOF2 && marker < PST_JPEG_RST0 ? PST_EUNSUPPORTED : PST_EUNCLEAN;
        return pst__fail_at(walk->err, status, (int64_t)walk->marker_at,
                            "JPEG marker %02x is not expected here", marker);
    }
    int rc = read_segment(walk, marker, &segment);
    if (rc < 0)
        return rc;
    switch (marker) {
    case PST_JPEG_DHT:
        return take_huffman(walk, &segment);
    case PST_JPEG_DQT:
        return take_quant(walk, &segment);
    case PST_JPEG_DRI:
        return take_restart_interval(walk, &segment);
    case PST_JPEG_COM:
        return PST_OK;
    case PST_JPEG_SOF0:
    case PST_JPEG_SOF1:
    case PST_JPEG_SOF2:
        return take_frame(walk, &segment);
    default:
        /* Pillow reads those before the first scan, libjpeg all of them. */
        if (walk->header->n_scans > 0)
            return bad(walk, PST_EUNCLEAN, "has an application segment between scans");
        return pst__jpeg_take_app(&walk->apps, marker, segment.bytes.data, segment.bytes.size,
                                  (size_t)(segment.bytes.data - walk->bytes.data), walk->err);
    }
}

struct scan {
    int n;
    int component[PST_JPEG_MAX_COMPONENTS];
    int dc[PST_JPEG_MAX_COMPONENTS], ac[PST_JPEG_MAX_COMPONENTS];
    int first, last; /* coefficients */
    int high, low;   /* bits: the one before this scan, the one that it gives */
};

static int find_component(const struct pst__jpeg_header *header, int id)
{
    for (int i = 0; i < header->n_components; i++) {
        if (header->components[i].id == id)
            return i;
    }
    return -1;
}

static int read_scan(struct walk *walk, struct scan *scan)
{
    struct segment segment;
    int rc = read_segment(walk, PST_JPEG_SOS, &segment);
    if (rc < 0)
        return rc;
    struct pst__bytes *b = &segment.bytes;
    if (!walk->has_frame)
        return bad(walk, PST_EFORMAT, "scan comes before its frame");
    *scan = (struct scan){.n = pst__bytes_u8(b)};
    if (scan->n < 1 || scan->n > PST_JPEG_MAX_COMPONENTS || b->size != 4 + 2 * (size_t)scan->n)
        return bad(walk, PST_EFORMAT, "scan header has a wrong length");
    int blocks = 0;
    for (int i = 0; i < scan->n; i++) {
        int c = find_component(walk->header, pst__bytes_u8(b));
        int tables = pst__bytes_u8(b);
        if (c < 0 || (i > 0 && c <= scan->component[i - 1]))
            return bad(walk, PST_EFORMAT, "scan names its components wrongly");
        scan->component[i] = c;
        scan->dc[i] = tables >> 4;
        scan->ac[i] = tables & 15;
        blocks += walk->header->components[c].h * walk->header->components[c].v;
    }
    if (scan->n > 1 && blocks > MAX_MCU_BLOCKS)
        return bad(walk, PST_EFORMAT, "scan has too many blocks in a unit");
    scan->first = pst__bytes_u8(b);
    scan->last = pst__bytes_u8(b);
    int bits = pst__bytes_u8(b);
    scan->high = bits >> 4;
    scan->low = bits & 15;
    return PST_OK;
}

static int check_tables(struct walk *walk, const struct scan *scan, int needs_dc, int needs_ac)
{
    for (int i = 0; i < scan->n; i++) {
        int quant = walk->header->components[scan->component[i]].quant;
        if (!(walk->has_quant >> quant & 1))
            return bad(walk, PST_EUNCLEAN, "scan uses a quantization table that is not there");
        if (scan->dc[i] > 3 || scan->ac[i] > 3)
            return bad(walk, PST_EFORMAT, "scan uses a Huffman table over 3");
        if ((needs_dc && !(walk->has_dc >> scan->dc[i] & 1)) ||
            (needs_ac && !(walk->has_ac >> scan->ac[i] & 1)))
            return bad(walk, PST_EUNCLEAN, "scan uses a Huffman table that is not there");
    }
    return PST_OK;
}

static int check_sequential(struct walk *walk, const struct scan *scan)
{
    if (scan->first != 0 || scan->last != BLOCK - 1 || scan->high != 0 || scan->low != 0)
        return bad(walk, PST_EUNCLEAN, "sequential scan with progressive parameters");
    for (int i = 0; i < scan->n; i++) {
        unsigned bit = 1u << scan->component[i];
        if (walk->has_scan & bit)
            return bad(walk, PST_EUNCLEAN, "has two scans of one component");
        walk->has_scan |= bit;
    }
    return check_tables(walk, scan, 1, 1);
}

/* T.81 G.1.1.1, as libjpeg takes it: errors and warnings of its jdphuff.c. */
static int check_progressive(struct walk *walk, const struct scan *scan)
{
    int is_dc = scan->first == 0;
    if (scan->last >= BLOCK || (is_dc ? scan->last != 0 : scan->last < scan->first) ||
        (!is_dc && scan->n != 1) || scan->low > MAX_AL ||
        (scan->high != 0 && scan->high != scan->low + 1))
        return bad(walk, PST_EFORMAT, "progressive scan with impossible parameters");
    for (int i = 0; i < scan->n; i++) {
        int8_t *low_bit = walk->low_bit[scan->component[i]];
        if (!is_dc && low_bit[0] == UNSEEN)
            return bad(walk, PST_EUNCLEAN, "has a scan of AC before the one of DC");
        for (int k = scan->first; k <= scan->last; k++) {
            if (scan->high != (low_bit[k] == UNSEEN ? 0 : low_bit[k]))
                return bad(walk, PST_EUNCLEAN, "has progressive scans out of sequence");
            low_bit[k] = (int8_t)scan->low;
        }
    }
    return check_tables(walk, scan, is_dc && scan->high == 0, !is_dc);
}

/* The offset of the next marker in entropy-coded data from pos on, or of the end: stuffed zeros and
 * fill bytes are passed over. */
static size_t find_marker(const uint8_t *data, size_t size, size_t pos)
{
    while (pos < size) {
        const uint8_t *ff = memchr(data + pos, 0xff, size - pos);
        if (!ff)
            return size;
        pos = (size_t)(ff - data);
        size_t code = pos + 1;
        while (code < size && data[code] == 0xff)
            code++;
        if (code == size)
            return size;
        if (data[code] != 0)
            return code - 1;
        pos = code + 1;
    }
    return size;
}

static void skip_entropy(struct walk *walk)
{
    struct pst__bytes *b = &walk->bytes;
    for (;;) {
        size_t at = find_marker(b->data, b->size, b->pos);
        int code = at < b->size ? b->data[at + 1] : PST_JPEG_EOI;
        b->pos = at;
        if (code < PST_JPEG_RST0 || code > PST_JPEG_RST7)
            return;
        b->pos = at + 2;
    }
}

static int check_complete(struct walk *walk)
{
    const struct pst__jpeg_header *h = walk->header;
    if (!h->is_progressive && walk->has_scan != (1u << h->n_components) - 1)
        return bad(walk, PST_EUNCLEAN, "ends before the scans of all components");
    for (int c = 0; h->is_progressive && c < h->n_components; c++) {
        /* libjpeg smooths over what is missing, and its releases do it differently. */
        for (int k = 0; k < BLOCK; k++) {
            if (walk->low_bit[c][k] != 0)
                return bad(walk, PST_EUNCLEAN, "ends before all its progressive scans");
        }
    }
    return PST_OK;
}

/* The colour space is libjpeg's guess; here are the cases in which it warns. */
static int check_color(struct walk *walk)
{
    const struct pst__jpeg_apps *apps = &walk->apps;
    int n = walk->header->n_components;
    if (n == 1 || !apps->has_adobe || (n == 3 && apps->has_jfif))
        return PST_OK;
    if (apps->adobe_transform != 0 && apps->adobe_transform != (n == 3 ? 1 : 2))
        return pst__fail_at(walk->err, PST_EUNCLEAN, (int64_t)walk->marker_at,
                            "JPEG with Adobe colour transform %d for %d components",
                            apps->adobe_transform, n);
    return PST_OK;
}

/* Of EXIF in several segments Pillow makes one. */
static int find_orientation(const struct pst__jpeg_apps *apps)
{
    const struct pst__metadata metadata = {.exif = apps->exif,
                                           .exif_size = apps->exif_size,
                                           .xmp = apps->xmp,
                                           .xmp_size = apps->xmp_size,
                                           .is_unsure = apps->n_exif > 1};
    return pst__orientation(&metadata);
}

static int take_scan(struct walk *walk)
{
    struct scan scan;
    struct pst__jpeg_header *h = walk->header;
    int rc = read_scan(walk, &scan);
    if (rc < 0)
        return rc;
    if (h->n_scans++ == 0) {
        if ((rc = check_color(walk)) < 0 ||
            (rc = pst__jpeg_check_exif(&walk->apps, walk->bytes.data, walk->err)) < 0)
            return rc;
        h->orientation = find_orientation(&walk->apps);
    }
    if (h->n_scans > PST_MAX_SCANS)
        return pst__fail_at(walk->err, PST_ELIMIT, (int64_t)walk->marker_at,
                            "JPEG with more than %d scans", PST_MAX_SCANS);
    rc = h->is_progressive ? check_progressive(walk, &scan) : check_sequential(walk, &scan);
    if (rc < 0)
        return rc;
    if (!h->is_progressive && scan.n == h->n_components)
        return PST_END;
    skip_entropy(walk);
    return PST_OK;
}

int pst__jpeg_read_markers(struct pst__jpeg_header *header, const uint8_t *data, size_t size,
                           struct pst_error *err)
{
    *header = (struct pst__jpeg_header){0};
    struct walk walk = {.bytes = pst__bytes_over(data, size), .header = header, .err = err};
    memset(walk.low_bit, UNSEEN, sizeof walk.low_bit);
    if (!pst__jpeg_has_signature(data, size))
        return bad(&walk, PST_EFORMAT, "does not begin with SOI and a marker");
    walk.bytes.pos = 2;
    for (;;) {
        int marker = next_marker(&walk);
        if (marker < 0)
            return marker;
        if (marker == PST_JPEG_EOI && header->n_scans > 0)
            return check_complete(&walk);
        int rc = marker == PST_JPEG_SOS ? take_scan(&walk) : take_segment(&walk, marker);
        if (rc != PST_OK)
            return rc == PST_END ? PST_OK : rc;
    }
}

int pst__jpeg_check_tail(const uint8_t *data, size_t size, size_t offset, int next_restart,
                         struct pst_error *err)
{
    for (;;) {
        size_t at = find_marker(data, size, offset);
        if (at == size)
            return pst__fail_at(err, PST_ETRUNCATED, (int64_t)size, "JPEG ends without EOI");
        int marker = data[at + 1];
        if (marker == PST_JPEG_EOI)
            return PST_OK;
        if (next_restart < 0 || marker != PST_JPEG_RST0 + next_restart)
            return pst__fail_at(err, PST_EUNCLEAN, (int64_t)at,
                                "JPEG marker %02x is not expected in its data", marker);
        next_restart = (next_restart + 1) & 7;
        offset = at + 2;
    }
}
