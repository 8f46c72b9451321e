// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `tc` of an overlay that is routed (flannel's shape and Calico's): what ip_forward() and the VXLAN device would do
 * with a container's packet, at the tc ingress of the container's port; and the way back, at the uplink's. The kernel's
 * own tables decide about route and neighbour, and its connection tracking about what may pass rules by, where there are
 * any. Everything is decided before the first byte changes.
 */
#define CULVERT_SKB
#include "lib/routed_skb.h"
#include "lib/tc_stub.h"

#define PROGRAM SEC("tc")

static __always_inline int is_readable(struct __sk_buff *skb, const __u32 outer)
{
	if (skb->vlan_present)
		return 0;
	gather_headers(skb, outer);
	return 1;
}

#include "lib/routed_programs.h"
