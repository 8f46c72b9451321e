// SPDX-License-Identifier: Apache-2.0
// A system call that runs until a signal arrives (BPF_PROG_RUN) ended at an
// instant: SIGEV_THREAD_ID is a macro over a union member Swift does not see.
#pragma once
#include <stdint.h>

// Sends the calling thread a signal that does nothing at CLOCK_MONOTONIC `ns`
// and every millisecond from then on. Returns a timer to give back, or -errno.
int culvert_interrupt_at(uint64_t ns, void **timer);
void culvert_interrupt_end(void *timer);
