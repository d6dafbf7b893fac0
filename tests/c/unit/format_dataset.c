/* SPDX-License-Identifier: Apache-2.0 */
#include "format/dataset.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "check.h"
#include "io/record.h"
#include "unit/format_tree.h"

/* A dataset of a user's: record i is i times the letter, in memory of its own or as a view. */
struct letters {
    int64_t n;
    int mode; /* how read() behaves */
    int closed;
};
enum { GOOD, VIEW, NOTHING, BARE_STATUS, NAMED_STATUS, POSITIVE, TOO_LARGE };

static int64_t letters_length(void *self)
{
    return ((struct letters *)self)->n;
}

static int letters_read(void *self, int64_t index, struct pst_record *record, struct pst_error *err)
{
    static const char all[] = "xxxxxxxxxx";
    struct letters *letters = self;
    switch (letters->mode) {
    case VIEW:
        pst_record_view(record, all, (size_t)index);
        return PST_OK;
    case NOTHING:
        return PST_OK;
    case BARE_STATUS:
        return PST_ETRUNCATED;
    case NAMED_STATUS:
        CHECK(err);
        return pst__fail_at(err, PST_EFORMAT, 5, "bad letter");
    case POSITIVE:
        return 3;
    case TOO_LARGE:
        pst_record_view(record, all, (size_t)PST_MAX_RECORD + 1);
        return PST_OK;
    default: {
        void *bytes = pst_record_reserve(record, (size_t)index);
        if (!bytes)
            return PST_ENOMEM;
        memset(bytes, 'x', (size_t)index);
        return PST_OK;
    }
    }
}

static int64_t letters_label(void *self, int64_t index)
{
    (void)self;
    return index * 10;
}

static const char *letters_name(void *self, int64_t index)
{
    (void)self;
    return index == 3 ? "three" : "other";
}

static void letters_close(void *self)
{
    ((struct letters *)self)->closed++;
}

static struct pst_dataset_vtable letters_vtable(void)
{
    return (struct pst_dataset_vtable){.struct_size = sizeof(struct pst_dataset_vtable),
                                       .length = letters_length,
                                       .read = letters_read,
                                       .label = letters_label,
                                       .name = letters_name,
                                       .close = letters_close};
}

static void a_dataset_of_the_user(void)
{
    int64_t blocks = pst__mem_blocks();
    struct letters letters = {.n = 8};
    struct pst_dataset_vtable vtable = letters_vtable();
    struct pst_dataset *dataset;
    struct pst_record record = {0};
    CHECK_INT(pst_dataset_new(&dataset, &vtable, &letters, NULL), 0);
    CHECK_INT(pst_dataset_length(dataset), 8);
    CHECK_INT(pst_dataset_label(dataset, 4), 40);
    CHECK_INT(pst_dataset_label(dataset, 8), -1);
    CHECK_STR(pst_dataset_name(dataset, 3), "three");
    CHECK(!pst_dataset_name(dataset, -1));
    CHECK_INT(pst_folder_n_classes(dataset), 0);
    CHECK(!pst_folder_class(dataset, 0));
    for (int mode = GOOD; mode <= VIEW; mode++) {
        letters.mode = mode;
        for (int64_t i = 0; i < 8; i++) {
            CHECK_INT(pst__dataset_read(dataset, i, &record, NULL), 0);
            CHECK_INT(record.size, i);
            CHECK(memcmp(record.data, "xxxxxxxx", record.size) == 0);
        }
    }
    pst__record_reset(&record);
    CHECK(pst_dataset_ref(dataset) == dataset);
    pst_dataset_unref(dataset);
    CHECK_INT(letters.closed, 0);
    pst_dataset_unref(dataset);
    CHECK_INT(letters.closed, 1);
    pst_dataset_unref(NULL);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void check_read(struct pst_dataset *dataset, int64_t index, int status, int64_t record_index,
                       const char *part)
{
    struct pst_record record = {0};
    struct pst_error err = {0};
    CHECK_INT(pst__dataset_read(dataset, index, &record, &err), status);
    CHECK_INT(err.status, status);
    CHECK_INT(err.record, record_index);
    CHECK_HAS(err.message, part);
    CHECK(!record.data);
    CHECK_INT(pst__dataset_read(dataset, index, &record, NULL), status);
    struct pst_error first = {.status = PST_ECLOSED, .record = 77};
    CHECK_INT(pst__dataset_read(dataset, index, &record, &first), status);
    CHECK(first.status == PST_ECLOSED && first.record == 77);
    pst__record_reset(&record);
}

static void what_read_does_wrong(void)
{
    struct letters letters = {.n = 8};
    struct pst_dataset_vtable vtable = letters_vtable();
    struct pst_dataset *dataset;
    CHECK_INT(pst_dataset_new(&dataset, &vtable, &letters, NULL), 0);
    check_read(dataset, -1, PST_ERANGE, -1, "index -1 of a dataset of 8");
    check_read(dataset, 8, PST_ERANGE, -1, "index 8 of a dataset of 8");
    letters.mode = NOTHING;
    check_read(dataset, 2, PST_ECALLBACK, 2, "no record");
    letters.mode = BARE_STATUS;
    check_read(dataset, 2, PST_ETRUNCATED, 2, "ends too early");
    letters.mode = NAMED_STATUS;
    check_read(dataset, 2, PST_EFORMAT, 2, "bad letter");
    letters.mode = POSITIVE;
    check_read(dataset, 2, PST_ECALLBACK, 2, "returned 3");
    letters.mode = TOO_LARGE;
    check_read(dataset, 2, PST_ELIMIT, 2, "1073741825 bytes");
    pst_dataset_unref(dataset);
}

static void incomplete_vtables(void)
{
    int64_t blocks = pst__mem_blocks();
    struct letters letters = {.n = 8};
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    struct pst_dataset_vtable vtable = letters_vtable();
    CHECK_INT(pst_dataset_new(NULL, &vtable, &letters, &err), PST_EINVAL);
    CHECK_INT(pst_dataset_new(&dataset, NULL, &letters, NULL), PST_EINVAL);
    vtable.struct_size = offsetof(struct pst_dataset_vtable, label);
    CHECK_INT(pst_dataset_new(&dataset, &vtable, &letters, NULL), PST_EINVAL);
    vtable = letters_vtable();
    vtable.label = NULL;
    CHECK_INT(pst_dataset_new(&dataset, &vtable, &letters, NULL), PST_EINVAL);
    letters.n = -1;
    vtable = letters_vtable();
    CHECK_INT(pst_dataset_new(&dataset, &vtable, &letters, NULL), PST_EINVAL);
    CHECK(!dataset);
    CHECK_INT(letters.closed, 0); /* self stays the caller's */
    /* A caller of a release that knew neither name nor close. */
    letters.n = 8;
    vtable.struct_size = offsetof(struct pst_dataset_vtable, name);
    CHECK_INT(pst_dataset_new(&dataset, &vtable, &letters, NULL), 0);
    CHECK(!pst_dataset_name(dataset, 3));
    pst_dataset_unref(dataset);
    CHECK_INT(letters.closed, 0);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void lists_of_paths(void)
{
    int64_t blocks = pst__mem_blocks();
    static const int64_t small[] = {5, -1, 7}, large[] = {5, -1, (int64_t)1 << 40};
    struct tree tree;
    struct pst_dataset *dataset;
    struct pst_record record = {0};
    struct pst_error err = {0};
    char list[3 * TREE_PATH], path[TREE_PATH];
    size_t size = 0;
    tree_open(&tree);
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), 0};
        if (i < 2)
            tree_file(&tree, name, name);
        size += (size_t)sprintf(list + size, "%s", tree_path(&tree, path, name)) + 1;
    }
    for (int k = 0; k < 2; k++) {
        CHECK_INT(pst_paths_open(&dataset, list, size, k ? large : small, 3, &err), 0);
        CHECK_INT(pst_dataset_length(dataset), 3);
        CHECK_INT(pst_dataset_label(dataset, 1), -1);
        CHECK_INT(pst_dataset_label(dataset, 2), k ? large[2] : small[2]);
        CHECK_STR(pst_dataset_name(dataset, 2), path);
        CHECK_INT(pst__dataset_read(dataset, 1, &record, &err), 0);
        CHECK(record.size == 1 && record.data[0] == 'b');
        pst_error_init(&err);
        CHECK_INT(pst__dataset_read(dataset, 2, &record, &err), PST_EIO);
        CHECK_INT(err.record, 2);
        CHECK_INT(err.os_errno, ENOENT);
        CHECK_HAS(err.message, path);
        pst_error_init(&err);
        CHECK_INT(pst_folder_n_classes(dataset), 0);
        pst_dataset_unref(dataset);
    }
    pst__record_reset(&record);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void bad_lists_of_paths(void)
{
    int64_t blocks = pst__mem_blocks();
    static const int64_t labels[4] = {0};
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    CHECK_INT(pst_paths_open(NULL, "a\0b", 4, labels, 2, NULL), PST_EINVAL);
    CHECK_INT(pst_paths_open(&dataset, "a\0b", 4, labels, -1, NULL), PST_EINVAL);
    CHECK_INT(pst_paths_open(&dataset, "a\0b", 4, NULL, 2, NULL), PST_EINVAL);
    CHECK_INT(pst_paths_open(&dataset, NULL, 4, labels, 2, NULL), PST_EINVAL);
    CHECK_INT(pst_paths_open(&dataset, "a\0b", 4, labels, 1, NULL), PST_EINVAL);
    CHECK_INT(pst_paths_open(&dataset, "a\0b", 3, labels, 2, NULL), PST_EINVAL);
    CHECK_INT(pst_paths_open(&dataset, "a\0b", 4, labels, INT64_MAX, NULL), PST_EINVAL);
    CHECK_INT(pst_paths_open(&dataset, "a\0b", 4, labels, 3, &err), PST_EINVAL);
    CHECK_HAS(err.message, "3 paths expected");
    CHECK(!dataset);
    CHECK_INT(pst_paths_open(&dataset, NULL, 0, NULL, 0, NULL), 0);
    CHECK_INT(pst_dataset_length(dataset), 0);
    pst_dataset_unref(dataset);
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(a_dataset_of_the_user), CASE(what_read_does_wrong), CASE(incomplete_vtables),
           CASE(lists_of_paths), CASE(bad_lists_of_paths))
