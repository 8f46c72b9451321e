// SPDX-License-Identifier: Apache-2.0
// libbpf as Swift sees it, and the little of it that Swift cannot call.
#pragma once
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Routes libbpf's messages (a callback with a va_list) of every thread to a
/// buffer of that thread. Nothing is printed.
void culvert_bpf_capture(void);
/// Empties this thread's buffer.
void culvert_bpf_log_clear(void);
/// The last messages on this thread; valid until the next call into libbpf.
const char *culvert_bpf_log(void);

/// An object read from memory that stays (ELF is read in place). NULL: errno tells.
struct bpf_object *culvert_bpf_open(const char *name, const void *data, size_t size);

/// Where a global variable's initial value lies before the object is loaded, and
/// the variable's size; NULL when there is none of that name.
void *culvert_bpf_variable(struct bpf_object *object, const char *name, size_t *size);

/// bpf(BPF_LINK_CREATE) of type XDP. Returns a descriptor or -errno.
int culvert_xdp_link(int program, int ifindex, uint32_t flags);

/// bpf(BPF_LINK_CREATE) at a device's tcx ingress hook (Linux 6.6). Returns a descriptor or -errno.
int culvert_tcx_link(int program, int ifindex);

/// A filter of tc's cls_bpf at the device's ingress, direct-action; makes clsact where it is
/// missing. Returns 0 or -errno.
int culvert_filter_add(int program, int ifindex, uint32_t handle, uint32_t priority);
/// Removes it, and clsact where `with_clsact`. Returns 0 or -errno.
int culvert_filter_remove(int ifindex, uint32_t handle, uint32_t priority, bool with_clsact);
