// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_live_frames.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int culvert_run_live_frames(int program, uint32_t bytes, uint32_t count) {
  static const unsigned char zeros[2048];
  union bpf_attr attr;
  if (bytes > sizeof zeros) return -EINVAL;
  memset(&attr, 0, sizeof attr);
  attr.test.prog_fd = (uint32_t)program;
  attr.test.data_in = (uint64_t)(uintptr_t)zeros;
  attr.test.data_size_in = bytes;
  attr.test.repeat = count;
  attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
  attr.test.batch_size = 64;
  return syscall(SYS_bpf, BPF_PROG_RUN, &attr, sizeof attr) < 0 ? -errno : 0;
}
