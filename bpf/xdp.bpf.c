// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tier `xdp`: all of it in the driver's receive path. */
#include "lib/redirect.h"

/* On the host's end of each container's veth. */
SEC("xdp.frags") int culvert_port(struct xdp_md *ctx)
{
	struct visit visit = {};

	return finish(ctx, &visit, from_container(ctx, &visit));
}

/* On the underlay's interface. */
SEC("xdp.frags") int culvert_uplink(struct xdp_md *ctx)
{
	struct visit visit = {};

	came_by(&visit, CULVERT_UPLINK_SLOT);
	return finish(ctx, &visit, from_wire(ctx, &visit));
}

char _license[] SEC("license") = "Dual BSD/GPL";
