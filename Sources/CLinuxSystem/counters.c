// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

int culvert_count(uint32_t type, uint64_t event, int group) {
  struct perf_event_attr attr = {
      .type = type,
      .size = sizeof attr,
      .config = event,
      .exclude_hv = 1,
      .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
  };
  int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, group, PERF_FLAG_FD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int culvert_counts(int fd, uint64_t *values, int count) {
  struct {
    uint64_t number, enabled, running, values[8];
  } group;
  ssize_t bytes = read(fd, &group, sizeof group);
  if (bytes < 0) return -errno;
  // Multiplexed: what was not counted would have to be guessed.
  if (group.enabled != group.running) return 0;
  int found = (int)group.number < count ? (int)group.number : count;
  for (int i = 0; i < found; i++) values[i] = group.values[i];
  return found;
}
