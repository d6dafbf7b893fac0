/* SPDX-License-Identifier: Apache-2.0 */
/* The colour kernels of every set of CPU flags that this machine has, against the scalar ones: all
 * 2^24 colours, all pairs of bytes, odd sizes. Pixels end (or begin) at a page that traps. The
 * scalar ones are proven against Pillow by tests/python/test_colour_parity.py. */
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cpu.h"
#include "check.h"
#include "kernels/kernels.h"

#define MOST 300 /* pixels of an odd size */

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static float draw_factor(void)
{
    static const float edges[] = {0, 1, .5f, 2, -1, 1e30f, -1e30f, 0x1p-149f, 1.999999f};
    uint32_t which = draw() % 16;
    if (which < sizeof edges / sizeof *edges)
        return edges[which];
    return (float)(draw() >> 8) * 0x1p-23f;
}

/* Room for n pixels that ends or begins at a page that traps; the other side is all `guard`. */
struct room {
    uint8_t *map, *px;
    size_t page, n;
    int at_end;
};
static const uint8_t guard = 0xa5;

static void room_new(struct room *r, size_t n, int at_end)
{
    r->page = (size_t)sysconf(_SC_PAGESIZE);
    r->map = mmap(NULL, 3 * r->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(r->map != MAP_FAILED && 4 * n <= r->page);
    uint8_t *inner = r->map + r->page;
    memset(inner, guard, r->page);
    CHECK(mprotect(r->map, r->page, PROT_NONE) == 0);
    CHECK(mprotect(inner + r->page, r->page, PROT_NONE) == 0);
    r->n = n;
    r->at_end = at_end;
    r->px = at_end ? inner + r->page - 4 * n : inner;
    for (size_t i = 0; i < 4 * n; i++)
        r->px[i] = (uint8_t)(draw() % 4 ? draw() >> 13 : draw() & 1 ? 255 : 0);
}

static void room_free(struct room *r, const char *who)
{
    const uint8_t *inner = r->map + r->page, *from = r->at_end ? inner : r->px + 4 * r->n;
    const uint8_t *to = r->at_end ? r->px : inner + r->page;
    for (; from < to; from++)
        if (*from != guard)
            check_fail(__FILE__, __LINE__, "%s wrote outside of its %zu pixels", who, r->n);
    munmap(r->map, 3 * r->page);
}

static void compare(const char *what, const struct pst__kernels *k, const uint8_t *got,
                    const uint8_t *expected, size_t n)
{
    for (size_t i = 0; i < 4 * n; i++)
        if (i % 4 < 3 && got[i] != expected[i])
            check_fail(__FILE__, __LINE__, "%s (%s): byte %zu of pixel %zu of %zu is %d, not %d",
                       what, k->name, i % 4, i / 4, n, got[i], expected[i]);
}

static char running[64];

static void on_fault(int number)
{
    (void)number;
    static const char text[] = " read or wrote outside its memory\n";
    ssize_t ignored = write(STDERR_FILENO, running, strlen(running));
    ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(1);
}

enum family { MAP, GREY, SATURATE, HUE, N_IN_PLACE };
static const char *const names[] = {"map", "grey", "saturate", "hue"};

struct drawn {
    struct pst__map map;
    float factor;
    uint8_t shift;
};

static void draw_all(struct drawn *d)
{
    for (int i = 0; i < 3 * 256; i++)
        d->map.channel[i / 256][i % 256] = (uint8_t)(draw() >> 9);
    d->factor = draw_factor();
    d->shift = (uint8_t)(draw() >> 5);
}

static void run(const struct pst__kernels *k, enum family f, uint8_t *px, int n,
                const struct drawn *d)
{
    snprintf(running, sizeof running, "%s (%s), %d pixels", names[f], k->name, n);
    switch (f) {
    case MAP:
        k->map(px, n, &d->map);
        return;
    case GREY:
        k->grey(px, n);
        return;
    case SATURATE:
        k->saturate(px, n, d->factor);
        return;
    default:
        k->hue(px, n, d->shift);
    }
}

static void check_in_place(const struct pst__kernels *k, const struct pst__kernels *scalar, int n)
{
    uint8_t expected[4 * MOST];
    for (int f = 0; f < N_IN_PLACE; f++) {
        struct drawn d;
        struct room r;
        draw_all(&d);
        room_new(&r, (size_t)n, draw() & 1);
        memcpy(expected, r.px, 4 * (size_t)n);
        if (f == GREY)
            CHECK_INT(k->grey_sum(r.px, n), scalar->grey_sum(expected, n));
        run(scalar, (enum family)f, expected, n, &d);
        run(k, (enum family)f, r.px, n, &d);
        compare(names[f], k, r.px, expected, (size_t)n);
        room_free(&r, running);
    }
}

static void check_sharpen(const struct pst__kernels *k, const struct pst__kernels *scalar, int n)
{
    struct room row[3], dst;
    uint8_t expected[4 * MOST];
    float factor = draw_factor();
    for (int i = 0; i < 3; i++)
        room_new(&row[i], (size_t)n, draw() & 1);
    room_new(&dst, (size_t)n, draw() & 1);
    snprintf(running, sizeof running, "sharpen (%s), %d pixels", k->name, n);
    scalar->sharpen(expected, row[0].px, row[1].px, row[2].px, n, factor);
    k->sharpen(dst.px, row[0].px, row[1].px, row[2].px, n, factor);
    compare("sharpen", k, dst.px, expected, (size_t)n);
    for (int i = 0; i < 3; i++)
        room_free(&row[i], running);
    room_free(&dst, running);
}

/* Every colour there is, at one value of the parameters. */
static void check_all_colours(const struct pst__kernels *k, const struct pst__kernels *scalar,
                              enum family f)
{
    enum { N = 4096 };
    static uint8_t px[4 * N], expected[4 * N];
    struct drawn d;
    draw_all(&d);
    for (uint32_t first = 0; first < 1u << 24; first += N) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t colour = first + i;
            memcpy(px + 4 * i, (uint8_t[]){colour >> 16 & 255, colour >> 8 & 255, colour & 255, 9},
                   4);
        }
        memcpy(expected, px, sizeof px);
        if (f == GREY)
            CHECK_INT(k->grey_sum(px, N), scalar->grey_sum(px, N));
        run(scalar, f, expected, N, &d);
        run(k, f, px, N, &d);
        compare(names[f], k, px, expected, N);
    }
}

/* The sums go beyond 32 bits. */
static void check_large_sum(const struct pst__kernels *k)
{
    const int n = 1 << 22;
    uint8_t *white = malloc(4 * (size_t)n);
    CHECK(white);
    memset(white, 255, 4 * (size_t)n);
    CHECK_INT(k->grey_sum(white, n), 255ll * n);
    free(white);
}

static void check_coverage(const struct pst__kernels *k, const struct pst__kernels *below)
{
    CHECK(strcmp(k->name, "avx2") == 0 || k->map != below->map);
    CHECK(k->grey != below->grey);
    CHECK(k->grey_sum != below->grey_sum);
    CHECK(k->saturate != below->saturate);
    CHECK(k->hue != below->hue);
    CHECK(k->sharpen != below->sharpen);
}

static void check_version(const struct pst__kernels *k, const struct pst__kernels *scalar)
{
    for (int n = 1; n <= MOST; n += n < 70 ? 1 : 23)
        for (int repeat = 0; repeat < 6; repeat++) {
            check_in_place(k, scalar, n);
            check_sharpen(k, scalar, n);
        }
    check_large_sum(k);
    if (k == scalar)
        return;
    for (int f = 0; f < N_IN_PLACE; f++)
        check_all_colours(k, scalar, (enum family)f);
}

int main(int argc, char **argv)
{
    static const uint32_t flags[] = {0, PST_CPU_AVX2, PST_CPU_AVX2 | PST_CPU_AVX512};
    struct pst__kernels versions[sizeof flags / sizeof *flags];
    if (argc == 2)
        state ^= strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15u;
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    int n = 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if ((flags[i] & pst__cpu_flags()) != flags[i])
            continue;
        pst__kernels_init(&versions[n], flags[i]);
        if (n > 0 && strcmp(versions[n].name, versions[n - 1].name) == 0)
            continue;
        if (n > 0)
            check_coverage(&versions[n], &versions[n - 1]);
        check_version(&versions[n], &versions[0]);
        printf("%s: checked\n", versions[n].name);
        n++;
    }
    return 0;
}
