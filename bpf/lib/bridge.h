/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who sent a frame and where it goes: what the bridge and the VXLAN device would look up. */
#ifndef CULVERT_BRIDGE_H
#define CULVERT_BRIDGE_H

#include "lib/flow_cache.h"
#include "lib/metrics.h"
#include "lib/fdb.h"

struct decision {
	struct flow_key key;
	struct flow_cache_slot cache;
	struct culvert_fdb_entry *source; /* 0: recalled, nothing to refresh or remember */
	__u32 source_nexthop;
	__u32 slot;
	__u32 target;
	__u32 kind;
};

static __always_inline void decision_key(struct decision *decision, void *frame)
{
	decision->key.macs0 = AT64(frame, 0);
	decision->key.macs1 = AT32(frame, 8);
}

/* True when the flow cache tells the nexthop. */
static __always_inline int decision_from_cache(struct decision *decision)
{
	if (!flow_cache_lookup(&decision->cache, &decision->key))
		return 0;
	decision->slot = decision->cache.flow->slot;
	decision->target = decision->cache.flow->target;
	decision->kind = decision->cache.flow->kind;
	return 1;
}

/* Why an entry, or a tunnel, is the kernel's: never a verdict that forwards. */
static __always_inline __u32 pass_reason(__u32 reason)
{
	return reason >= CULVERT_PASS_TRUNCATED && reason < CULVERT_DROP_NOT_A_VTEP ? reason : CULVERT_PASS_NOT_RESOLVED;
}

static __always_inline __u32 decide_destination(struct decision *decision, __u32 domain, void *frame)
{
	__u32 nexthop;

	if (!fdb_lookup(domain, frame, &nexthop))
		return CULVERT_PASS_UNKNOWN_DEST;
	decision->target = culvert_nexthop_target(nexthop);
	decision->kind = culvert_nexthop_kind(nexthop);
	return 0;
}

/* Last of all that can pass a frame for what it is: it is about to be forwarded. */
static __always_inline __u32 refresh_or_cache(struct decision *decision)
{
	if (!decision->source)
		return 0;
	if (refresh_due(decision->source, decision->source_nexthop))
		return CULVERT_PASS_REFRESH;
	flow_cache_store(&decision->cache, &decision->key, decision->slot, decision->target, decision->kind);
	return 0;
}

/* From a container's port: the source must be known there. */
static __always_inline __u32 decide_from_port(packet_t *ctx, struct decision *decision, struct packet_context *packet,
					     void *frame)
{
	struct culvert_port *port;
	__u32 kind;

	decision_key(decision, frame);
	decision->key.from = arrival_ifindex(ctx);
	decision->key.arrival = config.group;
	if (!decision_from_cache(decision)) {
		port = port_of(decision->key.from, &decision->slot);
		if (!port)
			return CULVERT_PASS_UNKNOWN_PORT;
		set_ingress_port(packet, decision->slot);
		decision->source = fdb_lookup(port->domain, frame + ETH_ALEN, &decision->source_nexthop);
		if (!decision->source)
			return CULVERT_PASS_UNKNOWN_SOURCE;
		kind = culvert_nexthop_kind(decision->source_nexthop);
		if (kind != CULVERT_FDB_LOCAL)
			return kind == CULVERT_FDB_REMOTE ? CULVERT_PASS_MOVED_SOURCE : pass_reason(culvert_nexthop_target(decision->source_nexthop));
		if (culvert_nexthop_target(decision->source_nexthop) != decision->slot)
			return CULVERT_PASS_MOVED_SOURCE;
		return decide_destination(decision, port->domain, frame);
	}
	set_ingress_port(packet, decision->slot);
	return 0;
}

#ifdef CULVERT_UNDERLAY_IP6
static __always_inline vni_key_t vni_key(const struct flow_key *key)
{
	vni_key_t vni = { .vni_be = key->vni_be & ~bpf_htonl(0xff), .udp_port = (__u16)key->arrival };

	__builtin_memcpy(vni.local, &key->addresses.words[2], sizeof(vni.local));
	return vni;
}

static __always_inline vtep_key_t vtep_key(__u32 domain, const struct flow_key *key)
{
	vtep_key_t vtep = { .domain = domain };

	__builtin_memcpy(vtep.remote, &key->addresses.words[0], sizeof(vtep.remote));
	return vtep;
}

static __always_inline int is_from(const tunnel_t *tunnel, const struct flow_key *key)
{
	const void *remote = tunnel->remote;

	return AT64(remote, 0) == key->addresses.words[0] && AT64(remote, 8) == key->addresses.words[1];
}

static __always_inline int takes_checksum(const struct culvert_domain *domain, const struct flow_key *key)
{
	return !(key->vni_be & WITHOUT_CHECKSUM) || domain->flags & CULVERT_DOMAIN_ZERO_CHECKSUM;
}
#else
static __always_inline vni_key_t vni_key(const struct flow_key *key)
{
	return (vni_key_t){
		.vni_be = key->vni_be & ~bpf_htonl(0xff),
		.local = key->local,
		.udp_port = (__u16)key->arrival,
	};
}

static __always_inline vtep_key_t vtep_key(__u32 domain, const struct flow_key *key)
{
	return (vtep_key_t){ domain, key->from };
}

static __always_inline int is_from(const tunnel_t *tunnel, const struct flow_key *key)
{
	return tunnel->remote == key->from;
}

static __always_inline int takes_checksum(const struct culvert_domain *domain, const struct flow_key *key)
{
	return 1;
}
#endif

/* Which domain a VNI is, and whether the sender may speak on it. */
static __always_inline __u32 domain_of(const struct flow_key *key, __u32 *domain)
{
	vni_key_t vni = vni_key(key);
	struct culvert_domain *found = bpf_map_lookup_elem(&vnis, &vni);

	if (!found)
		return CULVERT_PASS_UNKNOWN_VNI;
	if (!takes_checksum(found, key))
		return CULVERT_PASS_CHECKSUM;
	*domain = found->domain;
	if (found->flags & CULVERT_DOMAIN_STRICT) {
		vtep_key_t vtep = vtep_key(found->domain, key);

		if (!bpf_map_lookup_elem(&vteps, &vtep))
			return CULVERT_DROP_NOT_A_VTEP;
	}
	return 0;
}

/* From a VTEP: the source must be known behind it. `frame` is the inner one. */
static __always_inline __u32 decide_from_vtep(struct decision *decision, __u32 domain, void *frame)
{
	tunnel_t *tunnel;
	__u32 kind;

	decision->source = fdb_lookup(domain, frame + ETH_ALEN, &decision->source_nexthop);
	if (!decision->source)
		return CULVERT_PASS_UNKNOWN_SOURCE;
	kind = culvert_nexthop_kind(decision->source_nexthop);
	if (kind != CULVERT_FDB_REMOTE)
		return kind == CULVERT_FDB_LOCAL ? CULVERT_PASS_MOVED_SOURCE : pass_reason(culvert_nexthop_target(decision->source_nexthop));
	tunnel = tunnel_at(culvert_nexthop_target(decision->source_nexthop));
	if (!tunnel || !is_from(tunnel, &decision->key) ||
	    tunnel->vni_be != (decision->key.vni_be & ~bpf_htonl(0xff)))
		return CULVERT_PASS_MOVED_SOURCE;
	return decide_destination(decision, domain, frame);
}

#endif
