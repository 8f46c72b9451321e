/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs that only measure (bench.bpf.c, cost.bpf.c) share with user space.
 */
#ifndef CULVERT_ABI_BENCH_H
#define CULVERT_ABI_BENCH_H

#include "culvert.h"

/* Steps to be measured (cost.bpf.c): remote address N is behind VTEP N modulo this, from this address on. */
#define CULVERT_COST_VTEPS 1024
#define CULVERT_COST_VTEP 0xc6120002u

/* Live-frame generator (bench.bpf.c): value of map `generator`. */
struct culvert_generator {
	__u64 rate;       /* frames per second; 0 is as fast as it goes */
	__u64 stop_ns;    /* CLOCK_MONOTONIC at which frames stop */
	__u64 last_ns;    /* token bucket: when it was last filled */
	__u64 tokens;     /* in units of 1e-9 frame */
	__u64 sent;
	__u64 sequence_offset; /* 0: frames are not numbered; else where an 8-byte sequence number goes, at most 255 */
	__u64 stamp_offset;    /* 0: frames are not stamped; else where struct culvert_stamp goes, at most 255 */
};
CULVERT_LAYOUT(struct culvert_generator, 56);

/* When a frame left the generator. The complement leaves every Internet checksum over both as it was. */
struct culvert_stamp {
	__u64 ns; /* CLOCK_MONOTONIC */
	__u64 complement;
};
CULVERT_LAYOUT(struct culvert_stamp, 16);

/* The generator's frames; value of map `template`. */
#define CULVERT_TEMPLATE_BYTES 128
struct culvert_template {
	__u8 data[CULVERT_TEMPLATE_BYTES]; /* written over the start of every frame */
	__u32 bytes;        /* how many of them; rounded up to 16 within the frame */
	__u32 flows;        /* over 1: that many flows, by turns … */
	__u32 flow_offset;  /* … told apart by the 16-bit field here, at most 255 */
	__u32 flow_first;   /* … counted up from here */
	__u32 flow;
	__u32 ends;         /* over 0: the addresses of that many pairs (map `ends`), by turns … */
	__u32 ends_offset;  /* … from here on, at most 255 */
	__u32 end;
	__u32 by_device;    /* not 0: each pair's frames leave by its own device (map `leaves`) */
	__u32 run;          /* a pair's turn is so many frames; 0 is one */
	__u32 run_left;
	__u32 numbers;      /* over 0: so many numbers, each at another place of the sequence … */
	__u32 number_offset; /* … written here in network order, at most 255 */
	__u32 number;
};
CULVERT_LAYOUT(struct culvert_template, 184);

/* The addresses of a frame, as they begin it; value of map `ends`. */
struct culvert_ends {
	__u8 destination[6];
	__u8 source[6];
};
CULVERT_LAYOUT(struct culvert_ends, 12);
#define CULVERT_ENDS 256

/* Read-only variable `filter`: what culvert_sink counts and drops; a zero field matches all. */
struct culvert_sink_filter {
	__be16 ethertype;
	__be16 port; /* UDP destination */
	__u16 stamp_offset; /* 0: frames have none; else where struct culvert_stamp is, at most 255 */
	__u16 zero;
};
CULVERT_LAYOUT(struct culvert_sink_filter, 8);

/* Value of per-CPU map `sunk`. */
struct culvert_sunk {
	__u64 packets;
	__u64 bytes; /* of the linear part */
};
CULVERT_LAYOUT(struct culvert_sunk, 16);

/*
 * Per-CPU map `delays`: how many frames took how long. Buckets of one nanosecond up to
 * 128, then 64 for each power of two; the last one also holds what is longer.
 */
#define CULVERT_DELAY_BUCKETS 1728

#endif
