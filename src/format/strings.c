/* SPDX-License-Identifier: Apache-2.0 */
#include "format/strings.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

int pst__grow(void **items, size_t *capacity, size_t n, size_t item_size)
{
    if (n <= *capacity)
        return PST_OK;
    size_t roomy = *capacity + *capacity / 2, bytes;
    if (roomy < n)
        roomy = n;
    if (roomy < 16)
        roomy = 16;
    if (__builtin_mul_overflow(roomy, item_size, &bytes))
        return PST_ENOMEM;
    void *grown = pst__realloc(*items, bytes, PST_MEM_HEAP);
    if (!grown)
        return PST_ENOMEM;
    *items = grown;
    *capacity = roomy;
    return PST_OK;
}

int pst__strings_add(struct pst__strings *strings, const char *folder, const char *name)
{
    size_t n_folder = folder ? strlen(folder) : 0, n_name = strlen(name) + 1;
    int has_slash = n_folder > 0 && folder[n_folder - 1] != '/';
    size_t need = strings->used + n_folder + (size_t)has_slash + n_name;
    void *bytes = strings->bytes, *starts = strings->starts;
    int rc = pst__grow(&bytes, &strings->capacity, need, 1);
    strings->bytes = bytes;
    if (rc == PST_OK)
        rc = pst__grow(&starts, &strings->starts_capacity, strings->n + 1, sizeof(uint64_t));
    strings->starts = starts;
    if (rc < 0)
        return rc;
    char *p = strings->bytes + strings->used;
    if (n_folder > 0)
        memcpy(p, folder, n_folder);
    if (has_slash)
        p[n_folder] = '/';
    memcpy(p + n_folder + has_slash, name, n_name);
    strings->starts[strings->n++] = strings->used;
    strings->used = need;
    return PST_OK;
}

static int compare(const void *a, const void *b, void *bytes)
{
    return pst__utf8_compare((char *)bytes + *(const uint64_t *)a,
                             (char *)bytes + *(const uint64_t *)b);
}

void pst__strings_sort(struct pst__strings *strings, size_t first, size_t n)
{
    if (n > 1)
        qsort_r(strings->starts + first, n, sizeof *strings->starts, compare, strings->bytes);
}

size_t pst__strings_find(const struct pst__strings *strings, const char *name)
{
    size_t low = 0, high = strings->n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (pst__utf8_compare(pst__strings_at(strings, middle), name) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void pst__strings_clear(struct pst__strings *strings)
{
    strings->used = strings->n = 0;
}

void pst__strings_trim(struct pst__strings *strings)
{
    /* Without memory for the smaller copy the larger one stays. */
    void *bytes = pst__realloc(strings->bytes, strings->used, PST_MEM_HEAP);
    if (bytes) {
        strings->bytes = bytes;
        strings->capacity = strings->used;
    }
    void *starts =
        pst__realloc(strings->starts, strings->n * sizeof *strings->starts, PST_MEM_HEAP);
    if (starts) {
        strings->starts = starts;
        strings->starts_capacity = strings->n;
    }
}

void pst__strings_reset(struct pst__strings *strings)
{
    pst__free(strings->starts);
    pst__free(strings->bytes);
    *strings = (struct pst__strings){0};
}
