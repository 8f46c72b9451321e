/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The forwarding table, and what keeps the kernel's copy of it from ageing. */
#ifndef CULVERT_LOOKUP_H
#define CULVERT_LOOKUP_H

#include "lib/headers.h"
#include "lib/maps.h"

static __always_inline struct culvert_fdb_entry *fdb_lookup(__u32 segment, void *mac)
{
	__u32 key[3];

	_Static_assert(sizeof(key) == sizeof(struct culvert_fdb_key), "key");
	key[0] = segment;
	key[1] = AT32(mac, 0);
	key[2] = bpf_htonl((__u32)bpf_ntohs(AT16(mac, 4)) << 16);
	return bpf_map_lookup_elem(&fdb, key);
}

static __always_inline struct culvert_port *port_at(__u32 slot)
{
	return bpf_map_lookup_elem(&ports, &slot);
}

static __always_inline struct culvert_tunnel *tunnel_at(__u32 slot)
{
	return bpf_map_lookup_elem(&tunnels, &slot);
}

/* True once per refresh interval: this packet goes to the kernel, so that it sees the
 * source alive. Two CPUs at once may both say so: one packet too many does no harm. */
static __always_inline int refresh_due(struct culvert_fdb_entry *source)
{
	__u64 now;

	if (!source->refresh_ms)
		return 0;
	now = bpf_ktime_get_coarse_ns();
	if (now - source->refreshed_ns <= source->refresh_ms * 1000000ull)
		return 0;
	source->refreshed_ns = now;
	return 1;
}

#endif
