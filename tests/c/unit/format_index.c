/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "check.h"
#include "unit/format_tree.h"
#include "unit/index_hashes.h"

/* The index of a folder: what is noticed, what is survived, what is kept. */

static struct tree tree;

/* Times of folders count as settled from here on: the clock is an hour ahead of the files. */
static int settle(void)
{
#ifdef PST_CHECKS
    if (pst__fault_clock_skew() == 0) {
        pst__fault_arm(1u << PST_SYS_CLOCK, 1, 0, 0);
        pst__sys_file_clock_ns();
        pst__fault_disarm();
    }
    return pst__fault_clock_skew() > 0;
#else
    return 0;
#endif
}

/* Until the kernel's clock for files has moved on: what changes now gets another time. */
static void tick(void)
{
    struct stat before, now;
    char path[TREE_PATH];
    tree_path(&tree, path, "clock");
    tree_file(&tree, "clock", "");
    CHECK_INT(stat(path, &before), 0);
    do {
        tree_file(&tree, "clock", "");
        CHECK_INT(stat(path, &now), 0);
    } while (now.st_ctim.tv_sec == before.st_ctim.tv_sec &&
             now.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}

static void make_tree(void)
{
    tree_open(&tree);
    for (int i = 0; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "root/class%d/%s%d.jpg", i % 3, i % 2 ? "" : "deep/er/", i);
        tree_file(&tree, name, name);
    }
    tree_file(&tree, "root/class0/note.txt", "");
    tree_file(&tree, "root/class1/\xff\n.jpg", "");
    tree_file(&tree, "elsewhere/other.jpg", "");
    tree_link(&tree, "root/class2/linked", "../../elsewhere");
    tick();
}

static struct pst_dataset *open_root(const char *index, struct pst_folder_report *report)
{
    char root[TREE_PATH];
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    struct pst_folder_config config;
    pst_folder_config_init(&config);
    config.index = index;
    if (pst_folder_open(&dataset, tree_path(&tree, root, "root"), &config, &err) < 0)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    report->struct_size = sizeof *report;
    CHECK_INT(pst_folder_report(dataset, report), 0);
    return dataset;
}

static void check_equal(const struct pst_dataset *a, const struct pst_dataset *b)
{
    char x[TREE_PATH], y[TREE_PATH];
    CHECK_INT(pst_dataset_length(a), pst_dataset_length(b));
    for (int64_t i = 0; i < pst_dataset_length(a); i++) {
        CHECK_INT(pst_dataset_label(a, i), pst_dataset_label(b, i));
        CHECK(pst_dataset_copy_name(a, i, x, sizeof x) > 0);
        CHECK(pst_dataset_copy_name(b, i, y, sizeof y) > 0);
        CHECK_STR(x, y);
    }
    CHECK_INT(pst_folder_n_classes(a), pst_folder_n_classes(b));
    for (int64_t i = 0; i < pst_folder_n_classes(a); i++)
        CHECK_STR(pst_folder_class(a, i), pst_folder_class(b, i));
}

/* Opens with the index; the samples are those of a scan. */
static void check_index(const char *path, int state, int written, int64_t listed)
{
    struct pst_folder_report report, none;
    struct pst_dataset *with = open_root(path, &report), *without = open_root(NULL, &none);
    check_equal(with, without);
    CHECK_INT(none.index, PST_FOLDER_INDEX_NONE);
    CHECK_INT(none.listed, none.folders);
    if ((int)report.index != state || report.written != written)
        check_fail(__FILE__, __LINE__, "state %d, written %d; expected %d, %d (%s%s)",
                   (int)report.index, report.written, state, written, report.damage,
                   report.not_written);
    if (listed >= 0)
        CHECK_INT(report.listed, listed);
    CHECK((state == PST_FOLDER_INDEX_REBUILT) == (report.damage[0] != 0));
    pst_dataset_unref(without);
    pst_dataset_unref(with);
}

static void kept_and_changed(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    if (!settle())
        return;
    make_tree();
    tree_path(&tree, path, "index");
    /* The root, 3 classes, 2 folders below each, and the one that is linked to. */
    check_index(path, PST_FOLDER_INDEX_NEW, 1, 11);
    check_index(path, PST_FOLDER_INDEX_KEPT, 1, 0);
    tree_file(&tree, "root/class1/new.jpg", "");
    check_index(path, PST_FOLDER_INDEX_CHANGED, 1, 1);
    check_index(path, PST_FOLDER_INDEX_KEPT, 1, 0);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A folder that changed a moment ago is listed again and again, until its times can be trusted. */
static void fresh_folders_are_vague(void)
{
    char path[TREE_PATH];
#ifdef PST_CHECKS
    if (pst__fault_clock_skew() > 0)
        check_fail(__FILE__, __LINE__, "this case comes before those that settle");
#endif
    make_tree();
    tree_path(&tree, path, "index");
    check_index(path, PST_FOLDER_INDEX_NEW, 1, 11);
    check_index(path, PST_FOLDER_INDEX_CHANGED, 1, -1);
    tree_close(&tree);
}

static void move(const char *from, const char *to)
{
    char a[TREE_PATH], b[TREE_PATH];
    CHECK_INT(rename(tree_path(&tree, a, from), tree_path(&tree, b, to)), 0);
}

static void drop(const char *name)
{
    char path[TREE_PATH];
    CHECK_INT(remove(tree_path(&tree, path, name)), 0);
}

static void keep_times(const char *name, void (*change)(void))
{
    char path[TREE_PATH];
    struct stat st;
    CHECK_INT(stat(tree_path(&tree, path, name), &st), 0);
    change();
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    CHECK_INT(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void change_add(void)
{
    tree_file(&tree, "root/class0/zz.jpg", "");
}
static void change_remove(void)
{
    drop("root/class0/1.jpg"); /* odd ones lie in no deep folder */
}
static void change_rename(void)
{
    move("root/class1/1.jpg", "root/class1/1b.jpg");
}
static void change_across(void)
{
    move("root/class1/7.jpg", "root/class2/7.jpg");
}
static void change_new_class(void)
{
    tree_file(&tree, "root/a-class/1.jpg", "");
}
static void change_drop_class(void)
{
    move("root/class1", "class1");
}
static void change_rename_class(void)
{
    move("root/class1", "root/zclass");
}
static void change_deep(void)
{
    tree_file(&tree, "root/class0/deep/er/more/x.png", "");
}
static void change_linked(void)
{
    tree_file(&tree, "elsewhere/second.jpg", "");
}
static void change_link(void)
{
    tree_file(&tree, "third/3.jpg", "");
    drop("root/class2/linked");
    tree_link(&tree, "root/class2/linked", "../../third");
}
static void change_swap(void)
{
    tree_file(&tree, "spare/s.jpg", "");
    move("root/class0/deep", "deep0");
    move("spare", "root/class0/deep");
}
static void change_kind(void)
{
    drop("root/class0/3.jpg");
    tree_file(&tree, "root/class0/3.jpg/inside.jpg", "");
}
static void change_same_size(void)
{
    drop("root/class0/3.jpg");
    tree_file(&tree, "root/class0/x.jpg", "");
}
static void change_keeping_times(void)
{
    keep_times("root/class0", change_same_size);
}
static void change_twice(void)
{
    change_add();
    drop("root/class0/zz.jpg");
}
static void change_root(void)
{
    move("root", "old-root");
    tree_file(&tree, "root/class0/1.jpg", "");
}

static void changes_are_noticed(void)
{
    static void (*const changes[])(void) = {
        change_add,          change_remove, change_rename, change_across, change_new_class,
        change_drop_class,   change_deep,   change_linked, change_link,   change_swap,
        change_rename_class, change_kind,   change_root,   change_twice,  change_keeping_times,
    };
    char path[TREE_PATH];
    if (!settle())
        return;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        make_tree();
        /* 3.jpg and 9.jpg lie in class0, 1.jpg and 7.jpg in class1. */
        tree_file(&tree, "root/class0/1.jpg", "");
        tick();
        tree_path(&tree, path, "index");
        check_index(path, PST_FOLDER_INDEX_NEW, 1, 11);
        check_index(path, PST_FOLDER_INDEX_KEPT, 1, 0);
        changes[i]();
        tick();
        check_index(path, PST_FOLDER_INDEX_CHANGED, 1, -1);
        check_index(path, PST_FOLDER_INDEX_KEPT, 1, 0);
        tree_close(&tree);
    }
}

/* A link whose target becomes a folder, while nothing changes where the link lies. */
static void links_to_files_are_looked_at(void)
{
    char path[TREE_PATH];
    if (!settle())
        return;
    make_tree();
    tree_link(&tree, "root/class0/promise", "../../later");
    tick();
    tree_path(&tree, path, "index");
    check_index(path, PST_FOLDER_INDEX_NEW, 1, 11);
    check_index(path, PST_FOLDER_INDEX_CHANGED, 1, 1);
    tree_file(&tree, "later/now.jpg", "");
    tick();
    check_index(path, PST_FOLDER_INDEX_CHANGED, 1, 2);
    tree_close(&tree);
}

static uint8_t *read_index(const char *path, size_t *size)
{
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    *size = (size_t)st.st_size;
    uint8_t *bytes = malloc(*size);
    FILE *file = fopen(path, "rb");
    CHECK(bytes && file);
    CHECK(fread(bytes, 1, *size, file) == *size);
    CHECK_INT(fclose(file), 0);
    return bytes;
}

static void write_index(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file);
    CHECK(size == 0 || fwrite(bytes, 1, size, file) == size);
    CHECK_INT(fclose(file), 0);
}

/* Each byte turned, each length cut: made anew, whatever it was, and said so. What does not begin
 * like an index is someone else's file and stays. */
static void damage_is_repaired(void)
{
    char path[TREE_PATH];
    size_t size;
    struct pst_dataset *dataset;
    struct pst_error err;
    make_tree();
    tree_path(&tree, path, "index");
    check_index(path, PST_FOLDER_INDEX_NEW, 1, 11);
    uint8_t *good = read_index(path, &size), *bad = malloc(size + 1);
    CHECK(bad);
    for (size_t i = 0; i < size; i++) {
        memcpy(bad, good, size);
        bad[i] ^= (uint8_t)(1u << i % 8);
        pst_error_init(&err);
        CHECK(pst_folder_restore(&dataset, bad, size, &err) < 0 && !dataset && err.message[0]);
        check_tried(1);
        if (i % 16 == 0) {
            write_index(path, bad, size);
            check_index(path, PST_FOLDER_INDEX_REBUILT, i >= 8, 11);
        }
    }
    for (size_t n = 0; n < size; n++) {
        pst_error_init(&err);
        CHECK(pst_folder_restore(&dataset, good, n, &err) < 0 && err.offset >= 0);
        check_tried(1);
        if (n % 16 == 0) {
            write_index(path, good, n);
            check_index(path, PST_FOLDER_INDEX_REBUILT, 1, 11);
        }
    }
    memcpy(bad, good, size);
    bad[size] = 0;
    CHECK_INT(pst_folder_restore(&dataset, bad, size + 1, NULL), PST_EFORMAT);
    write_index(path, (const uint8_t *)"path,label\n", 11);
    check_index(path, PST_FOLDER_INDEX_REBUILT, 0, 11);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_size, 11);
    free(bad);
    free(good);
    tree_close(&tree);
}

static void lies_with_right_hashes(void)
{
    char path[TREE_PATH], name[TREE_PATH];
    size_t size, n_refused = 0;
    make_tree();
    tree_path(&tree, path, "index");
    check_index(path, PST_FOLDER_INDEX_NEW, 1, 11);
    uint8_t *good = read_index(path, &size), *bad = malloc(size);
    CHECK(bad);
    /* Behind the key, which is the root itself. */
    for (size_t i = 128 + get64(good + 40); i < size; i++)
        for (int k = 0; k < 3; k++) {
            static const uint8_t values[] = {0, '/', 0xff};
            struct pst_dataset *dataset;
            memcpy(bad, good, size);
            bad[i] = values[k];
            make_hashes_right(bad, size);
            if (pst_folder_restore(&dataset, bad, size, NULL) < 0) {
                n_refused++;
                continue;
            }
            /* Another tree, but a tree: nothing in it leads out of the root. */
            for (int64_t s = 0; s < pst_dataset_length(dataset); s++) {
                CHECK(pst_dataset_copy_name(dataset, s, name, sizeof name) > 0);
                CHECK(!strstr(name, "/../") && !strstr(name, "//"));
                CHECK(pst_dataset_label(dataset, s) < pst_folder_n_classes(dataset));
            }
            pst_dataset_unref(dataset);
        }
    CHECK(n_refused > 500);
    free(bad);
    free(good);
    tree_close(&tree);
}

static void saved_and_restored(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_folder_report report;
    struct pst_dataset *copy;
    uint8_t bytes[4096];
    make_tree();
    struct pst_dataset *dataset = open_root(NULL, &report);
    int64_t size = pst_folder_save(dataset, NULL, 0, NULL);
    CHECK(size > 0 && size < (int64_t)sizeof bytes);
    CHECK_INT(pst_folder_save(dataset, bytes, (size_t)size, NULL), size);
    CHECK_INT(pst_folder_restore(&copy, bytes, (size_t)size, NULL), 0);
    check_equal(dataset, copy);
    CHECK_STR(pst_dataset_name(copy, 3), pst_dataset_name(dataset, 3));
    CHECK(pst_dataset_name(copy, 3) == pst_dataset_name(copy, 3));
    pst_dataset_unref(copy);
    pst_dataset_unref(dataset);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void cache_folder_of_the_user(void)
{
    char path[TREE_PATH];
    struct pst_folder_report report;
    make_tree();
    CHECK_INT(setenv("PENSTOCK_CACHE", tree_path(&tree, path, "made/when/needed"), 1), 0);
    check_index("", PST_FOLDER_INDEX_NEW, 1, 11);
    struct pst_dataset *dataset = open_root("", &report);
    CHECK_HAS(report.path, "/made/when/needed/folder-");
    pst_dataset_unref(dataset);
    /* No place, and a place that is a file. */
    tree_file(&tree, "file", "");
    CHECK_INT(setenv("PENSTOCK_CACHE", tree_path(&tree, path, "file"), 1), 0);
    check_index("", PST_FOLDER_INDEX_REBUILT, 0, 11);
    CHECK_INT(unsetenv("PENSTOCK_CACHE"), 0);
    CHECK_INT(setenv("XDG_CACHE_HOME", "relative", 1), 0);
    CHECK_INT(setenv("HOME", "", 1), 0);
    check_index("", PST_FOLDER_INDEX_NONE, 0, 11);
    CHECK_INT(setenv("HOME", tree_path(&tree, path, "home"), 1), 0);
    check_index("", PST_FOLDER_INDEX_NEW, 1, 11);
    dataset = open_root("", &report);
    CHECK_HAS(report.path, "/home/.cache/penstock/folder-");
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

/* A writer that is killed leaves the old index or the new one; what it leaves beside them is used
 * again. The tree changes from child to child, so that each has something to write. */
static void killed_writers(void)
{
    char path[TREE_PATH], temporary[TREE_PATH];
    int n = getenv("PST_KILLS") ? atoi(getenv("PST_KILLS")) : 24;
    uint64_t random = 88172645463325252u;
    make_tree();
    tree_path(&tree, path, "index");
    check_index(path, PST_FOLDER_INDEX_NEW, 1, 11);
    for (int i = 0; i < n; i++) {
        struct pst_folder_report report;
        char name[64];
        snprintf(name, sizeof name, "root/class0/kill%d.jpg", i);
        tree_file(&tree, name, "");
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            for (int k = 0;; k++) {
                snprintf(name, sizeof name, "root/class1/child.jpg");
                if (k % 2)
                    drop(name);
                else
                    tree_file(&tree, name, "");
                pst_dataset_unref(open_root(path, &report));
            }
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        usleep((useconds_t)(random % 8000)); /* the moment of the kill, not a wait for anything */
        CHECK_INT(kill(child, SIGKILL), 0);
        CHECK_INT(waitpid(child, NULL, 0), child);
        struct pst_dataset *dataset = open_root(path, &report), *plain = open_root(NULL, &report);
        check_equal(dataset, plain);
        report.struct_size = sizeof report;
        CHECK_INT(pst_folder_report(dataset, &report), 0);
        if (report.index == PST_FOLDER_INDEX_REBUILT)
            check_fail(__FILE__, __LINE__, "kill %d left a damaged index: %s", i, report.damage);
        CHECK(report.written);
        pst_dataset_unref(plain);
        pst_dataset_unref(dataset);
    }
    CHECK(access(tree_path(&tree, temporary, ".index.penstock-tmp"), F_OK) < 0);
    check_tried(n);
    tree_close(&tree);
}

static void writers_beside_each_other(void)
{
    char path[TREE_PATH];
    pid_t children[4];
    make_tree();
    tree_path(&tree, path, "index");
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            for (int k = 0; k < 25; k++) {
                struct pst_folder_report report;
                char name[64];
                snprintf(name, sizeof name, "root/class%d/%d-%d.jpg", k % 3, i, k);
                tree_file(&tree, name, "");
                pst_dataset_unref(open_root(path, &report));
                if (report.index == PST_FOLDER_INDEX_REBUILT)
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;
        CHECK_INT(waitpid(children[i], &status, 0), children[i]);
        CHECK_INT(status, 0);
    }
    check_index(path, PST_FOLDER_INDEX_CHANGED, 1, -1);
    tree_close(&tree);
}

/* Nothing of the index can fail an open but memory. */
static void writing_fails(void)
{
#ifdef PST_CHECKS
    static const int errnos[] = {ENOSPC, EIO, EROFS, EACCES, 0};
    char path[TREE_PATH], temporary[TREE_PATH];
    make_tree();
    tree_path(&tree, path, "index");
    tree_path(&tree, temporary, ".index.penstock-tmp");
    for (size_t e = 0; e < 5; e++)
        for (int64_t nth = 1;; nth++) {
            struct pst_folder_report report;
            (void)remove(path);
            pst__fault_arm(1u << PST_SYS_WRITE, nth, errnos[e] != 0, errnos[e]);
            struct pst_dataset *dataset = open_root(path, &report);
            int64_t fired = pst__fault_fired();
            pst__fault_disarm();
            CHECK_INT(report.index, PST_FOLDER_INDEX_NEW);
            /* The last call flushes the folder: the new index is there, only not for certain. */
            CHECK(!report.written == (report.not_written[0] != 0));
            CHECK(report.written || fired > 0);
            CHECK(access(temporary, F_OK) < 0 || !report.written);
            pst_dataset_unref(dataset);
            if (fired == 0)
                break;
            check_tried(1);
        }
    check_index(path, PST_FOLDER_INDEX_CHANGED, 1, -1);
    tree_close(&tree);
#endif
}

/* The cases behind the first that settles see a clock that is ahead. */
CHECK_MAIN(CASE(fresh_folders_are_vague), CASE(saved_and_restored),
           FAULT("R3 R12", damage_is_repaired), FAULT("R12 R22", lies_with_right_hashes),
           FAULT("R36", cache_folder_of_the_user), FAULT("R10", killed_writers),
           FAULT("R11 R36", writers_beside_each_other), FAULT("R9 R36", writing_fails),
           CASE(kept_and_changed), FAULT("R22", changes_are_noticed),
           CASE(links_to_files_are_looked_at))
