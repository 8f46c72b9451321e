// SPDX-License-Identifier: Apache-2.0
// Netlink and ethtool calls that Swift cannot make: recvmmsg(2) is behind
// _GNU_SOURCE, ioctl(2) is variadic and ifreq holds unions.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CULVERT_RECEIVE_SLOTS = 64 };

// Receives up to CULVERT_RECEIVE_SLOTS datagrams without waiting, each into its own
// `stride` bytes of `buffer`; lengths[i] is what arrived, 0 where the sender was
// not the kernel, SIZE_MAX where the slot was too short. Returns their number or -errno.
int culvert_receive_from_kernel(int fd, void *buffer, size_t stride, size_t *lengths);

// SIOCETHTOOL; `request` is one of linux/ethtool.h's structs. Returns 0 or positive, or -errno.
int culvert_ethtool(int fd, const char *interface, void *request);
