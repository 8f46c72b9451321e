// SPDX-License-Identifier: Apache-2.0
#include "culvert_xtables.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

// Both families' requests and what is used of their entries have one layout, save the address part in front.
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "getinfo");
_Static_assert(offsetof(struct ipt_get_entries, entrytable) == offsetof(struct ip6t_get_entries, entrytable),
               "get_entries");
_Static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES, "options");

static void forget_counters(char *entries, size_t length, bool ipv6) {
  size_t counters = ipv6 ? offsetof(struct ip6t_entry, counters) : offsetof(struct ipt_entry, counters);
  size_t next = ipv6 ? offsetof(struct ip6t_entry, next_offset) : offsetof(struct ipt_entry, next_offset);
  size_t smallest = ipv6 ? sizeof(struct ip6t_entry) : sizeof(struct ipt_entry);
  for (size_t at = 0; at + smallest <= length;) {
    __u16 step;
    memset(entries + at + counters, 0, sizeof(struct xt_counters));
    memcpy(&step, entries + at + next, sizeof step);
    if (step < smallest)
      return;
    at += step;
  }
}

long culvert_xtables_read(int fd, bool ipv6, const char *table, void *buffer, size_t size) {
  int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
  struct ipt_getinfo info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  if (strlen(table) >= sizeof info.name)
    return -ENAMETOOLONG;
  strcpy(info.name, table);
  if (getsockopt(fd, level, IPT_SO_GET_INFO, &info, &length) < 0)
    return -errno;
  if (info.size > size)
    return info.size;
  size_t head = offsetof(struct ipt_get_entries, entrytable);
  struct ipt_get_entries *request = malloc(head + info.size);
  if (!request)
    return -ENOMEM;
  memset(request, 0, head);
  strcpy(request->name, table);
  request->size = info.size;
  length = head + info.size;
  long result = info.size;
  if (getsockopt(fd, level, IPT_SO_GET_ENTRIES, request, &length) < 0) {
    result = -errno;
  } else {
    memcpy(buffer, (char *)request + head, info.size);
    forget_counters(buffer, info.size, ipv6);
  }
  free(request);
  return result;
}
