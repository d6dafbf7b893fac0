/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_JPEG_MARKERS_H
#define PST_DECODE_JPEG_MARKERS_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

/* The markers of a JPEG file (ITU-T T.81 annex B), without its entropy-coded data. A walk over them
 * gives PST_OK only where Pillow (its JpegImagePlugin, 11.3 to 13.0) is certain to open the file as
 * a JPEG and where every libjpeg-turbo from 2.1 on reads it without a warning and in the same way.
 */

enum pst__jpeg_marker {
    PST_JPEG_SOF0 = 0xc0, /* baseline */
    PST_JPEG_SOF1 = 0xc1, /* extended sequential */
    PST_JPEG_SOF2 = 0xc2, /* progressive */
    PST_JPEG_DHT = 0xc4,
    PST_JPEG_RST0 = 0xd0,
    PST_JPEG_RST7 = 0xd7,
    PST_JPEG_SOI = 0xd8,
    PST_JPEG_EOI = 0xd9,
    PST_JPEG_SOS = 0xda,
    PST_JPEG_DQT = 0xdb,
    PST_JPEG_DRI = 0xdd,
    PST_JPEG_APP0 = 0xe0,
    PST_JPEG_APP15 = 0xef,
    PST_JPEG_COM = 0xfe,
};

#define PST_JPEG_MAX_COMPONENTS 4

struct pst__jpeg_component {
    uint8_t id, h, v, quant; /* h, v: sampling factors */
};

struct pst__jpeg_header {
    int32_t width, height;
    int n_components;
    int is_progressive;
    int n_scans;     /* 1 when the first scan is the whole image, which is then not walked over */
    int orientation; /* see orientation.h */
    struct pst__jpeg_component components[PST_JPEG_MAX_COMPONENTS];
};

int pst__jpeg_has_signature(const uint8_t *data, size_t size);

/* Everything up to the entropy-coded data of a file with one scan, up to EOI of one with many. */
int pst__jpeg_read_markers(struct pst__jpeg_header *header, const uint8_t *data, size_t size,
                           struct pst_error *err);

/* Whether only restart markers, in sequence from RSTn with n = next_restart, and then EOI follow in
 * the entropy-coded data from offset on. next_restart < 0: none may come. What is behind EOI is not
 * looked at, as in Pillow. */
int pst__jpeg_check_tail(const uint8_t *data, size_t size, size_t offset, int next_restart,
                         struct pst_error *err);

/* What Pillow makes of the APPn segments while it opens a file; jpeg_app.c. */
struct pst__jpeg_apps {
    int has_jfif, has_adobe;
    int adobe_transform;
    int has_density; /* in JFIF with a unit; else Pillow looks for one in EXIF */
    int n_exif;
    const uint8_t *exif; /* view: the TIFF structure of the first EXIF segment */
    size_t exif_size;
    const uint8_t *xmp; /* view: of the last XMP segment */
    size_t xmp_size;
};

/* One segment's content; offset is its place in the file, for messages. */
int pst__jpeg_take_app(struct pst__jpeg_apps *apps, int marker, const uint8_t *data, size_t size,
                       size_t offset, struct pst_error *err);
/* After the last one. */
int pst__jpeg_check_exif(const struct pst__jpeg_apps *apps, const uint8_t *file,
                         struct pst_error *err);

#endif
