/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A packet out of a tunnel, at the tc ingress of the uplink: to a container's port. */
#ifndef CULVERT_ROUTED_UPLINK_H
#define CULVERT_ROUTED_UPLINK_H

#include "lib/routed_hop.h"

/* The VXLAN device; set before the object is loaded. */
const volatile __u32 vxlan_ifindex;

/* A packet out of a tunnel: whose it is, and what router and rules make of it. */
static __always_inline __u32 decide_uplink(struct __sk_buff *skb, const struct inner *in, struct endpoints *of,
					   struct flow_key *outer, __u32 bytes, struct routed_outcome *outcome,
					   const int by_connections, const int is_ip4)
{
	__u32 verdict, domain = 0, nexthop, ifindex = vxlan_ifindex;
	struct culvert_routed_device *device;
	tunnel_t *tunnel;

	verdict = domain_of(outer, &domain);
	if (verdict)
		return verdict;
	device = bpf_map_lookup_elem(&routed_devices, &ifindex);
	if (!device)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (!has_mac(in->frame, device))
		return CULVERT_PASS_UNKNOWN_DEST;
	verdict = check_inside(device, is_ip4);
	if (verdict)
		return verdict;
	/* From no VTEP but the one that has the address of the sending router. */
	if (!fdb_lookup(domain, in->frame + ETH_ALEN, &nexthop))
		return CULVERT_PASS_UNKNOWN_SOURCE;
	if (culvert_nexthop_kind(nexthop) != CULVERT_FDB_REMOTE)
		return pass_reason(culvert_nexthop_target(nexthop));
	tunnel = tunnel_at(culvert_nexthop_target(nexthop));
	if (!tunnel || !is_from(tunnel, outer) || tunnel->vni_be != (outer->vni_be & ~bpf_htonl(0xff)))
		return CULVERT_PASS_MOVED_SOURCE;
	if (bytes != ETH_BYTES + in->l3_bytes)
		return CULVERT_PASS_IP_HEADER;
	verdict = by_connections ? connection_lookup(skb, in, of, &outcome->nat, is_ip4) : 0;
	if (verdict)
		return verdict;
	verdict = route_lookup(skb, &outcome->route, ifindex, of, in, wire_l3_bytes(skb, in, bytes), is_ip4);
	return verdict ?: egress_of(outcome, 0);
}

/* `tos` is the outer one. */
static __always_inline __u32 route_from_uplink(struct __sk_buff *skb, const struct inner *in, struct packet_context *packet,
					       struct flow_key *outer, __u8 tos, struct routed_key *key,
					       struct routed_outcome *decided, const int by_connections,
					       const int is_ip4)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | (decap_flags & ADJ_ROOM_DECAP_L4_UDP);
	__u16 type = is_ip4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__u32 verdict, bytes = packet->bytes - OUTER_BYTES, word;
	struct routed_cache_slot cache = {};
	struct routed_outcome *outcome = 0;
	__u8 protocol = in->protocol;
	struct culvert_port *port;
	struct endpoints of;
	int enters;

	verdict = check_routed(in, is_ip4);
	if (verdict)
		return verdict;
	if (merged_tos(in->tos, tos) >= 0 || (tos & ECN_MASK && (in->tos & ECN_MASK) == ECN_NOT_ECT))
		return CULVERT_PASS_ECN;
	read_endpoints(&of, in, is_ip4);
	key->vni_be = outer->vni_be | bpf_htonl(1);
	key->arrival = outer->arrival;
	key->from = outer->from;
	key->local = outer->local;
	key->addresses = outer->addresses;
	routed_key_inner(key, in, &of, is_ip4);
	if (may_be_cached(in, is_ip4))
		outcome = routed_cache_lookup(&cache, key, is_ip4);
	if (!outcome || bytes != ETH_BYTES + in->l3_bytes || wire_l3_bytes(skb, in, bytes) > outcome->route.mtu) {
		*decided = (struct routed_outcome){};
		outcome = decided;
		verdict = decide_uplink(skb, in, &of, outer, bytes, outcome, by_connections, is_ip4);
		if (verdict)
			return verdict;
		routed_cache_store(&cache, key, outcome, is_ip4);
	}
	port = port_at(outcome->target);
	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(skb, in, bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	/* The marks of a tunnel stay on merged packets; a UDP socket cannot cut such datagrams up again. */
	if (skb->gso_size && protocol != IPPROTO_TCP && !(decap_flags & ADJ_ROOM_DECAP_L4_UDP))
		return CULVERT_PASS_UNSUPPORTED;
	/* Where another IP inside cannot be told to the kernel, the skb looks like one of the outer's. */
	if (!is_of_outer_protocol(is_ip4) && !(decap_flags & ADJ_ROOM_DECAP_L3))
		return CULVERT_PASS_UNSUPPORTED;
	if (!is_of_outer_protocol(is_ip4))
		flags |= ADJ_ROOM_DECAP_L3;
	enters = may_enter(port, (void *)outcome->route.macs);
	word = next_hop_word(in->frame + ETH_BYTES, is_ip4);
	if (bpf_skb_adjust_room(skb, -OUTER_BYTES, BPF_ADJ_ROOM_MAC, flags))
		return CULVERT_PASS_HEADROOM;
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	write_hop(skb, outcome, protocol, word, is_ip4);
	bpf_skb_store_bytes(skb, ETH_TYPE, &type, sizeof(type), 0);
	deliver(skb, port, enters);
	return CULVERT_FORWARDED_DECAP;
}

static __always_inline __u32 from_uplink(struct __sk_buff *skb, struct packet_context *packet, const int by_connections)
{
	void *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct routed_outcome decided;
	struct routed_key4 key = {};
	struct flow_key outer = {};
	struct routed_work *work;
	struct inner in = {};
	__u32 verdict;
	__u8 tos;

	verdict = check_outer(skb, frame, end);
	if (verdict)
		return verdict;
	if (frame + OUTER_BYTES + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	packet->bytes = outer_frame_bytes(frame);
	tos = received_tos(frame);
	outer.vni_be = AT32(frame, OUTER_VXLAN + 4);
	if (AT32(frame, OUTER_VXLAN) != VXLAN_FLAGS || outer.vni_be & bpf_htonl(0xff))
		return CULVERT_PASS_VXLAN_FLAGS;
	set_outer_addresses(&outer, frame);
	outer.arrival = AT16(frame, OUTER_UDP + UDP_DESTINATION);
	verdict = parse_inner(&in, frame + OUTER_BYTES, end);
	if (verdict)
		return verdict;
	if (AT16(frame, OUTER_UDP + UDP_CHECK) && !has_own_checksum(&in))
		return CULVERT_PASS_CHECKSUM;
	if (__builtin_expect(in.is_ip4, 1))
		return route_from_uplink(skb, &in, packet, &outer, tos, &key.common, &decided, by_connections, 1);
	work = start_work();
	if (!work)
		return CULVERT_PASS_UNSUPPORTED;
	return route_from_uplink(skb, &in, packet, &outer, tos, &work->key.common, &work->decided, by_connections, 0);
}

#endif
