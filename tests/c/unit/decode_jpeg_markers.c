/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/jpeg_markers.h"

#include "base/limits.h"
#include "decode/decode.h"
#include "jpeg_files.h"

/* Which headers are vouched for. Each case is one change of a clean file. */

static const struct jpeg_kind color = {3, 2, 2, 0, 0, 0};
static const struct jpeg_kind progressive = {3, 1, 1, 1, 0, 0};

static int probe(const struct jpeg_file *file, struct pst_error *err)
{
    struct pst_image_info info = {0};
    *err = (struct pst_error){0};
    int rc = pst__decode_probe(file->data, file->size, &info, err);
    CHECK(rc == PST_OK || (err->status == rc && err->message[0] && err->offset >= 0));
    CHECK(rc == PST_OK || info.width == 0);
    return rc;
}

static void expect(struct jpeg_file *file, int status, const char *part)
{
    struct pst_error err;
    int rc = probe(file, &err);
    if (rc != status)
        check_fail(__FILE__, __LINE__, "%s: status %d \"%s\", expected %d", part, rc, err.message,
                   status);
    if (status < 0)
        CHECK_HAS(err.message, part);
    jpeg_file_free(file);
}

/* A file with a segment put in front of all others. */
static struct jpeg_file with_segment(int code, const void *content, size_t n)
{
    struct jpeg_file file = jpeg_file_make(&color, 40, 30);
    const unsigned char head[] = {0xff, (unsigned char)code, (unsigned char)((n + 2) >> 8),
                                  (unsigned char)(n + 2)};
    jpeg_file_insert(&file, 2, content, n);
    jpeg_file_insert(&file, 2, head, sizeof head);
    return file;
}

static void segments_that_pillow_reads(void)
{
#define SEGMENT(code, text, status, part)                                                          \
    {                                                                                              \
        code, sizeof(text) - 1, text, status, part                                                 \
    }
    static const struct {
        int code;
        size_t n;
        const char *content;
        int status;
        const char *part;
    } cases[] = {
        SEGMENT(0xfe, "any comment", PST_OK, ""),
        SEGMENT(0xfe, "", PST_OK, ""),
        SEGMENT(0xef, "whatever", PST_OK, ""),
        SEGMENT(0xe0, "AVI1", PST_OK, ""),
        SEGMENT(0xe0, "JFIF\0\1\1\0\0\1\0\1\0\0", PST_OK, ""),
        SEGMENT(0xe0, "JFIF\0\2\0\0\0\1\0\1\0\0", PST_EUNCLEAN, "JFIF version 2.00"),
        SEGMENT(0xe0, "JFIF\0\1\1\0\0\1\0\1\0", PST_EUNCLEAN, "JFIF segment of 13"),
        SEGMENT(0xe0, "JFIF", PST_EUNCLEAN, "JFIF segment of 4"),
        SEGMENT(0xe1, "http://ns.adobe.com/xap/1.0/\0<x/>", PST_OK, ""),
        SEGMENT(0xe2, "MPF\0II*\0", PST_EUNSUPPORTED, "multi-picture"),
        SEGMENT(0xe2, "ICC_PROFILE\0\1\1x", PST_OK, ""),
        SEGMENT(0xe2, "ICC_PROFILE\0\1", PST_EUNCLEAN, "ICC profile segment of 13"),
        SEGMENT(0xed, "Photoshop 3.0\0", PST_OK, ""),
        SEGMENT(0xed, "Photoshop 3.0\0008BIM\3\355\0\0\0\0\0\2ab", PST_OK, ""),
        SEGMENT(0xed, "Photoshop 3.0\0008BIM\4", PST_OK, ""),
        SEGMENT(0xed, "Photoshop 3.0\0008BIM\4\4", PST_EUNCLEAN, "Photoshop"),
        SEGMENT(0xed, "Photoshop 3.0\0008BIM\4\4\0\0\377\377\377\377", PST_OK, ""),
        SEGMENT(0xed, "Photoshop 3.0\0008BIM\4\4\0\0\0\0\0\0018BIM\4\4", PST_OK, ""),
        SEGMENT(0xed, "Photoshop 3.0\0008BIM\4\4\0\0\0\0\0\2ab8BIM\4\4", PST_EUNCLEAN, "Photoshop"),
        SEGMENT(0xee, "Adobe\0d\0\0\0\0\1", PST_OK, ""),
        SEGMENT(0xee, "Adobe\0d\0\0\0\0", PST_EUNCLEAN, "Adobe segment of 11"),
        SEGMENT(0xdc, "\0\36", PST_EUNCLEAN, "marker dc"),
        SEGMENT(0xcc, "\0\1", PST_EUNSUPPORTED, "marker cc"),
        SEGMENT(0xf0, "ab", PST_EUNCLEAN, "marker f0"),
        SEGMENT(0xdd, "\0\0", PST_OK, ""),
        SEGMENT(0xdd, "\0\0\0", PST_EFORMAT, "restart interval"),
        SEGMENT(0xdb, "\4", PST_EFORMAT, "quantization table with a number"),
        SEGMENT(0xdb, "\40", PST_EFORMAT, "quantization table with a number"),
        SEGMENT(0xdb, "\1abc", PST_EFORMAT, "quantization table is cut short"),
        SEGMENT(0xdb,
                "\21"
                "0123456789012345678901234567890123456789012345678901234567890123",
                PST_EFORMAT, "quantization table is cut short"),
        SEGMENT(0xdb, "", PST_OK, ""),
        SEGMENT(0xc4, "\3\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ab", PST_EFORMAT, "not a prefix code"),
        SEGMENT(0xc4, "\3\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20", PST_EFORMAT, "over 15"),
        SEGMENT(0xc4, "\3\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\17", PST_OK, ""),
        SEGMENT(0xc4, "\3\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", PST_EFORMAT, "cut short"),
        SEGMENT(0xc4, "\3\1\1\0\0", PST_EFORMAT, "cut short"),
        SEGMENT(0xc4, "\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", PST_EFORMAT, "not a prefix code"),
        SEGMENT(0xc4, "\4\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", PST_EFORMAT, "number or class"),
        SEGMENT(0xc4, "\40\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", PST_EFORMAT, "number or class"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jpeg_file file = with_segment(cases[i].code, cases[i].content, cases[i].n);
        expect(&file, cases[i].status, cases[i].part);
    }
}

/* JFIF without a unit of density, which libjpeg writes, sends Pillow to EXIF. */
static void exif_that_pillow_evaluates(void)
{
#define TIFF "Exif\0\0MM\0*\0\0\0\10"
#define END "\0\0\0\0"
    static const struct {
        size_t n;
        const char *content;
        int status;
    } cases[] = {
#define EXIF(text, status) {sizeof(text) - 1, text, status}
        EXIF(TIFF "\0\0" END, PST_OK),
        EXIF("Exif\0\0II*\0\10\0\0\0\0\0" END, PST_OK),
        EXIF("Exif\0\0II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0\1\0\0\0" END, PST_OK),
        EXIF("Exif\0\0", PST_EUNCLEAN),
        EXIF("Exif\0\0XX*\0\10\0\0\0\0\0" END, PST_EUNCLEAN),
        EXIF("Exif\0\0MM\0*\0\0", PST_EUNCLEAN),
        EXIF("Exif\0\0MM\0*\377\0\0\10\0\0" END, PST_EUNCLEAN),
        EXIF(TIFF "\0", PST_EUNCLEAN),
        EXIF(TIFF "\0\0\0\0\0", PST_EUNCLEAN),
        EXIF(TIFF "\0\2\1\22\0\3\0\0\0\1\0\1\0\0" END, PST_EUNCLEAN),
        /* Resolution: RATIONAL of the right size, past the end, text. */
        EXIF(TIFF "\0\1\1\32\0\5\0\0\0\1\0\0\0\32" END "\0\0\0\110\0\0\0\1", PST_OK),
        EXIF(TIFF "\0\1\1\32\0\5\0\0\0\1\0\0\0\33" END "\0\0\0\110\0\0\0\1", PST_EUNCLEAN),
        EXIF(TIFF "\0\1\1\32\0\2\0\0\0\1"
                  "5\0\0\0" END,
             PST_EUNCLEAN),
        EXIF(TIFF "\0\1\1\32\0\3\0\0\0\2\0\1\0\1" END, PST_EUNCLEAN),
        EXIF(TIFF "\0\1\1\50\0\3\0\0\0\1\0\2\0\0" END, PST_OK),
        EXIF(TIFF "\0\1\1\50\0\4\0\0\0\1\0\0\0\2" END, PST_EUNCLEAN),
        /* Two entries that share their data: Pillow counts them twice. */
        EXIF(TIFF "\0\2\20\0\0\2\0\0\0\30\0\0\0\10\20\1\0\2\0\0\0\30\0\0\0\10" END, PST_EUNCLEAN),
        EXIF(TIFF "\0\2\20\0\0\2\0\0\0\20\0\0\0\10\20\1\0\2\0\0\0\20\0\0\0\10" END, PST_OK),
        /* A size that overflows, and a type that nobody knows. */
        EXIF(TIFF "\0\1\20\0\0\14\377\377\377\377\0\0\0\10" END, PST_EUNCLEAN),
        EXIF(TIFF "\0\1\20\0\0\143\377\377\377\377\377\0\0\10" END, PST_OK),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jpeg_file file = with_segment(0xe1, cases[i].content, cases[i].n);
        expect(&file, cases[i].status, "EXIF");
        /* With a density in JFIF, Pillow leaves EXIF alone. */
        file = with_segment(0xe1, cases[i].content, cases[i].n);
        size_t jfif = jpeg_file_find(&file, 0xe0, 0);
        file.data[jfif + 11] = 1;
        expect(&file, PST_OK, "EXIF");
    }
    struct jpeg_file file = with_segment(0xe1, TIFF "\0\0" END, sizeof(TIFF "\0\0" END) - 1);
    size_t at = jpeg_file_find(&file, 0xe1, 0), n = jpeg_file_segment_size(&file, at);
    unsigned char copy[64];
    CHECK(n <= sizeof copy);
    memcpy(copy, file.data + at, n);
    jpeg_file_insert(&file, at, copy, n);
    expect(&file, PST_EUNCLEAN, "several segments");
}

/* Bytes of the frame header: 4 precision, 5-6 height, 7-8 width, 9 components, then 3 for each. */
static void frames(void)
{
    static const struct {
        int at, value, status;
        const char *part;
    } cases[] = {
        {1, 0xc1, PST_OK, ""},
        {1, 0xc3, PST_EUNSUPPORTED, "marker c3"},
        {1, 0xc9, PST_EUNSUPPORTED, "marker c9"},
        {1, 0xcf, PST_EUNSUPPORTED, "marker cf"},
        {1, 0xfe, PST_EFORMAT, "before its frame"},
        {3, 18, PST_EFORMAT, "wrong length"},
        {4, 12, PST_EUNSUPPORTED, "12 bits"},
        {6, 0, PST_EUNSUPPORTED, "height"},
        {8, 0, PST_EFORMAT, "width"},
        {9, 2, PST_EFORMAT, "wrong length"},
        {11, 0x00, PST_EFORMAT, "sampling factor"},
        {11, 0x51, PST_EFORMAT, "sampling factor"},
        {14, 0x12, PST_OK, ""},
        {11, 0x32, PST_OK, ""},
        {11, 0x44, PST_EFORMAT, "too many blocks"},
        {12, 4, PST_EFORMAT, "table unknown"},
        {12, 3, PST_EUNCLEAN, "quantization table that is not there"},
        {13, 1, PST_EUNCLEAN, "one name"},
        {13, 9, PST_EFORMAT, "names its components"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jpeg_file file = jpeg_file_make(&color, 40, 30);
        size_t at = jpeg_file_find(&file, 0xc0, 0);
        file.data[at + (size_t)cases[i].at] = (unsigned char)cases[i].value;
        expect(&file, cases[i].status, cases[i].part);
    }
    /* 3 x 1 and 2 x 1: no whole number of pixels to a sample. */
    struct jpeg_file file = jpeg_file_make(&color, 40, 30);
    size_t at = jpeg_file_find(&file, 0xc0, 0);
    file.data[at + 11] = 0x31;
    file.data[at + 14] = 0x21;
    expect(&file, PST_EUNSUPPORTED, "fractional");
    file = jpeg_file_make(&color, 40, 30);
    at = jpeg_file_find(&file, 0xc0, 0);
    unsigned char frame[64];
    size_t n = jpeg_file_segment_size(&file, at);
    memcpy(frame, file.data + at, n);
    jpeg_file_insert(&file, at, frame, n);
    expect(&file, PST_EFORMAT, "second frame");
}

static void frames_with_two_components(void)
{
    struct jpeg_file file = jpeg_file_make(&color, 40, 30);
    size_t at = jpeg_file_find(&file, 0xc0, 0);
    file.data[at + 3] = 14;
    file.data[at + 9] = 2;
    jpeg_file_remove(&file, at + 16, 3);
    expect(&file, PST_EUNSUPPORTED, "2 components");
}

static void sizes_over_a_limit(void)
{
    static const struct {
        int w, h, status;
    } cases[] = {{65500, 1, PST_OK},        {65501, 1, PST_ELIMIT}, {65500, 65500, PST_ELIMIT},
                 {10000, 8948, PST_ELIMIT}, {1, 65500, PST_OK},     {1, 65501, PST_ELIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jpeg_file file = jpeg_file_make(&color, 40, 30);
        size_t at = jpeg_file_find(&file, 0xc0, 0);
        file.data[at + 5] = (unsigned char)(cases[i].h >> 8);
        file.data[at + 6] = (unsigned char)cases[i].h;
        file.data[at + 7] = (unsigned char)(cases[i].w >> 8);
        file.data[at + 8] = (unsigned char)cases[i].w;
        expect(&file, cases[i].status, "over a limit");
    }
}

/* Bytes of the scan header: 4 components, then 2 for each; the last three are the parameters. */
static void scans(void)
{
    static const struct {
        int at, value, status;
        const char *part;
    } cases[] = {
        {3, 11, PST_EFORMAT, "wrong length"},
        {4, 0, PST_EFORMAT, "wrong length"},
        {4, 5, PST_EFORMAT, "wrong length"},
        {5, 2, PST_EFORMAT, "names its components"},
        {5, 77, PST_EFORMAT, "names its components"},
        {6, 0x40, PST_EFORMAT, "Huffman table over 3"},
        {6, 0x20, PST_EUNCLEAN, "Huffman table that is not there"},
        {6, 0x02, PST_EUNCLEAN, "Huffman table that is not there"},
        {6, 0x11, PST_OK, ""},
        {11, 1, PST_EUNCLEAN, "progressive parameters"},
        {12, 62, PST_EUNCLEAN, "progressive parameters"},
        {13, 1, PST_EUNCLEAN, "progressive parameters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jpeg_file file = jpeg_file_make(&color, 40, 30);
        size_t at = jpeg_file_find(&file, 0xda, 0);
        file.data[at + (size_t)cases[i].at] = (unsigned char)cases[i].value;
        expect(&file, cases[i].status, cases[i].part);
    }
}

static void tables_must_come_first(void)
{
    static const int codes[] = {0xdb, 0xc4};
    for (int i = 0; i < 2; i++) {
        struct jpeg_file file = jpeg_file_make(&color, 40, 30);
        size_t at = jpeg_file_find(&file, codes[i], 0);
        jpeg_file_remove(&file, at, jpeg_file_segment_size(&file, at));
        expect(&file, PST_EUNCLEAN, "that is not there");
    }
}

static void bytes_between_segments(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        int status;
    } cases[] = {
        {"\xff", 1, PST_OK},           {"\xff\xff\xff", 3, PST_OK},
        {"a", 1, PST_EUNCLEAN},        {"\xff\0", 2, PST_EUNCLEAN},
        {"\0", 1, PST_EUNCLEAN},       {"\xff\xd8", 2, PST_EUNCLEAN},
        {"\xff\xd9", 2, PST_EUNCLEAN}, {"\xff\xd3", 2, PST_EUNCLEAN},
        {"\xff\x01", 2, PST_EUNCLEAN}, {"\xff\xfe\0\1", 4, PST_EFORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jpeg_file file = jpeg_file_make(&color, 40, 30);
        size_t at = jpeg_file_find(&file, 0xdb, 0);
        jpeg_file_insert(&file, at, cases[i].bytes, cases[i].n);
        expect(&file, cases[i].status, "JPEG");
    }
}

static void adobe_transforms(void)
{
    static const struct jpeg_kind four = {4, 1, 1, 0, 0, 0};
    for (int transform = 0; transform < 4; transform++) {
        struct jpeg_file file = jpeg_file_make(&four, 40, 30);
        size_t at = jpeg_file_find(&file, 0xee, 0);
        file.data[at + 15] = (unsigned char)transform;
        expect(&file, transform % 2 ? PST_EUNCLEAN : PST_OK, "Adobe colour transform");
    }
}

static void progressive_scans(void)
{
    static const struct {
        int scan, at, value, status;
        const char *part;
    } cases[] = {
        /* The first scan has all components: parameters from byte 11 on. */
        {0, 13, 0x00, PST_EUNCLEAN, "out of sequence"},
        {0, 13, 0x0e, PST_EFORMAT, "impossible parameters"},
        {0, 12, 1, PST_EFORMAT, "impossible parameters"},
        {0, 11, 1, PST_EFORMAT, "impossible parameters"},
        /* The second has one: from byte 7 on. */
        {1, 7, 0, PST_EFORMAT, "impossible parameters"},
        {1, 7, 2, PST_EUNCLEAN, "out of sequence"},
        {1, 8, 64, PST_EFORMAT, "impossible parameters"},
        {1, 9, 0x31, PST_EFORMAT, "impossible parameters"},
        {1, 9, 0x21, PST_EUNCLEAN, "out of sequence"},
        {1, 5, 3, PST_EUNCLEAN, "out of sequence"},
        {1, 6, 0x03, PST_EUNCLEAN, "that is not there"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jpeg_file file = jpeg_file_make(&progressive, 40, 30);
        size_t at = jpeg_file_find(&file, 0xda, cases[i].scan);
        file.data[at + (size_t)cases[i].at] = (unsigned char)cases[i].value;
        expect(&file, cases[i].status, cases[i].part);
    }
}

/* libjpeg accepts these without a word and smooths over what is missing. */
static void scans_that_are_missing(void)
{
    static const struct jpeg_kind kinds[] = {{3, 1, 1, 1, 0, 0}, {3, 2, 2, 0, 1, 0}};
    for (int k = 0; k < 2; k++) {
        for (int scan = 1; scan < (k ? 3 : 10); scan++) {
            struct jpeg_file file = jpeg_file_make(&kinds[k], 40, 30);
            size_t at = jpeg_file_find(&file, 0xda, scan);
            file.size = at + 2;
            file.data[at + 1] = 0xd9;
            expect(&file, PST_EUNCLEAN, "ends before");
        }
    }
    /* All bits of DC, nothing of AC. */
    struct jpeg_file file = jpeg_file_make(&progressive, 40, 30);
    size_t first = jpeg_file_find(&file, 0xda, 0), next = jpeg_file_find(&file, 0xda, 1);
    file.data[first + 13] = 0;
    file.data[next + 1] = 0xd9;
    expect(&file, PST_EUNCLEAN, "ends before");
    file = jpeg_file_make(&kinds[1], 40, 30);
    size_t second = jpeg_file_find(&file, 0xda, 1);
    file.data[second + 5] = 1;
    expect(&file, PST_EUNCLEAN, "two scans of one component");
    file = jpeg_file_make(&progressive, 40, 30);
    jpeg_file_insert(&file, jpeg_file_find(&file, 0xda, 1), "\xff\xe1\0\4ab", 6);
    expect(&file, PST_EUNCLEAN, "between scans");
    file = jpeg_file_make(&progressive, 40, 30);
    jpeg_file_insert(&file, jpeg_file_find(&file, 0xda, 1), "\xff\xfe\0\4ab", 6);
    expect(&file, PST_OK, "");
}

/* Bit by bit of one coefficient after the other, all of it legal. */
static void too_many_scans(void)
{
    struct jpeg_file file = jpeg_file_make(&progressive, 40, 30);
    size_t at = jpeg_file_find(&file, 0xda, 1);
    unsigned char scans[PST_MAX_SCANS][11];
    for (int i = 0; i < PST_MAX_SCANS; i++) {
        unsigned char k = (unsigned char)(1 + i % 63);
        unsigned char bits = i < 63 ? 0x0d : 0xdc;
        memcpy(scans[i], (unsigned char[]){0xff, 0xda, 0, 8, 1, 1, 0, k, k, bits, 0}, 11);
    }
    jpeg_file_insert(&file, at, scans, sizeof scans);
    expect(&file, PST_ELIMIT, "more than 100 scans");
}

static void the_tail_of_a_scan(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        int next_restart, status, offset;
    } cases[] = {
        {"\xff\xd9", 2, -1, PST_OK, 0},
        {"abc\xff\0x\xff\xd9", 8, -1, PST_OK, 0},
        {"ab\xff\xff\xff\xd9", 6, -1, PST_OK, 0},
        {"ab\xff\xff\0\xff\xd9", 7, -1, PST_OK, 0},
        {"ab\xff\xd0q\xff\xd9", 7, 0, PST_OK, 0},
        {"ab\xff\xd6q\xff\xd7r\xff\xd0\xff\xd9", 12, 6, PST_OK, 0},
        {"ab\xff\xd0q\xff\xd9", 7, -1, PST_EUNCLEAN, 2},
        {"ab\xff\xd1q\xff\xd9", 7, 0, PST_EUNCLEAN, 2},
        {"ab\xff\xd0q\xff\xd2\xff\xd9", 9, 0, PST_EUNCLEAN, 5},
        {"ab\xff\xd9\xff\xda", 6, -1, PST_OK, 0},
        {"ab\xff\xfe\0\2\xff\xd9", 8, -1, PST_EUNCLEAN, 2},
        {"", 0, -1, PST_ETRUNCATED, 0},
        {"abc", 3, -1, PST_ETRUNCATED, 3},
        {"ab\xff", 3, -1, PST_ETRUNCATED, 3},
        {"ab\xff\xff", 4, 0, PST_ETRUNCATED, 4},
        {"ab\xff\0", 4, 0, PST_ETRUNCATED, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pst_error err = {0};
        CHECK_INT(pst__jpeg_check_tail((const uint8_t *)cases[i].bytes, cases[i].n, 0,
                                       cases[i].next_restart, &err),
                  cases[i].status);
        if (cases[i].status < 0)
            CHECK_INT(err.offset, cases[i].offset);
    }
}

CHECK_MAIN(CASE(segments_that_pillow_reads), CASE(exif_that_pillow_evaluates), CASE(frames),
           CASE(frames_with_two_components), FAULT("R14", sizes_over_a_limit), CASE(scans),
           CASE(tables_must_come_first), CASE(bytes_between_segments), CASE(adobe_transforms),
           CASE(progressive_scans), CASE(scans_that_are_missing), FAULT("R14", too_many_scans),
           CASE(the_tail_of_a_scan))
