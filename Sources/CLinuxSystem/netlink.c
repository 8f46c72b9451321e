// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_netlink.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
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

int culvert_receive_foreign_link(int fd, struct culvert_foreign_link *link) {
  // The kernel announces one link a datagram; the head says which, so that the rest may be cut off.
  union {
    struct nlmsghdr header;
    char bytes[512];
  } message;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct sockaddr_nl sender = {0};
  struct iovec vector = {&message, sizeof message};
  struct msghdr datagram = {.msg_name = &sender,
                            .msg_namelen = sizeof sender,
                            .msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
  ssize_t n;
  do
    n = recvmsg(fd, &datagram, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return -errno;
  if (sender.nl_pid != 0 || (size_t)n < NLMSG_SPACE(sizeof(struct ifinfomsg)))
    return 0;
  if (message.header.nlmsg_type != RTM_NEWLINK && message.header.nlmsg_type != RTM_DELLINK)
    return 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&datagram); c; c = CMSG_NXTHDR(&datagram, c)) {
    if (c->cmsg_level != SOL_NETLINK || c->cmsg_type != NETLINK_LISTEN_ALL_NSID)
      continue;
    memcpy(&link->namespace_id, CMSG_DATA(c), sizeof link->namespace_id);
    link->index = ((const struct ifinfomsg *)NLMSG_DATA(&message.header))->ifi_index;
    return 1;
  }
  return 0;
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
