/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_BENCH_KERNELS_H
#define PST_TESTS_KERNELS_BENCH_KERNELS_H

/* Prints nanoseconds per call of each kernel, and milliseconds of whole images, for each version
 * that this machine has. */
int bench_kernels(void);

#endif
