/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_MEDIUM_H
#define PST_IO_MEDIUM_H

/* What a file lies on, as far as the system tells. */
enum pst__medium {
    PST__MEDIUM_UNKNOWN,
    PST__MEDIUM_SOLID,   /* a block device that does not rotate */
    PST__MEDIUM_ROTATES, /* or that does */
    PST__MEDIUM_VIRTUAL, /* of a virtual machine: nobody here knows what is behind it */
    PST__MEDIUM_NETWORK, /* a file system of other machines, or of a process */
    PST__MEDIUM_MEMORY,
};

enum pst__medium pst__medium_of(const char *path);
/* "on a disk that does not rotate": static. */
const char *pst__medium_text(enum pst__medium medium);

/* What the tables below `sys` (/sys) say of a block device. */
enum pst__medium pst__medium_of_device(const char *sys, unsigned major, unsigned minor);
/* By statfs(): PST__MEDIUM_UNKNOWN for what may be on a block device. */
enum pst__medium pst__medium_of_type(unsigned long type);

#endif
