// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "culvert_interrupt.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void nothing(int number) { (void)number; }

int culvert_interrupt_at(uint64_t ns, void **timer) {
  // Not SA_RESTART: interrupting is the point.
  const struct sigaction action = {.sa_handler = nothing};
  if (sigaction(SIGRTMIN + 3, &action, NULL)) return -errno;
  // A thread inherits its maker's mask, and a pool's workers block everything.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  int blocked = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  if (blocked) return -blocked;
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3};
  event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
  timer_t made;
  if (timer_create(CLOCK_MONOTONIC, &event, &made)) return -errno;
  // Again and again: the first may find the thread before its system call.
  const struct itimerspec times = {
      .it_value = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)},
      .it_interval = {.tv_nsec = 1000000},
  };
  if (timer_settime(made, TIMER_ABSTIME, &times, NULL)) {
    int status = -errno;
    timer_delete(made);
    return status;
  }
  *timer = made;
  return 0;
}

void culvert_interrupt_end(void *timer) { timer_delete(timer); }
