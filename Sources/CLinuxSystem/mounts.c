// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

int culvert_unshare_mounts(void) { return unshare(CLONE_NEWNS) ? -errno : 0; }

int culvert_clone_mount(const char *path) {
  int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int culvert_open_at(int directory, const char *name) {
  int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  return fd < 0 ? -errno : fd;
}
