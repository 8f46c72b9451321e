// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_af_xdp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int culvert_xsk_open(void) {
  int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int culvert_xsk_set(int fd, int option, const void *value, size_t size) {
  return setsockopt(fd, SOL_XDP, option, value, (socklen_t)size) ? -errno : 0;
}

static int get(int fd, int option, void *value, size_t size) {
  socklen_t length = (socklen_t)size;
  memset(value, 0, size);
  return getsockopt(fd, SOL_XDP, option, value, &length) ? -errno : 0;
}

int culvert_xsk_offsets(int fd, struct xdp_mmap_offsets *offsets) {
  return get(fd, XDP_MMAP_OFFSETS, offsets, sizeof *offsets);
}

int culvert_xsk_statistics(int fd, struct xdp_statistics *statistics) {
  return get(fd, XDP_STATISTICS, statistics, sizeof *statistics);
}

int culvert_xsk_options(int fd, int *zero_copy) {
  struct xdp_options options;
  int status = get(fd, XDP_OPTIONS, &options, sizeof options);
  *zero_copy = !status && options.flags & XDP_OPTIONS_ZEROCOPY;
  return status;
}

int culvert_xsk_bind(int fd, uint32_t ifindex, uint32_t queue, uint16_t flags) {
  const struct sockaddr_xdp address = {
      .sxdp_family = AF_XDP, .sxdp_flags = flags, .sxdp_ifindex = ifindex, .sxdp_queue_id = queue};
  return bind(fd, (const struct sockaddr *)&address, sizeof address) ? -errno : 0;
}

int culvert_xsk_kick_transmit(int fd) { return sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? -errno : 0; }

void culvert_xsk_kick_receive(int fd) { recvfrom(fd, NULL, 0, MSG_DONTWAIT, NULL, NULL); }
