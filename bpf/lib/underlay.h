/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one place where programs are told which IP their underlay has. A program of IPv6 underlays defines
 * CULVERT_UNDERLAY_IP6 before it includes anything; what IPv4's programs do is not touched by it.
 */
#ifndef CULVERT_UNDERLAY_H
#define CULVERT_UNDERLAY_H

#include "abi/culvert.h"
#include "lib/headers.h"

#ifdef CULVERT_UNDERLAY_IP6
typedef struct culvert_tunnel6 tunnel_t;
typedef struct culvert_vni_key6 vni_key_t;
typedef struct culvert_vtep_key6 vtep_key_t;
typedef struct culvert_cached_flow6 cached_flow_t;

/* The outer addresses, as far as a flow's key has no other place for them: source and destination. */
typedef struct {
	__u64 words[4];
} flow_addresses_t;

/* A receiver drops what has no outer checksum (RFC 8200 section 8.1), unless its device says otherwise. */
#define OUTER_CHECKSUM_IS_OPTIONAL 0
#else
typedef struct culvert_tunnel tunnel_t;
typedef struct culvert_vni_key vni_key_t;
typedef struct culvert_vtep_key vtep_key_t;
typedef struct culvert_cached_flow cached_flow_t;

typedef struct {
} flow_addresses_t;

#define OUTER_CHECKSUM_IS_OPTIONAL 1
#endif

#endif
