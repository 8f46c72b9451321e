/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The outer header over IPv4. Part of decap.h. */
#ifndef CULVERT_DECAP4_H
#define CULVERT_DECAP4_H

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

/* Of the whole frame, layer 2, as check_outer() has compared it. */
static __always_inline __u32 outer_frame_bytes(void *frame)
{
	return ETH_BYTES + bpf_ntohs(AT16(frame, OUTER_IP + IP4_LENGTH));
}

static __always_inline __u8 received_tos(void *frame)
{
	return AT8(frame, OUTER_IP + IP4_TOS);
}

static __always_inline void set_outer_addresses(struct flow_key *key, void *frame)
{
	key->local = AT32(frame, OUTER_IP + IP4_DESTINATION);
	key->from = AT32(frame, OUTER_IP + IP4_SOURCE);
}

#endif
