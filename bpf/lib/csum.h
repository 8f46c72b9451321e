/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Internet checksums (RFC 1071), as sums of 32-bit words in memory order that
 * are folded once at the end, and the outer UDP checksum: by local checksum
 * offload (Documentation/networking/checksum-offloads.rst) where the inner one
 * is still to be made, else over every byte, as the kernel's device does.
 */
#ifndef CULVERT_CSUM_H
#define CULVERT_CSUM_H

#include "lib/parse.h"

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u64 sum_ip4_header(void *ip)
{
	return (__u64)AT32(ip, 0) + AT32(ip, 4) + AT32(ip, 8) + AT32(ip, 12) + AT32(ip, 16);
}

/* The inner layer 4 carries a checksum over all of itself. */
static __always_inline int has_own_checksum(const struct inner *in)
{
	if (in->fragment & bpf_htons(IP4_MORE_OR_OFFSET))
		return 0;
	switch (in->protocol) {
	case IPPROTO_TCP:
		return 1;
	case IPPROTO_UDP:
		return in->l4 + UDP_BYTES <= in->end && AT16(in->l4, UDP_CHECK);
	case IPPROTO_ICMP:
		return in->is_ip4;
	case IPPROTO_ICMPV6:
		return !in->is_ip4;
	}
	return 0;
}

/* What a sender leaves in a checksum field that its device is to complete: the sum over the pseudo-header. */
static __always_inline __u16 pseudo_header(const struct inner *in)
{
	void *ip = in->frame + ETH_BYTES;
	__u32 l4_bytes = in->l3_bytes - (__u32)(in->l4 - ip);
	__u64 sum = bpf_htonl(in->protocol) + (__u64)bpf_htonl(l4_bytes);
	int i;

	if (in->is_ip4)
		return fold(sum + AT32(ip, IP4_SOURCE) + AT32(ip, IP4_DESTINATION));
	for (i = 0; i < 8; i++)
		sum += AT32(ip, IP6_SOURCE + 4 * i);
	return fold(sum);
}

/* Of 32 bytes: 4 KiB. */
#define SUM_CHUNKS 128

/* Sum over a whole linear frame of up to 4 KiB; -1: longer than that. Global, so that
 * the verifier walks its loop once and not once per way there. */
__attribute__((noinline)) long culvert_sum_frame(packet_t *ctx)
{
	void *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 sum = 0;
	int i;

	for (i = 0; i < SUM_CHUNKS && at + 32 <= end; i++) {
		sum += (__u64)AT32(at, 0) + AT32(at, 4) + AT32(at, 8) + AT32(at, 12);
		sum += (__u64)AT32(at, 16) + AT32(at, 20) + AT32(at, 24) + AT32(at, 28);
		at += 32;
	}
	for (i = 0; i < 4 && at + 8 <= end; i++) {
		sum += (__u64)AT32(at, 0) + AT32(at, 4);
		at += 8;
	}
	if (at + 8 <= end)
		return -1;
	if (at + 4 <= end) {
		sum += AT32(at, 0);
		at += 4;
	}
	if (at + 2 <= end) {
		sum += AT16(at, 0);
		at += 2;
	}
	if (at + 1 <= end)
		sum += bpf_htons((__u16)AT8(at, 0) << 8);
	return sum;
}

#ifdef CULVERT_SKB
/* At a time, since bpf_csum_diff() takes no more before Linux 6.13. */
#define SUM_STRIDE 512
#define SUM_COPIED (18 * SUM_STRIDE)

struct copied {
	__u8 frame[SUM_COPIED];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct copied);
} copied SEC(".maps");

/* Sum over a frame of up to 9 KiB in fragments, or -1. They are copied out: pulling them into the linear part would take a
 * new head, and keep the receiver from merging. */
__attribute__((noinline)) long culvert_sum_fragments(packet_t *ctx)
{
	__u32 zero = 0, bytes = ctx->len, at;
	struct copied *copy = bpf_map_lookup_elem(&copied, &zero);
	long sum = 0;

	if (!copy || bytes < ETH_BYTES)
		return -1;
	/* Two comparisons, not a subtraction and one: of that, Linux 6.1's verifier learns no bound. */
	barrier_var(bytes);
	if (bytes > SUM_COPIED - 4)
		return -1;
	barrier_var(bytes);
	if (bpf_skb_load_bytes(ctx, 0, copy, bytes))
		return -1;
	AT32((void *)copy, bytes) = 0; /* the last words may not be whole */
	for (at = 0; at < SUM_COPIED && at < bytes; at += SUM_STRIDE) {
		__u32 rest = bytes - at;

		if (rest > SUM_STRIDE)
			rest = SUM_STRIDE;
		sum = bpf_csum_diff(0, 0, (void *)copy + at, (rest + 3) & ~3u, sum);
		if (sum < 0)
			return -1;
	}
	return (__u32)sum;
}

/* Sum over all of the inner frame, or -1 where it is too long for that. */
static __always_inline long sum_whole(packet_t *ctx, __u32 bytes)
{
	if (bytes == ctx->data_end - ctx->data && bytes <= 32 * SUM_CHUNKS)
		return culvert_sum_frame(ctx);
	return bytes == ctx->len ? culvert_sum_fragments(ctx) : -1;
}

/* The layer 4 checksum holds the sum over the pseudo-header: its device is to make it. */
static __always_inline int is_unfinished(const struct inner *in, __u16 pseudo)
{
	switch (in->protocol) {
	case IPPROTO_TCP:
		return in->l4 + TCP_BYTES <= in->end && AT16(in->l4, TCP_CHECK) == pseudo;
	case IPPROTO_UDP:
		return in->l4 + UDP_BYTES <= in->end && AT16(in->l4, UDP_CHECK) == pseudo;
	}
	return 0;
}

/*
 * Sum over the inner frame from its Ethernet header to its end, or -1. With a right checksum inside, the sum over
 * layer 4 is the complement of its pseudo-header's. Where one is there, but not as it must be, it may be wrong, or
 * something inside is still to be made that an skb shows to the kernel alone.
 */
static __always_inline long sum_inner(packet_t *ctx, const struct inner *in, __u32 bytes)
{
	void *frame = in->frame, *ip = frame + ETH_BYTES;
	__u16 pseudo;
	long whole;
	__u64 sum;

	/* Padding behind the IP packet is in no inner checksum. */
	if (bytes != ETH_BYTES + in->l3_bytes || !has_own_checksum(in) || (in->is_ip4 && !in->plain_ip4))
		return -1;
	sum = (__u64)AT32(frame, 0) + AT32(frame, 4) + AT32(frame, 8) + AT16(frame, ETH_TYPE);
	if (in->is_ip4) {
		sum += sum_ip4_header(ip);
		if (in->protocol == IPPROTO_ICMP) /* has no pseudo-header */
			goto compare;
	} else {
		sum += (__u64)AT32(ip, 0) + AT32(ip, 4) + AT32(ip, 8) + AT32(ip, 12) + AT32(ip, 16);
		sum += (__u64)AT32(ip, 20) + AT32(ip, 24) + AT32(ip, 28) + AT32(ip, 32) + AT32(ip, 36);
	}
	pseudo = pseudo_header(in);
	sum += (__u16)~pseudo;
	if (is_unfinished(in, pseudo))
		return sum;
compare:
	whole = sum_whole(ctx, bytes);
	return whole >= 0 && fold(whole) == fold(sum) ? (long)sum : -1;
}
#else
/* A raw frame is summed as it is: nothing in it is still to be made, and a checksum inside may be wrong. */
static __always_inline long sum_inner(packet_t *ctx, const struct inner *in, __u32 bytes)
{
	return bytes == ctx->data_end - ctx->data ? culvert_sum_frame(ctx) : -1;
}
#endif

#endif
