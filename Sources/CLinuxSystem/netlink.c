// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_netlink.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/sockios.h>

int culvert_receive_from_kernel(int fd, void *buffer, size_t stride, size_t *lengths) {
  struct mmsghdr messages[CULVERT_RECEIVE_SLOTS];
  struct iovec vectors[CULVERT_RECEIVE_SLOTS];
  struct sockaddr_nl senders[CULVERT_RECEIVE_SLOTS];
  memset(messages, 0, sizeof messages);
  memset(senders, 0, sizeof senders);
  for (int i = 0; i < CULVERT_RECEIVE_SLOTS; i++) {
    vectors[i] = (struct iovec){(char *)buffer + (size_t)i * stride, stride};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &senders[i], .msg_namelen = sizeof senders[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
  }
  int n;
  do
    n = recvmmsg(fd, messages, CULVERT_RECEIVE_SLOTS, MSG_DONTWAIT, NULL);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return -errno;
  for (int i = 0; i < n; i++) {
    if (senders[i].nl_pid != 0)
      lengths[i] = 0;
    else if (messages[i].msg_hdr.msg_flags & MSG_TRUNC)
      lengths[i] = SIZE_MAX;
    else
      lengths[i] = messages[i].msg_len;
  }
  return n;
}

int culvert_ethtool(int fd, const char *interface, void *request) {
  struct ifreq ifr;
  memset(&ifr, 0, sizeof ifr);
  if (strlen(interface) >= sizeof ifr.ifr_name)
    return -ENAMETOOLONG;
  strcpy(ifr.ifr_name, interface);
  ifr.ifr_data = request;
  int result = ioctl(fd, SIOCETHTOOL, &ifr);
  return result < 0 ? -errno : result;
}
