/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_EXPORT_H
#define PENSTOCK_EXPORT_H

#if defined(__GNUC__)
#define PST_API __attribute__((visibility("default")))
#else
#define PST_API
#endif

#endif
