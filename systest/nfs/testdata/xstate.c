/*
 * A kernel that runs as a process (User Mode Linux) saves and restores the
 * floating point registers of its guests with PTRACE_GETREGSET and
 * PTRACE_SETREGSET of NT_X86_XSTATE, in a buffer that was large enough for
 * AVX-512. A processor with AMX has more state than that: the get is cut, and
 * the kernel refuses a set that is not whole, so that the guest does not boot.
 *
 * Preloaded, this gives the whole: a set first reads all of the state and then
 * lays what it was given over its begin.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

typedef long (*ptrace_function)(int request, pid_t pid, void *addr, void *data);

/* One thread of the process calls ptrace, on a small stack. */
static char whole[1 << 16];

static long set_whole(ptrace_function real, pid_t pid, void *addr, struct iovec *given)
{
	struct iovec all = { whole, sizeof(whole) };
	long rc = real(PTRACE_GETREGSET, pid, addr, &all);

	if (rc != 0)
		return rc;
	if (given->iov_len < all.iov_len) {
		memcpy(whole, given->iov_base, given->iov_len);
		return real(PTRACE_SETREGSET, pid, addr, &all);
	}
	return real(PTRACE_SETREGSET, pid, addr, given);
}

long ptrace(enum __ptrace_request request, ...)
{
	static ptrace_function real;
	va_list args;
	pid_t pid;
	void *addr, *data;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);
	if (!real)
		real = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE)
		return set_whole(real, pid, addr, data);
	return real(request, pid, addr, data);
}
