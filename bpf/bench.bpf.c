// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Load for measurements: a generator that BPF_PROG_RUN feeds with live frames,
 * and a counting sink. Both cost a few nanoseconds per frame.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi/culvert.h"
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
	if (g->sequence_offset) {
		__u64 at = g->sequence_offset & OFFSET_MASK;

		if (frame + at + 8 <= end)
			AT64(frame + at, 0) = g->sent;
	}
	g->sent++;
	return XDP_TX;
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

char _license[] SEC("license") = "Dual BSD/GPL";
