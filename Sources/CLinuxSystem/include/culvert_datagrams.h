// SPDX-License-Identifier: Apache-2.0
// Batches of datagrams: struct mmsghdr, sendmmsg and recvmmsg are behind
// _GNU_SOURCE, which Swift's Glibc overlay does not set.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct culvert_datagrams;

// `count` buffers of `size` bytes each, zeroed; NULL when memory is short.
struct culvert_datagrams *culvert_datagrams_make(unsigned count, size_t size);
void culvert_datagrams_free(struct culvert_datagrams *);
uint8_t *culvert_datagrams_payload(struct culvert_datagrams *, unsigned index);
// Bytes received into a buffer, at most its size.
unsigned culvert_datagrams_length(const struct culvert_datagrams *, unsigned index);
// On a connected socket: datagrams sent or received, or -errno. Receiving waits
// for the first only.
int culvert_datagrams_send(struct culvert_datagrams *, int fd, unsigned count);
int culvert_datagrams_receive(struct culvert_datagrams *, int fd);
