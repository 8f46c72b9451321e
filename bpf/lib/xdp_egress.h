/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whether the device that a raw frame is to leave by takes it. */
#ifndef CULVERT_XDP_EGRESS_H
#define CULVERT_XDP_EGRESS_H

#include "lib/xdp_rewrite.h"

static __always_inline __u32 check_shape(struct xdp_md *ctx, const struct culvert_port *port, __u32 bytes)
{
	if (has_one_buffer(ctx, bytes) || port->flags & CULVERT_PORT_MULTI_BUFFER)
		return 0;
	return CULVERT_PASS_MULTI_BUFFER;
}

#endif
