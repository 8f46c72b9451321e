// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tier `xdp` of an overlay that is routed: as routed.bpf.c, in the driver's receive path. */
#include "lib/routed_xdp.h"

static __always_inline int port_program(struct xdp_md *ctx, const int by_connections)
{
	struct packet_context packet = {};

	return account(ctx, &packet, from_port(ctx, &packet, by_connections));
}

static __always_inline int uplink_program(struct xdp_md *ctx, const int by_connections)
{
	struct packet_context packet = {};

	set_ingress_port(&packet, config.uplink);
	return account(ctx, &packet, from_uplink(ctx, &packet, by_connections));
}

/* On the host's end of each container's veth. */
SEC("xdp.frags") int culvert_port(struct xdp_md *ctx)
{
	return port_program(ctx, 0);
}

/* On the underlay's interface. */
SEC("xdp.frags") int culvert_uplink(struct xdp_md *ctx)
{
	return uplink_program(ctx, 0);
}

/* The same two where connections decide (--policy connections). */
SEC("xdp.frags") int culvert_port_connections(struct xdp_md *ctx)
{
	return port_program(ctx, 1);
}

SEC("xdp.frags") int culvert_uplink_connections(struct xdp_md *ctx)
{
	return uplink_program(ctx, 1);
}

char _license[] SEC("license") = "Dual BSD/GPL";
