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

// A link message of another network namespace: that namespace's id in the receiver's, and the link's index there.
struct culvert_foreign_link {
  int32_t namespace_id;
  int32_t index;
};

// Receives one datagram of a socket with NETLINK_LISTEN_ALL_NSID, without waiting. Returns 1 where it told of a link of
// another namespace, 0 where of something else, or -errno (-EAGAIN: nothing was there).
int culvert_receive_foreign_link(int fd, struct culvert_foreign_link *link);
