/* SPDX-License-Identifier: Apache-2.0 */
#include "io/medium.h"

#include <sys/stat.h>

#include "check.h"
#include "unit/format_tree.h"

static void of_devices(void)
{
    struct tree tree;
    char path[TREE_PATH], target[TREE_PATH];
    static const char *const folders[] = {
        "dev",        "dev/block",          "bus",
        "bus/virtio", "bus/virtio/drivers", "bus/virtio/drivers/virtio_blk",
        "disk",       "disk/queue",         "disk/part",
        "virtual",    "virtual/queue",      "virtual/device",
        "old",        "old/queue"};
    static const char *const links[][2] = {
        {"8:0", "disk"}, {"8:1", "disk/part"}, {"254:0", "virtual"}, {"3:0", "old"}};
    tree_open(&tree);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        CHECK_INT(mkdir(tree_path(&tree, path, folders[i]), 0700), 0);
    tree_file(&tree, "disk/queue/rotational", "0\n");
    tree_file(&tree, "virtual/queue/rotational", "1\n");
    tree_file(&tree, "old/queue/rotational", "1\n");
    CHECK_INT(symlink(tree_path(&tree, target, "bus/virtio/drivers/virtio_blk"),
                      tree_path(&tree, path, "virtual/device/driver")),
              0);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char name[64];
        snprintf(name, sizeof name, "dev/block/%s", links[i][0]);
        CHECK_INT(symlink(tree_path(&tree, target, links[i][1]), tree_path(&tree, path, name)), 0);
    }
    CHECK_INT(pst__medium_of_device(tree.root, 8, 0), PST__MEDIUM_SOLID);
    CHECK_INT(pst__medium_of_device(tree.root, 8, 1), PST__MEDIUM_SOLID);
    CHECK_INT(pst__medium_of_device(tree.root, 254, 0), PST__MEDIUM_VIRTUAL);
    CHECK_INT(pst__medium_of_device(tree.root, 3, 0), PST__MEDIUM_ROTATES);
    CHECK_INT(pst__medium_of_device(tree.root, 9, 9), PST__MEDIUM_UNKNOWN);
    tree_file(&tree, "old/queue/rotational", "?\n");
    CHECK_INT(pst__medium_of_device(tree.root, 3, 0), PST__MEDIUM_UNKNOWN);
    tree_close(&tree);
}

static void of_file_systems(void)
{
    CHECK_INT(pst__medium_of_type(0x6969), PST__MEDIUM_NETWORK);
    CHECK_INT(pst__medium_of_type(0xffffffffff534d42), PST__MEDIUM_NETWORK); /* of a signed type */
    CHECK_INT(pst__medium_of_type(0x01021994), PST__MEDIUM_MEMORY);
    CHECK_INT(pst__medium_of_type(0xef53), PST__MEDIUM_UNKNOWN);
    CHECK_INT(pst__medium_of("/nowhere/at/all"), PST__MEDIUM_UNKNOWN);
    for (int medium = PST__MEDIUM_UNKNOWN; medium <= PST__MEDIUM_MEMORY; medium++)
        CHECK(strlen(pst__medium_text((enum pst__medium)medium)) > 10);
}

CHECK_MAIN(CASE(of_devices), CASE(of_file_systems))
