// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Load for measurements: a generator that BPF_PROG_RUN feeds with live frames, a
 * counting sink, and a relay to compare with.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi/bench.h"
#include "lib/headers.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct culvert_generator);
} generator SEC(".maps");

/* The first bytes of every frame: pages come back as the path under test left them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct culvert_template);
} template SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct culvert_sunk);
} sunk SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CULVERT_DELAY_BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} delays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CULVERT_ENDS);
	__type(key, __u32);
	__type(value, struct culvert_ends);
} ends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, CULVERT_ENDS);
	__type(key, __u32);
	__type(value, __u32);
} leaves SEC(".maps");

/* Where culvert_relay sends everything. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} beyond SEC(".maps");

const volatile struct culvert_sink_filter filter;

#define NS_PER_S 1000000000ull
#define BURST 64
/* A bound that every verifier understands. */
#define OFFSET_MASK 0xff

/* Token bucket. The bucket holds one NAPI burst: a larger one would show loss that the rate does not cause. */
static __always_inline int may_send(struct culvert_generator *g)
{
	__u64 now;

	/* The clock is read once per burst where the rate is not limited. */
	if (!g->rate && g->tokens) {
		g->tokens--;
		return 1;
	}
	now = bpf_ktime_get_ns();
	if (now >= g->stop_ns)
		return 0;
	if (!g->rate) {
		g->tokens = BURST - 1;
		return 1;
	}
	g->tokens += (now - g->last_ns) * g->rate;
	g->last_ns = now;
	if (g->tokens > BURST * NS_PER_S)
		g->tokens = BURST * NS_PER_S;
	if (g->tokens < NS_PER_S)
		return 0;
	g->tokens -= NS_PER_S;
	return 1;
}

static __always_inline void restore(void *frame, void *end, struct culvert_template *t)
{
	__u32 i;

#pragma unroll
	for (i = 0; i < CULVERT_TEMPLATE_BYTES / 16; i++) {
		if (frame + 16 * (i + 1) > end || 16 * i >= t->bytes)
			return;
		AT64(frame, 16 * i) = AT64((void *)t->data, 16 * i);
		AT64(frame, 16 * i + 8) = AT64((void *)t->data, 16 * i + 8);
	}
}

/* The addresses of the next pair, and how its frames leave. */
static __always_inline int take_turns(void *frame, void *end, struct culvert_template *t)
{
	__u32 at = t->ends_offset & OFFSET_MASK, turn = t->end;
	void *addresses;

	if (t->run_left) {
		t->run_left--;
	} else {
		turn = turn + 1 < t->ends ? turn + 1 : 0;
		t->end = turn;
		t->run_left = t->run ? t->run - 1 : 0;
	}
	addresses = bpf_map_lookup_elem(&ends, &turn);
	if (addresses && frame + at + sizeof(struct culvert_ends) <= end) {
		AT64(frame + at, 0) = AT64(addresses, 0);
		AT32(frame + at, 8) = AT32(addresses, 8);
	}
	return t->by_device ? bpf_redirect_map(&leaves, turn, XDP_DROP) : XDP_TX;
}

/* A sequence that comes by every number and jumps far each time (Weyl's). */
static __always_inline void write_number(void *frame, void *end, struct culvert_template *t)
{
	__u32 at = t->number_offset & OFFSET_MASK;

	t->number += 0x9e3779b1u;
	if (frame + at + 4 <= end)
		AT32(frame + at, 0) = bpf_htonl((__u64)t->number * t->numbers >> 32);
}

SEC("xdp.frags") int culvert_generate(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct culvert_template *t;
	struct culvert_generator *g;
	__u32 zero = 0;

	g = bpf_map_lookup_elem(&generator, &zero);
	t = bpf_map_lookup_elem(&template, &zero);
	if (!g || !t || !may_send(g))
		return XDP_DROP;
	restore(frame, end, t);
	if (t->flows > 1) {
		__u32 at = t->flow_offset & OFFSET_MASK;

		if (++t->flow >= t->flows)
			t->flow = 0;
		if (frame + at + 2 <= end)
			AT16(frame + at, 0) = bpf_htons(t->flow_first + t->flow);
	}
	if (t->numbers)
		write_number(frame, end, t);
	if (g->sequence_offset) {
		__u64 at = g->sequence_offset & OFFSET_MASK;

		if (frame + at + 8 <= end)
			AT64(frame + at, 0) = g->sent;
	}
	if (g->stamp_offset) {
		__u64 at = g->stamp_offset & OFFSET_MASK, now = bpf_ktime_get_ns();

		if (frame + at + sizeof(struct culvert_stamp) <= end) {
			AT64(frame + at, 0) = now;
			AT64(frame + at, 8) = ~now;
		}
	}
	g->sent++;
	return t->ends ? take_turns(frame, end, t) : XDP_TX;
}

static __always_inline __u32 delay_bucket(__u64 ns)
{
	__u32 shift = 0;

	if (ns >> 32)
		return CULVERT_DELAY_BUCKETS - 1;
	/* By halves: each adds K where the number has at least K + 7 bits left. */
	shift += (ns >> (shift + 22) != 0) * 16;
	shift += (ns >> (shift + 14) != 0) * 8;
	shift += (ns >> (shift + 10) != 0) * 4;
	shift += (ns >> (shift + 8) != 0) * 2;
	shift += ns >> (shift + 7) != 0;
	return shift * 64 + (ns >> shift);
}

/* A frame whose stamp is not whole is counted as one without. */
static __always_inline void count_delay(void *frame, void *end)
{
	__u64 at = filter.stamp_offset & OFFSET_MASK, stamp, *count;
	__u32 bucket;

	if (frame + at + sizeof(struct culvert_stamp) > end)
		return;
	stamp = AT64(frame + at, 0);
	if (AT64(frame + at, 8) != ~stamp)
		return;
	bucket = delay_bucket(bpf_ktime_get_ns() - stamp);
	count = bpf_map_lookup_elem(&delays, &bucket);
	if (count)
		(*count)++;
}

/* Whether the frame is counted, and to be dropped. */
static __always_inline int sink(void *frame, void *end, __u32 bytes)
{
	struct culvert_sunk *s;
	__u32 zero = 0;

	if (filter.ethertype && (frame + ETH_BYTES > end || AT16(frame, ETH_TYPE) != filter.ethertype))
		return 0;
	if (filter.port) { /* UDP destination port of IPv4 without options */
		if (frame + OUTER_UDP + 4 > end || AT8(frame, OUTER_IP + IP4_PROTOCOL) != IPPROTO_UDP ||
		    AT16(frame, OUTER_UDP + UDP_DESTINATION) != filter.port)
			return 0;
	}
	s = bpf_map_lookup_elem(&sunk, &zero);
	if (!s)
		return 0;
	if (filter.stamp_offset)
		count_delay(frame, end);
	s->packets++;
	s->bytes += bytes;
	return 1;
}

/* Drops what passes the filter, counted; the rest goes on. */
SEC("xdp.frags") int culvert_sink(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	return sink(frame, end, ctx->data_end - ctx->data) ? XDP_DROP : XDP_PASS;
}

/* The same for packets that enter a device above its driver, by bpf_redirect_peer. */
SEC("tc") int culvert_sink_skb(struct __sk_buff *skb)
{
	void *frame = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	return sink(frame, end, skb->len) ? 2 /* TC_ACT_SHOT */ : -1 /* TC_ACT_UNSPEC */;
}

/* For the far end of a veth: with a program there it runs NAPI and takes redirected frames. */
SEC("xdp.frags") int culvert_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* The least that anything can do that forwards: it looks at nothing and changes nothing. */
SEC("xdp.frags") int culvert_relay(struct xdp_md *ctx)
{
	return bpf_redirect_map(&beyond, 0, XDP_PASS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
