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

static __always_inline int port_program(struct __sk_buff *skb, const int by_connections)
{
	struct packet_context packet = {};

	if (skb->vlan_present)
		return account(skb, &packet, CULVERT_PASS_NOT_IP);
	gather_headers(skb, 0);
	return account(skb, &packet, from_port(skb, &packet, by_connections));
}

static __always_inline int uplink_program(struct __sk_buff *skb, const int by_connections)
{
	struct packet_context packet = {};

	set_ingress_port(&packet, config.uplink);
	if (skb->vlan_present)
		return account(skb, &packet, CULVERT_PASS_NOT_OVERLAY);
	gather_headers(skb, OUTER_BYTES);
	return account(skb, &packet, from_uplink(skb, &packet, by_connections));
}

/* On the host's end of each container's veth. */
SEC("tc") int culvert_port(struct __sk_buff *skb)
{
	return port_program(skb, 0);
}

/* On the underlay's interface. */
SEC("tc") int culvert_uplink(struct __sk_buff *skb)
{
	return uplink_program(skb, 0);
}

/* The same two where connections decide (--policy connections). */
SEC("tc") int culvert_port_connections(struct __sk_buff *skb)
{
	return port_program(skb, 1);
}

SEC("tc") int culvert_uplink_connections(struct __sk_buff *skb)
{
	return uplink_program(skb, 1);
}

char _license[] SEC("license") = "Dual BSD/GPL";
