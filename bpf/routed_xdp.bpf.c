// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tier `xdp` of an overlay that is routed: as routed.bpf.c, in the driver's receive path. */
#include "lib/routed_xdp.h"

#define PROGRAM SEC("xdp.frags")

static __always_inline int is_readable(struct xdp_md *ctx, const __u32 outer)
{
	return 1;
}

#include "lib/routed_programs.h"
