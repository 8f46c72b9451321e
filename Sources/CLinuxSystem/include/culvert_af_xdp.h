// SPDX-License-Identifier: Apache-2.0
// AF_XDP as Swift sees it (Documentation/networking/af_xdp.rst): system calls with
// structures that Swift's Glibc overlay lacks.
#pragma once
#include <linux/if_xdp.h>
#include <stddef.h>
#include <stdint.h>

/// socket(AF_XDP). Returns a descriptor or -errno.
int culvert_xsk_open(void);
/// setsockopt(SOL_XDP). Returns 0 or -errno.
int culvert_xsk_set(int fd, int option, const void *value, size_t size);
int culvert_xsk_offsets(int fd, struct xdp_mmap_offsets *offsets);
/// Fields that the running kernel does not know stay 0.
int culvert_xsk_statistics(int fd, struct xdp_statistics *statistics);
/// True in *zero_copy where the driver moves frames without a copy.
int culvert_xsk_options(int fd, int *zero_copy);
int culvert_xsk_bind(int fd, uint32_t ifindex, uint32_t queue, uint16_t flags);
/// Tells the kernel to send what is in the transmit ring. Returns 0 or -errno.
int culvert_xsk_kick_transmit(int fd);
/// Tells the driver to look at the fill ring.
void culvert_xsk_kick_receive(int fd);

/// Descriptors that one system call sends at most (Linux 6.17; Debian 12's headers lack it).
enum { CULVERT_XDP_MAX_TX_SKB_BUDGET = 9 };

/// Asks for the cache line, to be written.
static inline void culvert_prefetch(const void *address) { __builtin_prefetch(address, 1); }
/// Tells the CPU that this is a loop that waits.
static inline void culvert_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
