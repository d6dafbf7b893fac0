/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_CHECK_H
#define PST_TESTS_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Assertions for C tests; they stay on in every build. A failed one ends its test program: each
 * program is one process under `meson test`, and says which check of which file failed. Exit 77
 * skips. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            check_fail(__FILE__, __LINE__, "%s", #cond);                                           \
    } while (0)
#define CHECK_INT(actual, expected)                                                                \
    do {                                                                                           \
        int64_t check_a = (int64_t)(actual), check_b = (int64_t)(expected);                        \
        if (check_a != check_b)                                                                    \
            check_fail(__FILE__, __LINE__, "%s is %" PRId64 ", expected %s = %" PRId64, #actual,   \
                       check_a, #expected, check_b);                                               \
    } while (0)
#define CHECK_STR(actual, expected)                                                                \
    do {                                                                                           \
        const char *check_a = (actual), *check_b = (expected);                                     \
        if (strcmp(check_a, check_b) != 0)                                                         \
            check_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #actual, check_a,      \
                       check_b);                                                                   \
    } while (0)
#define CHECK_HAS(text, part)                                                                      \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            check_fail(__FILE__, __LINE__, "\"%s\" does not contain \"%s\"", (text), (part));      \
    } while (0)

__attribute__((format(printf, 3, 4), noreturn)) static inline void
check_fail(const char *file, int line, const char *fmt, ...)
{
    __builtin_va_list ap;
    __builtin_va_start(ap, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    __builtin_va_end(ap);
    exit(1);
}

/* How often the case that runs tried what it is about, where that is not once. */
static int64_t check_n_tried;
static inline void check_tried(int64_t n)
{
    check_n_tried += n;
}

/* A test program's main: runs each function, counts, prints what the runner adds up. */
struct check_case {
    const char *name;
    void (*run)(void);
    const char *faults;
};
static inline int check_main(const struct check_case *cases, int n)
{
    for (int i = 0; i < n; i++) {
        fprintf(stderr, "%s\n", cases[i].name);
        check_n_tried = 0;
        cases[i].run();
        if (cases[i].faults)
            fprintf(stderr, "fault %s: %s tried %" PRId64 "\n", cases[i].faults, cases[i].name,
                    check_n_tried ? check_n_tried : 1);
    }
    printf("%d checks passed\n", n);
    return n > 0 ? 0 : 1;
}
#define CHECK_MAIN(...)                                                                            \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct check_case cases[] = {__VA_ARGS__};                                    \
        return check_main(cases, (int)(sizeof cases / sizeof *cases));                             \
    }
#define CASE(fn)                                                                                   \
    {                                                                                              \
#fn, fn, NULL                                                                              \
    }
/* A case that proves fault classes of docs/reliability.md: FAULT("R1 R13", fn). */
#define FAULT(classes, fn)                                                                         \
    {                                                                                              \
#fn, fn, classes                                                                           \
    }

#endif
