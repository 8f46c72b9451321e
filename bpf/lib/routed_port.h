/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A container's packet, at its port: into a tunnel, or to another port of this host. */
#ifndef CULVERT_ROUTED_PORT_H
#define CULVERT_ROUTED_PORT_H

#include "lib/routed_hop.h"

static __always_inline __u32 encapsulate(packet_t *ctx, const struct inner *in, const struct routed_outcome *outcome,
					 struct packet_context *packet, struct culvert_fdb_entry *source,
					 __u32 source_nexthop, const int is_ip4)
{
	tunnel_t *tunnel = tunnel_at(outcome->target);
	struct culvert_port *uplink;
	struct routed_tx tx;
	__u32 verdict;

	if (!tunnel)
		return CULVERT_PASS_NOT_RESOLVED;
	if (!tunnel->valid)
		return pass_reason(tunnel->reason);
	if (wire_l3_bytes(ctx, in, packet->bytes) > tunnel->mtu || packet->bytes + OUTER_BYTES - OUTER_IP > 0xffff)
		return CULVERT_PASS_MTU;
	uplink = port_at(tunnel->uplink);
	if (!uplink || !uplink->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	verdict = prepare_encap(ctx, in, outcome, packet, tunnel, uplink, &tx, is_ip4);
	if (verdict)
		return verdict;
	if (source && refresh_due(source, source_nexthop))
		return CULVERT_PASS_REFRESH;
	return commit_encap(ctx, in, outcome, tunnel, &tx, is_ip4);
}

/* A packet of a container's: who sends it, and what router and rules make of it. `source` is its sender's entry, where
 * there is one to keep alive. */
static __always_inline __u32 decide_port(packet_t *ctx, const struct inner *in, struct endpoints *of,
					 struct packet_context *packet, struct routed_outcome *outcome,
					 struct culvert_fdb_entry **source, __u32 *source_nexthop,
					 const int by_connections, const int is_ip4)
{
	__u32 arrival = arrival_ifindex(ctx), verdict;
	struct culvert_routed_device *device = bpf_map_lookup_elem(&routed_devices, &arrival);

	if (!device || device->kind != CULVERT_ROUTED_PORT)
		return CULVERT_PASS_UNKNOWN_PORT;
	outcome->ingress = device->slot;
	set_ingress_port(packet, device->slot);
	/* Not to the router: bridged, or to the host. */
	if (!has_mac(in->frame, device))
		return CULVERT_PASS_HOST;
	verdict = check_inside(device, is_ip4);
	if (verdict)
		return verdict;
	if (device->domain) {
		*source = fdb_lookup(device->domain, in->frame + ETH_ALEN, source_nexthop);
		if (!*source)
			return CULVERT_PASS_UNKNOWN_SOURCE;
		if (culvert_nexthop_kind(*source_nexthop) != CULVERT_FDB_LOCAL)
			return pass_reason(culvert_nexthop_target(*source_nexthop));
		if (culvert_nexthop_target(*source_nexthop) != device->slot)
			return CULVERT_PASS_MOVED_SOURCE;
	}
	/* ip_rcv() cuts off what is behind the IP packet. */
	if (packet->bytes != ETH_BYTES + in->l3_bytes)
		return CULVERT_PASS_IP_HEADER;
	verdict = by_connections ? connection_lookup(ctx, in, of, &outcome->nat, is_ip4) : 0;
	if (verdict)
		return verdict;
	verdict = route_lookup(ctx, &outcome->route, device->router, of, in, wire_l3_bytes(ctx, in, packet->bytes), is_ip4);
	return verdict ?: egress_of(outcome, 1);
}

/* `key`, which is empty, and `decided` hold what is put together here. */
static __always_inline __u32 route_from_port(packet_t *ctx, struct inner *in, struct packet_context *packet,
					     struct routed_key *key, struct routed_outcome *decided,
					     const int by_connections, const int is_ip4)
{
	struct culvert_fdb_entry *source = 0;
	struct routed_cache_slot cache = {};
	struct routed_outcome *outcome = 0;
	__u32 verdict, source_nexthop = 0;
	struct culvert_port *port;
	struct endpoints of;
	struct routed_tx tx;

	verdict = check_routed(in, is_ip4);
	if (verdict)
		return verdict;
	packet->bytes = frame_bytes(ctx, in);
	read_endpoints(&of, in, is_ip4);
	key->arrival = arrival_ifindex(ctx);
	routed_key_inner(key, in, &of, is_ip4);
	if (may_be_cached(in, is_ip4))
		outcome = routed_cache_lookup(&cache, key, is_ip4);
	if (outcome && packet->bytes == ETH_BYTES + in->l3_bytes &&
	    wire_l3_bytes(ctx, in, packet->bytes) <= outcome->route.mtu) {
		set_ingress_port(packet, outcome->ingress);
	} else {
		*decided = (struct routed_outcome){};
		outcome = decided;
		verdict = decide_port(ctx, in, &of, packet, outcome, &source, &source_nexthop, by_connections, is_ip4);
		if (verdict)
			return verdict;
		routed_cache_store(&cache, key, outcome, is_ip4);
	}
	in->ttl--;
	if (outcome->kind == CULVERT_FDB_REMOTE)
		return encapsulate(ctx, in, outcome, packet, source, source_nexthop, is_ip4);
	port = port_at(outcome->target);
	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(ctx, in, packet->bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	verdict = prepare_local(ctx, in, outcome, port, packet, &tx);
	if (verdict)
		return verdict;
	if (source && refresh_due(source, source_nexthop))
		return CULVERT_PASS_REFRESH;
	return commit_local(ctx, in, outcome, &tx, is_ip4);
}

static __always_inline __u32 from_port(packet_t *ctx, struct packet_context *packet, const int by_connections)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct routed_outcome decided;
	struct routed_key4 key = {};
	struct routed_work *work;
	struct inner in = {};
	__u32 verdict = parse_inner(&in, frame, end);

	if (verdict)
		return verdict;
	if (__builtin_expect(in.is_ip4, 1))
		return route_from_port(ctx, &in, packet, &key.common, &decided, by_connections, 1);
	work = start_work();
	if (!work)
		return CULVERT_PASS_UNSUPPORTED;
	return route_from_port(ctx, &in, packet, &work->key.common, &work->decided, by_connections, 0);
}

#endif
