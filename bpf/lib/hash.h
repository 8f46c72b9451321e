/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The outer UDP source port: the inner flow's entropy for the underlay's ECMP (RFC 7348 section 5). */
#ifndef CULVERT_HASH_H
#define CULVERT_HASH_H

#include "lib/maps.h"
#include "lib/parse.h"

/* Multiplicative hashing by 2^64 over the golden ratio (Knuth, The Art of Computer Programming, 6.4). */
static __always_inline __u64 mix(__u64 state, __u64 word)
{
	state = (state ^ word) * 0x9e3779b97f4a7c15ull;
	return state ^ (state >> 32);
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP;
}

/* Constant per flow. Fragments carry ports only in the first: addresses alone count for all. */
static __always_inline __u32 flow_hash(const struct inner *in)
{
	void *ip = in->frame + ETH_BYTES;
	__u64 last = in->protocol, state = config.hash_seed;
	int ports = has_ports(in->protocol) && !(in->fragment & bpf_htons(IP4_MORE_OR_OFFSET)) &&
		    in->l4 + 4 <= in->end;

	if (ports)
		last |= (__u64)AT32(in->l4, 0) << 32;
	if (in->is_ip4) {
		state = mix(state, AT64(ip, IP4_SOURCE));
	} else {
		if (!ports) /* extension headers, or none: RFC 6437's flow label */
			last |= (__u64)(AT32(ip, 0) & bpf_htonl(0xfffff)) << 32;
		state = mix(state, AT64(ip, IP6_SOURCE));
		state = mix(state, AT64(ip, IP6_SOURCE + 8));
		state = mix(state, AT64(ip, IP6_SOURCE + 16));
		state = mix(state, AT64(ip, IP6_SOURCE + 24));
	}
	return mix(mix(state, last), last) >> 32;
}

static __always_inline __u16 source_port(__u32 hash, const tunnel_t *tunnel)
{
	__u32 width = (__u32)tunnel->source_max - tunnel->source_min + 1;

	return tunnel->source_min + (((__u64)hash * width) >> 32);
}

#endif
