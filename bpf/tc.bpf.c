// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `tc`: on the skb, at the devices' tc ingress. Segmentation and checksum
 * offloads stay what they are: a 64 KiB segment crosses the overlay whole.
 */
#define CULVERT_SKB
#include "lib/skb_frame.h"

/*
 * To a device of another namespace: by a veth pair of Culvert's own whose ends run culvert_relay, since redirection takes an
 * ifindex of the namespace that the skb is in. The mark, which no scrubbing on this path clears, says where to go on to.
 */
#define RELAY_ENTER (1u << 31)

static __always_inline void relay(struct __sk_buff *skb, __u32 by, __u32 ifindex, int may_enter)
{
	skb->mark = ifindex | (may_enter ? RELAY_ENTER : 0);
	bpf_redirect_peer(by, 0);
}

struct tx {
	struct outer out;
	struct culvert_port *port;
	__u32 relay;
	__u32 enters;
	struct scratch *made;
};

static __always_inline __u32 prepare_encap(struct __sk_buff *skb, const struct inner *in, struct decision *decision,
					   struct packet_context *packet, tunnel_t *tunnel, struct tx *tx)
{
	struct flow flow = { .segments = segments_of(skb, in) };
	struct culvert_port *from = port_at(decision->slot);
	__u32 zero = 0;

	tx->port = port_at(tunnel->uplink);
	tx->made = bpf_map_lookup_elem(&scratch, &zero);
	if (!tx->port || !tx->made || !from)
		return CULVERT_PASS_UNKNOWN_PORT;
	tx->relay = from->relay_out;
	if (packet->bytes + OUTER_BYTES - OUTER_IP > 0xffff)
		return CULVERT_PASS_MTU;
	/* A full outer checksum of segments: the kernel's device has marks on the skb for it that a program cannot set. */
	if (OUTER_CHECKSUM_IS_OPTIONAL && tunnel->flags & CULVERT_TUNNEL_UDP_CSUM && skb->gso_size && exact_checksums)
		return CULVERT_PASS_CHECKSUM;
	flow.hash = bpf_get_hash_recalc(skb) ?: flow_hash(in);
	flow.port = device_source_port(flow.hash, tunnel);
	return prepare_outer(skb, &tx->out, in, tunnel, packet->bytes, flow, !skb->gso_size);
}

static __always_inline __u32 commit_encap(struct __sk_buff *skb, const struct inner *in, tunnel_t *tunnel,
					  struct tx *tx)
{
	void *made = tx->made;

	AT64(made, OUTER_BYTES) = AT64(in->frame, 0);
	AT32(made, OUTER_BYTES + 8) = AT32(in->frame, 8);
	AT16(made, OUTER_BYTES + 12) = AT16(in->frame, 12);
	write_outer(made, &tx->out, tunnel);
	if (bpf_skb_adjust_room(skb, OUTER_BYTES, BPF_ADJ_ROOM_MAC, ADJ_ROOM_ENCAP))
		return CULVERT_PASS_HEADROOM;
	bpf_skb_store_bytes(skb, 0, made, sizeof(*tx->made), 0);
	if (tx->relay)
		relay(skb, tx->relay, tx->port->ifindex, 0);
	else
		bpf_redirect(tx->port->ifindex, 0);
	return CULVERT_FORWARDED_ENCAP;
}

/* Docker's rule about what a container sends to its own published port does not stop the others: it is about such packets
 * alone (Policy+Netfilter.swift). */
static __always_inline int goes_to_its_source(const struct inner *in)
{
	void *ip = in->frame + ETH_BYTES;

	if (in->is_ip4)
		return AT32(ip, IP4_SOURCE) == AT32(ip, IP4_DESTINATION);
	return AT64(ip, IP6_SOURCE + 8) == AT64(ip, IP6_DESTINATION + 8) &&
	       AT64(ip, IP6_SOURCE) == AT64(ip, IP6_DESTINATION);
}

static __always_inline __u32 prepare_local(struct __sk_buff *skb, const struct inner *in, struct decision *decision,
					   struct tx *tx)
{
	if (goes_to_its_source(in))
		return CULVERT_PASS_POLICY;
	tx->port = port_at(decision->target);
	if (!tx->port)
		return CULVERT_PASS_UNKNOWN_PORT;
	tx->enters = may_enter(tx->port, in->frame);
	return 0;
}

static __always_inline __u32 commit_local(struct __sk_buff *skb, struct tx *tx)
{
	deliver(skb, tx->port, tx->enters);
	return CULVERT_FORWARDED_LOCAL;
}

static __always_inline void write_ecn(struct __sk_buff *skb, const int is_ip4, __u8 before, int tos)
{
	if (is_ip4) {
		__u8 now = tos;

		bpf_l3_csum_replace(skb, ETH_BYTES + IP4_CHECK, bpf_htons(before), bpf_htons(now), 2);
		bpf_skb_store_bytes(skb, ETH_BYTES + IP4_TOS, &now, 1, 0);
	} else {
		__u16 head;

		if (bpf_skb_load_bytes(skb, ETH_BYTES, &head, 2))
			return;
		head = bpf_htons((bpf_ntohs(head) & 0xf00f) | tos << 4);
		bpf_skb_store_bytes(skb, ETH_BYTES, &head, 2, BPF_F_RECOMPUTE_CSUM);
	}
}

static __always_inline __u32 prepare_decap(struct __sk_buff *skb, const struct inner *in, struct decision *decision,
					   __u8 outer_tos, struct tx *tx)
{
	tx->port = port_at(decision->target);
	if (!tx->port)
		return CULVERT_PASS_UNKNOWN_PORT;
	/* The marks of a tunnel stay on merged packets. TCP does not mind; a UDP socket cannot cut such datagrams up again. */
	if (skb->gso_size && in->protocol != IPPROTO_TCP && !(decap_flags & ADJ_ROOM_DECAP_L4_UDP))
		return CULVERT_PASS_UNSUPPORTED;
	/* Where another IP inside cannot be told to the kernel the skb goes on as the outer one: the port's device looks again. */
	tx->enters = may_enter(tx->port, in->frame) &&
		     (is_of_outer_protocol(in->is_ip4) || decap_flags & ADJ_ROOM_DECAP_L3);
	/* And what is left must then be as long as its header. */
	if (OUTER_IP_BYTES > IP4_BYTES && in->is_ip4 && in->l3_bytes < OUTER_IP_BYTES && !(decap_flags & ADJ_ROOM_DECAP_L3))
		return CULVERT_PASS_UNSUPPORTED;
	return 0;
}

static __always_inline __u32 commit_decap(struct __sk_buff *skb, const struct inner *in, __u8 outer_tos, struct tx *tx)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | (decap_flags & ADJ_ROOM_DECAP_L4_UDP);
	int tos = merged_tos(in->tos, outer_tos);
	__u32 macs[3] = { AT32(in->frame, 0), AT32(in->frame, 4), AT32(in->frame, 8) };
	__u16 type = AT16(in->frame, ETH_TYPE);
	__u32 is_ip4 = in->is_ip4;
	__u8 before = in->tos;

	if (!is_of_outer_protocol(is_ip4))
		flags |= decap_flags & ADJ_ROOM_DECAP_L3;
	if (bpf_skb_adjust_room(skb, -OUTER_BYTES, BPF_ADJ_ROOM_MAC, flags))
		return CULVERT_PASS_HEADROOM;
	/* What the NIC verified: the outer checksum is gone, the inner one stays verified. */
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
	bpf_skb_store_bytes(skb, ETH_TYPE, &type, sizeof(type), 0);
	if (tos >= 0)
		write_ecn(skb, is_ip4, before, tos);
	if (tx->port->relay_in)
		relay(skb, tx->port->relay_in, tx->port->ifindex, tx->enters);
	else
		deliver(skb, tx->port, tx->enters);
	return CULVERT_FORWARDED_DECAP;
}

#include "lib/datapath.h"
#include "lib/tc_stub.h"

/* On the host's end of each container's veth. */
SEC("tc") int culvert_port(struct __sk_buff *skb)
{
	struct packet_context packet = {};

	if (skb->vlan_present)
		return account(skb, &packet, CULVERT_PASS_NOT_IP);
	gather_headers(skb, 0);
	return account(skb, &packet, from_container(skb, &packet));
}

/* On the underlay's interface. */
SEC("tc") int culvert_uplink(struct __sk_buff *skb)
{
	struct packet_context packet = {};

	set_ingress_port(&packet, config.uplink);
	if (skb->vlan_present)
		return account(skb, &packet, CULVERT_PASS_NOT_OVERLAY);
	gather_headers(skb, OUTER_BYTES);
	return account(skb, &packet, from_wire(skb, &packet));
}

/* On both ends of the veth pair between the namespaces; nothing but relay() sends there. */
SEC("tc") int culvert_relay(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, ifindex = mark & ~RELAY_ENTER;

	if (!ifindex)
		return TC_ACT_SHOT;
	skb->mark = 0;
	if (!(mark & RELAY_ENTER))
		return bpf_redirect(ifindex, 0);
	bpf_skb_change_type(skb, 0 /* PACKET_HOST */);
	return bpf_redirect_peer(ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
