/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_TREE_H
#define PST_FORMAT_TREE_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

#include "base/attributes.h"

struct stat;

/* What an image folder holds: its folders in the order of their samples, each with the names of its
 * samples. A path is put together from the names, so that a sample costs its name and four bytes.
 *
 * Folder 0 is the root; it has no samples. The folders in it are the classes, sorted; behind each
 * come the folders below it, sorted by their whole paths. A parent comes before its children. */

/* What stat() says of a folder that becomes another when something in it does. */
struct pst__folder_id {
    uint64_t dev, ino, size, nlink;
    int64_t mtime_ns, ctime_ns;
};
void pst__folder_id_set(struct pst__folder_id *id, const struct stat *st);
int pst__folder_id_equal(const struct pst__folder_id *a, const struct pst__folder_id *b);

enum {
    /* The walk came here through a link. */
    PST__FOLDER_LINKED = 1,
    /* Its id does not vouch for its content: it changed shortly before it was listed, could not be
     * listed, or holds links whose targets may become folders. */
    PST__FOLDER_VAGUE = 2,
    PST__FOLDER_FLAGS = 3, /* all of them */
};

struct pst__tree_folder {
    struct pst__folder_id id;
    int64_t first;   /* its first sample */
    uint64_t names;  /* where its samples' names begin */
    uint64_t name;   /* where its own name begins */
    uint32_t parent; /* 0 of the root */
    uint32_t flags;
    uint32_t class_index;
    uint32_t path_size; /* of its path below the root: 0 for the root, "a/b" has 3 */
};

/* Zero-initialised means empty. */
struct pst__tree {
    char *root;
    struct pst__tree_folder *folder; /* n_folders, and one that marks the end of the last */
    uint32_t *class_folder;          /* of each class, its folder */
    char *own_names;                 /* of folders, each with its NUL; the root's is "" */
    char *names;                     /* of samples, each with its NUL */
    uint32_t *starts;                /* of each sample's name, from its folder's `names` on */
    size_t n_folders, n_classes;
    int64_t n_samples;
    size_t own_names_size, names_size;
    size_t folder_room, class_room, own_names_room, names_room, starts_room; /* for growing */
};

int pst__tree_init(struct pst__tree *tree, const char *root);
void pst__tree_reset(struct pst__tree *tree);
/* Gives back what growing left over. */
void pst__tree_trim(struct pst__tree *tree);

/* Adds the next folder; the first is the root, with the name "". Its samples follow. 0,
 * PST_ENOMEM, or PST_ELIMIT where its path is too long. */
int pst__tree_add_folder(struct pst__tree *tree, uint32_t parent, const char *name,
                         const struct pst__folder_id *id, uint32_t flags) PST_NODISCARD;
/* Adds a sample to the last folder. */
int pst__tree_add_name(struct pst__tree *tree, const char *name) PST_NODISCARD;
/* Adds all samples of a folder of another tree to the last folder. */
int pst__tree_add_names(struct pst__tree *tree, const struct pst__tree *from,
                        size_t folder) PST_NODISCARD;

static inline const char *pst__tree_own_name(const struct pst__tree *tree, size_t folder)
{
    return tree->own_names + tree->folder[folder].name;
}
static inline const char *pst__tree_name(const struct pst__tree *tree, size_t folder,
                                         int64_t sample)
{
    return tree->names + tree->folder[folder].names + tree->starts[sample];
}
/* The folder of a sample. */
size_t pst__tree_folder_of(const struct pst__tree *tree, int64_t sample);
/* Samples of a class. */
int64_t pst__tree_class_size(const struct pst__tree *tree, size_t class_index);

/* Writes the path of a folder (name NULL) or of a file in it, with its NUL, as far as size goes.
 * Returns its length without the NUL, which is below PST_MAX_PATH. */
size_t pst__tree_path(const struct pst__tree *tree, size_t folder, const char *name, char *out,
                      size_t size);

#endif
