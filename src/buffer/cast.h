/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BUFFER_CAST_H
#define PST_BUFFER_CAST_H

#include <stdint.h>

/* n elements of from_dtype, step bytes apart, to as many of to_dtype one behind the other, as
 * pst_tensor_cast() does it. Neither need be aligned; they do not overlap. */
void pst__cast(uint8_t *to, int to_dtype, const uint8_t *from, int64_t step, int from_dtype,
               int64_t n);

#endif
