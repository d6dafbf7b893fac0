/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include "check.h"
#include "unit/format_tree.h"

/* A made-up /proc/self/cgroup and /sys/fs/cgroup in a folder of our own. */

static struct tree tree;

static int cpus(const char *membership)
{
    char at[TREE_PATH], mount[TREE_PATH];
    tree_file(&tree, "membership", membership);
    return pst__cgroup_cpus(tree_path(&tree, at, "membership"), tree_path(&tree, mount, "fs"));
}

static void version_2(void)
{
    tree_open(&tree);
    tree_file(&tree, "fs/a/b/cpu.max", "max 100000\n");
    CHECK_INT(cpus("0::/a/b\n"), 0);
    tree_file(&tree, "fs/a/b/cpu.max", "250000 100000\n");
    CHECK_INT(cpus("0::/a/b\n"), 3); /* rounded up */
    tree_file(&tree, "fs/a/cpu.max", "200000 100000\n");
    CHECK_INT(cpus("0::/a/b\n"), 2); /* a level above binds too */
    tree_file(&tree, "fs/cpu.max", "50000 100000\n");
    CHECK_INT(cpus("0::/a/b\n"), 1);
    CHECK_INT(cpus("0::/\n"), 1);
    CHECK_INT(cpus("0::/not/here\n"), 1); /* the host's path: only the mount answers */
    CHECK_INT(cpus("0::/../outside\n"), 1);
    tree_close(&tree);
}

static void version_1(void)
{
    tree_open(&tree);
    tree_file(&tree, "fs/cpu/x/cpu.cfs_quota_us", "-1\n");
    tree_file(&tree, "fs/cpu/x/cpu.cfs_period_us", "100000\n");
    const char *membership = "5:cpuset:/y\n3:cpu,cpuacct:/x\n1:name=systemd:/z\n";
    CHECK_INT(cpus(membership), 0);
    tree_file(&tree, "fs/cpu/x/cpu.cfs_quota_us", "700000\n");
    CHECK_INT(cpus(membership), 7);
    CHECK_INT(cpus("3:cpuacct,cpu:/x\n"), 7);
    CHECK_INT(cpus("3:cpuset:/x\n"), 0);
    tree_close(&tree);
}

static int64_t memory(const char *membership)
{
    char at[TREE_PATH], mount[TREE_PATH];
    tree_file(&tree, "membership", membership);
    return pst__cgroup_memory(tree_path(&tree, at, "membership"), tree_path(&tree, mount, "fs"));
}

static void memory_limits(void)
{
    tree_open(&tree);
    tree_file(&tree, "fs/a/b/memory.max", "max\n");
    CHECK(memory("0::/a/b\n") == 0);
    tree_file(&tree, "fs/a/memory.max", "4000000000\n");
    CHECK(memory("0::/a/b\n") == 4000000000);
    tree_file(&tree, "fs/a/b/memory.high", "3000000000\n");
    CHECK(memory("0::/a/b\n") == 3000000000);
    tree_file(&tree, "fs/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK(memory("4:memory:/x\n") == 0);
    tree_file(&tree, "fs/memory/x/memory.limit_in_bytes", "104857600\n");
    CHECK(memory("4:memory:/x\n") == 104857600);
    CHECK(memory("4:cpu:/x\n") == 0);
    tree_file(&tree, "fs/memory/x/memory.limit_in_bytes", "-7\n");
    CHECK(memory("4:memory:/x\n") == 0);
    tree_close(&tree);
}

static void nonsense_is_no_quota(void)
{
    static const char *const texts[] = {"",          "x",        "0 100000",
                                        "-5 100000", "100000 0", "9 -10",
                                        "max",       "\n\n\n",   "99999999999999999999999 1",
                                        "5",         "1e99 1"};
    tree_open(&tree);
    CHECK_INT(cpus(""), 0);
    CHECK_INT(cpus("0\n:\n::\n"), 0);
    CHECK_INT(pst__cgroup_cpus("/nowhere/at/all", "/nowhere"), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tree_file(&tree, "fs/cpu.max", texts[i]);
        int got = cpus("0::/\n");
        CHECK(got == 0 || i == 8); /* the huge one may mean "very many" */
        CHECK(got >= 0);
    }
    tree_close(&tree);
}

CHECK_MAIN(CASE(version_2), CASE(version_1), CASE(memory_limits), CASE(nonsense_is_no_quota))
