/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_PENSTOCK_H
#define PENSTOCK_PENSTOCK_H

/* Penstock: data loading for training, in C.
 *
 * Open a dataset (dataset.h), say what is to be done with each sample (transform.h), and take
 * finished batches from a loader (loader.h opens with the complete loop). Functions return a status
 * (error.h); detail goes to an optional struct pst_error. */

#include <penstock/array.h>
#include <penstock/array_writer.h>
#include <penstock/dataset.h>
#include <penstock/error.h>
#include <penstock/image.h>
#include <penstock/loader.h>
#include <penstock/mix.h>
#include <penstock/order.h>
#include <penstock/random.h>
#include <penstock/stats.h>
#include <penstock/tensor.h>
#include <penstock/tokens.h>
#include <penstock/trace.h>
#include <penstock/transform.h>
#include <penstock/version.h>

#ifdef __cplusplus
extern "C" {
#endif

PST_API const char *pst_version(void); /* of the library, which may be newer than these headers */

#ifdef __cplusplus
}
#endif
#endif
