/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The two ways through a host: what the kernel's bridge and VXLAN device would do
 * with a packet whose both ends they know. Everything is decided before the first
 * byte changes: a packet that is passed is the packet that came.
 *
 * A family of programs says how packets leave: the functions declared here.
 */
#ifndef CULVERT_PATH_H
#define CULVERT_PATH_H

#include "lib/decap.h"
#include "lib/encap.h"
#include "lib/forward.h"

/* Layer 3 bytes that the packet, or each of its segments, has on the wire. `bytes` is the inner frame's. */
static __always_inline __u32 wire_l3_bytes(packet_t *ctx, const struct inner *in, __u32 bytes);
/* Whether the device behind the port can take the packet, of `bytes` as it came. Returns 0, or why not. */
static __always_inline __u32 check_shape(packet_t *ctx, const struct culvert_port *port, __u32 bytes);

/* Each returns what it forwarded the packet as, or why it left it as it was. */
static __always_inline __u32 send_encapsulated(packet_t *ctx, const struct inner *in, struct route *route,
					       struct visit *visit, struct culvert_tunnel *tunnel);
static __always_inline __u32 send_decapsulated(packet_t *ctx, const struct inner *in, struct route *route,
					       __u8 outer_tos);
static __always_inline __u32 send_local(packet_t *ctx, const struct inner *in, struct route *route);

/* The way out by a port; `bytes` is the inner frame's, `outer` what is in front of it. Returns 0, or why not. */
static __always_inline __u32 check_port(packet_t *ctx, const struct inner *in, __u32 slot, __u32 bytes, __u32 outer)
{
	struct culvert_port *port = port_at(slot);

	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(ctx, in, bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	return check_shape(ctx, port, outer + bytes);
}

static __always_inline __u32 encapsulate(packet_t *ctx, const struct inner *in, struct route *route,
					 struct visit *visit)
{
	struct culvert_tunnel *tunnel = tunnel_at(route->target);
	struct culvert_port *uplink = port_at(CULVERT_UPLINK_SLOT);
	__u32 verdict;

	if (!visit->count)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (!tunnel)
		return CULVERT_PASS_NOT_RESOLVED;
	if (!tunnel->valid)
		return pass_reason(tunnel->reason);
	if (wire_l3_bytes(ctx, in, visit->bytes) > tunnel->mtu)
		return CULVERT_PASS_MTU;
	if (!uplink || !uplink->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	verdict = check_shape(ctx, uplink, visit->bytes);
	return verdict ? verdict : send_encapsulated(ctx, in, route, visit, tunnel);
}

static __always_inline __u32 from_container(packet_t *ctx, struct visit *visit)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct route route = {};
	struct inner in = {};
	__u32 verdict;

	verdict = parse_inner(&in, frame, end);
	if (verdict)
		return verdict;
	verdict = route_from_port(ctx, &route, visit, frame);
	if (verdict)
		return verdict;
	visit->bytes = frame_bytes(ctx, &in);
	if (route.kind == CULVERT_FDB_REMOTE)
		return encapsulate(ctx, &in, &route, visit);
	if (route.kind != CULVERT_FDB_LOCAL)
		return pass_reason(route.target);
	if (route.target == route.slot)
		return CULVERT_PASS_SAME_PORT;
	verdict = check_port(ctx, &in, route.target, visit->bytes, 0);
	return verdict ? verdict : send_local(ctx, &in, &route);
}

static __always_inline __u32 from_wire(packet_t *ctx, struct visit *visit)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 verdict, segment = 0, recalled;
	struct route route = {};
	struct inner in = {};
	__u8 tos;

	verdict = check_outer(ctx, frame, end);
	if (verdict)
		return verdict;
	if (frame + OUTER_BYTES + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	visit->bytes = ETH_BYTES + bpf_ntohs(AT16(frame, OUTER_IP + IP4_LENGTH));
	tos = AT8(frame, OUTER_IP + IP4_TOS);
	route_key(&route, frame + OUTER_BYTES);
	route.key.vni_be = AT32(frame, OUTER_VXLAN + 4);
	if (AT32(frame, OUTER_VXLAN) != VXLAN_FLAGS || route.key.vni_be & bpf_htonl(0xff))
		return CULVERT_PASS_VXLAN_FLAGS;
	route.key.vni_be |= bpf_htonl(1);
	route.key.local = AT32(frame, OUTER_IP + IP4_DESTINATION);
	route.key.from = AT32(frame, OUTER_IP + IP4_SOURCE);
	route.slot = CULVERT_UPLINK_SLOT;
	recalled = route_recall(&route);
	if (!recalled) {
		verdict = segment_of(&route.key, &segment);
		if (verdict)
			return verdict;
	}
	verdict = parse_inner(&in, frame + OUTER_BYTES, end);
	if (verdict)
		return verdict;
	if (AT16(frame, OUTER_UDP + UDP_CHECK) && !has_own_checksum(&in))
		return CULVERT_PASS_CHECKSUM;
	if (tos & ECN_MASK && (in.tos & ECN_MASK) == ECN_NOT_ECT)
		return CULVERT_PASS_ECN;
	if (!recalled) {
		verdict = route_from_vtep(&route, segment, in.frame);
		if (verdict)
			return verdict;
	}
	if (route.kind != CULVERT_FDB_LOCAL)
		return route.kind == CULVERT_FDB_REMOTE ? CULVERT_PASS_SAME_PORT : pass_reason(route.target);
	verdict = check_port(ctx, &in, route.target, visit->bytes - OUTER_BYTES, OUTER_BYTES);
	return verdict ? verdict : send_decapsulated(ctx, &in, &route, tos);
}

#endif
