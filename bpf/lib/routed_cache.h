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
#include "lib/flow_cache.h"

#define CACHED_ROUTED_FLOWS 256

struct routed_key {
	__u64 macs0; /* as the frame came */
	__u32 macs1;
	__u32 arrival;  /* container's port: ifindex; uplink: outer UDP port (network order) */
	__u32 vni_be;   /* uplink: with bit 0 set */
	__u32 from;     /* uplink: outer source address … */
	__u32 local;    /* … and destination address */
	__be16 ports[2];
	__u32 protocol; /* << 8 | TOS */
	__u32 label;    /* IPv6's flow label */
	flow_addresses_t addresses;
};

struct routed_key4 {
	struct routed_key common;
	__be32 source;
	__be32 destination;
};

struct routed_key6 {
	struct routed_key common;
	struct address source;
	struct address destination;
};

/* Where a packet goes and what is changed in it on the way. */
struct routed_outcome {
	struct route route;
	__u32 ingress; /* slot of the port it came in by */
	__u32 target;  /* tunnel, or slot of the port … */
	__u32 kind;    /* … enum culvert_fdb_kind */
	struct translation nat;
};

/* What is put together of an IPv6 packet while it is decided about: more than a stack takes. */
struct routed_work {
	struct routed_key6 key;
	struct routed_outcome decided;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct routed_work);
} routed_work SEC(".maps");

/* This CPU's, with an empty key. */
static __always_inline struct routed_work *start_work(void)
{
	__u32 zero = 0;
	struct routed_work *work = bpf_map_lookup_elem(&routed_work, &zero);

	if (work)
		work->key = (struct routed_key6){};
	return work;
}

struct routed_stamp {
	__u64 jiffy;
	__u64 generation;
};

struct routed_flow4 {
	struct routed_stamp stamp;
	struct routed_key4 key;
	struct routed_outcome outcome;
};

struct routed_flow6 {
	struct routed_stamp stamp;
	struct routed_key6 key;
	struct routed_outcome outcome;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CACHED_ROUTED_FLOWS);
	__type(key, __u32);
	__type(value, struct routed_flow4);
} routed_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CACHED_ROUTED_FLOWS);
	__type(key, __u32);
	__type(value, struct routed_flow6);
} routed_flows6 SEC(".maps");

struct routed_cache_slot {
	struct routed_stamp *flow; /* what begins with it; 0: nothing may be remembered */
	__u64 jiffy;
	__u64 generation;
};

/* A key is of IPv4 or IPv6 as a whole. */
static __always_inline struct routed_key4 *key4(const struct routed_key *key)
{
	return (struct routed_key4 *)key;
}

static __always_inline struct routed_key6 *key6(const struct routed_key *key)
{
	return (struct routed_key6 *)key;
}

/*
 * UDP, and TCP with payload: what opens or closes a connection is looked up each time, and so is a bare acknowledgement,
 * which may be the last packet of a close that conntrack has just seen.
 */
static __always_inline int may_be_cached(const struct inner *in, const int is_ip4)
{
	if (in->protocol == IPPROTO_UDP)
		return in->l4 + UDP_BYTES <= in->end;
	return in->protocol == IPPROTO_TCP && in->l4 + TCP_BYTES <= in->end && !(AT8(in->l4, TCP_FLAGS) & TCP_CONTROL) &&
	       in->l3_bytes > (is_ip4 ? IP4_BYTES : IP6_BYTES) + (AT8(in->l4, TCP_OFFSET) >> 4) * 4u;
}

static __always_inline void routed_key_inner(struct routed_key *key, const struct inner *in, const struct endpoints *of,
					     const int is_ip4)
{
	key->macs0 = AT64(in->frame, 0);
	key->macs1 = AT32(in->frame, 8);
	key->ports[0] = of->source_port;
	key->ports[1] = of->destination_port;
	key->protocol = in->protocol << 8 | in->tos;
	if (is_ip4) {
		key4(key)->source = of->source.words[0];
		key4(key)->destination = of->destination.words[0];
	} else {
		key->label = AT32(in->frame, ETH_BYTES) & IP6_FLOW_INFO;
		key6(key)->source = of->source;
		key6(key)->destination = of->destination;
	}
}

static __always_inline int same_routed_key(const void *a, const void *b, const int is_ip4)
{
	_Static_assert(!(sizeof(struct routed_key4) % 8 || sizeof(struct routed_key6) % 8), "words of 64 bits");
	const __u64 *x = a, *y = b;
	__u64 differing = 0;
	__u32 i;

#pragma unroll
	for (i = 0; i < (is_ip4 ? sizeof(struct routed_key4) : sizeof(struct routed_key6)) / 8; i++)
		differing |= x[i] ^ y[i];
	return !differing;
}

static __always_inline __u32 routed_place(const struct routed_key *key, const int is_ip4)
{
	__u32 source, destination, place;

	if (is_ip4) {
		source = key4(key)->source;
		destination = key4(key)->destination;
	} else {
		const __be32 *from = key6(key)->source.words, *to = key6(key)->destination.words;

		source = from[0] ^ from[1] * 3 ^ from[2] * 5 ^ from[3];
		destination = to[0] ^ to[1] * 3 ^ to[2] * 5 ^ to[3];
	}
	/* As in mix(), then a multiplier of MurmurHash3's finalizer (fmix32). */
	place = (source ^ key->ports[0] << 16 ^ key->ports[1]) * 0x9e3779b1u;
	place = (place ^ destination ^ key->arrival) * 0x85ebca6bu;
	return place / ((1ull << 32) / CACHED_ROUTED_FLOWS);
}

/* What is known of the flow, where that is still good, else 0. */
static __always_inline struct routed_outcome *routed_cache_lookup(struct routed_cache_slot *cache,
								  const struct routed_key *key, const int is_ip4)
{
	struct routed_outcome *outcome;
	__u32 zero = 0, place;
	__u64 *now = bpf_map_lookup_elem(&generation, &zero);
	void *known;

	if (!now || !*now)
		return 0;
	place = routed_place(key, is_ip4);
	if (is_ip4) {
		struct routed_flow4 *flow = bpf_map_lookup_elem(&routed_flows, &place);

		if (!flow)
			return 0;
		cache->flow = &flow->stamp;
		known = &flow->key;
		outcome = &flow->outcome;
	} else {
		struct routed_flow6 *flow = bpf_map_lookup_elem(&routed_flows6, &place);

		if (!flow)
			return 0;
		cache->flow = &flow->stamp;
		known = &flow->key;
		outcome = &flow->outcome;
	}
	cache->generation = *now;
	cache->jiffy = bpf_jiffies64();
	if (cache->flow->jiffy != cache->jiffy || cache->flow->generation != cache->generation ||
	    !same_routed_key(known, key, is_ip4))
		return 0;
	return outcome;
}

static __always_inline void routed_cache_store(const struct routed_cache_slot *cache, const struct routed_key *key,
					       const struct routed_outcome *outcome, const int is_ip4)
{
	if (!cache->flow)
		return;
	cache->flow->jiffy = cache->jiffy;
	cache->flow->generation = cache->generation;
	if (is_ip4) {
		struct routed_flow4 *flow = (void *)cache->flow;

		flow->key = *key4(key);
		flow->outcome = *outcome;
	} else {
		struct routed_flow6 *flow = (void *)cache->flow;

		flow->key = *key6(key);
		flow->outcome = *outcome;
	}
}

#endif
