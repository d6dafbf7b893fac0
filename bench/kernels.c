/* SPDX-License-Identifier: Apache-2.0 */
/* Times the kernels of each instruction set that this machine has, in turn: per call and per image.
 */
#include "kernels/bench_kernels.h"

int main(void)
{
    return bench_kernels();
}
