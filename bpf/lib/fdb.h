/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The forwarding table, and what keeps the kernel's copy of it from ageing. */
#ifndef CULVERT_FDB_H
#define CULVERT_FDB_H

#include "lib/headers.h"
#include "lib/maps.h"
#include "lib/ports.h"

/* Without a branch: 0 where both are equal, 1 where they differ. */
static __always_inline __u64 differ(__u64 a, __u64 b)
{
	a ^= b;
	b = -a;
	barrier_var(b);
	return (a | b) >> 63;
}

/*
 * `place`, for a load that must come after the one that gave `loaded`: user space writes an entry's words in order
 * (abi/culvert.h), which is only worth something where they are read in order. x86 never reorders loads; other
 * machines keep to a dependency of the address.
 */
static __always_inline void *after(void *place, __u64 loaded)
{
#ifndef CULVERT_LOADS_IN_ORDER
	asm volatile("%0 &= 0" : "+r"(loaded));
	place += loaded;
#endif
	return place;
}

/* No branch predictor can know which of a bucket's entries it is: the one branch is whether it is there. */
static __always_inline struct culvert_fdb_entry *fdb_find(__u32 place, __u64 key)
{
	struct culvert_fdb_bucket *bucket = bpf_map_lookup_elem(&fdb, &place);
	struct culvert_fdb_entry *entry;
	__u64 at = 0;
	__u32 i;

	_Static_assert(CULVERT_FDB_ENTRIES == 4, "1 + 2 + 3 less those that it is not");
	if (!bucket)
		return 0;
#pragma unroll
	for (i = 1; i < CULVERT_FDB_ENTRIES; i++)
		at += differ(*(volatile __u64 *)&bucket->entries[i].key, key) * i;
	at = 6 - at;
	barrier_var(at);
	entry = &bucket->entries[at & (CULVERT_FDB_ENTRIES - 1)];
	/* The entry whose key, which is `key`, was loaded before what comes of it here. */
	at = *(volatile __u64 *)&entry->key;
	return at == key ? after(entry, at) : 0;
}

/* The entry of a MAC, and where it leads; 0 where there is none. */
static __always_inline struct culvert_fdb_entry *fdb_lookup(__u32 domain, void *mac, __u32 *nexthop)
{
	__u64 key = culvert_fdb_key(domain, AT32(mac, 0), AT16(mac, 4));
	__u64 hash = culvert_fdb_hash(key, config.fdb_seed);
	struct culvert_fdb_entry *entry = fdb_find(culvert_fdb_place(hash >> 32, config.fdb_buckets), key);

	if (!entry)
		entry = fdb_find(culvert_fdb_place(hash, config.fdb_buckets), key);
	if (!entry)
		return 0;
	*nexthop = *(volatile __u32 *)&entry->nexthop;
	entry = after(entry, *nexthop);
	return *(volatile __u64 *)&entry->key == key ? entry : 0;
}

static __always_inline tunnel_t *tunnel_at(__u32 slot)
{
	return bpf_map_lookup_elem(&tunnels, &slot);
}

/* True once per refresh interval: this packet goes to the kernel, so that it sees the
 * source alive. Two CPUs at once may both say so: one packet too many does no harm. */
static __always_inline int refresh_due(struct culvert_fdb_entry *source, __u32 nexthop)
{
	__u32 now, ticks = culvert_nexthop_ticks(nexthop);

	if (!ticks)
		return 0;
	now = bpf_ktime_get_coarse_ns() >> CULVERT_TICK_SHIFT;
	if (now - source->refreshed <= ticks)
		return 0;
	source->refreshed = now;
	return 1;
}

#endif
