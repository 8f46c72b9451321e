/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What tier `afxdp`'s programs (afxdp.bpf.c, send.bpf.c) share with its workers, beside the tables of abi/culvert.h.
 */
#ifndef CULVERT_ABI_AFXDP_H
#define CULVERT_ABI_AFXDP_H

#include "culvert.h"

/*
 * Tier `afxdp`: what the program decided, in the metadata right before the frame that it
 * hands to the forwarder. The forwarder carries it out; it never decides anew.
 */
struct culvert_metadata {
	__u32 target;  /* slot of `ports`, or with CULVERT_FORWARDED_ENCAP of `tunnels` */
	__u32 verdict; /* a CULVERT_FORWARDED_…, perhaps with CULVERT_METADATA_PARTIAL */
};
CULVERT_LAYOUT(struct culvert_metadata, 8);
/* The sender may have left the inner checksum to its device. */
#define CULVERT_METADATA_PARTIAL 0x80000000u

/*
 * Tier `afxdp`: a sign of life of each worker; value of map `pulses`. What was handed over and not looked at for
 * CULVERT_STALL_NS is a worker that has stopped: packets are the kernel's until it goes on. Shorter, and a worker that
 * waits for its CPU would look so, and packets by the kernel overtake those that it holds; longer, and more of them
 * arrive late. That it died shows at once.
 */
struct culvert_pulse {
	__u64 turns; /* one more each time before the worker looks at its rings; 0: nobody counts */
	__u32 life[12]; /* a mutex that the worker holds; when it dies the kernel sets FUTEX_OWNER_DIED in the first word */
	__u64 zero;
};
CULVERT_LAYOUT(struct culvert_pulse, 64);
#define CULVERT_STALL_NS 50000000ull

/* What a CPU has seen of it; value of per-CPU map `watches`. */
struct culvert_watch {
	__u64 jiffy;   /* when it last looked */
	__u64 turns;   /* as it was then … */
	__u64 since;   /* … from this time on, at least */
	__u64 stalled;
};
CULVERT_LAYOUT(struct culvert_watch, 32);

/* Maps `sockets` and `rx_queues` have so many places for each port: one for each of its receive queues. */
#define CULVERT_QUEUES 16

/*
 * Tier `afxdp`: what a receive queue's program and its worker know of each other; value of map `rx_queues`. Few packets
 * are not worth a wake-up: the program forwards them itself (direct) where it can, as tier `xdp` does. It may while the
 * worker is done with all that it was handed, or packets would overtake each other.
 */
struct culvert_rx_queue {
	__u64 handed; /* to the worker, by the program */
	__u64 direct;
	__u64 jiffy;  /* when the last packet came … */
	__u64 busy;   /* … until this one all are handed over */
	__u32 frames; /* that came in it */
	__u32 is_open; /* it has a socket */
	__u64 done; /* by the worker: of those handed over, sent or lost */
	__u64 zeros[2];
};
CULVERT_LAYOUT(struct culvert_rx_queue, 64);
/*
 * More a millisecond are worth a worker, which is then given all for so many jiffies (of 1 to 10 ms). Fewer a CPU forwards
 * in a part of its time; and with two CPUs at work for one veth, one may fill its ring faster than the other empties it.
 */
#define CULVERT_FEW_PER_MS 1024
#define CULVERT_BUSY_JIFFIES 8

/*
 * Tier `afxdp`: a burst to send (send.bpf.c); value of map `sends`. The limits let the verifier see that a frame ends
 * within its memory wherever it begins.
 */
struct culvert_send {
	__u64 address; /* in the worker's memory */
	__u32 bytes;   /* at most CULVERT_SEND_BYTES; set to 0 by the program where the frame was refused */
	__u32 slot;    /* of the port to leave by */
};
CULVERT_LAYOUT(struct culvert_send, 16);
#define CULVERT_SENDS 2048
#define CULVERT_SEND_FRAME_BYTES 2048
/* From any of the first 384 bytes on: XDP_PACKET_HEADROOM, less or more by what is put before or taken off. */
#define CULVERT_SEND_BYTES 1664

/* Value of map `sending`. */
struct culvert_sending {
	__u32 next;    /* moved on by the program */
	__u32 count;   /* of `sends` */
	__u32 refused; /* by the program, of those */
	__u32 zero;
};
CULVERT_LAYOUT(struct culvert_sending, 16);

#endif
