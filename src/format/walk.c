/* SPDX-License-Identifier: Apache-2.0 */
#include "format/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "base/utf8.h"

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

struct pst__walk_folder {
    size_t links;        /* passed on the way here; an entry of unknown type counts as one */
    size_t first, n;     /* its wanted names */
    size_t next_pending; /* as pst__walk.pending */
    size_t path;         /* index into folders */
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

/* One entry of a root: a name for the list if it is a folder. */
static int add_class(const char *root, const struct dirent *entry, struct pst__strings *classes,
                     struct pst__strings *path, struct pst_error *err)
{
    int is = is_folder(root, entry, path);
    if (is == -ENOENT)
        return PST_OK;
    if (is < 0)
        return fail_folder(err, -is, "examine", path->n ? pst__strings_at(path, 0) : root);
    if (is && pst__strings_add(classes, NULL, entry->d_name) < 0)
        return no_memory(err, root);
    return PST_OK;
}

int pst__walk_classes(const char *root, struct pst__strings *classes, struct pst_error *err)
{
    struct pst__strings path = {0};
    struct dirent *entry;
    DIR *dir = open_dir(root);
    if (!dir)
        return fail_folder(err, errno, "list", root);
    int rc = PST_OK;
    while (rc == PST_OK && (entry = next_entry(dir)))
        if (!is_dots(entry->d_name))
            rc = add_class(root, entry, classes, &path, err);
    if (rc == PST_OK && errno != 0)
        rc = fail_folder(err, errno, "list", root);
    pst__sys_closedir(dir);
    pst__strings_reset(&path);
    if (rc == PST_OK)
        pst__strings_sort(classes, 0, classes->n);
    return rc;
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

static int ends_with(const char *name, size_t n, const char *suffix)
{
    size_t k = strlen(suffix);
    if (k > n)
        return 0;
    for (size_t i = 0; i < k; i++) {
        char c = name[n - k + i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != suffix[i])
            return 0;
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

void pst__walk_reset(struct pst__walk *walk)
{
    pst__free(walk->folder);
    pst__strings_reset(&walk->names);
    pst__strings_reset(&walk->folders);
    *walk = (struct pst__walk){0};
}

/* Puts a folder on the pile of those to be listed: parent/name, or name alone. */
static int push(struct pst__walk *walk, const char *parent, const char *name, size_t links)
{
    void *folder = walk->folder;
    size_t n = walk->folders.n;
    int rc = pst__grow(&folder, &walk->capacity, n + 1, sizeof *walk->folder);
    walk->folder = folder;
    if (rc < 0 || (rc = pst__strings_add(&walk->folders, parent, name)) < 0)
        return rc;
    walk->folder[n] =
        (struct pst__walk_folder){.links = links, .path = n, .next_pending = walk->pending};
    walk->pending = n + 1;
    return PST_OK;
}

static int visit(struct pst__walk *walk, size_t at, const char *path, const struct dirent *entry,
                 const struct pst__suffixes *suffixes, struct pst__strings *scratch,
                 struct pst_error *err)
{
    int is = is_folder(path, entry, scratch);
    if (is < 0 && !is_about_name(-is))
        return fail_folder(err, -is, "examine an entry of", path);
    if (is > 0)
        return push(walk, path, entry->d_name, walk->folder[at].links + (entry->d_type != DT_DIR));
    if (!pst__suffixes_match(suffixes, entry->d_name))
        return PST_OK;
    walk->folder[at].n++;
    return pst__strings_add(&walk->names, NULL, entry->d_name);
}

/* Lists one folder: its wanted names, and its folders onto the pile. */
static int list(struct pst__walk *walk, size_t at, const char *path,
                const struct pst__suffixes *suffixes, struct pst__strings *scratch,
                struct pst_error *err)
{
    walk->folder[at].first = walk->names.n;
    DIR *dir = open_dir(path);
    if (!dir)
        return is_about_name(errno) ? PST_OK : fail_folder(err, errno, "list", path);
    struct dirent *entry;
    int rc = PST_OK;
    while (rc == PST_OK && (entry = next_entry(dir)))
        if (!is_dots(entry->d_name))
            rc = visit(walk, at, path, entry, suffixes, scratch, err);
    if (rc == PST_OK && errno != 0)
        rc = fail_folder(err, errno, "list", path);
    pst__sys_closedir(dir);
    return rc;
}

static int list_all(struct pst__walk *walk, const char *top, const struct pst__suffixes *suffixes,
                    struct pst_error *err)
{
    /* path: a copy, since the list of folders grows while a folder is listed. */
    struct pst__strings path = {0}, scratch = {0};
    int rc = push(walk, NULL, top, 0);
    while (rc == PST_OK && walk->pending > 0) {
        size_t at = walk->pending - 1;
        walk->pending = walk->folder[at].next_pending;
        if (walk->folder[at].links >= LINKS_DEEP && ++walk->n_deep > MAX_DEEP) {
            char shown[SHOWN];
            rc = pst__fail(err, PST_ELIMIT,
                           "over %d folders behind %d links each in '%s': the links form loops",
                           MAX_DEEP, LINKS_DEEP, pst__printable(shown, sizeof shown, top));
            break;
        }
        pst__strings_clear(&path);
        rc = pst__strings_add(&path, NULL, pst__strings_at(&walk->folders, at));
        if (rc == PST_OK)
            rc = list(walk, at, pst__strings_at(&path, 0), suffixes, &scratch, err);
    }
    pst__strings_reset(&scratch);
    pst__strings_reset(&path);
    return rc;
}

static int compare_folders(const void *a, const void *b, void *opaque)
{
    const struct pst__strings *folders = opaque;
    return pst__utf8_compare(pst__strings_at(folders, ((const struct pst__walk_folder *)a)->path),
                             pst__strings_at(folders, ((const struct pst__walk_folder *)b)->path));
}

/* sorted(os.walk()) compares whole paths as strings, so "a.x" comes before "a/b". */
static int emit(struct pst__walk *walk, struct pst__strings *files)
{
    size_t n = walk->folders.n;
    qsort_r(walk->folder, n, sizeof *walk->folder, compare_folders, &walk->folders);
    for (size_t i = 0; i < n; i++) {
        const struct pst__walk_folder *folder = &walk->folder[i];
        pst__strings_sort(&walk->names, folder->first, folder->n);
        for (size_t k = 0; k < folder->n; k++)
            if (pst__strings_add(files, pst__strings_at(&walk->folders, folder->path),
                                 pst__strings_at(&walk->names, folder->first + k)) < 0)
                return PST_ENOMEM;
    }
    return PST_OK;
}

int pst__walk_files(struct pst__walk *walk, const char *top, const struct pst__suffixes *suffixes,
                    struct pst__strings *files, struct pst_error *err)
{
    pst__strings_clear(&walk->folders);
    pst__strings_clear(&walk->names);
    walk->pending = 0;
    walk->n_deep = 0;
    int rc = list_all(walk, top, suffixes, err);
    if (rc == PST_OK)
        rc = emit(walk, files);
    return rc == PST_ENOMEM ? no_memory(err, top) : rc;
}
