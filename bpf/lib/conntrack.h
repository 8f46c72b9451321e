/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Policy by connections: a packet of a connection that conntrack holds as established may pass the rules by, as with
 * nftables' flow tables (Documentation/networking/nf_flowtable.rst). User space has said so of each TCP connection
 * before: its entry is liberal both ways, so that the kernel can take over at any moment, and marked.
 */
#ifndef CULVERT_CONNTRACK_H
#define CULVERT_CONNTRACK_H

#include "lib/csum.h"
#include "lib/ctx.h"
#include "lib/fib.h"

/* What is read of <net/netfilter/nf_conntrack.h>; libbpf finds where this kernel has it. */
#define KERNEL_TYPE __attribute__((preserve_access_index))

union nf_inet_addr {
	__u32 all[4];
} KERNEL_TYPE;

union nf_conntrack_man_proto {
	__be16 all;
} KERNEL_TYPE;

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
} KERNEL_TYPE;

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} KERNEL_TYPE u;
	} KERNEL_TYPE dst;
} KERNEL_TYPE;

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
} KERNEL_TYPE;

struct ip_ct_tcp_state {
	__u8 flags;
} KERNEL_TYPE;

struct ip_ct_tcp {
	struct ip_ct_tcp_state seen[2];
	__u8 state;
} KERNEL_TYPE;

union nf_conntrack_proto {
	struct ip_ct_tcp tcp;
} KERNEL_TYPE;

struct nf_conn {
	__u32 timeout;
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	__u32 mark;
	union nf_conntrack_proto proto;
} KERNEL_TYPE;

/* As Linux 6.1 has it; newer kernels take the shorter one too. */
struct bpf_ct_opts___12 {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

#ifdef CULVERT_SKB
#define ct_lookup bpf_skb_ct_lookup
#else
#define ct_lookup bpf_xdp_ct_lookup
#endif
extern struct nf_conn *ct_lookup(packet_t *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts___12 *, __u32) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *) __ksym __weak;
extern int bpf_ct_change_timeout(struct nf_conn *, __u32) __ksym __weak;

/* <linux/netfilter/nf_conntrack_common.h>, <linux/netfilter/nf_conntrack_tcp.h> */
#define CT_SEEN_REPLY (1u << 1)
#define CT_ASSURED (1u << 2)
#define CT_DST_NAT (1u << 5)
/* Source NAT, sequence numbers that change, dying, template, helper, offloaded by software or hardware. */
#define CT_NOT_SIMPLE (1u << 4 | 1u << 6 | 1u << 9 | 1u << 11 | 1u << 13 | 1u << 14 | 1u << 15)
#define CT_TCP_ESTABLISHED 3
#define CT_TCP_LIBERAL 8
#define CT_THIS_NAMESPACE (-1)

/* FIN, SYN and RST, RFC 9293; of the header's octet 13 */
#define TCP_FLAGS 13
#define TCP_CONTROL 7

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct culvert_connection_policy);
} connection_policy SEC(".maps");

#ifdef CULVERT_SKB
/* Of bpf_l4_csum_replace(): BPF_F_IPV6 where this kernel has it (Linux 6.16); without it, a sum that a device has made of
 * the whole packet would be spoilt. Set before the object is loaded. */
const volatile __u64 ip6_checksum_flag;

static __always_inline int may_translate(const int is_ip4)
{
	return is_ip4 || ip6_checksum_flag;
}
#else
/* Of a raw frame nobody has made a sum. */
static __always_inline int may_translate(const int is_ip4)
{
	return 1;
}
#endif

/* What destination NAT makes of a packet: of its destination where it is of the connection's original direction, of its
 * source where it is of the reply's. */
struct translation {
	__u32 is_translated;
	__u32 is_reply;
	__be16 port, port_before;
	struct address address, address_before;
};

static __always_inline __u32 judge_connection(struct nf_conn *ct, const struct culvert_connection_policy *policy,
					      __u8 protocol)
{
	__u32 status = ct->status, full, due;

	if (!(status & CT_SEEN_REPLY) || status & CT_NOT_SIMPLE)
		return CULVERT_PASS_CONNECTION;
	if (protocol == IPPROTO_TCP) {
		if (ct->proto.tcp.state != CT_TCP_ESTABLISHED ||
		    !(ct->proto.tcp.seen[0].flags & ct->proto.tcp.seen[1].flags & CT_TCP_LIBERAL) ||
		    (ct->mark & policy->mark) != policy->mark)
			return CULVERT_PASS_CONNECTION;
		full = policy->tcp_timeout;
		due = policy->tcp_due;
	} else {
		if (!(policy->flags & CULVERT_CONNECTION_UDP))
			return CULVERT_PASS_CONNECTION;
		full = policy->udp_timeout;
		due = status & CT_ASSURED ? policy->udp_due : policy->udp_reply_due;
	}
	/* Once a second, so that it ends no sooner than if the kernel had seen each packet. */
	if ((__s32)(ct->timeout - (__u32)bpf_jiffies64()) < (__s32)due) {
		/* The kernel makes a stream of it, and assured, by and by. */
		if (!(status & CT_ASSURED))
			return CULVERT_PASS_REFRESH;
		bpf_ct_change_timeout(ct, full);
	}
	return 0;
}

static __always_inline void read_tracked_address(struct address *to, const union nf_inet_addr *from, const int is_ip4)
{
	to->words[0] = from->all[0];
	if (is_ip4)
		return;
	to->words[1] = from->all[1];
	to->words[2] = from->all[2];
	to->words[3] = from->all[3];
}

/* Returns 0, or why it is the kernel's. */
static __always_inline __u32 read_translation(struct nf_conn *ct, __u32 is_reply, struct endpoints *of,
					      struct translation *nat, const int is_ip4)
{
	if (!(ct->status & CT_DST_NAT))
		return 0;
	if (!may_translate(is_ip4))
		return CULVERT_PASS_UNSUPPORTED;
	nat->is_translated = 1;
	nat->is_reply = is_reply;
	if (is_reply) {
		/* Behind routing. */
		nat->address_before = of->source;
		nat->port_before = of->source_port;
		read_tracked_address(&nat->address, &ct->tuplehash[0].tuple.dst.u3, is_ip4);
		nat->port = ct->tuplehash[0].tuple.dst.u.all;
		return 0;
	}
	nat->address_before = of->destination;
	nat->port_before = of->destination_port;
	read_tracked_address(&nat->address, &ct->tuplehash[1].tuple.src.u3, is_ip4);
	nat->port = ct->tuplehash[1].tuple.src.u.all;
	of->destination = nat->address;
	of->destination_port = nat->port;
	return 0;
}

/* Whether a packet may pass the rules by, and how it is translated; `of` is then what it is routed by. Returns 0, or why
 * it is the kernel's. */
static __always_inline __u32 connection_lookup(packet_t *ctx, const struct inner *in, struct endpoints *of,
					       struct translation *nat, const int is_ip4)
{
	struct bpf_ct_opts___12 options = { .netns_id = CT_THIS_NAMESPACE };
	struct culvert_connection_policy *policy;
	struct bpf_sock_tuple tuple = {};
	__u32 inside = !is_ip4, verdict;
	struct nf_conn *ct;

	policy = bpf_map_lookup_elem(&connection_policy, &inside);
	if (!policy)
		return CULVERT_PASS_CONNECTION;
	if (policy->flags & CULVERT_CONNECTION_ANY)
		return 0;
	if (!(policy->flags & CULVERT_CONNECTION_ESTABLISHED))
		return CULVERT_PASS_POLICY;
	if (in->protocol == IPPROTO_TCP) {
		if (in->l4 + TCP_BYTES > in->end || AT8(in->l4, TCP_FLAGS) & TCP_CONTROL)
			return CULVERT_PASS_CONNECTION;
	} else if (in->protocol != IPPROTO_UDP || in->l4 + UDP_BYTES > in->end) {
		return CULVERT_PASS_CONNECTION;
	}
	if (is_ip4) {
		tuple.ipv4.saddr = of->source.words[0];
		tuple.ipv4.daddr = of->destination.words[0];
		tuple.ipv4.sport = of->source_port;
		tuple.ipv4.dport = of->destination_port;
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, of->source.words, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, of->destination.words, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = of->source_port;
		tuple.ipv6.dport = of->destination_port;
	}
	options.l4proto = in->protocol;
	ct = ct_lookup(ctx, &tuple, is_ip4 ? sizeof(tuple.ipv4) : sizeof(tuple.ipv6), &options, sizeof(options));
	if (!ct)
		return CULVERT_PASS_CONNECTION;
	verdict = judge_connection(ct, policy, in->protocol);
	if (!verdict)
		verdict = read_translation(ct, options.dir, of, nat, is_ip4);
	bpf_ct_release(ct);
	return verdict;
}

/* What translation adds to the sum over the inner frame: layer 4's follows its pseudo-header, and IPv4's header has a sum of
 * its own, which stays. */
static __always_inline __u64 translation_delta(const struct translation *nat, const int is_ip4)
{
	return is_ip4 && nat->is_translated ? (__u64)(__u32)~nat->address.words[0] + nat->address_before.words[0] : 0;
}

/* Sum of what an address adds in the place of the one before. */
static __always_inline __u32 address_difference(const struct translation *nat)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < 4; i++)
		sum += (__u64)nat->address.words[i] + (__u32)~nat->address_before.words[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

#endif
