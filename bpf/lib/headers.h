/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Headers as words. clang copies what is declared byte-aligned byte by byte;
 * packets and map values may be read at any alignment (x86-64, arm64), so the
 * types here claim an alignment they need not have.
 */
#ifndef CULVERT_HEADERS_H
#define CULVERT_HEADERS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

typedef __u16 __attribute__((may_alias)) word16;
typedef __u32 __attribute__((may_alias)) word32;
typedef __u64 __attribute__((may_alias)) word64;

#define AT16(base, offset) (*(word16 *)((base) + (offset)))
#define AT32(base, offset) (*(word32 *)((base) + (offset)))
#define AT64(base, offset) (*(word64 *)((base) + (offset)))
#define AT8(base, offset) (*(__u8 *)((base) + (offset)))

/* Ethernet (from the frame's start) */
#define ETH_TYPE 12
#define ETH_BYTES 14
/* IPv4, RFC 791 (from its own start) */
#define IP4_TOS 1
#define IP4_LENGTH 2
#define IP4_FRAGMENT 6
#define IP4_TTL 8
#define IP4_PROTOCOL 9
#define IP4_CHECK 10
#define IP4_SOURCE 12
#define IP4_DESTINATION 16
#define IP4_BYTES 20
#define IP4_DF 0x4000
#define IP4_MORE_OR_OFFSET 0x3fff
/* IPv6, RFC 8200 */
#define IP6_LENGTH 4
#define IP6_NEXT 6
#define IP6_HOP_LIMIT 7
#define IP6_SOURCE 8
#define IP6_DESTINATION 24
#define IP6_BYTES 40
#define IPPROTO_ICMPV6 58 /* of <linux/in6.h>, which pulls in more */
/* Extension headers, RFC 8200, and "no next header"; IANA's list of them names the others */
#define IP6_HOP_BY_HOP 0
#define IP6_ROUTING 43
#define IP6_FRAGMENT 44
#define IP6_NO_NEXT 59
#define IP6_OPTIONS 60
#define IP6_MOBILITY 135
#define IP6_HIP 139
#define IP6_SHIM6 140
/* Neighbour discovery, RFC 4861: from router solicitation to redirect */
#define ND_FIRST 133
#define ND_LAST 137
/* TCP, RFC 9293 */
#define TCP_OFFSET 12
#define TCP_CHECK 16
#define TCP_BYTES 20
/* UDP, RFC 768 */
#define UDP_DESTINATION 2
#define UDP_LENGTH 4
#define UDP_CHECK 6
#define UDP_BYTES 8

/* Where the outer headers lie in an encapsulated frame. */
#define OUTER_IP ETH_BYTES
#ifdef CULVERT_UNDERLAY_IP6
#define OUTER_IP_BYTES IP6_BYTES
#else
#define OUTER_IP_BYTES IP4_BYTES
#endif
#define OUTER_UDP (OUTER_IP + OUTER_IP_BYTES)
#define OUTER_VXLAN (OUTER_UDP + UDP_BYTES)
#define OUTER_BYTES (OUTER_VXLAN + 8)

#define VXLAN_FLAGS bpf_htonl(0x08000000)

#define ECN_MASK 3
#define ECN_NOT_ECT 0
#define ECN_ECT_1 1
#define ECN_ECT_0 2
#define ECN_CE 3

#endif
