// SPDX-License-Identifier: Apache-2.0
// Mount calls that glibc of Debian 12 or Swift's overlay of it does not offer.
#pragma once

int culvert_unshare_mounts(void); // CLONE_NEWNS; 0 or -errno
// A private copy of the mount at `path` without what is mounted below it
// (open_tree(2), OPEN_TREE_CLONE): a descriptor or -errno.
int culvert_clone_mount(const char *path);
// openat(2) for reading, symbolic links not followed: a descriptor or -errno.
int culvert_open_at(int directory, const char *name);
