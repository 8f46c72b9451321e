// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * How tier `afxdp` sends a burst where its sockets only copy: BPF_PROG_RUN with live frames runs this once for
 * each frame. It copies what a worker lists from the worker's memory and redirects it, so that a frame
 * is an xdp_frame among others of its bulk instead of an skb of its own.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi/afxdp.h"
#include "lib/headers.h"

/* The worker's memory, and its sockets' too: one frame an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, CULVERT_SEND_FRAME_BYTES);
} memory SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CULVERT_SENDS);
	__type(key, __u32);
	__type(value, struct culvert_send);
} sends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct culvert_sending);
} sending SEC(".maps");

/* The tier's own (lib/maps.h): ports by slot. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

/* Makes the frame at hand the listed one. Returns 0, or that it cannot be. */
static __always_inline int fetch(struct xdp_md *ctx, const struct culvert_send *send)
{
	__u32 index = send->address / CULVERT_SEND_FRAME_BYTES;
	__u32 from = send->address % CULVERT_SEND_FRAME_BYTES;
	__u32 bytes = send->bytes;
	int more;
	void *frame;

	if (bytes < ETH_BYTES || bytes > CULVERT_SEND_BYTES || from > CULVERT_SEND_FRAME_BYTES - CULVERT_SEND_BYTES)
		return -1;
	frame = bpf_map_lookup_elem(&memory, &index);
	if (!frame)
		return -1;
	more = bytes - (__u32)(ctx->data_end - ctx->data);
	if (more && bpf_xdp_adjust_tail(ctx, more))
		return -1;
	return bpf_xdp_store_bytes(ctx, 0, frame + from, bytes);
}

/* As the tier's programs are (frags): a map of devices takes one kind alone. */
SEC("xdp.frags") int culvert_send(struct xdp_md *ctx)
{
	struct culvert_sending *state;
	struct culvert_send *send;
	__u32 zero = 0, place;

	state = bpf_map_lookup_elem(&sending, &zero);
	if (!state)
		return XDP_DROP;
	place = state->next;
	send = bpf_map_lookup_elem(&sends, &place);
	if (!send || place >= state->count)
		return XDP_DROP;
	state->next = place + 1;
	if (!fetch(ctx, send) && bpf_redirect_map(&devices, send->slot, XDP_DROP) == XDP_REDIRECT)
		return XDP_REDIRECT;
	send->bytes = 0;
	state->refused++;
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
