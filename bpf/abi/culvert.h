/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one definition of what crosses between the BPF programs and user space.
 * Included by clang for BPF, by C and by Swift; CULVERT_LAYOUT pins the layout
 * for each of them, and a test holds it against the object's BTF.
 */
#ifndef CULVERT_ABI_H
#define CULVERT_ABI_H

#include <linux/types.h>

#define CULVERT_INLINE inline __attribute__((always_inline))
#define CULVERT_LAYOUT(type, size) _Static_assert(sizeof(type) == (size), #type)

/* Outer Ethernet + IPv4 + UDP + VXLAN (RFC 7348 section 5). */
#define CULVERT_OUTER_BYTES 50
/* The same with IPv6. */
#define CULVERT_OUTER6_BYTES 70
/* In every array that is indexed by port: nobody's slot, where packets are counted that came by no known port. */
#define CULVERT_NO_PORT 0

/*
 * What became of a packet. One bump of one counter per packet:
 * in = forwarded + passed (by reason) + dropped (by reason).
 */
enum culvert_verdict {
	CULVERT_FORWARDED_LOCAL = 0, /* to a container of this host */
	CULVERT_FORWARDED_ENCAP,     /* encapsulated, out of the uplink */
	CULVERT_FORWARDED_DECAP,     /* decapsulated, to a container */

	/* To the kernel, untouched. */
	CULVERT_PASS_TRUNCATED,       /* headers end before the frame does */
	CULVERT_PASS_MULTICAST,       /* broadcast, multicast: the bridge floods */
	CULVERT_PASS_NOT_IP,          /* ARP, VLAN tag, anything but IPv4 and IPv6 inside */
	CULVERT_PASS_ND,              /* IPv6's neighbour discovery: the bridge or the VXLAN device may answer it */
	CULVERT_PASS_UNKNOWN_PORT,    /* a port is not (or not yet) in the table; counted at CULVERT_NO_PORT where it is the port of arrival */
	CULVERT_PASS_UNKNOWN_SOURCE,  /* source MAC not in the FDB: the kernel learns it */
	CULVERT_PASS_MOVED_SOURCE,    /* the FDB has the source MAC elsewhere: the kernel relearns it */
	CULVERT_PASS_UNKNOWN_DEST,    /* destination MAC not in the FDB: the kernel floods */
	CULVERT_PASS_SAME_PORT,       /* destination lies where the frame came from */
	CULVERT_PASS_REFRESH,         /* keeps the kernel's entries from ageing */
	CULVERT_PASS_MTU,             /* would exceed the MTU of the egress device */
	CULVERT_PASS_CHECKSUM,        /* outer checksum not to be had, or not to be trusted, without the payload; missing over IPv6 */
	CULVERT_PASS_ECN,             /* outer ECN that RFC 6040 makes the kernel's decision */
	CULVERT_PASS_NOT_OVERLAY,     /* uplink: not VXLAN to this VTEP */
	CULVERT_PASS_OUTER,           /* outer header odd: options, fragment, length or checksum */
	CULVERT_PASS_VXLAN_FLAGS,     /* reserved bits, or no I flag */
	CULVERT_PASS_UNKNOWN_VNI,     /* not a VNI of ours */
	CULVERT_PASS_UNSUPPORTED,     /* needs what this tier cannot do on this kernel: merged datagrams */
	CULVERT_PASS_HOST,            /* the entry is the host's own address */
	CULVERT_PASS_POLICY,          /* the entry's port, or the overlay, is left to the kernel: `status` says why */
	CULVERT_PASS_NEXTHOP_OBJECT,  /* the entry's destination is a next-hop object */
	CULVERT_PASS_NOT_RESOLVED,    /* no usable route to the VTEP: none, by another interface, multipath, uplink down */
	CULVERT_PASS_NO_NEIGHBOUR,    /* the next hop towards the VTEP has no valid neighbour entry */
	CULVERT_PASS_MULTI_BUFFER,    /* frame in several buffers, egress takes one */
	CULVERT_PASS_HEADROOM,        /* no room in front of the frame */
	CULVERT_PASS_WORKER,          /* tier `afxdp`: the worker takes nothing: stopped, dying or without a CPU */
	CULVERT_PASS_IP_HEADER,       /* routed: options, extension headers, or a fragment */
	CULVERT_PASS_ROUTE,           /* routed: not the router's to forward: its own address, TTL, no route, a source from elsewhere */

	CULVERT_PASS_CONNECTION,      /* routed: rules decide by connections, and it is of none that they let pass by themselves */

	CULVERT_DROP_NOT_A_VTEP, /* --strict only */

	CULVERT_VERDICTS
};

/*
 * Map `fdb`: entries in buckets of one cache line, so that a look-up costs one miss. User space writes them
 * through mmap(2) while programs read: an entry is in one of the two buckets that its hash tells, or for a moment
 * in both. `key` is written last and taken away first; who has read `nexthop` looks at `key` once more.
 */
struct culvert_fdb_entry {
	__u64 key;       /* culvert_fdb_key; 0: free */
	__u32 nexthop;       /* culvert_fdb_nexthop */
	__u32 refreshed; /* written by BPF: the tick when a packet of this source last went to the kernel */
};
CULVERT_LAYOUT(struct culvert_fdb_entry, 16);

#define CULVERT_FDB_ENTRIES 4
struct culvert_fdb_bucket {
	struct culvert_fdb_entry entries[CULVERT_FDB_ENTRIES];
};
CULVERT_LAYOUT(struct culvert_fdb_bucket, 64);

/* An entry belongs to a bridge domain, from 1 on: one bridge and its VNI. The MAC as it is read from a frame,
 * its first four octets and its last two. */
static CULVERT_INLINE __u64 culvert_fdb_key(__u32 domain, __u32 first, __u16 last)
{
	return first | (__u64)last << 32 | (__u64)domain << 48;
}

/* Its upper and its lower half tell one bucket each. Who may choose addresses cannot choose buckets. */
static CULVERT_INLINE __u64 culvert_fdb_hash(__u64 key, __u64 seed)
{
	key *= seed | 1;
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15; /* 2^64 over the golden ratio */
	return key ^ key >> 32;
}

/* One of `buckets`, for half a hash (Lemire's reduction). */
static CULVERT_INLINE __u32 culvert_fdb_place(__u32 half, __u32 buckets)
{
	return (__u64)half * buckets >> 32;
}

enum culvert_fdb_kind {
	CULVERT_FDB_LOCAL = 1,   /* target is a slot of `ports` */
	CULVERT_FDB_REMOTE = 2,  /* target is a slot of `tunnels` */
	CULVERT_FDB_KERNEL = 3,  /* always passed: target is the verdict that says why */
};

/* Time is counted in ticks of so many bits of nanoseconds: 1.05 ms. */
#define CULVERT_TICK_SHIFT 20
#define CULVERT_TARGETS (1u << 18)

/* Kind and target, and how often a packet must reach the kernel, as `mantissa` << `exponent` ticks; 0 where the
 * entry does not age. */
static CULVERT_INLINE __u32 culvert_fdb_nexthop(__u32 kind, __u32 target, __u32 mantissa, __u32 exponent)
{
	return kind | target << 2 | mantissa << 20 | exponent << 28;
}

static CULVERT_INLINE __u32 culvert_nexthop_kind(__u32 nexthop)
{
	return nexthop & 3;
}

static CULVERT_INLINE __u32 culvert_nexthop_target(__u32 nexthop)
{
	return nexthop >> 2 & (CULVERT_TARGETS - 1);
}

static CULVERT_INLINE __u32 culvert_nexthop_ticks(__u32 nexthop)
{
	return (nexthop >> 20 & 0xff) << (nexthop >> 28);
}

enum culvert_port_flags {
	CULVERT_PORT_MULTI_BUFFER = 1, /* transmits frames of several buffers */
	CULVERT_PORT_ENTER = 2,        /* a veth whose other end lies in another namespace */
	CULVERT_PORT_PARTIAL = 4,      /* its sender may leave checksums to its device */
};

/* A container's port on the bridge, or an uplink. */
struct culvert_port {
	__u32 ifindex; /* 0: slot not in use */
	__u32 mtu;     /* of layer 3, as the kernel has it */
	__u32 flags;
	__u32 domain;
	__u8 mac[6];   /* an uplink's own address; with CULVERT_PORT_ENTER that of the container's end */
	__u16 zero;
	/* Tier tc, of a container's port in another namespace than the uplink: the ends of the veth pair between the two,
	 * in the port's namespace and in the uplink's. 0: the same namespace. */
	__u32 relay_out;
	__u32 relay_in;
};
CULVERT_LAYOUT(struct culvert_port, 32);

/*
 * Map `port_by_ifindex`, an array: the slot of the port whose interface's number has these lower bits. A number alone may
 * be of several namespaces: ports that would share a place run programs of their own, each with such an array of its own.
 * 64 KiB; fewer places would need more programs on hosts that have made many interfaces.
 */
#define CULVERT_PORT_PLACES (1u << 14)

static CULVERT_INLINE __u32 culvert_port_place(__u32 ifindex)
{
	return ifindex & (CULVERT_PORT_PLACES - 1);
}

/*
 * Read-only variable `config`, set before an object is loaded. Objects are loaded once for the ports of all overlays
 * (culvert_port; again where their interfaces' numbers collide) and once for each uplink (its culvert_uplink), and share
 * the other maps of their underlay.
 */
struct culvert_config {
	__u32 group;  /* tells the programs of ports from one another */
	__u32 uplink; /* slot of the port that this object's culvert_uplink is attached to */
	__u64 hash_seed; /* any: keeps source ports from being guessed */
	__u64 fdb_seed;  /* any: for culvert_fdb_hash */
	__u32 fdb_buckets;
	__u32 zero2;
};
CULVERT_LAYOUT(struct culvert_config, 32);

enum culvert_tunnel_flags {
	CULVERT_TUNNEL_UDP_CSUM = 1,    /* send a full outer UDP checksum */
	CULVERT_TUNNEL_TOS_INHERIT = 2, /* outer DSCP from the inner header */
	CULVERT_TUNNEL_TTL_INHERIT = 4, /* `ttl` then stands in for an inner TTL of 0 */
	CULVERT_TUNNEL_DF_INHERIT = 8,  /* outer DF from the inner IPv4 header; always with IPv6 inside */
	CULVERT_TUNNEL_DF_SET = 16,
};

/* How packets reach one remote VTEP on one VNI and port. */
struct culvert_tunnel {
	__u8 dst_mac[6]; /* the next hop's */
	__u8 src_mac[6]; /* the uplink's */
	__be32 local;
	__be32 remote;
	__be32 vni_be;      /* VNI << 8, network order: the VXLAN header's second word */
	__be16 udp_port;    /* destination port */
	__u16 source_min;   /* source port range, both ends in */
	__u16 source_max;
	__u8 ttl;
	__u8 tos;
	__u32 flags;
	__u32 mtu;          /* layer 3 bytes of the inner packet that fit */
	__u16 reason;       /* where it is not valid: the verdict of packets for it */
	__u16 valid;        /* 0: unresolved, kernel's turn */
	__u32 uplink;       /* slot of the port to leave by */
};
CULVERT_LAYOUT(struct culvert_tunnel, 48);

/* The same over IPv6, in map `tunnels` of the programs of IPv6 underlays. */
struct culvert_tunnel6 {
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__be32 label;       /* the IPv6 header's first word, with a traffic class of 0 */
	__be32 local[4];
	__be32 remote[4];
	__be32 vni_be;
	__be16 udp_port;
	__u16 source_min;
	__u16 source_max;
	__u8 ttl;           /* hop limit */
	__u8 tos;           /* traffic class */
	__u32 flags;        /* without DF's */
	__u32 mtu;
	__u16 reason;
	__u16 valid;
	__u32 uplink;
};
CULVERT_LAYOUT(struct culvert_tunnel6, 76);

/*
 * Outer IPv4 identification (RFC 6864): one more from packet to packet of a flow, since a receiver's GRO merges
 * nothing else, and not the same in two flows, since fragments would be mixed up. Each of so many flows per CPU
 * takes a block from a counter that all share: a smaller block breaks sequences more often, a larger one comes
 * round sooner (65536 / block flows).
 */
#define CULVERT_ID_BLOCK 128
#define CULVERT_ID_FLOWS 512
struct culvert_ids {
	__u16 next[CULVERT_ID_FLOWS]; /* a multiple of the block: none left */
};
CULVERT_LAYOUT(struct culvert_ids, 1024);

/* Which domain a received VNI is; key of map `vnis`. */
struct culvert_vni_key {
	__be32 vni_be;   /* as in the header: VNI << 8 */
	__be32 local;    /* outer destination address */
	__be16 udp_port; /* outer destination port */
	__u16 zero;
};
CULVERT_LAYOUT(struct culvert_vni_key, 12);

struct culvert_vni_key6 {
	__be32 vni_be;
	__be32 local[4];
	__be16 udp_port;
	__u16 zero;
};
CULVERT_LAYOUT(struct culvert_vni_key6, 24);

/* Map `vxlan_ports`, an array: UDP ports at which VXLAN is heard, a bit each, 64 to an entry. */
#define CULVERT_PORT_WORDS 1024

enum culvert_domain_flags {
	CULVERT_DOMAIN_STRICT = 1,
	CULVERT_DOMAIN_ZERO_CHECKSUM = 2, /* over IPv6: takes packets without an outer checksum */
};

struct culvert_domain {
	__u32 domain;
	__u32 flags;
};
CULVERT_LAYOUT(struct culvert_domain, 8);

/* --strict: the VTEPs that were configured (not learned); key of map `vteps`. */
struct culvert_vtep_key {
	__u32 domain;
	__be32 remote;
};
CULVERT_LAYOUT(struct culvert_vtep_key, 8);

struct culvert_vtep_key6 {
	__u32 domain;
	__be32 remote[4];
};
CULVERT_LAYOUT(struct culvert_vtep_key6, 20);

/*
 * Map `routed_devices`, by ifindex: the interfaces of layer 3 that a routed overlay's packets come and go by, and the
 * containers' ports.
 */
enum culvert_routed_kind {
	CULVERT_ROUTED_VXLAN = 1,  /* the VXLAN device: MACs of `domain` are behind VTEPs */
	CULVERT_ROUTED_BRIDGE = 2, /* MACs of `domain` are behind ports */
	CULVERT_ROUTED_PORT = 3,   /* a container's port, of the bridge `router` or routed itself */
};

struct culvert_routed_device {
	__u32 kind;
	__u32 domain; /* of `fdb`; 0: a port that is routed itself */
	__u32 slot;   /* a port's */
	__u32 router; /* of a port: the interface of layer 3 that takes its packets in */
	__u8 mac[6];  /* that frames to the router are addressed to */
	__u8 left4;   /* of a port and the VXLAN device: verdict of packets with IPv4 inside; 0: they are served */
	__u8 left6;   /* … with IPv6 */
};
CULVERT_LAYOUT(struct culvert_routed_device, 24);

/*
 * Map `connection_policy`, an entry for IPv4 inside and one for IPv6: what of a routed overlay's packets may pass
 * netfilter's rules by.
 */
enum culvert_connection_flags {
	CULVERT_CONNECTION_ANY = 1,         /* all: no rule does more than accept */
	CULVERT_CONNECTION_ESTABLISHED = 2, /* those of established connections: TCP whose entry is marked … */
	CULVERT_CONNECTION_UDP = 4,         /* … and UDP that has seen a reply */
};

struct culvert_connection_policy {
	__u32 flags;
	__u32 mark;        /* bits of a connection's mark */
	__u32 tcp_timeout; /* ms: what the kernel would set with each packet … */
	__u32 tcp_due;     /* jiffies: … and with how many left it is set anew */
	__u32 udp_timeout;
	__u32 udp_due;
	__u32 udp_reply_due; /* of one that is not assured yet: by a packet for the kernel */
};
CULVERT_LAYOUT(struct culvert_connection_policy, 28);

/*
 * Map `generation`, one entry. User space adds one after every change of fdb, ports,
 * tunnels, vnis or vteps: what a CPU remembers of them (map `flow_cache`) is then forgotten at once.
 * While it is 0 nothing is remembered.
 */
typedef __u64 culvert_generation;

/* Value of per-CPU map `flow_cache`: the outcome of look-ups, for the frames that follow. */
#define CULVERT_CACHED_FLOWS 64
struct culvert_cached_flow {
	__u64 jiffy;      /* good only within it: refresh is looked at that often */
	__u64 generation;
	__u32 macs[3];    /* destination and source */
	__u32 from;       /* container port: ifindex; uplink: outer source address */
	__u32 local;      /* uplink: outer destination address */
	__u32 vni_be;     /* uplink: with bit 0 set */
	__u32 arrival;    /* container port: its program's group; uplink: outer UDP port (network order) and, << 16, slot */
	__u32 slot;       /* of the port it came in by */
	__u32 target;     /* the destination's … */
	__u32 kind;       /* … enum culvert_fdb_kind */
	__u32 zero[2];
};
CULVERT_LAYOUT(struct culvert_cached_flow, 64);

/* The same over IPv6: there `from` and `local` of the uplink's are parts of the addresses. */
struct culvert_cached_flow6 {
	__u64 jiffy;
	__u64 generation;
	__u32 macs[3];
	__u32 from;
	__u32 local;
	__u32 vni_be;     /* uplink: bit 1 tells that there is no outer checksum */
	__u32 arrival;
	__u32 slot;
	__u32 target;
	__u32 kind;
	__u64 addresses[4]; /* uplink: outer source and destination */
};
CULVERT_LAYOUT(struct culvert_cached_flow6, 88);

/* Value of per-CPU map `counters`, by port slot. */
#define CULVERT_COUNTED 40
struct culvert_counters {
	__u64 packets[CULVERT_COUNTED]; /* by enum culvert_verdict */
	__u64 bytes[CULVERT_COUNTED];   /* layer 2 bytes as received */
};
CULVERT_LAYOUT(struct culvert_counters, 640);
_Static_assert(CULVERT_VERDICTS <= CULVERT_COUNTED, "counters are full");

/* A device of any namespace; key of map `xmit_drops` (drops.bpf.c). */
#define CULVERT_EGRESS 0x80000000u
struct culvert_device_key {
	__u32 ifindex; /* with CULVERT_EGRESS: instead, what a map of devices has at that place for frames that come
			* from within the namespace */
	__u32 netns; /* inode of its network namespace */
};
CULVERT_LAYOUT(struct culvert_device_key, 8);

/* Frames that were counted as forwarded and did not leave; value of per-CPU map `xmit_drops`. */
struct culvert_xmit_drops {
	__u64 not_sent;       /* on the egress device by this device: ring full, device down */
	__u64 not_redirected; /* come in by this device: the egress device took no frames */
	__u64 not_taken;      /* of not_sent: whole bulks that ended in an error, which a veth does not count itself */
};
CULVERT_LAYOUT(struct culvert_xmit_drops, 24);

#endif
