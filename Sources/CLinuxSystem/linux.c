// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int culvert_setns(int fd) { return setns(fd, CLONE_NEWNET); }

int culvert_unshare_net(void) { return unshare(CLONE_NEWNET); }

int culvert_pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof set, &set) ? -errno : 0;
}

int culvert_set_idle_class(void) {
  const struct sched_param none = {0};
  return sched_setscheduler(0, SCHED_IDLE, &none) ? -errno : 0;
}

int64_t culvert_peer_uid(int socket) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) ? -errno : (int64_t)peer.uid;
}

void culvert_name_process(const char *name) { prctl(PR_SET_NAME, name); }

int culvert_pidfd_open(int pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int culvert_wait_for_readers(void) { return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0; }

int culvert_hold_until_death(void *memory) {
  pthread_mutexattr_t attributes;
  _Static_assert(sizeof(pthread_mutex_t) <= 48, "as struct culvert_pulse has it");
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  int status = pthread_mutex_init(memory, &attributes);
  if (!status) status = pthread_mutex_lock(memory);
  return -status;
}

int culvert_pipe(int ends[2], bool nonblocking) {
  return pipe2(ends, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0));
}

int culvert_open(const char *path, int flags, unsigned mode) {
  return open(path, flags | O_CLOEXEC, mode);
}

static uint64_t clock_ns(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t culvert_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t culvert_tick_ns(void) {
  struct timespec t;
  clock_getres(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
uint64_t culvert_thread_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
