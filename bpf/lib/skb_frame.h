/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The packet as an skb: its segments, its headers, and how it is handed to a container. */
#ifndef CULVERT_SKB_FRAME_H
#define CULVERT_SKB_FRAME_H

#include "lib/bridge.h"
#include "lib/decap.h"
#include "lib/encap.h"
#include "lib/parse.h"

/* Not in every header that this is built with (Linux 6.3, and 7.1 for the last). */
#define ADJ_ROOM_DECAP_L3_IPV4 (1ull << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ull << 8)
#define ADJ_ROOM_DECAP_L4_UDP (1ull << 10)
#define ADJ_ROOM_ENCAP                                                                                     \
	(BPF_F_ADJ_ROOM_FIXED_GSO | ADJ_ROOM_ENCAP_L3 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |                      \
	 BPF_F_ADJ_ROOM_ENCAP_L2(ETH_BYTES) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH)
#ifdef CULVERT_UNDERLAY_IP6
#define ADJ_ROOM_ENCAP_L3 BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
#define ADJ_ROOM_DECAP_L3 ADJ_ROOM_DECAP_L3_IPV4
#else
#define ADJ_ROOM_ENCAP_L3 BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
#define ADJ_ROOM_DECAP_L3 ADJ_ROOM_DECAP_L3_IPV6
#endif
/* The skb of the tunnel says already that it is of the protocol inside. */
static __always_inline int is_of_outer_protocol(const int is_ip4)
{
	return OUTER_IP_BYTES == IP4_BYTES ? is_ip4 : !is_ip4;
}
/* What this kernel's bpf_skb_adjust_room() knows; set before the object is loaded. */
const volatile __u64 decap_flags;
/* Leave segments to the kernel where their outer checksum is not to be zero. */
const volatile __u64 exact_checksums;

/* The outer headers and the inner Ethernet header, while they are put together: a stack takes no
 * unaligned fields. */
struct scratch {
	__u8 frame[OUTER_BYTES + ETH_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* A segment's, as skb_gso_network_seglen() has it. */
static __always_inline __u32 wire_l3_bytes(struct __sk_buff *skb, const struct inner *in, __u32 bytes)
{
	if (!skb->gso_size)
		return bytes - ETH_BYTES;
	return (__u32)(in->l4 - in->frame) - ETH_BYTES + l4_header_bytes(in) + skb->gso_size;
}

static __always_inline __u32 check_shape(struct __sk_buff *skb, const struct culvert_port *port, __u32 bytes)
{
	return 0;
}

/* The source port that the kernel's device would take, from the hash that it would ask for (udp_flow_src_port): a flow
 * keeps it whoever sends its packets. */
static __always_inline __u16 device_source_port(__u32 hash, const tunnel_t *tunnel)
{
	return source_port(hash ^ hash << 16, tunnel);
}

/* Where the sender of the segments did not say how many there are. */
static __always_inline __u32 segments_of(struct __sk_buff *skb, const struct inner *in)
{
	__u32 headers;

	if (!skb->gso_size)
		return 1;
	if (skb->gso_segs)
		return skb->gso_segs;
	headers = in->l4 - in->frame;
	barrier_var(headers); /* no part of a pointer may be computed with */
	headers += l4_header_bytes(in);
	return (skb->len - headers + skb->gso_size - 1) / skb->gso_size;
}

/* Entering the container is a hop shorter, and the packet must look as if the container's device had received it: also
 * that it is for that device (`mac`). What is for another address takes the port's transmit path, which says so. */
static __always_inline int may_enter(const struct culvert_port *port, void *mac)
{
	return port->flags & CULVERT_PORT_ENTER && AT32(mac, 0) == AT32(port->mac, 0) &&
	       AT16(mac, 4) == AT16(port->mac, 4);
}

static __always_inline void deliver(struct __sk_buff *skb, const struct culvert_port *port, int enters)
{
	if (enters) {
		bpf_skb_change_type(skb, 0 /* PACKET_HOST */);
		bpf_redirect_peer(port->ifindex, 0);
	} else {
		bpf_redirect(port->ifindex, 0);
	}
}

/* skb->data in a register of 64 bits: left to itself the compiler here copies half of it, which is no pointer. */
static __always_inline void *first_byte(struct __sk_buff *skb)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data)
		     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, data)));
	return data;
}

/*
 * Headers lie in the linear part, or are made to: them alone. Payload in the linear part keeps the receiving socket from
 * merging segments, and pulling it costs a new head.
 */
static __always_inline void gather_headers(struct __sk_buff *skb, const __u32 outer)
{
	void *data = first_byte(skb), *end = (void *)(long)skb->data_end;
	__u32 need = outer + ETH_BYTES + IP4_BYTES;
	__u8 protocol;

	if (data + outer + ETH_BYTES + IP6_BYTES + TCP_BYTES <= end)
		return;
	if (data + outer + ETH_BYTES + IP4_BYTES > end) {
		/* No device or socket leaves it so: all that headers can be. */
		need += IP6_BYTES;
		goto pull;
	}
	switch (AT16(data, outer + ETH_TYPE)) {
	case bpf_htons(ETH_P_IP):
		need = outer + ETH_BYTES + (AT8(data, outer + ETH_BYTES) & 0xf) * 4;
		protocol = AT8(data, outer + ETH_BYTES + IP4_PROTOCOL);
		break;
	case bpf_htons(ETH_P_IPV6):
		need = outer + ETH_BYTES + IP6_BYTES;
		protocol = AT8(data, outer + ETH_BYTES + IP6_NEXT);
		break;
	default:
		return;
	}
	need += protocol == IPPROTO_TCP ? TCP_BYTES : UDP_BYTES;
	if (data + need <= end)
		return;
pull:
	bpf_skb_pull_data(skb, skb->len < need ? skb->len : need);
}

#endif
