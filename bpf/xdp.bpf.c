// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tier `xdp`: all of it in the driver's receive path. */
#include "lib/xdp_send.h"

/* On the host's end of each container's veth. */
SEC("xdp.frags") int culvert_port(struct xdp_md *ctx)
{
	struct packet_context packet = {};

	return account(ctx, &packet, from_container(ctx, &packet));
}

/* On the underlay's interface. */
SEC("xdp.frags") int culvert_uplink(struct xdp_md *ctx)
{
	struct packet_context packet = {};

	set_ingress_port(&packet, config.uplink);
	return account(ctx, &packet, from_wire(ctx, &packet));
}

char _license[] SEC("license") = "Dual BSD/GPL";
