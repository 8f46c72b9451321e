/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What was found out about a flow that is routed, for its packets that follow: as flow_cache.h, but by addresses and
 * ports. Routes, neighbours and connections tell a program nothing when they change, so a jiffy (1 to 10 ms) is how long
 * a change of theirs can go unnoticed.
 */
#ifndef CULVERT_ROUTED_CACHE_H
#define CULVERT_ROUTED_CACHE_H

#include "lib/conntrack.h"
#include "lib/fib.h"

#define CACHED_ROUTED_FLOWS 256

struct routed_key {
	__u64 macs0; /* as the frame came */
	__u32 macs1;
	__u32 arrival;  /* container's port: ifindex; uplink: outer UDP port (network order) */
	__u32 vni_be;   /* uplink: with bit 0 set */
	__u32 from;     /* uplink: outer source address … */
	__u32 local;    /* … and destination address */
	__be32 source;
	__be32 destination;
	__be16 ports[2];
	__u32 protocol; /* << 8 | TOS */
	__u32 zero;
};

/* Where a packet goes and what is changed in it on the way. */
struct routed_outcome {
	struct route route;
	struct translation nat;
	__u32 ingress; /* slot of the port it came in by */
	__u32 target;  /* tunnel, or slot of the port … */
	__u32 kind;    /* … enum culvert_fdb_kind */
};

struct routed_flow {
	__u64 jiffy;
	__u64 generation;
	struct routed_key key;
	struct routed_outcome outcome;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CACHED_ROUTED_FLOWS);
	__type(key, __u32);
	__type(value, struct routed_flow);
} routed_flows SEC(".maps");

struct routed_cache_slot {
	struct routed_flow *flow; /* 0: nothing may be remembered */
	__u64 jiffy;
	__u64 generation;
};

/*
 * UDP, and TCP with payload: what opens or closes a connection is looked up each time, and so is a bare acknowledgement,
 * which may be the last packet of a close that conntrack has just seen.
 */
static __always_inline int may_be_cached(const struct inner *in)
{
	if (in->protocol == IPPROTO_UDP)
		return in->l4 + UDP_BYTES <= in->end;
	return in->protocol == IPPROTO_TCP && in->l4 + TCP_BYTES <= in->end && !(AT8(in->l4, TCP_FLAGS) & TCP_CONTROL) &&
	       in->l3_bytes > IP4_BYTES + (AT8(in->l4, TCP_OFFSET) >> 4) * 4u;
}

static __always_inline void routed_key_inner(struct routed_key *key, const struct inner *in, const struct endpoints *of)
{
	key->macs0 = AT64(in->frame, 0);
	key->macs1 = AT32(in->frame, 8);
	key->source = of->source;
	key->destination = of->destination;
	key->ports[0] = of->source_port;
	key->ports[1] = of->destination_port;
	key->protocol = in->protocol << 8 | in->tos;
}

static __always_inline int same_routed_key(const struct routed_key *a, const struct routed_key *b)
{
	_Static_assert(sizeof(*a) == 48, "six words of 64 bits");
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) | (x[5] ^ y[5]));
}

/* True when `cache->flow` is this flow's and still good. */
static __always_inline int routed_cache_lookup(struct routed_cache_slot *cache, const struct routed_key *key)
{
	__u32 zero = 0, place;
	__u64 *now = bpf_map_lookup_elem(&generation, &zero);
	struct routed_flow *flow;

	if (!now || !*now)
		return 0;
	place = (key->source ^ key->ports[0] << 16 ^ key->ports[1]) * 0x9e3779b1u;
	place = (place ^ key->destination ^ key->arrival) * 0x85ebca6bu;
	place /= (1ull << 32) / CACHED_ROUTED_FLOWS;
	flow = bpf_map_lookup_elem(&routed_flows, &place);
	if (!flow)
		return 0;
	cache->flow = flow;
	cache->generation = *now;
	cache->jiffy = bpf_jiffies64();
	return flow->jiffy == cache->jiffy && flow->generation == cache->generation && same_routed_key(&flow->key, key);
}

static __always_inline void routed_cache_store(const struct routed_cache_slot *cache, const struct routed_key *key,
					       const struct routed_outcome *outcome)
{
	struct routed_flow *flow = cache->flow;

	if (!flow)
		return;
	flow->jiffy = cache->jiffy;
	flow->generation = cache->generation;
	flow->key = *key;
	flow->outcome = *outcome;
}

#endif
