/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/bench_kernels.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

/* The versions take turns in each measurement, so that a noisy minute hits all of them; figures are
 * the best of many. */
#define MAX_VERSIONS 3
#define N_SLOTS 32 /* destinations in turn: a batch does not stay in the cache */

/* One image: in_w x in_h RGBX resized to rs_w x rs_h, of which the middle out x out is kept. */
struct shape {
    const char *what;
    enum test_filter filter;
    int in_w, in_h, rs_w, rs_h, out;
};
static const struct shape shapes[] = {
    {"crop 300x280 to 224, bilinear", TEST_BILINEAR, 300, 280, 224, 224, 224},
    {"crop 150x170 to 224, bilinear", TEST_BILINEAR, 150, 170, 224, 224, 224},
    {"crop 480x360 to 224, bilinear", TEST_BILINEAR, 480, 360, 224, 224, 224},
    {"crop 300x280 to 224, bicubic", TEST_BICUBIC, 300, 280, 224, 224, 224},
    {"500x375 to 256, middle 224", TEST_BILINEAR, 500, 375, 341, 256, 224},
    {"375x500 to 256, middle 224", TEST_BILINEAR, 375, 500, 256, 341, 224},
    {"4000x3000 to 256, middle 224", TEST_BILINEAR, 4000, 3000, 341, 256, 224},
};

struct bench {
    struct test_taps x, y;
    uint8_t *src, *planes, *row;
    ptrdiff_t src_stride, plane;
    int32_t *column; /* coefficients of a row */
    int y0, rows;    /* of the source that are used */
    float *dst;
};

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void *room(size_t n)
{
    void *p = aligned_alloc(64, (n + 64 + 63) / 64 * 64);
    if (!p)
        abort();
    memset(p, 1, n + 64);
    return p;
}

static void bench_new(struct bench *b, const struct shape *s)
{
    test_taps_resize(&b->x, s->filter, s->in_w, s->rs_w, (s->rs_w - s->out) / 2, s->out);
    test_taps_resize(&b->y, s->filter, s->in_h, s->rs_h, (s->rs_h - s->out) / 2, s->out);
    const struct pst__taps *y = &b->y.taps;
    b->y0 = y->start[0];
    b->rows = y->start[s->out - 1] + y->count[s->out - 1] - b->y0;
    b->src_stride = (ptrdiff_t)s->in_w * 4;
    b->plane = b->x.taps.pitch;
    b->src = room((size_t)b->src_stride * (size_t)s->in_h);
    b->planes = room((size_t)b->plane * 3 * (size_t)b->rows);
    b->row = room((size_t)b->plane * 3);
    b->column = room((size_t)y->ksize * sizeof *b->column);
    b->dst = room((size_t)s->out * (size_t)s->out * 3 * sizeof *b->dst * N_SLOTS);
    uint32_t noise = 1;
    for (size_t i = 0; i < (size_t)b->src_stride * (size_t)s->in_h; i++)
        b->src[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
}

static void bench_free(struct bench *b)
{
    test_taps_free(&b->x);
    test_taps_free(&b->y);
    free(b->src);
    free(b->planes);
    free(b->row);
    free(b->column);
    free(b->dst);
}

/* The output rows from the planes: float32, or without norm only the vertical pass. */
static void vertical(const struct pst__kernels *k, struct bench *b, const struct shape *s,
                     const struct pst__norm *norm, float *dst, int flip)
{
    const struct pst__taps *y = &b->y.taps;
    for (int i = 0; i < s->out; i++) {
        for (int j = 0; j < y->count[i]; j++)
            b->column[j] = y->coef[j * y->pitch + i];
        k->resample_v(b->row, b->planes + (y->start[i] - b->y0) * 3 * b->plane, 3 * b->plane,
                      (int)(3 * b->plane), b->column, y->count[i]);
        for (int c = 0; norm && c < 3; c++)
            k->store_f32(dst + ((ptrdiff_t)c * s->out + i) * s->out, b->row + c * b->plane, s->out,
                         norm + c, flip);
    }
}

static void keep_least(double *best, double value)
{
    if (*best == 0 || value < *best)
        *best = value;
}

/* The best time of each part: h, v, v with float32, all. */
struct parts {
    double h, v, store, all;
};

static void one_image(const struct pst__kernels *k, struct bench *b, const struct shape *s,
                      const struct pst__norm *norm, int turn, struct parts *best)
{
    float *dst = b->dst + (size_t)(turn % N_SLOTS) * (size_t)s->out * (size_t)s->out * 3;
    double t0 = now_us();
    k->resample_h(b->planes, 3 * b->plane, b->plane, b->src + b->y0 * b->src_stride, b->src_stride,
                  b->rows, &b->x.taps);
    double t1 = now_us();
    vertical(k, b, s, norm, dst, turn & 1);
    double t2 = now_us();
    vertical(k, b, s, NULL, NULL, 0);
    double t3 = now_us();
    keep_least(&best->h, t1 - t0);
    keep_least(&best->store, t2 - t1);
    keep_least(&best->v, t3 - t2);
    keep_least(&best->all, t2 - t0);
}

static void bench_images(const struct pst__kernels *versions, int n, const struct pst__norm *norm)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bench b;
        struct parts best[MAX_VERSIONS] = {{0}};
        int repeats = shapes[i].in_w > 1000 ? 10 : 100;
        bench_new(&b, shapes + i);
        for (int r = 0; r < repeats * n; r++)
            one_image(versions + r % n, &b, shapes + i, norm, r / n, best + r % n);
        printf("%s (us per image)\n", shapes[i].what);
        for (int v = 0; v < n; v++)
            printf("    %-7s h %8.1f   v %6.1f   v + store_f32 %6.1f   all %8.1f\n",
                   versions[v].name, best[v].h, best[v].v, best[v].store, best[v].all);
        bench_free(&b);
    }
}

/* The coefficients are split once for each call and strip of rows: many rows in a call are cheaper.
 */
static void bench_rows_per_call(const struct pst__kernels *versions, int n)
{
    static const int rows[] = {1, 2, 4, 8, 16, 64};
    struct bench b;
    bench_new(&b, shapes);
    printf("resample_h, 300 to 224, ns per row with 1, 2, 4, 8, 16, 64 rows a call\n");
    for (int v = 0; v < n; v++) {
        printf("    %-7s", versions[v].name);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            double best = 0;
            for (int repeat = 0; repeat < 20; repeat++) {
                double t = now_us();
                for (int r = 0; r < 256; r += rows[i])
                    versions[v].resample_h(b.planes + r * 3 * b.plane, 3 * b.plane, b.plane,
                                           b.src + r * b.src_stride, b.src_stride, rows[i],
                                           &b.x.taps);
                keep_least(&best, now_us() - t);
            }
            printf(" %7.0f", best * 1e3 / 256);
        }
        printf("\n");
    }
    bench_free(&b);
}

enum row_kernel {
    STORE_F32,
    STORE_F32_REVERSED,
    STORE_F32_TABLE,
    STORE_U8_REVERSED,
    UNPACK,
    N_ROWS
};

static double row_kernel_ns(const struct pst__kernels *k, enum row_kernel which,
                            const struct pst__norm *norm)
{
    enum { N = 224, CALLS = 5000 };
    static uint8_t src[N * 4 + 64], u8[3 * 256 + 64];
    static float f32[N];
    struct pst__norm table = *norm;
    table.kind = PST_NORM_LUT;
    double best = 0;
    for (int repeat = 0; repeat < 10; repeat++) {
        double t = now_us();
        for (int i = 0; i < CALLS; i++)
            switch (which) {
            case STORE_F32:
            case STORE_F32_REVERSED:
                k->store_f32(f32, src, N, norm, which == STORE_F32_REVERSED);
                break;
            case STORE_F32_TABLE:
                k->store_f32(f32, src, N, &table, 0);
                break;
            case STORE_U8_REVERSED:
                k->store_u8(u8, src, N, 1);
                break;
            default:
                k->unpack(u8, 256, src, N);
            }
        keep_least(&best, now_us() - t);
    }
    return best * 1e3 / CALLS;
}

static void bench_row_kernels(const struct pst__kernels *versions, int n,
                              const struct pst__norm *norm)
{
    printf("224 pixels, ns per call: store_f32, reversed, by table; store_u8 reversed; unpack\n");
    for (int v = 0; v < n; v++) {
        printf("    %-7s", versions[v].name);
        for (int which = 0; which < N_ROWS; which++)
            printf(" %7.1f", row_kernel_ns(versions + v, (enum row_kernel)which, norm));
        printf("\n");
    }
}

/* An image of N x N turned by 30 degrees about its middle, row by row. */
static double warp_us(const struct pst__kernels *k, int which)
{
    enum { N = 224 };
    const double cosine = 0.8660254037844387, sine = 0.5;
    static uint8_t src[N * N * 4], dst[N * N * 4];
    static double x[N], y[N];
    struct pst__raster raster = {src, N * 4, N, N, {1, 2, 3, 0}};
    double best = 0;
    for (int repeat = 0; repeat < 50; repeat++) {
        double t = now_us();
        for (int row = 0; row < N; row++) {
            double from_x = N / 2.0 - cosine * N / 2 + sine * (row - N / 2.0);
            double from_y = N / 2.0 + sine * N / 2 + cosine * (row - N / 2.0);
            if (which == 0) {
                k->warp_fixed(dst + row * N * 4, &raster, N, (int32_t)(from_x * 65536),
                              (int32_t)(from_y * 65536), (int32_t)(cosine * 65536),
                              (int32_t)(-sine * 65536));
                continue;
            }
            for (int i = 0; i < N; i++) {
                x[i] = from_x + i * cosine;
                y[i] = from_y - i * sine;
            }
            (which == 1 ? k->warp_bilinear : k->warp_bicubic)(dst + row * N * 4, &raster, N, x, y);
        }
        keep_least(&best, now_us() - t);
    }
    return best;
}

static void bench_warps(const struct pst__kernels *versions, int n)
{
    printf("224x224 turned by 30 degrees, us: nearest in fixed point, bilinear, bicubic\n");
    for (int v = 0; v < n; v++)
        printf("    %-7s %8.1f %8.1f %8.1f\n", versions[v].name, warp_us(versions + v, 0),
               warp_us(versions + v, 1), warp_us(versions + v, 2));
}

/* A row of 500 pixels of noise, and its checksum. */
static double unfilter_ns(const struct pst__kernels *k, int bpp, enum pst__filter filter)
{
    enum { PIXELS = 500, CALLS = 200 };
    static uint8_t row[8 * PIXELS + PST_PAD], above[8 * PIXELS + PST_PAD];
    uint32_t noise = 7;
    for (int i = 0; i < 8 * PIXELS; i++) {
        row[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
        above[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
    }
    double best = 0;
    for (int repeat = 0; repeat < 50; repeat++) {
        double t = now_us();
        for (int i = 0; i < CALLS; i++) {
            if (filter == PST_FILTER_NONE)
                row[0] ^= (uint8_t)k->adler32(row, PIXELS * (size_t)bpp);
            else
                k->unfilter(row, above, PIXELS * bpp, bpp, filter);
        }
        keep_least(&best, now_us() - t);
    }
    return best * 1e3 / CALLS;
}

static void bench_unfilters(const struct pst__kernels *versions, int n)
{
    for (int bpp = 3; bpp <= 4; bpp++) {
        printf("500 pixels of %d bytes, ns: adler32, undo Sub, Up, Average, Paeth\n", bpp);
        for (int v = 0; v < n; v++) {
            printf("    %-7s", versions[v].name);
            for (int filter = PST_FILTER_NONE; filter <= PST_FILTER_PAETH; filter++)
                printf(" %7.1f", unfilter_ns(versions + v, bpp, (enum pst__filter)filter));
            printf("\n");
        }
    }
}

enum colour_kernel { MAP, GREY, GREY_SUM, SATURATE, HUE, SHARPEN, N_COLOURS };

static double colour_us(const struct pst__kernels *k, enum colour_kernel which, uint8_t *image,
                        uint8_t *other)
{
    enum { N = 224, ROW = 4 * N };
    struct pst__map map;
    double best = 0;
    memset(&map, 0x5a, sizeof map);
    for (int repeat = 0; repeat < 60; repeat++) {
        uint32_t noise = 7;
        for (int i = 0; i < N * ROW; i++)
            image[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
        double t = now_us();
        for (int y = 1; y < N - 1; y++) {
            uint8_t *row = image + (ptrdiff_t)y * ROW;
            switch (which) {
            case MAP:
                k->map(row, N, &map);
                break;
            case GREY:
                k->grey(row, N);
                break;
            case GREY_SUM:
                image[0] ^= (uint8_t)k->grey_sum(row, N);
                break;
            case SATURATE:
                k->saturate(row, N, 1.3f);
                break;
            case HUE:
                k->hue(row, N, 21);
                break;
            default:
                k->sharpen(other + (ptrdiff_t)y * ROW, row - ROW, row, row + ROW, N, 1.7f);
            }
        }
        keep_least(&best, now_us() - t);
    }
    return best;
}

static void bench_colours(const struct pst__kernels *versions, int n)
{
    uint8_t *image = room((size_t)4 * 224 * 224), *other = room((size_t)4 * 224 * 224);
    printf("224 x 224 pixels, us: map, grey, grey_sum, saturate, hue, sharpen\n");
    for (int v = 0; v < n; v++) {
        printf("    %-7s", versions[v].name);
        for (int which = 0; which < N_COLOURS; which++)
            printf(" %7.1f", colour_us(versions + v, (enum colour_kernel)which, image, other));
        printf("\n");
    }
    free(image);
    free(other);
}

enum element_kernel {
    TO_F32,
    MULTIPLY,
    DIVIDE,
    SUBTRACT,
    SUBTRACT_EACH,
    DIVIDE_F64,
    F16_TO_F32,
    F32_TO_F16,
    BF16_TO_F32,
    F32_TO_BF16,
    MIX_F32,
    N_ELEMENTS
};

/* A chunk as the steps on rows have it, in the first cache. */
static double element_ns(const struct pst__kernels *k, enum element_kernel which)
{
    enum { N = 1024, CALLS = 2000 };
    static uint8_t src[N];
    static float f32[N], each[N];
    static double f64[N];
    const float one = 1.0f;
    double best = 0;
    for (int repeat = 0; repeat < 30; repeat++) {
        double t = now_us();
        for (int i = 0; i < CALLS; i++) {
            uint8_t *x = (uint8_t *)f32;
            if (which == TO_F32)
                k->to_f32(x, src, N, PST_INTEGER_U8);
            else if (which == F16_TO_F32 || which == BF16_TO_F32)
                k->half_to_f32(x, (uint8_t *)each, N,
                               which == F16_TO_F32 ? PST_HALF_F16 : PST_HALF_BF16);
            else if (which == F32_TO_F16 || which == F32_TO_BF16)
                k->f32_to_half(x, (uint8_t *)each, N,
                               which == F32_TO_F16 ? PST_HALF_F16 : PST_HALF_BF16);
            else if (which == MIX_F32)
                k->mix_f32(x, (uint8_t *)each, N, 0.75f, 0.25f);
            else if (which == DIVIDE_F64)
                k->arith_f64((uint8_t *)f64, (uint8_t *)f64, N, PST_ARITH_DIVIDE, &(double){1}, 1);
            else if (which == SUBTRACT_EACH)
                k->arith_f32(x, x, N, PST_ARITH_SUBTRACT, each, 0);
            else
                k->arith_f32(x, x, N,
                             which == MULTIPLY ? PST_ARITH_MULTIPLY
                             : which == DIVIDE ? PST_ARITH_DIVIDE
                                               : PST_ARITH_SUBTRACT,
                             &one, 1);
        }
        keep_least(&best, now_us() - t);
    }
    return best * 1e3 / CALLS / N;
}

static void bench_elements(const struct pst__kernels *versions, int n)
{
    printf("1024 elements, ns each: u8 to f32; f32 times, by, minus a number, minus numbers; f64 "
           "by a number; f16 to f32 and back; bf16 to f32 and back; shares of two f32\n");
    for (int v = 0; v < n; v++) {
        printf("    %-7s", versions[v].name);
        for (int which = 0; which < N_ELEMENTS; which++)
            printf(" %7.3f", element_ns(versions + v, (enum element_kernel)which));
        printf("\n");
    }
}

enum blur_kernel { LONG_SUM, ONE_PASS, EIGHT_PLACES, ROUND, SPREAD, N_BLURS };

/* Of a row of 224 pixels of three planes that a kernel of 23 x 23 makes. */
static double blur_us(const struct pst__kernels *k, enum blur_kernel which)
{
    enum { TAPS = 23, W = 224, PLANE = 256, LINE = 3 * PLANE + 64, N = 2 * PLANE + W };
    static float rows[TAPS][LINE], weight[TAPS * TAPS], sum[LINE];
    static uint8_t px[4 * W];
    static int32_t place[3 * W];
    const float *row[TAPS];
    double best = 0;
    for (int i = 0; i < TAPS; i++)
        row[i] = rows[i];
    for (int i = 0; i < TAPS * TAPS; i++)
        weight[i] = 1.0f / (TAPS * TAPS);
    for (int repeat = 0; repeat < 200; repeat++) {
        const int32_t eight[8] = {0, 9, 90, 150, 300, 400, 600, 700};
        double t = now_us();
        if (which == LONG_SUM)
            k->convolve(sum, row, N, weight, TAPS, TAPS);
        else if (which == ONE_PASS)
            k->convolve(sum, row, N, weight, 1, TAPS);
        else if (which == EIGHT_PLACES)
            k->convolve_at(sum, eight, 8, row, weight, TAPS, TAPS);
        else if (which == ROUND)
            k->round_sums(px, rows[0], PLANE, W, 0.499f, place);
        else
            k->spread(sum, PLANE, px, W);
        keep_least(&best, now_us() - t);
    }
    return best;
}

static void bench_blurs(const struct pst__kernels *versions, int n)
{
    printf("a row of 224 pixels, us: 23 x 23 products, 23 products, 23 x 23 at 8 places, rounded, "
           "spread\n");
    for (int v = 0; v < n; v++) {
        printf("    %-7s", versions[v].name);
        for (int which = 0; which < N_BLURS; which++)
            printf(" %8.2f", blur_us(versions + v, (enum blur_kernel)which));
        printf("\n");
    }
}

enum tensor_kernel {
    GRID_BILINEAR,
    GRID_FILL,
    GRID_NEAREST,
    BLEND_GREY,
    BLEND_SUMS,
    TURN_HUE,
    COMBINE,
    N_TENSORS
};

/* Of a row of 224 pixels out of an image that is turned a little. */
static double tensor_us(const struct pst__kernels *k, enum tensor_kernel which)
{
    enum { W = 224, PLANE = 256 };
    static uint8_t image[W][4 * W], px[4 * W];
    static float sum[3 * PLANE];
    const uint8_t *const rows[4] = {image[0], image[1], image[2], image[3]};
    const float weight[4] = {0.4f, 0.3f, 0.2f, 0.1f};
    const struct pst__raster raster = {image[0], 4 * W, W, W, {0}};
    const struct pst__portions portions = {1.3f, -0.3f, 1};
    const float along = 0.98f / 112, across = 0.17f / 112;
    struct pst__grid grid = {{along, -across}, {across, along}, {0}, {112, 112}, 0, 0, {0}};
    double best = 0;
    grid.fill_kind = which == GRID_FILL ? PST_GRID_FILL_V2 : PST_GRID_FILL_NONE;
    for (int repeat = 0; repeat < 400; repeat++) {
        double t = now_us();
        if (which == GRID_BILINEAR || which == GRID_FILL)
            k->grid_bilinear(px, &raster, &grid, W, -111.5f, (float)(repeat % W) - 111.5f);
        else if (which == GRID_NEAREST)
            k->grid_nearest(px, &raster, &grid, W, -111.5f, (float)(repeat % W) - 111.5f);
        else if (which == BLEND_GREY)
            k->tensor_saturate(px, W, &portions);
        else if (which == BLEND_SUMS)
            k->tensor_sharpen(px, image[0], sum, PLANE, W, &portions);
        else if (which == TURN_HUE)
            k->tensor_hue(px, W, 0.1f, 1);
        else
            k->combine(px, rows, weight, 4, sizeof px);
        keep_least(&best, now_us() - t);
    }
    return best;
}

static void bench_tensors(const struct pst__kernels *versions, int n)
{
    printf(
        "a row of 224 pixels, us: by a grid bilinear, with a fill, nearest; saturated, sharpened, "
        "its hue turned, four images added up\n");
    for (int v = 0; v < n; v++) {
        printf("    %-7s", versions[v].name);
        for (int which = 0; which < N_TENSORS; which++)
            printf(" %8.3f", tensor_us(versions + v, (enum tensor_kernel)which));
        printf("\n");
    }
}

int bench_kernels(void)
{
    static const uint32_t masks[MAX_VERSIONS] = {0, PST_CPU_AVX2, PST_CPU_AVX2 | PST_CPU_AVX512};
    static const float mean[3] = {.485f, .456f, .406f}, std[3] = {.229f, .224f, .225f};
    static float lut[3][256];
    struct pst__norm norm[3];
    struct pst__kernels versions[MAX_VERSIONS];
    int n = 0;
    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++)
            lut[c][v] = ((float)v / 255.0f - mean[c]) / std[c];
        pst__norm_init(norm + c, lut[c], mean[c], std[c]);
    }
    for (int i = 0; i < MAX_VERSIONS; i++) {
        if ((masks[i] & pst__cpu_flags()) != masks[i])
            continue;
        pst__kernels_init(versions + n, masks[i]);
        if (n == 0 || strcmp(versions[n].name, versions[n - 1].name) != 0)
            n++;
    }
    bench_row_kernels(versions, n, norm);
    bench_elements(versions, n);
    bench_colours(versions, n);
    bench_blurs(versions, n);
    bench_tensors(versions, n);
    bench_unfilters(versions, n);
    bench_rows_per_call(versions, n);
    bench_warps(versions, n);
    bench_images(versions, n, norm);
    return 0;
}
