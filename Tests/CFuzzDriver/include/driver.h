/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer as a function (llvm.org/docs/LibFuzzer.html), which no header of it declares. */
#ifndef CULVERT_FUZZ_DRIVER_H
#define CULVERT_FUZZ_DRIVER_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*feed)(const uint8_t *data, size_t size));

#endif
