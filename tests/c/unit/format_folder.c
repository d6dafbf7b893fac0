/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include "base/mem.h"
#include "base/status.h"
#include "check.h"
#include "format/dataset.h"
#include "io/record.h"
#include "unit/format_tree.h"

static struct tree tree;

static struct pst_dataset *open_tree(int allow_empty, const char *extensions)
{
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    struct pst_folder_config config;
    pst_folder_config_init(&config);
    config.allow_empty = allow_empty;
    config.extensions = extensions;
    if (pst_folder_open(&dataset, tree.root, &config, &err) < 0)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    return dataset;
}

/* expected: "label name" of each sample, name below the root. */
static void check_samples(struct pst_dataset *dataset, const char *const *expected)
{
    int64_t n = 0;
    for (; expected[n]; n++) {
        char line[TREE_PATH];
        CHECK(n < pst_dataset_length(dataset));
        const char *name = pst_dataset_name(dataset, n);
        CHECK(strncmp(name, tree.root, strlen(tree.root)) == 0);
        snprintf(line, sizeof line, "%d %s", (int)pst_dataset_label(dataset, n),
                 name + strlen(tree.root) + 1);
        CHECK_STR(line, expected[n]);
    }
    CHECK_INT(pst_dataset_length(dataset), n);
}

static void classes_and_order(void)
{
    int64_t blocks = pst__mem_blocks();
    static const char *const sorted[] = {
        "0 A/z.jpg",    "1 b/1.PNG",        "1 b/10.jpg",     "1 b/2.JpEg", "1 b/a.x/f.webp",
        "1 b/a/b/.jpg", "1 b/a/b/deep.tif", "1 b/a0/one.ppm", NULL,
    };
    tree_open(&tree);
    for (int i = 0; sorted[i]; i++)
        tree_file(&tree, sorted[i] + 2, sorted[i]);
    tree_file(&tree, "not-in-a-class.jpg", "");
    tree_file(&tree, "b/notes.txt", "");
    tree_file(&tree, "b/jpg", "");
    tree_file(&tree, "b/name.jpg.bak", "");
    struct pst_dataset *dataset = open_tree(0, NULL);
    check_samples(dataset, sorted);
    CHECK_INT(pst_folder_n_classes(dataset), 2);
    CHECK_STR(pst_folder_class(dataset, 0), "A");
    CHECK_STR(pst_folder_class(dataset, 1), "b");
    CHECK(!pst_folder_class(dataset, 2) && !pst_folder_class(dataset, -1));
    struct pst_record record = {0};
    CHECK_INT(pst__dataset_read(dataset, 1, &record, NULL), 0);
    CHECK_INT(record.size, (int64_t)strlen(sorted[1]));
    CHECK(memcmp(record.data, sorted[1], record.size) == 0);
    pst__record_reset(&record);
    pst_dataset_unref(dataset);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* The order of Python's sorted() over os.fsdecode() of these names. */
static void names_that_are_not_utf8(void)
{
    static const char *const sorted[] = {
        "0 c/A.jpg",
        "0 c/a.jpg",
        "0 c/\xc3\xa9.jpg",
        "0 c/\xed\x9f\xbf.jpg",     /* U+D7FF */
        "0 c/\x80.jpg",             /* U+DC80 */
        "0 c/\xe2\x82.jpg",         /* U+DCE2 U+DC82 */
        "0 c/\xed\xa0\x80.jpg",     /* U+DCED U+DCA0 U+DC80 */
        "0 c/\xff.jpg",             /* U+DCFF */
        "0 c/\xee\x80\x80.jpg",     /* U+E000 */
        "0 c/\xef\xbf\xbd.jpg",     /* U+FFFD */
        "0 c/\xf0\x9f\x99\x82.jpg", /* U+1F642 */
        NULL,
    };
    tree_open(&tree);
    for (int i = 10; i >= 0; i--)
        tree_file(&tree, sorted[i] + 2, "");
    struct pst_dataset *dataset = open_tree(0, NULL);
    check_samples(dataset, sorted);
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

static void links(void)
{
    static const char *const sorted[] = {
        "0 a/1.jpg", "0 a/dangling.jpg", "0 a/file.png", "0 a/sub/1.jpg", "1 linked/1.jpg", NULL,
    };
    tree_open(&tree);
    tree_file(&tree, "a/1.jpg", "");
    tree_link(&tree, "a/file.png", "1.jpg");
    tree_link(&tree, "a/dangling.jpg", "nowhere");
    tree_file(&tree, "linked-to/1.jpg", "");
    tree_link(&tree, "linked", "linked-to");
    tree_link(&tree, "no-class", "nowhere");
    tree_link(&tree, "a/sub", "../linked-to");
    struct pst_dataset *dataset = open_tree(0, NULL);
    CHECK_INT(pst_folder_n_classes(dataset), 3);
    CHECK_INT(pst_dataset_length(dataset), 6);
    CHECK_STR(pst_folder_class(dataset, 2), "linked-to");
    for (int i = 0; sorted[i]; i++)
        CHECK_STR(pst_dataset_name(dataset, i) + strlen(tree.root) + 1, sorted[i] + 2);
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

/* The OS ends a walk around a loop: 40 links may be passed, the 41st is a file to os.walk(). */
static void loop_of_links(void)
{
    tree_open(&tree);
    tree_file(&tree, "c/1.jpg", "");
    tree_link(&tree, "c/loop", ".");
    struct pst_dataset *dataset = open_tree(0, NULL);
    CHECK_INT(pst_dataset_length(dataset), 41);
    pst_dataset_unref(dataset);
    char path[TREE_PATH];
    CHECK_INT(remove(tree_path(&tree, path, "c/loop")), 0);
    tree_link(&tree, "c/loop.jpg", ".");
    dataset = open_tree(0, NULL);
    CHECK_INT(pst_dataset_length(dataset), 42);
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

static void check_open(const char *root, const struct pst_folder_config *config, int status,
                       int os_errno, const char *part)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    CHECK_INT(pst_folder_open(&dataset, root, config, &err), status);
    CHECK(!dataset);
    CHECK_INT(err.status, status);
    CHECK_INT(err.os_errno, os_errno);
    CHECK_HAS(err.message, part);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Two loops at one place: 2^40 folders. */
static void loops_without_end(void)
{
    tree_open(&tree);
    tree_file(&tree, "c/1.jpg", "");
    tree_link(&tree, "c/x", ".");
    tree_link(&tree, "c/y", ".");
    check_open(tree.root, NULL, PST_ELIMIT, 0, "the links form loops");
    tree_close(&tree);
}

static void empty_classes(void)
{
    tree_open(&tree);
    tree_file(&tree, "b/1.jpg", "");
    tree_folders(&tree, "a/");
    tree_folders(&tree, "c/deep/");
    tree_file(&tree, "d/1.jpg", "");
    tree_file(&tree, "e/1.txt", "");
    check_open(tree.root, NULL, PST_ENOTFOUND, 0,
               "Found no valid file for the classes a, c, e. Supported extensions are: .jpg, "
               ".jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff, .webp");
    struct pst_dataset *dataset = open_tree(1, NULL);
    static const char *const sorted[] = {"1 b/1.jpg", "3 d/1.jpg", NULL};
    check_samples(dataset, sorted);
    CHECK_INT(pst_folder_n_classes(dataset), 5);
    pst_dataset_unref(dataset);
    dataset = open_tree(1, " .txt  .nothing");
    static const char *const texts[] = {"4 e/1.txt", NULL};
    check_samples(dataset, texts);
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

/* The sentence ends in dots where the list of classes is too long for it. */
static void many_empty_classes(void)
{
    tree_open(&tree);
    for (int i = 0; i < 300; i++) {
        char name[64];
        snprintf(name, sizeof name, "class-%03d-\xff/", i);
        tree_folders(&tree, name);
    }
    check_open(tree.root, NULL, PST_ENOTFOUND, 0, ", .... Supported extensions");
    tree_close(&tree);
}

static void bad_roots(void)
{
    char path[TREE_PATH];
    struct pst_dataset *dataset;
    tree_open(&tree);
    check_open(tree.root, NULL, PST_ENOTFOUND, 0, "Couldn't find any class folder in ");
    tree_file(&tree, "file", "");
    check_open(tree_path(&tree, path, "file"), NULL, PST_EIO, ENOTDIR, "/file': Not a directory");
    check_open(tree_path(&tree, path, "absent"), NULL, PST_EIO, ENOENT, "cannot list");
    check_open("", NULL, PST_EIO, ENOENT, "cannot list ''");
    struct pst_folder_config config;
    pst_folder_config_init(&config);
    config.extensions = "  ";
    check_open(tree.root, &config, PST_EINVAL, 0, "no list of extensions");
    config.struct_size = 0;
    check_open(tree.root, &config, PST_EINVAL, 0, "struct_size");
    CHECK_INT(pst_folder_open(NULL, tree.root, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_folder_open(&dataset, NULL, NULL, NULL), PST_EINVAL);
    /* is_dir() of a link to itself raises in find_classes() of torchvision, too. */
    tree_link(&tree, "self", "self");
    check_open(tree.root, NULL, PST_EIO, ELOOP, "/self'");
    tree_close(&tree);
}

static void root_with_a_slash(void)
{
    char root[TREE_PATH];
    struct pst_dataset *dataset;
    tree_open(&tree);
    tree_file(&tree, "c/1.jpg", "");
    snprintf(root, sizeof root, "%s/", tree.root);
    CHECK_INT(pst_folder_open(&dataset, root, NULL, NULL), 0);
    CHECK_STR(pst_dataset_name(dataset, 0) + strlen(tree.root), "/c/1.jpg");
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

/* A folder that may not be listed is skipped, as os.walk() does. */
static void folder_without_permission(void)
{
    char path[TREE_PATH];
    if (geteuid() == 0) {
        fprintf(stderr, "  root may list everything\n");
        return;
    }
    static const char *const sorted[] = {"0 c/1.jpg", NULL};
    tree_open(&tree);
    tree_file(&tree, "c/1.jpg", "");
    tree_file(&tree, "c/closed/2.jpg", "");
    CHECK_INT(chmod(tree_path(&tree, path, "c/closed"), 0), 0);
    struct pst_dataset *dataset = open_tree(0, NULL);
    check_samples(dataset, sorted);
    pst_dataset_unref(dataset);
    CHECK_INT(chmod(path, 0700), 0);
    tree_close(&tree);
}

CHECK_MAIN(CASE(classes_and_order), FAULT("R38", names_that_are_not_utf8), FAULT("R38", links),
           FAULT("R38", loop_of_links), FAULT("R38", loops_without_end), CASE(empty_classes),
           CASE(many_empty_classes), CASE(bad_roots), CASE(root_with_a_slash),
           CASE(folder_without_permission))
