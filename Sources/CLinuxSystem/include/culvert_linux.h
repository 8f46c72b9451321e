// SPDX-License-Identifier: Apache-2.0
// What Swift's Glibc overlay cannot call: variadic functions, macros, and
// functions behind _GNU_SOURCE. One function each, no policy.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "culvert_af_xdp.h"
#include "culvert_counters.h"
#include "culvert_datagrams.h"
#include "culvert_mounts.h"
#include "culvert_interrupt.h"
#include "culvert_netlink.h"
#include "culvert_tcp.h"

int culvert_setns(int fd);                     // CLONE_NEWNET only
int culvert_unshare_net(void);                 // CLONE_NEWNET
int culvert_pin(int cpu);                      // this thread; returns 0 or -errno
int culvert_set_idle_class(void);              // SCHED_IDLE for this thread
void culvert_name_process(const char *name);   // this thread; of the first one: /proc/PID/comm
int culvert_pidfd_open(int pid);
// Makes a robust mutex in 48 bytes and takes it (get_robust_list(2)): the kernel marks it when this thread
// ends, however it ends. Returns 0 or -errno.
int culvert_hold_until_death(void *memory);
int culvert_wait_for_readers(void);            // of RCU, that run now; returns 0 or -errno
int64_t culvert_peer_uid(int socket);          // of a Unix socket, or -errno
int culvert_pipe(int ends[2], bool nonblocking); // O_CLOEXEC
int culvert_open(const char *path, int flags, unsigned mode);
uint64_t culvert_monotonic_ns(void);
/* Between two ticks of the kernel's clock (1/HZ), which is what CLOCK_MONOTONIC_COARSE resolves. */
uint64_t culvert_tick_ns(void);
uint64_t culvert_thread_cpu_ns(void);
