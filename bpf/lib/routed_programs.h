/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The programs of a routed overlay, which are of one family: it says PROGRAM, their section, and is_readable(), whether
 * the frame lies behind `outer` bytes as it is read (a VLAN tag may lie beside it).
 */
#ifndef CULVERT_ROUTED_PROGRAMS_H
#define CULVERT_ROUTED_PROGRAMS_H

static __always_inline int port_program(packet_t *ctx, const int by_connections)
{
	struct packet_context packet = {};

	if (!is_readable(ctx, 0))
		return account(ctx, &packet, CULVERT_PASS_NOT_IP);
	return account(ctx, &packet, from_port(ctx, &packet, by_connections));
}

static __always_inline int uplink_program(packet_t *ctx, const int by_connections)
{
	struct packet_context packet = {};

	set_ingress_port(&packet, config.uplink);
	if (!is_readable(ctx, OUTER_BYTES))
		return account(ctx, &packet, CULVERT_PASS_NOT_OVERLAY);
	return account(ctx, &packet, from_uplink(ctx, &packet, by_connections));
}

/* On the host's end of each container's veth. */
PROGRAM int culvert_port(packet_t *ctx)
{
	return port_program(ctx, 0);
}

/* On the underlay's interface. */
PROGRAM int culvert_uplink(packet_t *ctx)
{
	return uplink_program(ctx, 0);
}

/* The same two where connections decide (--policy connections). */
PROGRAM int culvert_port_connections(packet_t *ctx)
{
	return port_program(ctx, 1);
}

PROGRAM int culvert_uplink_connections(packet_t *ctx)
{
	return uplink_program(ctx, 1);
}

char _license[] SEC("license") = "Dual BSD/GPL";

#endif
