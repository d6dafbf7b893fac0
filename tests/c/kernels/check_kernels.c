/* SPDX-License-Identifier: Apache-2.0 */
/* Every version of every kernel against a plain one written here, for every set of CPU flags that
 * this machine has. Sources end PST_PAD bytes before a page that cannot be read (or begin right
 * after one), destinations lie in a field of random bytes of which only the allowed ones may
 * change. With --bench: nanoseconds per call. */
#include <signal.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "check.h"
#include "kernels/bench_kernels.h"
#include "kernels/check_blur.h"
#include "kernels/check_memory.h"
#include "kernels/check_tensor.h"
#include "kernels/check_unfilter.h"
#include "kernels/check_warp.h"
#include "kernels/check_widen.h"
#include "kernels/check_arith.h"
#include "kernels/check_normal.h"
#include "kernels/check_normal_pairs.h"
#include "kernels/kernels.h"
#include "kernels/taps.h"

static int clip(int64_t sum)
{
    sum = (sum + (1 << (PST_TAP_BITS - 1))) >> PST_TAP_BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : (int)sum;
}

/* Random coefficients with the sum of their absolute values at most 2^23, some of them extreme. */
static void random_coefs(int32_t *coef, int pitch, int count)
{
    double weight[512], sum = 0;
    int signs = between(0, 2);
    for (int k = 0; k < count; k++)
        sum += weight[k] = draw() % 3 == 0 ? 0.001 : draw() / 4294967296.0;
    double total = signs == 0 ? 0x1p22 : 0x1p23 - 1024;
    for (int k = 0; k < count; k++) {
        double v = least((int)(weight[k] / sum * total), 0x7f7f7f);
        int negative = signs == 1 ? draw() & 1 : signs == 2 ? draw() % 8 == 0 : 0;
        coef[k * pitch] = (int32_t)(negative ? -v : v);
    }
}

static void random_taps(struct test_taps *t, int n, int ksize)
{
    int gap = between(0, 2) ? between(0, 3) : between(0, 40), at = between(0, 5);
    test_taps_new(t, n, ksize);
    for (int i = 0; i < n; i++) {
        at += draw() % 50 == 0 ? between(0, 100) : between(0, gap);
        t->start[i] = at;
        t->count[i] = draw() % 2 ? ksize : between(1, ksize);
    }
    /* A last output with few taps beside one with many: a version that takes as many for both
     * reaches about as far behind the last input as is allowed. */
    if (n > 1 && ksize > 16 && draw() % 2) {
        t->count[n - 2] = ksize;
        t->start[n - 1] = t->start[n - 2] + between(19, 60);
        t->count[n - 1] = least(ksize, (ksize + 3) / 4 * 4 - between(14, 19));
        t->count[n - 1] = t->count[n - 1] < 1 ? 1 : t->count[n - 1];
    }
    for (int i = 0; i < n; i++)
        random_coefs(t->coef + i, t->taps.pitch, t->count[i]);
    test_taps_pad(t);
}

static void draw_taps(struct test_taps *t, int n)
{
    if (draw() % 2) {
        random_taps(t, n, draw() % 3 == 0 ? between(1, 300) : between(1, 12));
        return;
    }
    int out = n + between(0, 20), first = between(0, out - n);
    int in = draw() % 4 ? between(1, 2 * out) : between(1, least(out * 40, 9000));
    test_taps_resize(t, (enum test_filter)between(0, TEST_N_FILTERS - 1), in, out, first, n);
}

static int last_input(const struct pst__taps *taps)
{
    int end = 0;
    for (int i = 0; i < taps->n; i++)
        if (taps->start[i] + taps->count[i] > end)
            end = taps->start[i] + taps->count[i];
    return end;
}

static int expected_h(const struct pst__taps *taps, const uint8_t *row, int i, int channel)
{
    int64_t sum = 0;
    for (int k = 0; k < taps->count[i]; k++)
        sum += (int64_t)taps->coef[(ptrdiff_t)k * taps->pitch + i] *
               row[4 * (taps->start[i] + k) + channel];
    return clip(sum);
}

static void check_resample_h(const struct pst__kernels *kernels, int n)
{
    struct test_taps t;
    draw_taps(&t, n);
    const struct pst__taps *taps = &t.taps;
    int rows = draw() % 4 == 0 ? between(16, 40) : between(1, 9), end = last_input(taps);
    ptrdiff_t src_stride = (ptrdiff_t)end * 4 + between(0, 200);
    struct fenced src;
    fenced_new(&src, (size_t)(rows - 1) * src_stride + (size_t)end * 4 + PST_PAD, draw() % 4 != 0);

    ptrdiff_t plane = taps->pitch + between(0, 70), stride = 3 * plane + between(0, 70);
    if (draw() % 4 == 0) { /* three planes of many rows instead of rows of three planes */
        stride = taps->pitch + between(0, 9);
        plane = stride * rows + between(0, 9);
    }
    size_t at = (size_t)between(0, 130);
    struct field dst;
    field_new(&dst, at + (size_t)(stride * (rows - 1) + plane * 2 + taps->pitch) + 200);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 3; c++)
            field_allow(&dst, at + (size_t)(r * stride + c * plane), (size_t)taps->pitch);

    kernels->resample_h(dst.data + at, stride, plane, src.data, src_stride, rows, taps);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < n; i++) {
                int got = dst.data[at + (size_t)(r * stride + c * plane + i)];
                int expected = expected_h(taps, src.data + r * src_stride, i, c);
                if (got != expected)
                    differ("resample_h", kernels->name, n, i, got, expected);
            }
    field_check(&dst, "resample_h");
    field_free(&dst);
    fenced_free(&src);
    test_taps_free(&t);
}

static void check_resample_v(const struct pst__kernels *kernels, int n)
{
    int count = draw() % 4 == 0 ? between(1, 300) : between(1, 9);
    int32_t coef[300];
    random_coefs(coef, 1, count);
    if (count >= 2 && draw() % 16 == 0) { /* every row but one is 0 */
        memset(coef, 0, sizeof coef);
        coef[between(0, count - 1)] = 1 << PST_TAP_BITS;
    }
    ptrdiff_t stride = n + between(0, 100);
    struct fenced src, coefs;
    fenced_new(&src, (size_t)((count - 1) * stride + n + PST_PAD), draw() % 4 != 0);
    fenced_new(&coefs, (size_t)count * sizeof *coef, 1);
    memcpy(coefs.data, coef, (size_t)count * sizeof *coef);
    size_t at = (size_t)between(0, 130), room = (size_t)(n + 63) / 64 * 64;
    struct field dst;
    field_new(&dst, at + room + 200);
    field_allow(&dst, at, room);

    kernels->resample_v(dst.data + at, src.data, stride, n, (const int32_t *)(void *)coefs.data,
                        count);
    for (int i = 0; i < n; i++) {
        int64_t sum = 0;
        for (int k = 0; k < count; k++)
            sum += (int64_t)coef[k] * src.data[k * stride + i];
        if (dst.data[at + (size_t)i] != clip(sum))
            differ("resample_v", kernels->name, n, i, dst.data[at + (size_t)i], clip(sum));
    }
    field_check(&dst, "resample_v");
    field_free(&dst);
    fenced_free(&coefs);
    fenced_free(&src);
}

static void check_unpack(const struct pst__kernels *kernels, int n)
{
    size_t room = (size_t)(n + 63) / 64 * 64, plane = room + (size_t)between(0, 70);
    size_t at = (size_t)between(0, 130);
    struct fenced src;
    struct field dst;
    fenced_new(&src, (size_t)n * 4 + PST_PAD, draw() % 4 != 0);
    field_new(&dst, at + 3 * plane + 200);
    for (size_t c = 0; c < 3; c++)
        field_allow(&dst, at + c * plane, room);
    kernels->unpack(dst.data + at, (ptrdiff_t)plane, src.data, n);
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < (size_t)n; i++)
            if (dst.data[at + c * plane + i] != src.data[4 * i + c])
                differ("unpack", kernels->name, n, (int)i, dst.data[at + c * plane + i],
                       src.data[4 * i + c]);
    field_check(&dst, "unpack");
    field_free(&dst);
    fenced_free(&src);
}

static void check_unpack_rgb(const struct pst__kernels *kernels, int n)
{
    size_t room = (size_t)(n + 63) / 64 * 64, plane = room + (size_t)between(0, 70);
    size_t at = (size_t)between(0, 130);
    struct fenced src;
    struct field dst;
    fenced_new(&src, (size_t)n * 3, draw() % 4 != 0);
    field_new(&dst, at + 3 * plane + 200);
    for (size_t c = 0; c < 3; c++)
        field_allow(&dst, at + c * plane, room);
    kernels->unpack_rgb(dst.data + at, (ptrdiff_t)plane, src.data, n);
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < (size_t)n; i++)
            if (dst.data[at + c * plane + i] != src.data[3 * i + c])
                differ("unpack_rgb", kernels->name, n, (int)i, dst.data[at + c * plane + i],
                       src.data[3 * i + c]);
    field_check(&dst, "unpack_rgb");
    field_free(&dst);
    fenced_free(&src);
}

static void check_store_u8(const struct pst__kernels *kernels, int n)
{
    int reverse = draw() & 1;
    size_t at = (size_t)between(0, 130);
    struct fenced src;
    struct field dst;
    fenced_new(&src, (size_t)n, draw() % 4 != 0);
    field_new(&dst, at + (size_t)n + 200);
    field_allow(&dst, at, (size_t)n);
    kernels->store_u8(dst.data + at, src.data, n, reverse);
    for (int i = 0; i < n; i++) {
        int expected = src.data[reverse ? n - 1 - i : i];
        if (dst.data[at + (size_t)i] != expected)
            differ("store_u8", kernels->name, n, i, dst.data[at + (size_t)i], expected);
    }
    field_check(&dst, "store_u8");
    field_free(&dst);
    fenced_free(&src);
}

static void check_store_u16(const struct pst__kernels *kernels, int n)
{
    int reverse = draw() & 1;
    size_t at = (size_t)between(0, 60) * 2, size = (size_t)n * 2;
    uint16_t lut[256];
    struct fenced src;
    struct field dst;
    scramble((uint8_t *)lut, sizeof lut);
    fenced_new(&src, (size_t)n, draw() % 4 != 0);
    field_new(&dst, at + size + 200);
    field_allow(&dst, at, size);
    kernels->store_u16((uint16_t *)(void *)(dst.data + at), src.data, n, lut, reverse);
    for (int i = 0; i < n; i++) {
        int v = src.data[reverse ? n - 1 - i : i];
        if (memcmp(dst.data + at + 2 * (size_t)i, lut + v, 2) != 0)
            differ("store_u16", kernels->name, n, i, dst.data[at + 2 * (size_t)i], lut[v]);
    }
    field_check(&dst, "store_u16");
    field_free(&dst);
    fenced_free(&src);
}

static void check_interleave(const struct pst__kernels *kernels, int n)
{
    static const int sizes[] = {1, 2, 4};
    int size = sizes[draw() % 3];
    size_t bytes = (size_t)n * (size_t)size, plane = bytes + (size_t)between(0, 70);
    size_t at = (size_t)between(0, 130);
    struct fenced src;
    struct field dst;
    fenced_new(&src, 2 * plane + bytes, draw() % 4 != 0);
    field_new(&dst, at + 3 * bytes + 200);
    field_allow(&dst, at, 3 * bytes);
    kernels->interleave(dst.data + at, src.data, (ptrdiff_t)plane, n, size);
    for (size_t i = 0; i < 3 * bytes; i++) {
        size_t element = i / (size_t)size, byte = i % (size_t)size;
        int expected = src.data[element % 3 * plane + element / 3 * (size_t)size + byte];
        if (dst.data[at + i] != expected)
            differ("interleave", kernels->name, n, (int)i, dst.data[at + i], expected);
    }
    field_check(&dst, "interleave");
    field_free(&dst);
    fenced_free(&src);
}

/* Tables as a user's torch fills them: the operations one by one, each rounded to float. */
struct table {
    const char *what;
    int divide, affine, kind; /* kind: what pst__norm_init() has to find */
    float mean, std;
    float lut[256];
    struct pst__norm norm;
};
static struct table tables[] = {
    {.what = "v / 255", .divide = 1, .kind = PST_NORM_SCALE, .std = 1},
    {.what = "v * (1/255)", .kind = PST_NORM_SCALE, .std = 1},
    {.what = "red",
     .divide = 1,
     .affine = 1,
     .kind = PST_NORM_MEAN_STD,
     .mean = .485f,
     .std = .229f},
    {.what = "green", .affine = 1, .kind = PST_NORM_MEAN_STD, .mean = .456f, .std = .224f},
    {.what = "blue",
     .divide = 1,
     .affine = 1,
     .kind = PST_NORM_MEAN_STD,
     .mean = .406f,
     .std = .225f},
    {.what = "half", .affine = 1, .kind = PST_NORM_MEAN_STD, .mean = .5f, .std = .5f},
    {.what = "negative std",
     .divide = 1,
     .affine = 1,
     .kind = PST_NORM_MEAN_STD,
     .mean = .3f,
     .std = -.7f},
    {.what = "std 0", .divide = 1, .affine = 1, .kind = PST_NORM_LUT, .mean = .2f, .std = 0},
    {.what = "mean NaN", .divide = 1, .affine = 1, .kind = PST_NORM_LUT, .mean = NAN, .std = 1},
    {.what = "tiny std",
     .divide = 1,
     .affine = 1,
     .kind = PST_NORM_LUT,
     .mean = .2f,
     .std = 0x1p-149f},
};

static void fill_tables(void)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct table *t = tables + i;
        for (int v = 0; v < 256; v++) {
            volatile float x = t->divide ? (float)v / 255.0f : (float)v * (float)(1.0 / 255);
            if (t->affine) {
                x = x - t->mean;
                x = x / t->std;
            }
            t->lut[v] = x;
        }
        pst__norm_init(&t->norm, t->lut, t->mean, t->std);
        if (t->norm.kind != t->kind)
            check_fail(__FILE__, __LINE__, "table %s: kind %d, expected %d", t->what, t->norm.kind,
                       t->kind);
        CHECK(t->norm.lut == t->lut);
    }
}

static void check_store_f32(const struct pst__kernels *kernels, int n)
{
    const struct table *t = tables + draw() % (sizeof tables / sizeof *tables);
    int reverse = draw() & 1;
    size_t at = (size_t)between(0, 30) * 4, size = (size_t)n * 4;
    struct fenced src;
    struct field dst;
    fenced_new(&src, (size_t)n, draw() % 4 != 0);
    field_new(&dst, at + size + 200);
    field_allow(&dst, at, size);
    kernels->store_f32((float *)(void *)(dst.data + at), src.data, n, &t->norm, reverse);
    for (int i = 0; i < n; i++) {
        int v = src.data[reverse ? n - 1 - i : i];
        if (memcmp(dst.data + at + 4 * (size_t)i, t->lut + v, 4) != 0)
            check_fail(__FILE__, __LINE__,
                       "store_f32 (%s), table %s, n = %d, reverse %d: value %d "
                       "is wrong for byte %d",
                       kernels->name, t->what, n, reverse, i, v);
    }
    field_check(&dst, "store_f32");
    field_free(&dst);
    fenced_free(&src);
}

/* All 256 bytes through every version and every table, so that the proof of pst__norm_init() is
 * tied to the instructions that run. */
static void check_all_bytes(const struct pst__kernels *kernels)
{
    uint8_t bytes[256 + PST_PAD] = {0};
    float out[256];
    for (int v = 0; v < 256; v++)
        bytes[v] = (uint8_t)v;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        kernels->store_f32(out, bytes, 256, &tables[i].norm, 0);
        CHECK(memcmp(out, tables[i].lut, sizeof out) == 0);
    }
}

/* A constant stays constant: 255 through any resize is 255, the place where a sum is largest. */
static void check_largest_sums(const struct pst__kernels *kernels)
{
    static uint8_t row[4 * 700 + PST_PAD], out[3 * 256];
    memset(row, 255, sizeof row);
    for (int filter = 0; filter < TEST_N_FILTERS; filter++)
        for (int in = 1; in < 700; in += in < 20 ? 1 : 37) {
            struct test_taps t;
            test_taps_resize(&t, (enum test_filter)filter, in, 250, 0, 250);
            kernels->resample_h(out, 0, 256, row, 0, 1, &t.taps);
            for (int c = 0; c < 3; c++)
                for (int i = 0; i < 250; i++)
                    CHECK_INT(out[c * 256 + i], 255);
            test_taps_free(&t);
        }
}

/* A read of a fence ends here. */
static char running[64];

static void on_fault(int signal)
{
    (void)signal;
    static const char text[] = " read or wrote outside its memory\n";
    if (write(STDERR_FILENO, running, strlen(running)) < 0 ||
        write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(2);
    _exit(1);
}

typedef void check_family(const struct pst__kernels *kernels, int n);

static int check_version(const struct pst__kernels *kernels)
{
    static const struct {
        const char *name;
        check_family *check;
    } families[] = {{"resample_h", check_resample_h},
                    {"resample_v", check_resample_v},
                    {"unpack", check_unpack},
                    {"unpack_rgb", check_unpack_rgb},
                    {"store_f32", check_store_f32},
                    {"store_u8", check_store_u8},
                    {"store_u16", check_store_u16},
                    {"interleave", check_interleave},
                    {"warp_fixed", check_warp_fixed},
                    {"warp_bilinear", check_warp_bilinear},
                    {"warp_bicubic", check_warp_bicubic},
                    {"unfilter", check_unfilter},
                    {"adler32", check_adler32},
                    {"widen", check_widen},
                    {"arith", check_arith},
                    {"mix_f32", check_mix},
                    {"to_f32", check_to_f32},
                    {"halves", check_halves},
                    {"convolve", check_convolve},
                    {"convolve_at", check_convolve_at},
                    {"round_sums", check_round_sums},
                    {"spread", check_spread},
                    {"normal", check_normal},
                    {"normal_pairs", check_normal_pairs},
                    {"grid_bilinear", check_grid_bilinear},
                    {"grid_nearest", check_grid_nearest},
                    {"tensor_luma_sum", check_tensor_luma_sum},
                    {"tensor_saturate", check_tensor_saturate},
                    {"tensor_sharpen", check_tensor_sharpen},
                    {"tensor_hue", check_tensor_hue},
                    {"combine", check_combine}};
    static const int big[] = {384, 1000, 1023, 4096, 4099};
    int done = 0;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        snprintf(running, sizeof running, "%s (%s)", families[f].name, kernels->name);
        for (int n = 1; n <= 257; n++, done++)
            for (int repeat = 0; repeat < 8; repeat++)
                families[f].check(kernels, n);
        for (size_t i = 0; i < sizeof big / sizeof *big; i++, done++)
            families[f].check(kernels, big[i]);
    }
    check_all_bytes(kernels);
    check_largest_sums(kernels);
    check_all_paeth(kernels);
    check_known_normals(kernels);
    check_known_pairs(kernels);
    return done;
}

/* What each instruction set brings: all families, none left at the version below. */
static const struct {
    uint32_t flags;
    const char *name;
} versions[] = {
    {0, "scalar"},
    {PST_CPU_AVX2, "avx2"},
    {PST_CPU_AVX2 | PST_CPU_AVX512, "avx512"},
};

static int is_native(const char *name)
{
#if defined(__x86_64__)
    if (strcmp(name, "avx2") == 0)
        return __builtin_cpu_supports("fma") != 0;
    if (strcmp(name, "avx512") == 0)
        return __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512vnni");
#endif
    return strcmp(name, "scalar") == 0;
}

static void check_coverage(const struct pst__kernels *k, const struct pst__kernels *below)
{
    CHECK(k->resample_h != below->resample_h);
    CHECK(k->resample_v != below->resample_v);
    CHECK(k->unpack != below->unpack);
    CHECK(k->store_f32 != below->store_f32);
    CHECK(k->store_u8 != below->store_u8);
    /* dispatch.c says why AVX2 brings nothing here. */
    int is_avx2 = strcmp(k->name, "avx2") == 0;
    CHECK((k->store_u16 == below->store_u16) == is_avx2);
    CHECK((k->interleave == below->interleave) == is_avx2);
    CHECK(k->warp_fixed != below->warp_fixed);
    CHECK(k->warp_bilinear != below->warp_bilinear);
    CHECK(k->warp_bicubic != below->warp_bicubic);
    CHECK(k->widen != below->widen);
    CHECK(k->arith_f32 != below->arith_f32);
    CHECK(k->arith_f64 != below->arith_f64);
    CHECK(k->mix_f32 != below->mix_f32);
    CHECK(k->to_f32 != below->to_f32);
    CHECK(k->half_to_f32 != below->half_to_f32);
    CHECK(k->f32_to_half != below->f32_to_half);
    CHECK(k->convolve != below->convolve);
    CHECK(k->round_sums != below->round_sums);
    CHECK(k->spread != below->spread);
    CHECK(k->grid_bilinear != below->grid_bilinear);
    CHECK(k->grid_nearest != below->grid_nearest);
    CHECK(k->tensor_luma_sum != below->tensor_luma_sum);
    CHECK(k->tensor_saturate != below->tensor_saturate);
    CHECK(k->tensor_sharpen != below->tensor_sharpen);
    CHECK(k->combine != below->combine);
    /* Nor why AVX-512 brings nothing here. */
    CHECK((k->tensor_hue != below->tensor_hue) == is_avx2);
    CHECK((k->unfilter != below->unfilter) == is_avx2);
    CHECK((k->adler32 != below->adler32) == is_avx2);
    CHECK((k->convolve_at != below->convolve_at) == is_avx2);
    CHECK((k->normal != below->normal) == is_avx2);
    CHECK((k->normal_pairs != below->normal_pairs) == is_avx2);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--bench") == 0)
        return bench_kernels();
    if (argc == 2)
        state ^= strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15u;
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    uint32_t have = pst__cpu_flags();
    struct pst__kernels kernels, below = {0};
    fill_tables();
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        if ((versions[i].flags & have) != versions[i].flags || !is_native(versions[i].name)) {
            printf("%s: not on this machine\n", versions[i].name);
            continue;
        }
        pst__kernels_init(&kernels, versions[i].flags);
        CHECK_STR(kernels.name, versions[i].name);
        if (i > 0)
            check_coverage(&kernels, &below);
        printf("%s: %d sizes checked\n", kernels.name, check_version(&kernels));
        below = kernels;
    }
    pst__kernels_init(&kernels, have);
    CHECK(memcmp(&kernels, pst__kernels(), sizeof kernels) == 0);
    CHECK(pst__kernels() == pst__kernels());
    return 0;
}
