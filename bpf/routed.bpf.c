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

static __always_inline int is_extension(__u8 protocol)
{
	switch (protocol) {
	case IP6_HOP_BY_HOP:
	case IP6_ROUTING:
	case IP6_FRAGMENT:
	case IP6_NO_NEXT:
	case IP6_OPTIONS:
	case IP6_MOBILITY:
	case IP6_HIP:
	case IP6_SHIM6:
	case IPPROTO_AH:
		return 1;
	}
	return 0;
}

/* Neither a group's, nor of one link alone, nor unspecified, the loopback or IPv4's in IPv6: ip6_rcv_core() and
 * ip6_forward() have something to say about those. */
static __always_inline int is_routable(void *address)
{
	__u16 first = bpf_ntohs(AT16(address, 0));

	return first < 0xff00 && (first & 0xffc0) != 0xfe80 && AT64(address, 0);
}

/* Returns 0 for what a router forwards without having to say anything, or why it is the kernel's. */
static __always_inline __u32 check_routed(const struct inner *in, const int is_ip4)
{
	void *ip = in->frame + ETH_BYTES;

	if (is_ip4) {
		if (!in->plain_ip4 || in->fragment & bpf_htons(IP4_MORE_OR_OFFSET))
			return CULVERT_PASS_IP_HEADER;
		/* ip_rcv() drops what is wrong, ip_forward() answers what is at its end. */
		if (in->ttl <= 1 || fold(sum_ip4_header(ip)) != 0xffff)
			return CULVERT_PASS_ROUTE;
		return 0;
	}
	if (AT8(ip, 0) >> 4 != 6 || is_extension(in->protocol))
		return CULVERT_PASS_IP_HEADER;
	if (in->ttl <= 1 || !is_routable(ip + IP6_SOURCE) || !is_routable(ip + IP6_DESTINATION))
		return CULVERT_PASS_ROUTE;
	return 0;
}

/* What of IP's header a router changes. IPv4: TTL, protocol and checksum, as ip_decrease_ttl() leaves them; IPv6: the hop
 * limit. */
static __always_inline __u32 next_hop_word(void *ip, const int is_ip4)
{
	__u32 check;

	if (!is_ip4)
		return AT8(ip, IP6_HOP_LIMIT) - 1;
	check = AT16(ip, IP4_CHECK) + bpf_htons(0x0100);
	return word_of(AT16(ip, IP4_TTL) - bpf_htons(0x0100), check + (check >= 0xffff));
}

/* What that adds to the sum over the frame: IPv4's header has its own, which stays 0xffff. */
static __always_inline __u64 next_hop_delta(const int is_ip4)
{
	return is_ip4 ? 0 : (__u16)~bpf_htons(1);
}

/* Translation, and the word that next_hop_word() gave, into the packet whose Ethernet header is at `frame`. */
static __always_inline void write_ip(struct __sk_buff *skb, const struct translation *nat, __u8 protocol, __u32 word,
				     const __u32 frame, const int is_ip4)
{
	__u8 hop_limit = word;

	if (nat->is_translated)
		translate(skb, nat, protocol, frame, (__be16 *)&word + 1, is_ip4);
	if (is_ip4)
		bpf_skb_store_bytes(skb, frame + ETH_BYTES + IP4_TTL, &word, sizeof(word), 0);
	else
		bpf_skb_store_bytes(skb, frame + ETH_BYTES + IP6_HOP_LIMIT, &hop_limit, sizeof(hop_limit),
				    BPF_F_RECOMPUTE_CSUM);
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
					 struct culvert_fdb_entry *source, __u32 source_nexthop, const int is_ip4)
{
	const struct translation *nat = &outcome->nat;
	const struct route *route = &outcome->route;
	struct flow flow = { .segments = segments_of(skb, in) };
	tunnel_t *tunnel = tunnel_at(outcome->target);
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
	if (OUTER_CHECKSUM_IS_OPTIONAL && tunnel->flags & CULVERT_TUNNEL_UDP_CSUM && skb->gso_size && exact_checksums)
		return CULVERT_PASS_CHECKSUM;
	flow.hash = bpf_get_hash_recalc(skb) ?: flow_hash(in);
	flow.port = device_source_port(flow.hash, tunnel);
	flow.delta = (__u64)(__u32)~AT32(in->frame, 0) + (__u32)~AT32(in->frame, 4) + (__u32)~AT32(in->frame, 8) +
		     (__u32)route->macs[0] + (route->macs[0] >> 32) + (__u32)route->macs[1] + next_hop_delta(is_ip4) +
		     translation_delta(nat, is_ip4);
	verdict = prepare_outer(skb, &out, in, tunnel, packet->bytes, flow, !skb->gso_size);
	if (verdict)
		return verdict;
	if (source && refresh_due(source, source_nexthop))
		return CULVERT_PASS_REFRESH;
	word = next_hop_word(in->frame + ETH_BYTES, is_ip4);
	AT64((void *)made, OUTER_BYTES) = route->macs[0];
	AT32((void *)made, OUTER_BYTES + 8) = route->macs[1];
	AT16((void *)made, OUTER_BYTES + 12) = is_ip4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	write_outer(made, &out, tunnel);
	if (bpf_skb_adjust_room(skb, OUTER_BYTES, BPF_ADJ_ROOM_MAC, ADJ_ROOM_ENCAP))
		return CULVERT_PASS_HEADROOM;
	bpf_skb_store_bytes(skb, 0, made, sizeof(*made), 0);
	write_ip(skb, nat, protocol, word, OUTER_BYTES, is_ip4);
	bpf_redirect(uplink->ifindex, 0);
	return CULVERT_FORWARDED_ENCAP;
}

/* The frame is the inner one by now. */
static __always_inline void write_hop(struct __sk_buff *skb, const struct routed_outcome *outcome, __u8 protocol, __u32 word,
				      const int is_ip4)
{
	__u32 macs[3] = { outcome->route.macs[0], outcome->route.macs[0] >> 32, outcome->route.macs[1] };

	bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
	write_ip(skb, &outcome->nat, protocol, word, 0, is_ip4);
}

/* Returns 0 where packets of that IP are served, or why they are the kernel's. */
static __always_inline __u32 check_inside(const struct culvert_routed_device *device, const int is_ip4)
{
	__u8 left = is_ip4 ? device->left4 : device->left6;

	return left ? pass_reason(left) : 0;
}

/* A packet of a container's: who sends it, and what router and rules make of it. `source` is its sender's entry, where
 * there is one to keep alive. */
static __always_inline __u32 decide_port(struct __sk_buff *skb, const struct inner *in, struct endpoints *of,
					 struct packet_context *packet, struct routed_outcome *outcome,
					 struct culvert_fdb_entry **source, __u32 *source_nexthop,
					 const int by_connections, const int is_ip4)
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
	verdict = check_inside(device, is_ip4);
	if (verdict)
		return verdict;
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
	verdict = by_connections ? connection_lookup(skb, in, of, &outcome->nat, is_ip4) : 0;
	if (verdict)
		return verdict;
	verdict = route_lookup(skb, &outcome->route, device->router, of, in, wire_l3_bytes(skb, in, packet->bytes), is_ip4);
	return verdict ?: egress_of(outcome, 1);
}

/* `key`, which is empty, and `decided` hold what is put together here. */
static __always_inline __u32 route_from_port(struct __sk_buff *skb, struct inner *in, struct packet_context *packet,
					     struct routed_key *key, struct routed_outcome *decided,
					     const int by_connections, const int is_ip4)
{
	struct culvert_fdb_entry *source = 0;
	struct routed_cache_slot cache = {};
	struct routed_outcome *outcome = 0;
	__u32 verdict, source_nexthop = 0;
	struct culvert_port *port;
	struct endpoints of;

	verdict = check_routed(in, is_ip4);
	if (verdict)
		return verdict;
	packet->bytes = frame_bytes(skb, in);
	read_endpoints(&of, in, is_ip4);
	key->arrival = skb->ifindex;
	routed_key_inner(key, in, &of, is_ip4);
	if (may_be_cached(in, is_ip4))
		outcome = routed_cache_lookup(&cache, key, is_ip4);
	if (outcome && packet->bytes == ETH_BYTES + in->l3_bytes &&
	    wire_l3_bytes(skb, in, packet->bytes) <= outcome->route.mtu) {
		set_ingress_port(packet, outcome->ingress);
	} else {
		*decided = (struct routed_outcome){};
		outcome = decided;
		verdict = decide_port(skb, in, &of, packet, outcome, &source, &source_nexthop, by_connections, is_ip4);
		if (verdict)
			return verdict;
		routed_cache_store(&cache, key, outcome, is_ip4);
	}
	in->ttl--;
	if (outcome->kind == CULVERT_FDB_REMOTE)
		return encapsulate(skb, in, outcome, packet, source, source_nexthop, is_ip4);
	port = port_at(outcome->target);
	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(skb, in, packet->bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	if (source && refresh_due(source, source_nexthop))
		return CULVERT_PASS_REFRESH;
	write_hop(skb, outcome, in->protocol, next_hop_word(in->frame + ETH_BYTES, is_ip4), is_ip4);
	deliver(skb, port, may_enter(port, (void *)outcome->route.macs));
	return CULVERT_FORWARDED_LOCAL;
}

static __always_inline __u32 from_port(struct __sk_buff *skb, struct packet_context *packet, const int by_connections)
{
	void *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct routed_outcome decided;
	struct routed_key4 key = {};
	struct routed_work *work;
	struct inner in = {};
	__u32 verdict = parse_inner(&in, frame, end);

	if (verdict)
		return verdict;
	if (__builtin_expect(in.is_ip4, 1))
		return route_from_port(skb, &in, packet, &key.common, &decided, by_connections, 1);
	work = start_work();
	if (!work)
		return CULVERT_PASS_UNSUPPORTED;
	return route_from_port(skb, &in, packet, &work->key.common, &work->decided, by_connections, 0);
}

/* A packet out of a tunnel: whose it is, and what router and rules make of it. */
static __always_inline __u32 decide_uplink(struct __sk_buff *skb, const struct inner *in, struct endpoints *of,
					   struct flow_key *outer, __u32 bytes, struct routed_outcome *outcome,
					   const int by_connections, const int is_ip4)
{
	__u32 verdict, domain = 0, nexthop, ifindex = vxlan_ifindex;
	struct culvert_routed_device *device;
	tunnel_t *tunnel;

	verdict = domain_of(outer, &domain);
	if (verdict)
		return verdict;
	device = bpf_map_lookup_elem(&routed_devices, &ifindex);
	if (!device)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (!has_mac(in->frame, device))
		return CULVERT_PASS_UNKNOWN_DEST;
	verdict = check_inside(device, is_ip4);
	if (verdict)
		return verdict;
	/* From no VTEP but the one that has the address of the sending router. */
	if (!fdb_lookup(domain, in->frame + ETH_ALEN, &nexthop))
		return CULVERT_PASS_UNKNOWN_SOURCE;
	if (culvert_nexthop_kind(nexthop) != CULVERT_FDB_REMOTE)
		return pass_reason(culvert_nexthop_target(nexthop));
	tunnel = tunnel_at(culvert_nexthop_target(nexthop));
	if (!tunnel || !is_from(tunnel, outer) || tunnel->vni_be != (outer->vni_be & ~bpf_htonl(0xff)))
		return CULVERT_PASS_MOVED_SOURCE;
	if (bytes != ETH_BYTES + in->l3_bytes)
		return CULVERT_PASS_IP_HEADER;
	verdict = by_connections ? connection_lookup(skb, in, of, &outcome->nat, is_ip4) : 0;
	if (verdict)
		return verdict;
	verdict = route_lookup(skb, &outcome->route, ifindex, of, in, wire_l3_bytes(skb, in, bytes), is_ip4);
	return verdict ?: egress_of(outcome, 0);
}

/* `tos` is the outer one. */
static __always_inline __u32 route_from_uplink(struct __sk_buff *skb, const struct inner *in, struct packet_context *packet,
					       struct flow_key *outer, __u8 tos, struct routed_key *key,
					       struct routed_outcome *decided, const int by_connections,
					       const int is_ip4)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | (decap_flags & ADJ_ROOM_DECAP_L4_UDP);
	__u16 type = is_ip4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__u32 verdict, bytes = packet->bytes - OUTER_BYTES, word;
	struct routed_cache_slot cache = {};
	struct routed_outcome *outcome = 0;
	__u8 protocol = in->protocol;
	struct culvert_port *port;
	struct endpoints of;
	int enters;

	verdict = check_routed(in, is_ip4);
	if (verdict)
		return verdict;
	if (merged_tos(in->tos, tos) >= 0 || (tos & ECN_MASK && (in->tos & ECN_MASK) == ECN_NOT_ECT))
		return CULVERT_PASS_ECN;
	read_endpoints(&of, in, is_ip4);
	key->vni_be = outer->vni_be | bpf_htonl(1);
	key->arrival = outer->arrival;
	key->from = outer->from;
	key->local = outer->local;
	key->addresses = outer->addresses;
	routed_key_inner(key, in, &of, is_ip4);
	if (may_be_cached(in, is_ip4))
		outcome = routed_cache_lookup(&cache, key, is_ip4);
	if (!outcome || bytes != ETH_BYTES + in->l3_bytes || wire_l3_bytes(skb, in, bytes) > outcome->route.mtu) {
		*decided = (struct routed_outcome){};
		outcome = decided;
		verdict = decide_uplink(skb, in, &of, outer, bytes, outcome, by_connections, is_ip4);
		if (verdict)
			return verdict;
		routed_cache_store(&cache, key, outcome, is_ip4);
	}
	port = port_at(outcome->target);
	if (!port || !port->ifindex)
		return CULVERT_PASS_UNKNOWN_PORT;
	if (wire_l3_bytes(skb, in, bytes) > port->mtu)
		return CULVERT_PASS_MTU;
	/* The marks of a tunnel stay on merged packets; a UDP socket cannot cut such datagrams up again. */
	if (skb->gso_size && protocol != IPPROTO_TCP && !(decap_flags & ADJ_ROOM_DECAP_L4_UDP))
		return CULVERT_PASS_UNSUPPORTED;
	/* Where another IP inside cannot be told to the kernel, the skb looks like one of the outer's. */
	if (!is_of_outer_protocol(is_ip4) && !(decap_flags & ADJ_ROOM_DECAP_L3))
		return CULVERT_PASS_UNSUPPORTED;
	if (!is_of_outer_protocol(is_ip4))
		flags |= ADJ_ROOM_DECAP_L3;
	enters = may_enter(port, (void *)outcome->route.macs);
	word = next_hop_word(in->frame + ETH_BYTES, is_ip4);
	if (bpf_skb_adjust_room(skb, -OUTER_BYTES, BPF_ADJ_ROOM_MAC, flags))
		return CULVERT_PASS_HEADROOM;
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	write_hop(skb, outcome, protocol, word, is_ip4);
	bpf_skb_store_bytes(skb, ETH_TYPE, &type, sizeof(type), 0);
	deliver(skb, port, enters);
	return CULVERT_FORWARDED_DECAP;
}

static __always_inline __u32 from_uplink(struct __sk_buff *skb, struct packet_context *packet, const int by_connections)
{
	void *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct routed_outcome decided;
	struct routed_key4 key = {};
	struct flow_key outer = {};
	struct routed_work *work;
	struct inner in = {};
	__u32 verdict;
	__u8 tos;

	verdict = check_outer(skb, frame, end);
	if (verdict)
		return verdict;
	if (frame + OUTER_BYTES + ETH_BYTES > end)
		return CULVERT_PASS_TRUNCATED;
	packet->bytes = outer_frame_bytes(frame);
	tos = received_tos(frame);
	outer.vni_be = AT32(frame, OUTER_VXLAN + 4);
	if (AT32(frame, OUTER_VXLAN) != VXLAN_FLAGS || outer.vni_be & bpf_htonl(0xff))
		return CULVERT_PASS_VXLAN_FLAGS;
	set_outer_addresses(&outer, frame);
	outer.arrival = AT16(frame, OUTER_UDP + UDP_DESTINATION);
	verdict = parse_inner(&in, frame + OUTER_BYTES, end);
	if (verdict)
		return verdict;
	if (AT16(frame, OUTER_UDP + UDP_CHECK) && !has_own_checksum(&in))
		return CULVERT_PASS_CHECKSUM;
	if (__builtin_expect(in.is_ip4, 1))
		return route_from_uplink(skb, &in, packet, &outer, tos, &key.common, &decided, by_connections, 1);
	work = start_work();
	if (!work)
		return CULVERT_PASS_UNSUPPORTED;
	return route_from_uplink(skb, &in, packet, &outer, tos, &work->key.common, &work->decided, by_connections, 0);
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
