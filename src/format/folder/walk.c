/* SPDX-License-Identifier: Apache-2.0 */
#include "format/folder/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "base/utf8.h"
#include "format/folder/recall.h"

/* os.walk() skips a folder that it cannot list. So do we where the reason lies in the name: no
 * permission, gone, too many links or too long (this is what ends a walk around a loop of links).
 * Any other reason (no descriptors, no memory, an I/O error) fails the walk: os.walk() would lose
 * samples without a word.
 *
 * Two links that lead back to the same place make 2^40 folders before the OS ends it. A walk is
 * given up after MAX_DEEP folders that lie behind LINKS_DEEP or more links each; one loop alone
 * stays far below that. */
#define LINKS_DEEP 20
#define MAX_DEEP 65536

#define MAX_INTERRUPTED 100

#define SHOWN 320 /* bytes of a path in a message */

/* A folder's times are as coarse as its file system makes them (2 s on FAT): a change right after
 * it was listed may leave them as they are. So those of a folder that changed less than this long
 * ago say nothing. */
#define SETTLED_NS 2500000000

/* A folder on its way from the pile into the tree. */
struct found {
    size_t path;         /* index into walk.folders, and this folder's number */
    size_t parent;       /* number of the folder it is in; of a class, its own */
    size_t n_name;       /* bytes of its name at the end of its path */
    size_t known;        /* the same folder in the memory, as in format/folder/recall.h */
    size_t links;        /* passed on the way here; an entry of unknown type counts as one */
    size_t first, n;     /* its wanted names, where it was listed */
    size_t next_pending; /* as walk.pending */
    struct pst__folder_id id;
    uint32_t flags;
    int is_listed;
};

struct walk {
    const struct pst__suffixes *suffixes;
    struct pst__recall recall;
    int64_t n_listed;
    /* Of the class at hand. */
    struct pst__strings folders, names;
    struct found *found;
    size_t capacity;
    size_t pending; /* 1 + the folder to be listed next, 0: none */
    uint32_t n_deep;
    /* Working memory: an entry's path, a folder's path, where a folder got to in the tree. */
    struct pst__strings scratch, path;
    struct pst__scratch places;
};

static int is_about_name(int os_errno)
{
    return os_errno == EACCES || os_errno == EPERM || os_errno == ENOENT || os_errno == ENOTDIR ||
           os_errno == ELOOP || os_errno == ENAMETOOLONG;
}

static int is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static int fail_folder(struct pst_error *err, int os_errno, const char *doing, const char *path)
{
    char shown[SHOWN];
    return pst__fail_os(err, os_errno, "cannot %s '%s'", doing,
                        pst__printable(shown, sizeof shown, path));
}

static int no_memory(struct pst_error *err, const char *path)
{
    char shown[SHOWN];
    return pst__fail(err, PST_ENOMEM, "no memory for the files of '%s'",
                     pst__printable(shown, sizeof shown, path));
}

/* The calls again while they are interrupted, but not for ever: a signal storm must not hang us. */
static DIR *open_dir(const char *path)
{
    DIR *dir;
    for (int i = 0; !(dir = pst__sys_opendir(path)) && errno == EINTR && i < MAX_INTERRUPTED; i++)
        ;
    return dir;
}

static struct dirent *next_entry(DIR *dir)
{
    struct dirent *entry;
    for (int i = 0; !(entry = pst__sys_readdir(dir)) && errno == EINTR && i < MAX_INTERRUPTED; i++)
        ;
    return entry;
}

static int stat_path(const char *path, struct stat *st)
{
    int rc;
    for (int i = 0; (rc = pst__sys_stat(path, st)) < 0 && errno == EINTR && i < MAX_INTERRUPTED;
         i++)
        ;
    return rc;
}

/* Is it a folder, or a link to one? 1, 0, or a negated errno. path is scratch: the entry's whole
 * path is put together in it, since that is the name that the OS is asked for. */
static int is_folder(const char *folder, const struct dirent *entry, struct pst__strings *path)
{
    struct stat st;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    pst__strings_clear(path);
    if (pst__strings_add(path, folder, entry->d_name) < 0)
        return -ENOMEM;
    if (stat_path(pst__strings_at(path, 0), &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode);
}

int pst__suffixes_parse(struct pst__suffixes *suffixes, const char *text)
{
    char one[64];
    for (;;) {
        text += strspn(text, " ");
        size_t n = strcspn(text, " ");
        if (n == 0)
            return suffixes->list.n > 0 ? PST_OK : PST_EINVAL;
        if (n >= sizeof one)
            return PST_EINVAL;
        memcpy(one, text, n);
        one[n] = 0;
        text += n;
        if (pst__strings_add(&suffixes->list, NULL, one) < 0)
            return PST_ENOMEM;
    }
}

/* Does the name end in the suffix once it is in lower case? Of the letters that are not ASCII only
 * the Kelvin sign, U+212A, becomes one that is. */
static int ends_with(const char *name, size_t n, const char *suffix)
{
    static const char kelvin[] = "\xe2\x84\xaa";
    for (size_t k = strlen(suffix); k > 0; k--) {
        if (n == 0)
            return 0;
        char c = name[n - 1];
        if (suffix[k - 1] == 'k' && n >= 3 && memcmp(name + n - 3, kelvin, 3) == 0) {
            n -= 3;
            continue;
        }
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != suffix[k - 1])
            return 0;
        n--;
    }
    return 1;
}

int pst__suffixes_match(const struct pst__suffixes *suffixes, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < suffixes->list.n; i++)
        if (ends_with(name, n, pst__strings_at(&suffixes->list, i)))
            return 1;
    return 0;
}

/* What vouches for a folder's content is taken before the content. */
static int identify(DIR *dir, const char *path, struct pst__folder_id *id, uint32_t *flags,
                    struct pst_error *err)
{
    struct stat st;
    int64_t now = pst__sys_file_clock_ns();
    if (pst__sys_fstat(dirfd(dir), &st) < 0)
        return fail_folder(err, errno, "examine", path);
    pst__folder_id_set(id, &st);
    int64_t newest = id->mtime_ns > id->ctime_ns ? id->mtime_ns : id->ctime_ns;
    if (newest > now - SETTLED_NS)
        *flags |= PST__FOLDER_VAGUE;
    return PST_OK;
}

/* Whether an entry is a folder cannot be told from its folder alone. */
static int is_link(const struct dirent *entry)
{
    return entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
}

/* One entry of a root: a name for the list if it is a folder. */
static int add_class(struct walk *walk, const char *root, const struct dirent *entry,
                     struct pst__strings *classes, uint32_t *flags, struct pst_error *err)
{
    int is = is_folder(root, entry, &walk->scratch);
    if (is < 0 && is != -ENOENT)
        return fail_folder(err, -is, "examine",
                           walk->scratch.n ? pst__strings_at(&walk->scratch, 0) : root);
    if (is_link(entry))
        *flags |= PST__FOLDER_VAGUE;
    if (is > 0 && pst__strings_add(classes, NULL, entry->d_name) < 0)
        return no_memory(err, root);
    return PST_OK;
}

/* The names of the classes, sorted, and the root into the tree. */
static int list_root(struct walk *walk, const char *root, struct pst__strings *classes,
                     struct pst__tree *tree, struct pst_error *err)
{
    struct pst__folder_id id;
    uint32_t flags = 0;
    struct dirent *entry;
    DIR *dir = open_dir(root);
    if (!dir)
        return fail_folder(err, errno, "list", root);
    int rc = identify(dir, root, &id, &flags, err);
    while (rc == PST_OK && (entry = next_entry(dir)))
        if (!is_dots(entry->d_name))
            rc = add_class(walk, root, entry, classes, &flags, err);
    if (rc == PST_OK && errno != 0)
        rc = fail_folder(err, errno, "list", root);
    pst__sys_closedir(dir);
    walk->n_listed++;
    if (rc < 0)
        return rc;
    pst__strings_sort(classes, 0, classes->n);
    return pst__tree_add_folder(tree, 0, "", &id, flags);
}

/* Puts a folder on the pile of those to be listed: parent/name, or name alone. */
static int push(struct walk *walk, const char *folder, const char *name, const struct found *found)
{
    void *grown = walk->found;
    size_t n = walk->folders.n;
    int rc = pst__grow(&grown, &walk->capacity, n + 1, sizeof *walk->found);
    walk->found = grown;
    if (rc < 0 || (rc = pst__strings_add(&walk->folders, folder, name)) < 0)
        return rc;
    walk->found[n] = *found;
    walk->found[n].path = n;
    walk->found[n].n_name = strlen(name);
    walk->found[n].next_pending = walk->pending;
    walk->pending = n + 1;
    return PST_OK;
}

static int push_child(struct walk *walk, size_t at, const char *path, const char *name,
                      size_t known, int is_linked)
{
    struct found child = {.parent = at, .known = known, .links = walk->found[at].links};
    if (is_linked) {
        child.flags = PST__FOLDER_LINKED;
        child.links++;
    }
    return push(walk, path, name, &child);
}

static int visit(struct walk *walk, size_t at, const char *path, const struct dirent *entry,
                 struct pst_error *err)
{
    int is = is_folder(path, entry, &walk->scratch);
    if (is < 0 && !is_about_name(-is))
        return fail_folder(err, -is, "examine an entry of", path);
    if (is > 0)
        return push_child(walk, at, path, entry->d_name,
                          pst__recall_find(&walk->recall, walk->found[at].known, entry->d_name),
                          is_link(entry));
    if (is_link(entry))
        walk->found[at].flags |= PST__FOLDER_VAGUE;
    if (!pst__suffixes_match(walk->suffixes, entry->d_name))
        return PST_OK;
    walk->found[at].n++;
    return pst__strings_add(&walk->names, NULL, entry->d_name);
}

/* Lists one folder: its wanted names, and its folders onto the pile. */
static int list(struct walk *walk, size_t at, const char *path, struct pst_error *err)
{
    struct found *found = &walk->found[at];
    found->first = walk->names.n;
    found->is_listed = 1;
    walk->n_listed++;
    DIR *dir = open_dir(path);
    if (!dir) {
        found->flags |= PST__FOLDER_VAGUE;
        return is_about_name(errno) ? PST_OK : fail_folder(err, errno, "list", path);
    }
    struct dirent *entry;
    int rc = identify(dir, path, &found->id, &found->flags, err);
    while (rc == PST_OK && (entry = next_entry(dir)))
        if (!is_dots(entry->d_name))
            rc = visit(walk, at, path, entry, err);
    if (rc == PST_OK && errno != 0)
        rc = fail_folder(err, errno, "list", path);
    pst__sys_closedir(dir);
    return rc;
}

static int is_current(const struct pst__tree *tree, size_t folder, const char *path)
{
    struct stat st;
    struct pst__folder_id id;
    if (tree->folder[folder].flags & PST__FOLDER_VAGUE || stat_path(path, &st) < 0 ||
        !S_ISDIR(st.st_mode))
        return 0;
    pst__folder_id_set(&id, &st);
    return pst__folder_id_equal(&id, &tree->folder[folder].id);
}

/* A folder that is what it was: the folders in it onto the pile. */
static int remember(struct walk *walk, size_t at, const char *path)
{
    const struct pst__recall *recall = &walk->recall;
    size_t known = walk->found[at].known;
    int rc = PST_OK;
    walk->found[at].id = recall->tree->folder[known - 1].id;
    for (size_t i = recall->first[known - 1]; rc == PST_OK && i < recall->first[known]; i++) {
        size_t child = recall->child[i];
        rc = push_child(walk, at, path, pst__tree_own_name(recall->tree, child), child + 1,
                        recall->tree->folder[child].flags & PST__FOLDER_LINKED);
    }
    return rc;
}

static int look(struct walk *walk, size_t at, struct pst_error *err)
{
    /* A copy, since the list of folders grows while a folder is listed. */
    pst__strings_clear(&walk->path);
    int rc = pst__strings_add(&walk->path, NULL, pst__strings_at(&walk->folders, at));
    if (rc < 0)
        return rc;
    const char *path = pst__strings_at(&walk->path, 0);
    size_t known = walk->found[at].known;
    if (known > 0 && is_current(walk->recall.tree, known - 1, path))
        return remember(walk, at, path);
    return list(walk, at, path, err);
}

static int look_at_all(struct walk *walk, struct pst_error *err)
{
    int rc = PST_OK;
    while (rc == PST_OK && walk->pending > 0) {
        size_t at = walk->pending - 1;
        walk->pending = walk->found[at].next_pending;
        if (walk->found[at].links >= LINKS_DEEP && ++walk->n_deep > MAX_DEEP) {
            char shown[SHOWN];
            return pst__fail(
                err, PST_ELIMIT,
                "over %d folders behind %d links each in '%s': the links form loops", MAX_DEEP,
                LINKS_DEEP,
                pst__printable(shown, sizeof shown, pst__strings_at(&walk->folders, 0)));
        }
        rc = look(walk, at, err);
    }
    return rc;
}

static int compare_folders(const void *a, const void *b, void *opaque)
{
    const struct pst__strings *folders = opaque;
    return pst__utf8_compare(pst__strings_at(folders, ((const struct found *)a)->path),
                             pst__strings_at(folders, ((const struct found *)b)->path));
}

static int emit_one(struct walk *walk, const struct found *found, uint32_t parent,
                    struct pst__tree *tree)
{
    const char *path = pst__strings_at(&walk->folders, found->path);
    int rc = pst__tree_add_folder(tree, parent, path + strlen(path) - found->n_name, &found->id,
                                  found->flags);
    if (rc < 0)
        return rc;
    if (!found->is_listed)
        return pst__tree_add_names(tree, walk->recall.tree, found->known - 1);
    pst__strings_sort(&walk->names, found->first, found->n);
    for (size_t i = 0; rc == PST_OK && i < found->n; i++)
        rc = pst__tree_add_name(tree, pst__strings_at(&walk->names, found->first + i));
    return rc;
}

/* sorted(os.walk()) compares whole paths as strings, so "a.x" comes before "a/b". */
static int emit(struct walk *walk, struct pst__tree *tree)
{
    size_t n = walk->folders.n;
    uint32_t *place = pst__scratch_reserve(&walk->places, n * sizeof *place);
    if (!place)
        return PST_ENOMEM;
    qsort_r(walk->found, n, sizeof *walk->found, compare_folders, &walk->folders);
    for (size_t i = 0; i < n; i++) {
        const struct found *found = &walk->found[i];
        uint32_t parent = found->parent == found->path ? 0 : place[found->parent];
        place[found->path] = (uint32_t)tree->n_folders;
        int rc = emit_one(walk, found, parent, tree);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

/* A class: the wanted files in and below it, in the order of sorted(os.walk(top,
 * followlinks=True)) with the names of each folder sorted. */
static int walk_class(struct walk *walk, const char *root, const char *name, size_t known,
                      struct pst__tree *tree, struct pst_error *err)
{
    pst__strings_clear(&walk->folders);
    pst__strings_clear(&walk->names);
    walk->pending = 0;
    walk->n_deep = 0;
    int rc = push(walk, root, name, &(struct found){.known = known});
    if (rc == PST_OK)
        rc = look_at_all(walk, err);
    return rc == PST_OK ? emit(walk, tree) : rc;
}

static int walk_listed(struct walk *walk, const char *root, struct pst__tree *tree,
                       struct pst_error *err)
{
    struct pst__strings classes = {0};
    size_t known = walk->recall.tree ? 1 : 0;
    int rc = list_root(walk, root, &classes, tree, err);
    for (size_t i = 0; rc == PST_OK && i < classes.n; i++) {
        const char *name = pst__strings_at(&classes, i);
        rc = walk_class(walk, root, name, pst__recall_find(&walk->recall, known, name), tree, err);
    }
    pst__strings_reset(&classes);
    return rc;
}

static int walk_remembered(struct walk *walk, const char *root, struct pst__tree *tree,
                           struct pst_error *err)
{
    const struct pst__tree *known = walk->recall.tree;
    int rc = pst__tree_add_folder(tree, 0, "", &known->folder[0].id, 0);
    for (size_t i = 0; rc == PST_OK && i < known->n_classes; i++) {
        size_t folder = known->class_folder[i];
        rc = walk_class(walk, root, pst__tree_own_name(known, folder), folder + 1, tree, err);
    }
    return rc;
}

int pst__walk(struct pst__tree *tree, const char *root, const struct pst__suffixes *suffixes,
              const struct pst__tree *known, int64_t *n_listed, struct pst_error *err)
{
    struct walk walk = {.suffixes = suffixes};
    int rc = pst__tree_init(tree, root);
    if (rc == PST_OK && known)
        rc = pst__recall_init(&walk.recall, known);
    if (rc == PST_OK)
        rc = known && is_current(known, 0, root) ? walk_remembered(&walk, root, tree, err)
                                                 : walk_listed(&walk, root, tree, err);
    *n_listed = walk.n_listed;
    pst__scratch_reset(&walk.places);
    pst__strings_reset(&walk.path);
    pst__strings_reset(&walk.scratch);
    pst__free(walk.found);
    pst__strings_reset(&walk.names);
    pst__strings_reset(&walk.folders);
    pst__recall_reset(&walk.recall);
    if (rc == PST_OK)
        pst__tree_trim(tree);
    else
        pst__tree_reset(tree);
    if (rc == PST_ENOMEM)
        return no_memory(err, root);
    char shown[SHOWN];
    return rc == PST_ELIMIT
               ? pst__fail(err, rc, "'%s': a path has over %d bytes, or too many files",
                           pst__printable(shown, sizeof shown, root), PST_MAX_PATH)
               : rc;
}

int pst__walk_is_current(const struct pst__tree *tree)
{
    char path[PST_MAX_PATH];
    for (size_t i = 0; i < tree->n_folders; i++) {
        pst__tree_path(tree, i, NULL, path, sizeof path);
        if (!is_current(tree, i, path))
            return 0;
    }
    return 1;
}
