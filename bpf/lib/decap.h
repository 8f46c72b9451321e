/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The outer headers of a received frame: what vxlan_rcv() and the layers below it check. */
#ifndef CULVERT_DECAP_H
#define CULVERT_DECAP_H

#include "lib/csum.h"
#include "lib/fdb.h"

/* Whether VXLAN is heard at a UDP port. */
static __always_inline int is_vxlan_port(__be16 port)
{
	__u32 number = bpf_ntohs(port), word = number / 64;
	__u64 *bits = bpf_map_lookup_elem(&vxlan_ports, &word);

	return bits && *bits >> number % 64 & 1;
}

/* Checks down to UDP. Returns 0 when `frame` may be VXLAN for us, else the verdict. */
static __always_inline __u32 check_outer(packet_t *ctx, void *frame, void *end)
{
	void *ip = frame + OUTER_IP, *udp = frame + OUTER_UDP;
	struct culvert_port *uplink = port_at(config.uplink);
	__u32 bytes;

	if (frame + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	if (AT16(frame, ETH_TYPE) != bpf_htons(ETH_P_IP))
		return CULVERT_PASS_NOT_OVERLAY;
	if (frame + OUTER_UDP > end)
		return CULVERT_PASS_TRUNCATED;
	if (AT8(ip, IP4_PROTOCOL) != IPPROTO_UDP || !uplink ||
	    AT32(frame, 0) != AT32((void *)uplink->mac, 0) || AT16(frame, 4) != AT16((void *)uplink->mac, 4))
		return CULVERT_PASS_NOT_OVERLAY;
	if (AT8(ip, 0) != 0x45 || AT16(ip, IP4_FRAGMENT) & bpf_htons(IP4_MORE_OR_OFFSET))
		return CULVERT_PASS_OUTER;
	if (frame + OUTER_BYTES > end)
		return frame + OUTER_VXLAN <= end && is_vxlan_port(AT16(udp, UDP_DESTINATION))
			       ? CULVERT_PASS_TRUNCATED
			       : CULVERT_PASS_NOT_OVERLAY;
	if (!is_vxlan_port(AT16(udp, UDP_DESTINATION)))
		return CULVERT_PASS_NOT_OVERLAY;
	if (fold(sum_ip4_header(ip)) != 0xffff)
		return CULVERT_PASS_OUTER;
	bytes = bpf_ntohs(AT16(ip, IP4_LENGTH));
	if (bytes != bpf_ntohs(AT16(udp, UDP_LENGTH)) + IP4_BYTES)
		return CULVERT_PASS_OUTER;
	if (bytes + ETH_BYTES != (__u32)(ctx->data_end - ctx->data) && bytes + ETH_BYTES != packet_bytes(ctx))
		return CULVERT_PASS_OUTER;
	return 0;
}

/* RFC 6040 section 4.2, INET_ECN_decapsulate(): the outer mark goes inwards. Returns the inner
 * field as it must become, or -1 where it stays. An outer mark on what is Not-ECT inside was
 * passed before. */
static __always_inline int merged_tos(__u8 inner, __u8 outer)
{
	__u8 mark = outer & ECN_MASK, ecn = inner & ECN_MASK;

	if (!mark || (mark == ECN_CE ? ecn == ECN_CE : mark != ECN_ECT_1 || ecn != ECN_ECT_0))
		return -1;
	return (inner & ~ECN_MASK) | mark;
}

#endif
