// SPDX-License-Identifier: Apache-2.0
// perf_event_open(2), which has no wrapper in the C library.
#pragma once
#include <stdint.h>

// Counts an event of the calling thread, kernel and user, from now on. `group` is the leader's descriptor, or -1
// for a leader. Returns a descriptor, or -errno.
int culvert_count(uint32_t type, uint64_t event, int group);
// The values of a group whose leader `fd` is. Returns how many, or -errno; less than `count` where the CPU gave
// the counters to others for a while.
int culvert_counts(int fd, uint64_t *values, int count);
