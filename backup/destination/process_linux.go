package destination

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// currentProcess describes this process. Without /proc it says less, and its
// lease has to expire when it dies.
func currentProcess() (process, error) {
	host, err := os.Hostname()
	if err != nil {
		return process{}, err
	}
	p := process{Host: host, PID: os.Getpid()}
	start, _, err := processStart(p.PID)
	if err != nil {
		return p, nil
	}
	if system := systemID(); system != "" {
		p.System, p.Start = system, start
	}
	return p, nil
}

// systemID names the boot of this machine and the namespaces in which process
// ids and start times mean something: containers may share a host name.
func systemID() string {
	boot, bootErr := os.ReadFile("/proc/sys/kernel/random/boot_id")
	pid, pidErr := os.Readlink("/proc/self/ns/pid")
	clock, clockErr := os.Readlink("/proc/self/ns/time")
	if errors.Is(clockErr, os.ErrNotExist) { // before Linux 5.6
		clockErr = nil
	}
	if errors.Join(bootErr, pidErr, clockErr) != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + pid + "/" + clock
}

// isDead reports whether p ran on the same system as self and has ended for
// certain. Any doubt says false.
func (p process) isDead(self process) bool {
	if self.System == "" || p.System != self.System || p.Host != self.Host || p.PID <= 0 {
		return false
	}
	if errors.Is(syscall.Kill(p.PID, 0), syscall.ESRCH) {
		return true
	}
	start, ended, err := processStart(p.PID)
	return err == nil && (ended || start != p.Start)
}

// processStart returns when a process was started, in clock ticks since boot,
// and whether it has ended and only waits for its parent to notice. Source:
// proc_pid_stat(5), fields 3 and 22.
func processStart(pid int) (start uint64, ended bool, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false, err
	}
	// The command, field 2, may contain spaces and parentheses.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, startTime = 0, 22 - 3 // the fields begin with the third
	if len(fields) <= startTime {
		return 0, false, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	start, err = strconv.ParseUint(fields[startTime], 10, 64)
	return start, fields[state] == "Z" || fields[state] == "X", err
}
