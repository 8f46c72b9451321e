// SPDX-License-Identifier: Apache-2.0
// TCP_INFO: the C library's struct tcp_info ends before the counters of segments.
#pragma once
#include <stdint.h>

struct culvert_tcp_segments {
  uint64_t sent;           // with data, each time it was sent (RFC 4898 tcpEStatsPerfDataSegsOut)
  uint64_t retransmitted;  // of those, sent again
};

// Of a connected socket; 0, or -errno: -ENODATA where the kernel does not count them.
int culvert_tcp_segments(int fd, struct culvert_tcp_segments *segments);
