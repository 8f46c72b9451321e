/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Frames come in bursts of the same two ends. What the hash tables said of one
 * is kept per CPU for those that follow: until the next jiffy (1 to 10 ms), and
 * not beyond the next change of the tables (`generation`). It spares the hash
 * look-ups and the clock; everything an array look-up tells is still asked.
 */
#ifndef CULVERT_BURST_H
#define CULVERT_BURST_H

#include "lib/headers.h"
#include "lib/maps.h"

struct flow_key {
	__u64 macs0;
	__u32 macs1;
	__u32 from;
	__u32 local;
	__u32 vni_be;
};

struct memory {
	struct culvert_burst *burst; /* 0: nothing may be remembered */
	__u64 jiffy;
	__u64 generation;
};

/* True when `memory->burst` is this flow's and still good. */
static __always_inline int recall(struct memory *memory, const struct flow_key *key)
{
	__u32 zero = 0, place;
	__u64 *now = bpf_map_lookup_elem(&generation, &zero);
	struct culvert_burst *burst;

	if (!now || !*now)
		return 0;
	place = ((__u32)key->macs0 ^ (__u32)(key->macs0 >> 32) ^ key->macs1 ^ key->from) * 0x9e3779b1u;
	place /= (1ull << 32) / CULVERT_BURSTS;
	burst = bpf_map_lookup_elem(&bursts, &place);
	if (!burst)
		return 0;
	memory->burst = burst;
	memory->generation = *now;
	memory->jiffy = bpf_jiffies64();
	return burst->jiffy == memory->jiffy && burst->generation == memory->generation &&
	       AT64((void *)burst->macs, 0) == key->macs0 && burst->macs[2] == key->macs1 &&
	       burst->from == key->from && burst->local == key->local && burst->vni_be == key->vni_be;
}

static __always_inline void remember(const struct memory *memory, const struct flow_key *key, __u32 slot,
				     __u32 target, __u32 kind)
{
	struct culvert_burst *burst = memory->burst;

	if (!burst)
		return;
	burst->jiffy = memory->jiffy;
	burst->generation = memory->generation;
	AT64((void *)burst->macs, 0) = key->macs0;
	burst->macs[2] = key->macs1;
	burst->from = key->from;
	burst->local = key->local;
	burst->vni_be = key->vni_be;
	burst->slot = slot;
	burst->target = target;
	burst->kind = kind;
}

#endif
