/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_FORMAT_TREE_H
#define PST_TESTS_FORMAT_TREE_H

#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

/* A folder of a test's own, removed with all that is in it. */
#define TREE_PATH 4096
struct tree {
    char root[TREE_PATH / 2];
};

static inline void tree_open(struct tree *tree)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(tree->root, sizeof tree->root, "%s/pst-test-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(n > 0 && n < (int)sizeof tree->root);
    CHECK(mkdtemp(tree->root));
}

static inline int tree_remove_one(const char *path, const struct stat *st, int kind,
                                  struct FTW *where)
{
    (void)st, (void)where;
    if (kind == FTW_DNR || kind == FTW_NS)
        (void)chmod(path, 0700);
    return remove(path);
}

static inline void tree_close(struct tree *tree)
{
    CHECK_INT(nftw(tree->root, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline char *tree_path(const struct tree *tree, char *out, const char *name)
{
    int n = snprintf(out, TREE_PATH, "%s/%s", tree->root, name);
    CHECK(n > 0 && n < TREE_PATH);
    return out;
}

/* Makes the folders above name, and name itself if it ends in a slash. */
static inline void tree_folders(const struct tree *tree, const char *name)
{
    char path[TREE_PATH];
    tree_path(tree, path, name);
    for (char *p = path + strlen(tree->root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
        *p = '/';
    }
}

static inline void tree_bytes(const struct tree *tree, const char *name, const void *data,
                              size_t size)
{
    char path[TREE_PATH];
    tree_folders(tree, name);
    FILE *file = fopen(tree_path(tree, path, name), "wb");
    CHECK(file);
    CHECK(size == 0 || fwrite(data, 1, size, file) == size);
    CHECK_INT(fclose(file), 0);
}

static inline void tree_file(const struct tree *tree, const char *name, const char *text)
{
    tree_bytes(tree, name, text, strlen(text));
}

static inline void tree_link(const struct tree *tree, const char *name, const char *target)
{
    char path[TREE_PATH];
    tree_folders(tree, name);
    CHECK_INT(symlink(target, tree_path(tree, path, name)), 0);
}

#endif
