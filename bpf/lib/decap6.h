/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The outer header over IPv6. Part of decap.h. */
#ifndef CULVERT_DECAP6_H
#define CULVERT_DECAP6_H

/* Checks down to UDP. Returns 0 when `frame` may be VXLAN for us, else the verdict. Extension headers, fragments among
 * them, are the kernel's. */
static __always_inline __u32 check_outer(packet_t *ctx, void *frame, void *end)
{
	void *ip = frame + OUTER_IP, *udp = frame + OUTER_UDP;
	struct culvert_port *uplink = port_at(config.uplink);
	__u32 bytes;

	if (frame + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	if (AT16(frame, ETH_TYPE) != bpf_htons(ETH_P_IPV6))
		return CULVERT_PASS_NOT_OVERLAY;
	if (frame + OUTER_UDP > end)
		return CULVERT_PASS_TRUNCATED;
	if (AT8(ip, IP6_NEXT) != IPPROTO_UDP || !uplink ||
	    AT32(frame, 0) != AT32((void *)uplink->mac, 0) || AT16(frame, 4) != AT16((void *)uplink->mac, 4))
		return CULVERT_PASS_NOT_OVERLAY;
	if (AT8(ip, 0) >> 4 != 6)
		return CULVERT_PASS_OUTER;
	if (frame + OUTER_BYTES > end)
		return frame + OUTER_VXLAN <= end && is_vxlan_port(AT16(udp, UDP_DESTINATION))
			       ? CULVERT_PASS_TRUNCATED
			       : CULVERT_PASS_NOT_OVERLAY;
	if (!is_vxlan_port(AT16(udp, UDP_DESTINATION)))
		return CULVERT_PASS_NOT_OVERLAY;
	bytes = bpf_ntohs(AT16(ip, IP6_LENGTH));
	if (bytes != bpf_ntohs(AT16(udp, UDP_LENGTH)))
		return CULVERT_PASS_OUTER;
	bytes += OUTER_UDP;
	if (bytes != (__u32)(ctx->data_end - ctx->data) && bytes != packet_bytes(ctx))
		return CULVERT_PASS_OUTER;
	return 0;
}

/* Of the whole frame, layer 2, as check_outer() has compared it. */
static __always_inline __u32 outer_frame_bytes(void *frame)
{
	return OUTER_UDP + bpf_ntohs(AT16(frame, OUTER_IP + IP6_LENGTH));
}

static __always_inline __u8 received_tos(void *frame)
{
	return bpf_ntohs(AT16(frame, OUTER_IP)) >> 4;
}

static __always_inline void set_outer_addresses(struct flow_key *key, void *frame)
{
	void *ip = frame + OUTER_IP;
	int i;

	for (i = 0; i < 4; i++)
		key->addresses.words[i] = AT64(ip, IP6_SOURCE + 8 * i);
	key->from = AT32(ip, IP6_SOURCE + 12);
	key->local = AT32(ip, IP6_DESTINATION + 12);
	if (!AT16(frame, OUTER_UDP + UDP_CHECK))
		key->vni_be |= WITHOUT_CHECKSUM;
}

#endif
