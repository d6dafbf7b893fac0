/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_ATTRIBUTES_H
#define PST_BASE_ATTRIBUTES_H

#include <assert.h>

#define PST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PST_NODISCARD __attribute__((warn_unused_result))
#define PST_NOINLINE __attribute__((noinline))
#define PST_LIKELY(x) __builtin_expect(!!(x), 1)
#define PST_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PST_COUNTOF(a) (sizeof(a) / sizeof *(a))

/* A caller's bug: an assertion in debug builds, PST_EINVAL in release. Never for data. */
#define PST_REQUIRE(cond, err, ...)                                                                \
    do {                                                                                           \
        if (PST_UNLIKELY(!(cond)))                                                                 \
            return pst__fail((err), PST_EINVAL, __VA_ARGS__);                                      \
    } while (0)

#endif
