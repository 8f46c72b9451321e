/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A packet out of a tunnel, at the uplink: to a container's port. */
#ifndef CULVERT_ROUTED_UPLINK_H
#define CULVERT_ROUTED_UPLINK_H

#include "lib/routed_hop.h"

/* The VXLAN device; set before the object is loaded. */
const volatile __u32 vxlan_ifindex;

/* A packet out of a tunnel: whose it is, and what router and rules make of it. */
static __always_inline __u32 decide_uplink(packet_t *ctx, const struct inner *in, struct endpoints *of,
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
	verdict = by_connections ? connection_lookup(ctx, in, of, &outcome->nat, is_ip4) : 0;
	if (verdict)
		return verdict;
	verdict = route_lookup(ctx, &outcome->route, ifindex, of, in, wire_l3_bytes(ctx, in, bytes), is_ip4);
	return verdict ?: egress_of(outcome, 0);
}

/* `tos` is the outer one. */
static __always_inline __u32 route_from_uplink(packet_t *ctx, const struct inner *in, struct packet_context *packet,
					       struct flow_key *outer, __u8 tos, struct routed_key *key,
					       struct routed_outcome *decided, const int by_connections,
					       const int is_ip4)
{
	__u32 verdict, bytes = packet->bytes - OUTER_BYTES;
	struct routed_cache_slot cache = {};
	struct routed_outcome *outcome = 0;
	struct culvert_port *port;
	struct endpoints of;
	struct routed_tx tx;

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
	if (!outcome || bytes != ETH_BYTES + in->l3_bytes || wire_l3_bytes(ctx, in, bytes) > outcome->route.mtu) {
		*decided = (struct routed_outcome){};
		outcome = decided;
		verdict = decide_uplink(ctx, in, &of, outer, bytes, outcome, by_connections, is_ip4);
		if (verdict)
			return verdict;
		routed_cache_store(&cache, key, outcome, is_ip4);
	}
	port = port_at(outcome->target);
	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(ctx, in, bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	verdict = prepare_decap(ctx, in, outcome, port, packet, &tx, is_ip4);
	return verdict ? verdict : commit_decap(ctx, in, outcome, &tx, is_ip4);
}

static __always_inline __u32 from_uplink(packet_t *ctx, struct packet_context *packet, const int by_connections)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct routed_outcome decided;
	struct routed_key4 key = {};
	struct flow_key outer = {};
	struct routed_work *work;
	struct inner in = {};
	__u32 verdict;
	__u8 tos;

	verdict = check_outer(ctx, frame, end);
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
		return route_from_uplink(ctx, &in, packet, &outer, tos, &key.common, &decided, by_connections, 1);
	work = start_work();
	if (!work)
		return CULVERT_PASS_UNSUPPORTED;
	return route_from_uplink(ctx, &in, packet, &outer, tos, &work->key.common, &work->decided, by_connections, 0);
}

#endif
