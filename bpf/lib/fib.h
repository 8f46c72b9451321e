/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the kernel's router would do with a packet: bpf_fib_lookup() knows rules, routes, neighbours and path MTUs. */
#ifndef CULVERT_FIB_H
#define CULVERT_FIB_H

#include "lib/hash.h"
#include "lib/headers.h"
#include "lib/maps.h"

/* Of <sys/socket.h>, which BPF does not have. */
#define ROUTED_AF_INET 2
#define ROUTED_AF_INET6 10

/* Traffic class and flow label (RFC 8200), of the header's first word. */
#define IP6_FLOW_INFO bpf_htonl(0x0fffffff)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct culvert_routed_device);
} routed_devices SEC(".maps");

struct route {
	__u64 macs[2];  /* destination's and source's octets, as a frame begins */
	__u32 ifindex;  /* of layer 3, to leave by */
	__u32 mtu;      /* layer 3 bytes that are known to pass */
};

/* Of either IP; of IPv4 the first word. */
struct address {
	__be32 words[4];
};

/* Of a packet, as the router sees it. */
struct endpoints {
	struct address source;
	struct address destination;
	__be16 source_port; /* 0 where the protocol has none */
	__be16 destination_port;
};

static __always_inline void read_address(struct address *address, void *from, const int is_ip4)
{
	address->words[0] = AT32(from, 0);
	if (is_ip4)
		return;
	address->words[1] = AT32(from, 4);
	address->words[2] = AT32(from, 8);
	address->words[3] = AT32(from, 12);
}

static __always_inline void read_endpoints(struct endpoints *of, const struct inner *in, const int is_ip4)
{
	void *ip = in->frame + ETH_BYTES;
	int has = has_ports(in->protocol) && in->l4 + 4 <= in->end;

	read_address(&of->source, ip + (is_ip4 ? IP4_SOURCE : IP6_SOURCE), is_ip4);
	read_address(&of->destination, ip + (is_ip4 ? IP4_DESTINATION : IP6_DESTINATION), is_ip4);
	of->source_port = has ? AT16(in->l4, 0) : 0;
	of->destination_port = has ? AT16(in->l4, 2) : 0;
}

static __always_inline long fib_ask(packet_t *ctx, struct bpf_fib_lookup *ask, __u32 ifindex, const struct address *source,
				    const struct address *destination, const struct endpoints *of,
				    const struct inner *in, __u32 l3_bytes, const int is_ip4)
{
	__builtin_memset(ask, 0, sizeof(*ask));
	ask->l4_protocol = in->protocol;
	/* With 0 the kernel takes the skb's own length, of the outer headers and of all segments. */
	ask->tot_len = l3_bytes;
	ask->ifindex = ifindex;
	if (is_ip4) {
		ask->family = ROUTED_AF_INET;
		ask->tos = in->tos;
		ask->ipv4_src = source->words[0];
		ask->ipv4_dst = destination->words[0];
	} else {
		ask->family = ROUTED_AF_INET6;
		ask->flowinfo = AT32(in->frame, ETH_BYTES) & IP6_FLOW_INFO;
		__builtin_memcpy(ask->ipv6_src, source->words, sizeof(ask->ipv6_src));
		__builtin_memcpy(ask->ipv6_dst, destination->words, sizeof(ask->ipv6_dst));
	}
	ask->sport = of->source_port;
	ask->dport = of->destination_port;
	return bpf_fib_lookup(ctx, ask, sizeof(*ask), 0);
}

/*
 * Where a packet goes that the interface `from` received. The look-up filters no source: one that would not be routed
 * back to where it came from is left to the kernel, whatever rp_filter says. Returns 0, or why it is the kernel's.
 */
static __always_inline __u32 route_lookup(packet_t *ctx, struct route *route, __u32 from, const struct endpoints *of,
					  const struct inner *in, __u32 l3_bytes, const int is_ip4)
{
	struct bpf_fib_lookup ask;
	__u16 *macs = (void *)route->macs, *smac = (void *)ask.smac, *dmac = (void *)ask.dmac;
	long answer = fib_ask(ctx, &ask, from, &of->source, &of->destination, of, in, l3_bytes, is_ip4);

	if (answer == BPF_FIB_LKUP_RET_NO_NEIGH)
		return CULVERT_PASS_NO_NEIGHBOUR;
	if (answer == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return CULVERT_PASS_MTU;
	if (answer)
		return CULVERT_PASS_ROUTE;
	/* Back where it came from: the kernel tells its sender of a better way (ICMP redirect). */
	if (ask.ifindex == from)
		return CULVERT_PASS_SAME_PORT;
	route->ifindex = ask.ifindex;
	/* The route's, or where the kernel does not tell it what was asked about. */
	route->mtu = ask.tot_len;
	macs[0] = dmac[0];
	macs[1] = dmac[1];
	macs[2] = dmac[2];
	macs[3] = smac[0];
	macs[4] = smac[1];
	macs[5] = smac[2];
	answer = fib_ask(ctx, &ask, route->ifindex, &of->destination, &of->source, of, in, 0, is_ip4);
	if ((answer && answer != BPF_FIB_LKUP_RET_NO_NEIGH && answer != BPF_FIB_LKUP_RET_FRAG_NEEDED) ||
	    ask.ifindex != from)
		return CULVERT_PASS_ROUTE;
	return 0;
}

#endif
