/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_PYTHON_CHECKS_H
#define PST_PYTHON_CHECKS_H

/* Builds with checks let Python tests arm the engine's fault table and count its live blocks. These
 * calls are private to the engine (base/sys.h, base/mem.h) and absent from a release build, so they
 * are not in a public header; the extension may include no private one, hence the declarations
 * here. The extension is linked with the engine's static library, where they are visible. */

#ifdef PST_CHECKS
#include <stdint.h>

void pst__fault_arm(uint32_t mask, int64_t nth, int forever, int os_errno);
void pst__fault_disarm(void);
int64_t pst__fault_calls(void);
int64_t pst__fault_fired(void);
void pst__fault_clock_set_right(void);
int64_t pst__mem_blocks(void);
#endif

#endif
