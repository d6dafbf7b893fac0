/* SPDX-License-Identifier: Apache-2.0 */
#include "format/folder/tree.h"

#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/strings.h"

void pst__folder_id_set(struct pst__folder_id *id, const struct stat *st)
{
    id->dev = (uint64_t)st->st_dev;
    id->ino = (uint64_t)st->st_ino;
    id->size = (uint64_t)st->st_size;
    id->nlink = (uint64_t)st->st_nlink;
    id->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    id->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

int pst__folder_id_equal(const struct pst__folder_id *a, const struct pst__folder_id *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->nlink == b->nlink &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

int pst__tree_init(struct pst__tree *tree, const char *root)
{
    *tree = (struct pst__tree){0};
    size_t size = strlen(root) + 1;
    if (size > PST_MAX_PATH)
        return PST_ELIMIT;
    tree->root = pst__alloc(size, PST_MEM_HEAP);
    if (!tree->root)
        return PST_ENOMEM;
    memcpy(tree->root, root, size);
    return PST_OK;
}

void pst__tree_reset(struct pst__tree *tree)
{
    pst__free(tree->starts);
    pst__free(tree->names);
    pst__free(tree->own_names);
    pst__free(tree->class_folder);
    pst__free(tree->folder);
    pst__free(tree->root);
    *tree = (struct pst__tree){0};
}

static void *trimmed(void *block, size_t *room, size_t n, size_t item_size)
{
    /* Without memory for the smaller copy the larger one stays. */
    void *smaller = pst__realloc(block, n * item_size, PST_MEM_HEAP);
    if (!smaller)
        return block;
    *room = n;
    return smaller;
}

void pst__tree_trim(struct pst__tree *tree)
{
    tree->names = trimmed(tree->names, &tree->names_room, tree->names_size, 1);
    tree->starts =
        trimmed(tree->starts, &tree->starts_room, (size_t)tree->n_samples, sizeof *tree->starts);
}

/* Room for n more bytes behind *bytes, which has `used` of them. */
static int grow_bytes(char **bytes, size_t *room, size_t used, size_t n)
{
    void *grown = *bytes;
    int rc = pst__grow(&grown, room, used + n, 1);
    *bytes = grown;
    return rc;
}

static int grow_starts(struct pst__tree *tree, int64_t n)
{
    void *grown = tree->starts;
    int rc =
        pst__grow(&grown, &tree->starts_room, (size_t)(tree->n_samples + n), sizeof *tree->starts);
    tree->starts = grown;
    return rc;
}

/* Room for one more folder, its mark of the end, and one more class. */
static int grow_folders(struct pst__tree *tree)
{
    void *folders = tree->folder, *classes = tree->class_folder;
    int rc = pst__grow(&folders, &tree->folder_room, tree->n_folders + 2, sizeof *tree->folder);
    tree->folder = folders;
    if (rc == PST_OK)
        rc =
            pst__grow(&classes, &tree->class_room, tree->n_classes + 1, sizeof *tree->class_folder);
    tree->class_folder = classes;
    return rc;
}

static void mark_end(struct pst__tree *tree)
{
    tree->folder[tree->n_folders].first = tree->n_samples;
    tree->folder[tree->n_folders].names = tree->names_size;
}

int pst__tree_add_folder(struct pst__tree *tree, uint32_t parent, const char *name,
                         const struct pst__folder_id *id, uint32_t flags)
{
    size_t n = tree->n_folders, size = strlen(name), path_size = size;
    if (n >= UINT32_MAX)
        return PST_ELIMIT;
    if (n > 0 && parent > 0)
        path_size += tree->folder[parent].path_size + 1;
    if (strlen(tree->root) + path_size + 2 > PST_MAX_PATH)
        return PST_ELIMIT;
    int rc = grow_folders(tree);
    if (rc == PST_OK)
        rc = grow_bytes(&tree->own_names, &tree->own_names_room, tree->own_names_size, size + 1);
    if (rc < 0)
        return rc;
    memcpy(tree->own_names + tree->own_names_size, name, size + 1);
    if (n > 0 && parent == 0)
        tree->class_folder[tree->n_classes++] = (uint32_t)n;
    tree->folder[n] = (struct pst__tree_folder){
        .id = *id,
        .first = tree->n_samples,
        .names = tree->names_size,
        .name = tree->own_names_size,
        .parent = parent,
        .flags = flags,
        .class_index = tree->n_classes > 0 ? (uint32_t)tree->n_classes - 1 : 0,
        .path_size = (uint32_t)path_size,
    };
    tree->own_names_size += size + 1;
    tree->n_folders++;
    mark_end(tree);
    return PST_OK;
}

int pst__tree_add_name(struct pst__tree *tree, const char *name)
{
    const struct pst__tree_folder *last = &tree->folder[tree->n_folders - 1];
    size_t size = strlen(name) + 1;
    if (strlen(tree->root) + last->path_size + size + 2 > PST_MAX_PATH ||
        tree->names_size - last->names > UINT32_MAX)
        return PST_ELIMIT;
    int rc = grow_bytes(&tree->names, &tree->names_room, tree->names_size, size);
    if (rc == PST_OK)
        rc = grow_starts(tree, 1);
    if (rc < 0)
        return rc;
    memcpy(tree->names + tree->names_size, name, size);
    tree->starts[tree->n_samples++] = (uint32_t)(tree->names_size - last->names);
    tree->names_size += size;
    mark_end(tree);
    return PST_OK;
}

int pst__tree_add_names(struct pst__tree *tree, const struct pst__tree *from, size_t folder)
{
    const struct pst__tree_folder *source = &from->folder[folder];
    size_t size = source[1].names - source->names;
    int64_t n = source[1].first - source->first;
    int rc = grow_bytes(&tree->names, &tree->names_room, tree->names_size, size);
    if (rc == PST_OK)
        rc = grow_starts(tree, n);
    if (rc < 0 || n == 0)
        return rc;
    memcpy(tree->names + tree->names_size, from->names + source->names, size);
    memcpy(tree->starts + tree->n_samples, from->starts + source->first,
           (size_t)n * sizeof *tree->starts);
    tree->names_size += size;
    tree->n_samples += n;
    mark_end(tree);
    return PST_OK;
}

/* The last folder that begins at or before the sample: those between two equal beginnings are
 * empty. */
size_t pst__tree_folder_of(const struct pst__tree *tree, int64_t sample)
{
    size_t low = 0, high = tree->n_folders;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (tree->folder[middle].first <= sample)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int64_t pst__tree_class_size(const struct pst__tree *tree, size_t class_index)
{
    size_t end =
        class_index + 1 < tree->n_classes ? tree->class_folder[class_index + 1] : tree->n_folders;
    return tree->folder[end].first - tree->folder[tree->class_folder[class_index]].first;
}

size_t pst__tree_path(const struct pst__tree *tree, size_t folder, const char *name, char *out,
                      size_t size)
{
    char path[PST_MAX_PATH + 1];
    size_t n_root = strlen(tree->root), below = tree->folder[folder].path_size;
    size_t slash = n_root > 0 && tree->root[n_root - 1] != '/';
    size_t at = n_root + (below > 0 ? slash + below : 0), n_name = name ? strlen(name) : 0;
    /* A root that ends in a slash has one already. */
    size_t length = at + (name ? (below > 0 || slash) + n_name : 0);
    memcpy(path, tree->root, n_root);
    if (name) {
        if (length > at + n_name)
            path[at] = '/';
        memcpy(path + length - n_name, name, n_name);
    }
    for (; folder != 0; folder = tree->folder[folder].parent) {
        const char *own = pst__tree_own_name(tree, folder);
        size_t n = strlen(own);
        at -= n;
        memcpy(path + at, own, n);
        if (tree->folder[folder].parent != 0 || slash)
            path[--at] = '/';
    }
    if (size > 0) {
        size_t n = length < size ? length : size - 1;
        memcpy(out, path, n);
        out[n] = 0;
    }
    return length;
}
