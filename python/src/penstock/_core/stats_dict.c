/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

/* Every field of struct pst_stats but its size; the assertion notices a new one. */
#define STATS_INT64_MAP(X)                                                                         \
    X(batches)                                                                                     \
    X(samples)                                                                                     \
    X(bytes_read)                                                                                  \
    X(doubts)                                                                                      \
    X(replans)                                                                                     \
    X(read_ns)                                                                                     \
    X(probe_ns)                                                                                    \
    X(plan_ns)                                                                                     \
    X(decode_ns)                                                                                   \
    X(transform_ns)                                                                                \
    X(wait_ns)                                                                                     \
    X(reference_ns)                                                                                \
    X(elapsed_ns)                                                                                  \
    X(slab_bytes)                                                                                  \
    X(slab_peak_bytes)                                                                             \
    X(record_bytes)                                                                                \
    X(scratch_bytes)                                                                               \
    X(heap_bytes)                                                                                  \
    X(slab_allocs)                                                                                 \
    X(over_budget)                                                                                 \
    X(held_peak_bytes)                                                                             \
    X(memory_budget)
#define STATS_INT32_MAP(X)                                                                         \
    X(threads)                                                                                     \
    X(batches_ahead)

#define STATS_SIZE_64(name) +sizeof(int64_t)
#define STATS_SIZE_32(name) +sizeof(int32_t)
_Static_assert(sizeof(struct pst_stats) == sizeof(int64_t) STATS_INT64_MAP(STATS_SIZE_64)
                                               STATS_INT32_MAP(STATS_SIZE_32),
               "a field of struct pst_stats is missing in the lists above");

static int dict_set(PyObject *dict, const char *name, int64_t value)
{
    PyObject *number = PyLong_FromLongLong(value); /* new */
    int rc = number ? PyDict_SetItemString(dict, name, number) : -1;
    Py_XDECREF(number);
    return rc;
}

PyObject *core_stats_dict(const struct pst_stats *stats) /* new */
{
    PyObject *dict = PyDict_New(); /* new */
    if (!dict)
        return NULL;
#define STATS_SET(name)                                                                            \
    if (dict_set(dict, #name, stats->name) < 0)                                                    \
        goto fail;
    STATS_INT64_MAP(STATS_SET)
    STATS_INT32_MAP(STATS_SET)
#undef STATS_SET
    return dict;

fail:
    Py_DECREF(dict);
    return NULL;
}
