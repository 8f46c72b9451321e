// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tier `tc` of an overlay that is routed (flannel's shape and Calico's): what ip_forward() and the VXLAN device would do
 * with a container's packet, at the tc ingress of the container's port; and the way back, at the uplink's. The kernel's
 * own tables decide about route and neighbour, and its connection tracking about what may pass rules by, where there are
 * any. Everything is decided before the first byte changes.
 */
#define CULVERT_SKB
#include "lib/skb_frame.h"
#include "lib/fib.h"
#include "lib/conntrack.h"
#include "lib/routed_cache.h"

/* The VXLAN device; set before the object is loaded. */
const volatile __u32 vxlan_ifindex;

static __always_inline int has_mac(void *frame, const struct culvert_routed_device *device)
{
	void *mac = (void *)device->mac;

	return AT32(frame, 0) == AT32(mac, 0) && AT16(frame, 4) == AT16(mac, 4);
}

/* Returns 0 for what a router forwards without having to say anything, or why it is the kernel's. */
static __always_inline __u32 parse_routed(struct inner *in, void *frame, void *end)
{
	__u32 verdict = parse_inner(in, frame, end);

	if (verdict)
		return verdict;
	if (!in->is_ip4)
		return CULVERT_PASS_UNSUPPORTED;
	if (!in->plain_ip4 || in->fragment & bpf_htons(IP4_MORE_OR_OFFSET))
		return CULVERT_PASS_IP_HEADER;
	/* ip_rcv() drops what is wrong, ip_forward() answers what is at its end. */
	if (in->ttl <= 1 || fold(sum_ip4_header(frame + ETH_BYTES)) != 0xffff)
		return CULVERT_PASS_ROUTE;
	return 0;
}

/* IP's TTL, protocol and checksum behind the router, as ip_decrease_ttl() leaves them. */
static __always_inline __u32 next_hop_word(void *ip)
{
	__u32 check = AT16(ip, IP4_CHECK) + bpf_htons(0x0100);

	return word_of(AT16(ip, IP4_TTL) - bpf_htons(0x0100), check + (check >= 0xffff));
}

/* What a route leads to: the port on this host, or where there may be one the tunnel. */
static __always_inline __u32 egress_of(struct routed_outcome *outcome, const int may_be_remote)
{
	struct culvert_routed_device *egress = bpf_map_lookup_elem(&routed_devices, &outcome->route.ifindex);
	int is_vxlan;
	__u32 nexthop;

	if (!egress)
		return CULVERT_PASS_NOT_RESOLVED;
	is_vxlan = may_be_remote && egress->kind == CULVERT_ROUTED_VXLAN;
	outcome->kind = is_vxlan ? CULVERT_FDB_REMOTE : CULVERT_FDB_LOCAL;
	outcome->target = egress->slot;
	if (egress->kind == CULVERT_ROUTED_PORT && !egress->domain)
		return 0;
	if (!is_vxlan && egress->kind != CULVERT_ROUTED_BRIDGE)
		return CULVERT_PASS_ROUTE;
	if (!fdb_lookup(egress->domain, (void *)outcome->route.macs, &nexthop))
		return CULVERT_PASS_UNKNOWN_DEST;
	if (culvert_nexthop_kind(nexthop) != outcome->kind)
		return pass_reason(culvert_nexthop_target(nexthop));
	outcome->target = culvert_nexthop_target(nexthop);
	return 0;
}

static __always_inline __u32 encapsulate(struct __sk_buff *skb, const struct inner *in,
					 const struct routed_outcome *outcome, struct packet_context *packet,
					 struct culvert_fdb_entry *source, __u32 source_nexthop)
{
	const struct translation *nat = &outcome->nat;
	const struct route *route = &outcome->route;
	struct flow flow = { .segments = segments_of(skb, in) };
	struct culvert_tunnel *tunnel = tunnel_at(outcome->target);
	struct culvert_port *uplink;
	struct scratch *made;
	__u32 verdict, zero = 0, word;
	__u8 protocol = in->protocol;
	struct outer out;

	if (!tunnel)
		return CULVERT_PASS_NOT_RESOLVED;
	if (!tunnel->valid)
		return pass_reason(tunnel->reason);
	if (wire_l3_bytes(skb, in, packet->bytes) > tunnel->mtu || packet->bytes + OUTER_BYTES - OUTER_IP > 0xffff)
		return CULVERT_PASS_MTU;
	uplink = port_at(tunnel->uplink);
	made = bpf_map_lookup_elem(&scratch, &zero);
	if (!uplink || !uplink->ifindex || !made)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (tunnel->flags & CULVERT_TUNNEL_UDP_CSUM && skb->gso_size && exact_checksums)
		return CULVERT_PASS_CHECKSUM;
	flow.hash = bpf_get_hash_recalc(skb) ?: flow_hash(in);
	flow.port = device_source_port(flow.hash, tunnel);
	/* The frame's addresses change; the IP header's sum stays 0xffff. */
	flow.delta = (__u64)(__u32)~AT32(in->frame, 0) + (__u32)~AT32(in->frame, 4) + (__u32)~AT32(in->frame, 8) +
		     (__u32)route->macs[0] + (route->macs[0] >> 32) + (__u32)route->macs[1] + translation_delta(nat);
	verdict = prepare_outer(skb, &out, in, tunnel, packet->bytes, flow, !skb->gso_size);
	if (verdict)
		return verdict;
	if (source && refresh_due(source, source_nexthop))
		return CULVERT_PASS_REFRESH;
	word = next_hop_word(in->frame + ETH_BYTES);
	AT64((void *)made, OUTER_BYTES) = route->macs[0];
	AT32((void *)made, OUTER_BYTES + 8) = route->macs[1];
	AT16((void *)made, OUTER_BYTES + 12) = bpf_htons(ETH_P_IP);
	write_outer(made, &out, tunnel);
	if (bpf_skb_adjust_room(skb, OUTER_BYTES, BPF_ADJ_ROOM_MAC, ADJ_ROOM_ENCAP))
		return CULVERT_PASS_HEADROOM;
	bpf_skb_store_bytes(skb, 0, made, sizeof(*made), 0);
	if (nat->is_translated)
		translate(skb, nat, protocol, OUTER_BYTES, (__be16 *)&word + 1);
	bpf_skb_store_bytes(skb, OUTER_BYTES + ETH_BYTES + IP4_TTL, &word, sizeof(word), 0);
	bpf_redirect(uplink->ifindex, 0);
	return CULVERT_FORWARDED_ENCAP;
}

/* The frame is the inner one by now. */
static __always_inline void write_hop(struct __sk_buff *skb, const struct route *route, const struct translation *nat,
				      __u8 protocol, __u32 word)
{
	__u32 macs[3] = { route->macs[0], route->macs[0] >> 32, route->macs[1] };

	if (nat->is_translated)
		translate(skb, nat, protocol, 0, (__be16 *)&word + 1);
	bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
	bpf_skb_store_bytes(skb, ETH_BYTES + IP4_TTL, &word, sizeof(word), 0);
}

/* A packet of a container's: who sends it, and what router and rules make of it. `source` is its sender's entry, where
 * there is one to keep alive. */
static __always_inline __u32 decide_port(struct __sk_buff *skb, const struct inner *in, struct endpoints *of,
					 struct packet_context *packet, struct routed_outcome *outcome,
					 struct culvert_fdb_entry **source, __u32 *source_nexthop, const int by_connections)
{
	__u32 arrival = skb->ifindex, verdict;
	struct culvert_routed_device *device = bpf_map_lookup_elem(&routed_devices, &arrival);

	if (!device || device->kind != CULVERT_ROUTED_PORT)
		return CULVERT_PASS_UNKNOWN_PORT;
	outcome->ingress = device->slot;
	set_ingress_port(packet, device->slot);
	/* Not to the router: bridged, or to the host. */
	if (!has_mac(in->frame, device))
		return CULVERT_PASS_HOST;
	if (device->domain) {
		*source = fdb_lookup(device->domain, in->frame + ETH_ALEN, source_nexthop);
		if (!*source)
			return CULVERT_PASS_UNKNOWN_SOURCE;
		if (culvert_nexthop_kind(*source_nexthop) != CULVERT_FDB_LOCAL)
			return pass_reason(culvert_nexthop_target(*source_nexthop));
		if (culvert_nexthop_target(*source_nexthop) != device->slot)
			return CULVERT_PASS_MOVED_SOURCE;
	}
	/* ip_rcv() cuts off what is behind the IP packet. */
	if (packet->bytes != ETH_BYTES + in->l3_bytes)
		return CULVERT_PASS_IP_HEADER;
	verdict = by_connections ? connection_lookup(skb, in, of, &outcome->nat) : 0;
	if (verdict)
		return verdict;
	verdict = route_lookup(skb, &outcome->route, device->router, of, in, wire_l3_bytes(skb, in, packet->bytes));
	return verdict ?: egress_of(outcome, 1);
}

static __always_inline __u32 from_port(struct __sk_buff *skb, struct packet_context *packet, const int by_connections)
{
	void *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct routed_key key = { .arrival = skb->ifindex };
	struct culvert_fdb_entry *source = 0;
	struct routed_outcome outcome = {};
	struct routed_cache_slot cache = {};
	__u32 verdict, source_nexthop = 0;
	struct culvert_port *port;
	struct endpoints of;
	struct inner in = {};

	verdict = parse_routed(&in, frame, end);
	if (verdict)
		return verdict;
	packet->bytes = frame_bytes(skb, &in);
	read_endpoints(&of, &in);
	routed_key_inner(&key, &in, &of);
	if (may_be_cached(&in) && routed_cache_lookup(&cache, &key) && packet->bytes == ETH_BYTES + in.l3_bytes &&
	    wire_l3_bytes(skb, &in, packet->bytes) <= cache.flow->outcome.route.mtu) {
		outcome = cache.flow->outcome;
		set_ingress_port(packet, outcome.ingress);
	} else {
		verdict = decide_port(skb, &in, &of, packet, &outcome, &source, &source_nexthop, by_connections);
		if (verdict)
			return verdict;
		routed_cache_store(&cache, &key, &outcome);
	}
	in.ttl--;
	if (outcome.kind == CULVERT_FDB_REMOTE)
		return encapsulate(skb, &in, &outcome, packet, source, source_nexthop);
	port = port_at(outcome.target);
	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(skb, &in, packet->bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	if (source && refresh_due(source, source_nexthop))
		return CULVERT_PASS_REFRESH;
	write_hop(skb, &outcome.route, &outcome.nat, in.protocol, next_hop_word(frame + ETH_BYTES));
	deliver(skb, port, may_enter(port, (void *)outcome.route.macs));
	return CULVERT_FORWARDED_LOCAL;
}

/* A packet out of a tunnel: whose it is, and what router and rules make of it. */
static __always_inline __u32 decide_uplink(struct __sk_buff *skb, const struct inner *in, struct endpoints *of,
					   struct flow_key *outer, __u32 bytes, struct routed_outcome *outcome,
					   const int by_connections)
{
	__u32 verdict, domain = 0, nexthop, ifindex = vxlan_ifindex;
	struct culvert_routed_device *device;
	struct culvert_tunnel *tunnel;

	verdict = domain_of(outer, &domain);
	if (verdict)
		return verdict;
	device = bpf_map_lookup_elem(&routed_devices, &ifindex);
	if (!device)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (!has_mac(in->frame, device))
		return CULVERT_PASS_UNKNOWN_DEST;
	/* From no VTEP but the one that has the address of the sending router. */
	if (!fdb_lookup(domain, in->frame + ETH_ALEN, &nexthop))
		return CULVERT_PASS_UNKNOWN_SOURCE;
	if (culvert_nexthop_kind(nexthop) != CULVERT_FDB_REMOTE)
		return pass_reason(culvert_nexthop_target(nexthop));
	tunnel = tunnel_at(culvert_nexthop_target(nexthop));
	if (!tunnel || tunnel->remote != outer->from || tunnel->vni_be != outer->vni_be)
		return CULVERT_PASS_MOVED_SOURCE;
	if (bytes != ETH_BYTES + in->l3_bytes)
		return CULVERT_PASS_IP_HEADER;
	verdict = by_connections ? connection_lookup(skb, in, of, &outcome->nat) : 0;
	if (verdict)
		return verdict;
	verdict = route_lookup(skb, &outcome->route, ifindex, of, in, wire_l3_bytes(skb, in, bytes));
	return verdict ?: egress_of(outcome, 0);
}

static __always_inline __u32 from_uplink(struct __sk_buff *skb, struct packet_context *packet, const int by_connections)
{
	void *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | (decap_flags & ADJ_ROOM_DECAP_L4_UDP);
	__u32 verdict, bytes, word;
	struct routed_outcome outcome = {};
	struct routed_cache_slot cache = {};
	struct flow_key outer = {};
	struct routed_key key = {};
	struct culvert_port *port;
	struct endpoints of;
	struct inner in = {};
	__u16 type = bpf_htons(ETH_P_IP);
	__u8 tos;

	verdict = check_outer(skb, frame, end);
	if (verdict)
		return verdict;
	if (frame + OUTER_BYTES + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	packet->bytes = ETH_BYTES + bpf_ntohs(AT16(frame, OUTER_IP + IP4_LENGTH));
	tos = AT8(frame, OUTER_IP + IP4_TOS);
	outer.vni_be = AT32(frame, OUTER_VXLAN + 4);
	if (AT32(frame, OUTER_VXLAN) != VXLAN_FLAGS || outer.vni_be & bpf_htonl(0xff))
		return CULVERT_PASS_VXLAN_FLAGS;
	outer.local = key.local = AT32(frame, OUTER_IP + IP4_DESTINATION);
	outer.from = key.from = AT32(frame, OUTER_IP + IP4_SOURCE);
	outer.arrival = key.arrival = AT16(frame, OUTER_UDP + UDP_DESTINATION);
	key.vni_be = outer.vni_be | bpf_htonl(1);
	verdict = parse_routed(&in, frame + OUTER_BYTES, end);
	if (verdict)
		return verdict;
	if (AT16(frame, OUTER_UDP + UDP_CHECK) && !has_own_checksum(&in))
		return CULVERT_PASS_CHECKSUM;
	if (merged_tos(in.tos, tos) >= 0 || (tos & ECN_MASK && (in.tos & ECN_MASK) == ECN_NOT_ECT))
		return CULVERT_PASS_ECN;
	bytes = packet->bytes - OUTER_BYTES;
	read_endpoints(&of, &in);
	routed_key_inner(&key, &in, &of);
	if (may_be_cached(&in) && routed_cache_lookup(&cache, &key) && bytes == ETH_BYTES + in.l3_bytes &&
	    wire_l3_bytes(skb, &in, bytes) <= cache.flow->outcome.route.mtu) {
		outcome = cache.flow->outcome;
	} else {
		verdict = decide_uplink(skb, &in, &of, &outer, bytes, &outcome, by_connections);
		if (verdict)
			return verdict;
		routed_cache_store(&cache, &key, &outcome);
	}
	port = port_at(outcome.target);
	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(skb, &in, bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	/* The marks of a tunnel stay on merged packets; a UDP socket cannot cut such datagrams up again. */
	if (skb->gso_size && in.protocol != IPPROTO_TCP && !(decap_flags & ADJ_ROOM_DECAP_L4_UDP))
		return CULVERT_PASS_UNSUPPORTED;
	word = next_hop_word(in.frame + ETH_BYTES);
	if (bpf_skb_adjust_room(skb, -OUTER_BYTES, BPF_ADJ_ROOM_MAC, flags))
		return CULVERT_PASS_HEADROOM;
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	write_hop(skb, &outcome.route, &outcome.nat, in.protocol, word);
	bpf_skb_store_bytes(skb, ETH_TYPE, &type, sizeof(type), 0);
	deliver(skb, port, may_enter(port, (void *)outcome.route.macs));
	return CULVERT_FORWARDED_DECAP;
}

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
