// SPDX-License-Identifier: Apache-2.0
#include "culvert_tcp.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

int culvert_tcp_segments(int fd, struct culvert_tcp_segments *segments) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) return -errno;
  if (length < offsetof(struct tcp_info, tcpi_data_segs_out) + sizeof info.tcpi_data_segs_out) return -ENODATA;
  segments->sent = info.tcpi_data_segs_out;
  segments->retransmitted = info.tcpi_total_retrans;
  return 0;
}
