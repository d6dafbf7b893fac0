/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include <sys/wait.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "check.h"
#include "unit/format_tree.h"

/* Random trees, listed by the rules of ImageFolder in Python and by us: the same samples. */

static const char script[] =
    "import os, sys\n"
    "root = sys.argv[1]\n"
    "ext = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')\n"
    "out = []\n"
    "names = sorted(e.name for e in os.scandir(root) if e.is_dir())\n"
    "for label, name in enumerate(names):\n"
    "    for top, _, files in sorted(os.walk(os.path.join(root, name), followlinks=True)):\n"
    "        for f in sorted(files):\n"
    "            path = os.path.join(top, f)\n"
    "            if path.lower().endswith(ext):\n"
    "                out.append(b'%d ' % label + os.fsencode(path) + b'\\0')\n"
    "sys.stdout.buffer.write(b''.join(out))\n";

static struct pst__mt mt;

static uint32_t below(uint32_t n)
{
    uint32_t word;
    pst__mt_fill(&mt, &word, 1);
    return word % n;
}

/* Pieces whose order is not the order of their bytes, or that sort near the slash. */
static void random_name(char *out)
{
    static const char *const pieces[] = {
        "a",
        "b",
        "A",
        ".",
        "-",
        "0",
        " ",
        "!",
        "\xff",
        "\x80",
        "\xc3",
        "\xc3\xa9",
        "\xe2",
        "~",
        "\xe2\x82\xac",
        "\xed\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbd",
        "\xf0\x9f\x99\x82",
        "\xf4\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\n",
    };
    *out = 0;
    for (uint32_t n = 1 + below(4); n > 0; n--)
        strcat(out, pieces[below(sizeof pieces / sizeof *pieces)]);
    if (strcmp(out, ".") == 0 || strcmp(out, "..") == 0)
        strcpy(out, "dots");
}

static void random_folder(const struct tree *tree, const char *at, int depth)
{
    static const char *const ends[] = {"", ".jpg", ".JPG", ".jpeg", ".tIf", ".txt", ".webp"};
    for (uint32_t n = depth == 0 ? 3 : below(6); n > 0; n--) {
        char name[64], path[TREE_PATH], full[TREE_PATH], target[TREE_PATH];
        random_name(name);
        uint32_t kind = depth == 0 ? 0 : below(8);
        snprintf(path, sizeof path, "%s%s%s", at, name, kind < 3 ? "" : ends[below(7)]);
        struct stat st;
        if (lstat(tree_path(tree, full, path), &st) == 0)
            continue;
        if (kind < 3 && depth < 4) {
            strcat(path, "/");
            tree_folders(tree, path);
            random_folder(tree, path, depth + 1);
        } else if (kind == 3) {
            tree_link(tree, path, below(2) ? "nowhere" : tree_path(tree, target, "shared"));
        } else {
            tree_file(tree, path, "");
        }
    }
}

static char *python_list(const struct tree *tree, size_t *size)
{
    static char text[1 << 20];
    char command[2 * TREE_PATH];
    snprintf(command, sizeof command, "PYTHONUTF8=1 python3 '%s/script.py' '%s/root'", tree->root,
             tree->root);
    tree_file(tree, "script.py", script);
    FILE *pipe = popen(command, "r");
    CHECK(pipe);
    *size = fread(text, 1, sizeof text, pipe);
    CHECK(*size < sizeof text);
    CHECK_INT(pclose(pipe), 0);
    return text;
}

static size_t check_tree(const struct tree *tree)
{
    char root[TREE_PATH];
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    struct pst_folder_config config;
    pst_folder_config_init(&config);
    config.allow_empty = 1;
    if (pst_folder_open(&dataset, tree_path(tree, root, "root"), &config, &err) < 0)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    size_t size;
    const char *line = python_list(tree, &size), *end = line + size;
    int64_t n = 0;
    for (; line < end; line += strlen(line) + 1, n++) {
        char ours[TREE_PATH];
        CHECK(n < pst_dataset_length(dataset));
        snprintf(ours, sizeof ours, "%d %s", (int)pst_dataset_label(dataset, n),
                 pst_dataset_name(dataset, n));
        CHECK_STR(ours, line);
    }
    CHECK_INT(pst_dataset_length(dataset), n);
    pst_dataset_unref(dataset);
    return (size_t)n;
}

static void random_trees(void)
{
    int64_t blocks = pst__mem_blocks();
    size_t n = 0;
    for (uint32_t seed = 0; seed < 30; seed++) {
        struct tree tree;
        tree_open(&tree);
        pst__mt_seed(&mt, seed);
        tree_file(&tree, "shared/in.jpg", "");
        tree_file(&tree, "shared/below/deep.png", "");
        random_folder(&tree, "root/", 0);
        if (seed == 0)
            tree_link(&tree, "root/loop/round", "..");
        n += check_tree(&tree);
        tree_close(&tree);
    }
    CHECK(n > 500);
    CHECK_INT(pst__mem_blocks(), blocks);
}

int main(void)
{
    static const struct check_case cases[] = {CASE(random_trees)};
    if (system("python3 -c pass >/dev/null 2>&1") != 0) {
        fprintf(stderr, "needs python3\n");
        return 77;
    }
    return check_main(cases, 1);
}
