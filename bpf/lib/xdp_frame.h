/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Raw frames: of one buffer or of several, and never of several segments. */
#ifndef CULVERT_XDP_FRAME_H
#define CULVERT_XDP_FRAME_H

#include "lib/bridge.h"
#include "lib/decap.h"
#include "lib/encap.h"
#include "lib/parse.h"

static __always_inline __u32 wire_l3_bytes(packet_t *ctx, const struct inner *in, __u32 bytes)
{
	return bytes - ETH_BYTES;
}

static __always_inline int has_one_buffer(packet_t *ctx, __u32 bytes)
{
	return bytes == (__u32)(ctx->data_end - ctx->data);
}

#endif
