/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a router does with any packet, whichever way it goes: may it be forwarded, what of its headers changes, and to
 * which device the route leads.
 *
 * A family of programs says how packets leave, and includes routed_port.h and routed_uplink.h when it has:
 *   struct routed_tx                          what it keeps of a packet from prepare to commit
 *   wire_l3_bytes                             what of the packet its egress must be able to take
 *   prepare_encap, _decap, _local             may refuse: 0, or why the packet is the kernel's; changes nothing of it
 *   commit_encap, _decap, _local              may not: what it was forwarded as (or no headroom, the packet as it came)
 */
#ifndef CULVERT_ROUTED_HOP_H
#define CULVERT_ROUTED_HOP_H

#include "lib/bridge.h"
#include "lib/conntrack.h"
#include "lib/encap.h"
#include "lib/fib.h"
#include "lib/routed_cache.h"

static __always_inline int has_mac(void *frame, const struct culvert_routed_device *device)
{
	void *mac = (void *)device->mac;

	return AT32(frame, 0) == AT32(mac, 0) && AT16(frame, 4) == AT16(mac, 4);
}

static __always_inline int is_extension(__u8 protocol)
{
	switch (protocol) {
	case IP6_HOP_BY_HOP:
	case IP6_ROUTING:
	case IP6_FRAGMENT:
	case IP6_NO_NEXT:
	case IP6_OPTIONS:
	case IP6_MOBILITY:
	case IP6_HIP:
	case IP6_SHIM6:
	case IPPROTO_AH:
		return 1;
	}
	return 0;
}

/* Neither a group's, nor of one link alone, nor unspecified, the loopback or IPv4's in IPv6: ip6_rcv_core() and
 * ip6_forward() have something to say about those. */
static __always_inline int is_routable(void *address)
{
	__u16 first = bpf_ntohs(AT16(address, 0));

	return first < 0xff00 && (first & 0xffc0) != 0xfe80 && AT64(address, 0);
}

/* Returns 0 for what a router forwards without having to say anything, or why it is the kernel's. */
static __always_inline __u32 check_routed(const struct inner *in, const int is_ip4)
{
	void *ip = in->frame + ETH_BYTES;

	if (is_ip4) {
		if (!in->plain_ip4 || in->fragment & bpf_htons(IP4_MORE_OR_OFFSET))
			return CULVERT_PASS_IP_HEADER;
		/* ip_rcv() drops what is wrong, ip_forward() answers what is at its end. */
		if (in->ttl <= 1 || fold(sum_ip4_header(ip)) != 0xffff)
			return CULVERT_PASS_ROUTE;
		return 0;
	}
	if (AT8(ip, 0) >> 4 != 6 || is_extension(in->protocol))
		return CULVERT_PASS_IP_HEADER;
	if (in->ttl <= 1 || !is_routable(ip + IP6_SOURCE) || !is_routable(ip + IP6_DESTINATION))
		return CULVERT_PASS_ROUTE;
	return 0;
}

/* What of IP's header a router changes. IPv4: TTL, protocol and checksum, as ip_decrease_ttl() leaves them; IPv6: the hop
 * limit. */
static __always_inline __u32 next_hop_word(void *ip, const int is_ip4)
{
	__u32 check;

	if (!is_ip4)
		return AT8(ip, IP6_HOP_LIMIT) - 1;
	check = AT16(ip, IP4_CHECK) + bpf_htons(0x0100);
	return word_of(AT16(ip, IP4_TTL) - bpf_htons(0x0100), check + (check >= 0xffff));
}

/* What that adds to the sum over the frame: IPv4's header has its own, which stays 0xffff. */
static __always_inline __u64 next_hop_delta(const int is_ip4)
{
	return is_ip4 ? 0 : (__u16)~bpf_htons(1);
}

/* What the outcome adds to the sum over the inner frame. */
static __always_inline __u64 routed_delta(const struct inner *in, const struct routed_outcome *outcome, const int is_ip4)
{
	const struct route *route = &outcome->route;

	return (__u64)(__u32)~AT32(in->frame, 0) + (__u32)~AT32(in->frame, 4) + (__u32)~AT32(in->frame, 8) +
	       (__u32)route->macs[0] + (route->macs[0] >> 32) + (__u32)route->macs[1] + next_hop_delta(is_ip4) +
	       translation_delta(&outcome->nat, is_ip4);
}

/* What a route leads to: the port on this host, or where there may be one the tunnel. */
static __always_inline __u32 egress_of(struct routed_outcome *outcome, const int may_be_remote)
{
	struct culvert_routed_device *egress = bpf_map_lookup_elem(&routed_devices, &outcome->route.ifindex);
	int is_vxlan;
	__u32 nexthop;

	if (!egress)
		return CULVERT_PASS_NOT_RESOLVED;
	is_vxlan = may_be_remote && egress->kind == CULVERT_ROUTED_VXLAN;
	outcome->kind = is_vxlan ? CULVERT_FDB_REMOTE : CULVERT_FDB_LOCAL;
	outcome->target = egress->slot;
	if (egress->kind == CULVERT_ROUTED_PORT && !egress->domain)
		return 0;
	if (!is_vxlan && egress->kind != CULVERT_ROUTED_BRIDGE)
		return CULVERT_PASS_ROUTE;
	if (!fdb_lookup(egress->domain, (void *)outcome->route.macs, &nexthop))
		return CULVERT_PASS_UNKNOWN_DEST;
	if (culvert_nexthop_kind(nexthop) != outcome->kind)
		return pass_reason(culvert_nexthop_target(nexthop));
	outcome->target = culvert_nexthop_target(nexthop);
	return 0;
}

/* Returns 0 where packets of that IP are served, or why they are the kernel's. */
static __always_inline __u32 check_inside(const struct culvert_routed_device *device, const int is_ip4)
{
	__u8 left = is_ip4 ? device->left4 : device->left6;

	return left ? pass_reason(left) : 0;
}

#endif
