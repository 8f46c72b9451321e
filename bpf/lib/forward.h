/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who sent a frame and where it goes: what the bridge and the VXLAN device would look up. */
#ifndef CULVERT_FORWARD_H
#define CULVERT_FORWARD_H

#include "lib/burst.h"
#include "lib/count.h"
#include "lib/lookup.h"

struct route {
	struct flow_key key;
	struct memory memory;
	struct culvert_fdb_entry *source; /* 0: recalled, nothing to refresh or remember */
	__u32 source_way;
	__u32 slot;
	__u32 target;
	__u32 kind;
};

static __always_inline void route_key(struct route *route, void *frame)
{
	route->key.macs0 = AT64(frame, 0);
	route->key.macs1 = AT32(frame, 8);
}

/* True when the burst so far tells the way. */
static __always_inline int route_recall(struct route *route)
{
	if (!recall(&route->memory, &route->key))
		return 0;
	route->slot = route->memory.burst->slot;
	route->target = route->memory.burst->target;
	route->kind = route->memory.burst->kind;
	return 1;
}

/* Why an entry, or a tunnel, is the kernel's: never a verdict that forwards. */
static __always_inline __u32 pass_reason(__u32 reason)
{
	return reason >= CULVERT_PASS_TRUNCATED && reason < CULVERT_DROP_NOT_A_VTEP ? reason : CULVERT_PASS_NOT_RESOLVED;
}

static __always_inline __u32 route_destination(struct route *route, __u32 segment, void *frame)
{
	__u32 way;

	if (!fdb_lookup(segment, frame, &way))
		return CULVERT_PASS_UNKNOWN_DEST;
	route->target = culvert_way_target(way);
	route->kind = culvert_way_kind(way);
	return 0;
}

/* Last of all that can pass a frame for what it is: it is about to be forwarded. */
static __always_inline __u32 route_settle(struct route *route)
{
	if (!route->source)
		return 0;
	if (refresh_due(route->source, route->source_way))
		return CULVERT_PASS_REFRESH;
	remember(&route->memory, &route->key, route->slot, route->target, route->kind);
	return 0;
}

/* From a container's port: the source must be known there. */
static __always_inline __u32 route_from_port(packet_t *ctx, struct route *route, struct visit *visit,
					     void *frame)
{
	struct culvert_port *port;
	__u32 kind;

	route_key(route, frame);
	route->key.from = arrival_ifindex(ctx);
	if (!route_recall(route)) {
		route->source = fdb_lookup(config.segment, frame + ETH_ALEN, &route->source_way);
		if (!route->source)
			return CULVERT_PASS_UNKNOWN_SOURCE;
		kind = culvert_way_kind(route->source_way);
		if (kind != CULVERT_FDB_LOCAL)
			return kind == CULVERT_FDB_REMOTE ? CULVERT_PASS_MOVED_SOURCE : pass_reason(culvert_way_target(route->source_way));
		route->slot = culvert_way_target(route->source_way);
		port = port_at(route->slot);
		if (!port || port->ifindex != route->key.from)
			return CULVERT_PASS_MOVED_SOURCE;
		came_by(visit, route->slot);
		return route_destination(route, config.segment, frame);
	}
	came_by(visit, route->slot);
	return 0;
}

/* Which segment a VNI is, and whether the sender may speak on it. */
static __always_inline __u32 segment_of(const struct flow_key *key, __u32 *segment)
{
	struct culvert_vni_key vni = {
		.vni_be = key->vni_be & ~bpf_htonl(0xff),
		.local = key->local,
		.udp_port = config.udp_port,
	};
	struct culvert_segment *found = bpf_map_lookup_elem(&vnis, &vni);

	if (!found)
		return CULVERT_PASS_UNKNOWN_VNI;
	*segment = found->segment;
	if (found->flags & CULVERT_SEGMENT_STRICT) {
		struct culvert_vtep_key vtep = { found->segment, key->from };

		if (!bpf_map_lookup_elem(&vteps, &vtep))
			return CULVERT_DROP_NOT_A_VTEP;
	}
	return 0;
}

/* From a VTEP: the source must be known behind it. `frame` is the inner one. */
static __always_inline __u32 route_from_vtep(struct route *route, __u32 segment, void *frame)
{
	struct culvert_tunnel *tunnel;
	__u32 kind;

	route->source = fdb_lookup(segment, frame + ETH_ALEN, &route->source_way);
	if (!route->source)
		return CULVERT_PASS_UNKNOWN_SOURCE;
	kind = culvert_way_kind(route->source_way);
	if (kind != CULVERT_FDB_REMOTE)
		return kind == CULVERT_FDB_LOCAL ? CULVERT_PASS_MOVED_SOURCE : pass_reason(culvert_way_target(route->source_way));
	tunnel = tunnel_at(culvert_way_target(route->source_way));
	if (!tunnel || tunnel->remote != route->key.from ||
	    tunnel->vni_be != (route->key.vni_be & ~bpf_htonl(0xff)))
		return CULVERT_PASS_MOVED_SOURCE;
	return route_destination(route, segment, frame);
}

#endif
