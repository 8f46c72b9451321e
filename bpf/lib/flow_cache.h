/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Frames come in bursts of the same two ends. What the hash tables said of one
 * is kept per CPU for those that follow: until the next jiffy (1 to 10 ms), and
 * not beyond the next change of the tables (`generation`). It spares the hash
 * look-ups and the clock; everything an array look-up tells is still asked.
 */
#ifndef CULVERT_FLOW_CACHE_H
#define CULVERT_FLOW_CACHE_H

#include "lib/headers.h"
#include "lib/maps.h"

struct flow_key {
	__u64 macs0;
	__u32 macs1;
	__u32 from;
	__u32 local;
	__u32 vni_be;
	__u32 arrival;
	flow_addresses_t addresses;
};

struct flow_cache_slot {
	cached_flow_t *flow; /* 0: nothing may be remembered */
	__u64 jiffy;
	__u64 generation;
};

#ifdef CULVERT_UNDERLAY_IP6
/* In a key, beside the VNI: there is no outer checksum. */
#define WITHOUT_CHECKSUM bpf_htonl(2)

static __always_inline int same_addresses(const cached_flow_t *flow, const struct flow_key *key)
{
	const __u64 *a = flow->addresses, *b = key->addresses.words;

	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

static __always_inline void store_addresses(cached_flow_t *flow, const struct flow_key *key)
{
	__builtin_memcpy(flow->addresses, key->addresses.words, sizeof(flow->addresses));
}
#else
static __always_inline int same_addresses(const cached_flow_t *flow, const struct flow_key *key)
{
	return 1;
}

static __always_inline void store_addresses(cached_flow_t *flow, const struct flow_key *key)
{
}
#endif

/* True when `cache->flow` is this flow's and still good. */
static __always_inline int flow_cache_lookup(struct flow_cache_slot *cache, const struct flow_key *key)
{
	__u32 zero = 0, place;
	__u64 *now = bpf_map_lookup_elem(&generation, &zero);
	cached_flow_t *flow;

	if (!now || !*now)
		return 0;
	/* 2^32 over the golden ratio, as in mix(). */
	place = ((__u32)key->macs0 ^ (__u32)(key->macs0 >> 32) ^ key->macs1 ^ key->from) * 0x9e3779b1u;
	place /= (1ull << 32) / CULVERT_CACHED_FLOWS;
	flow = bpf_map_lookup_elem(&flow_cache, &place);
	if (!flow)
		return 0;
	cache->flow = flow;
	cache->generation = *now;
	cache->jiffy = bpf_jiffies64();
	if (!same_addresses(flow, key))
		return 0;
	return flow->jiffy == cache->jiffy && flow->generation == cache->generation &&
	       AT64((void *)flow->macs, 0) == key->macs0 && flow->macs[2] == key->macs1 &&
	       flow->from == key->from && flow->local == key->local && flow->vni_be == key->vni_be && flow->arrival == key->arrival;
}

static __always_inline void flow_cache_store(const struct flow_cache_slot *cache, const struct flow_key *key, __u32 slot,
				     __u32 target, __u32 kind)
{
	cached_flow_t *flow = cache->flow;

	if (!flow)
		return;
	flow->jiffy = cache->jiffy;
	flow->generation = cache->generation;
	AT64((void *)flow->macs, 0) = key->macs0;
	flow->macs[2] = key->macs1;
	flow->from = key->from;
	flow->local = key->local;
	flow->vni_be = key->vni_be;
	flow->arrival = key->arrival;
	flow->slot = slot;
	flow->target = target;
	flow->kind = kind;
	store_addresses(flow, key);
}

#endif
