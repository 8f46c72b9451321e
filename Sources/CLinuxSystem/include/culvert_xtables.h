// SPDX-License-Identifier: Apache-2.0
// iptables' own tables (ip_tables, ip6_tables), whose structs hold unions and flexible arrays.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Reads the rules of `table` through a raw socket of AF_INET or AF_INET6 into `buffer`, counters zeroed, so that two
// readings are equal where nothing was changed. Only ask for a table that ip_tables_names lists: the kernel makes one
// that is asked for. Returns their length in bytes; where that is more than `size`, nothing was read; or -errno, of which
// -EAGAIN says that the table changed meanwhile.
long culvert_xtables_read(int fd, bool ipv6, const char *table, void *buffer, size_t size);
