package main

import (
	"net"
	"os"
	"strconv"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/fault"
)

// notifier tells the service manager that started this process how it is, in
// the protocol of sd_notify(3). Where there is none it does nothing.
type notifier struct {
	socket   string        // of the service manager; "" means that there is none
	watchdog time.Duration // within which it wants to hear from us; 0 means never
}

// newNotifier reads what systemd puts into the environment of a service.
func newNotifier() (*notifier, error) {
	n := &notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	period := os.Getenv("WATCHDOG_USEC")
	if pid := os.Getenv("WATCHDOG_PID"); period == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n, nil // the watchdog is off, or another process's
	}
	microseconds, err := strconv.ParseInt(period, 10, 64)
	if err != nil || microseconds <= 0 {
		return nil, fault.New(fault.Usage, "use environment variable WATCHDOG_USEC", "it is no number above 0")
	}
	n.watchdog = time.Duration(microseconds) * time.Microsecond
	return n, nil
}

// send tells one state, such as READY=1. That nobody hears it must not end a
// server that works: the service manager does what it is configured to do.
func (n *notifier) send(state string) {
	if n.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close() // a datagram is sent or not
	}
	if err != nil {
		glog.Warningf("the service manager does not hear %q: %v", state, err)
	}
}

// watch tells the watchdog, twice in its period and until the returned function
// is called, that the process is alive, as long as healthy returns nil. One that
// hangs counts as not healthy: the service manager then ends the process and
// starts it again.
func (n *notifier) watch(healthy func() error) (stop func()) {
	if n.socket == "" || n.watchdog == 0 {
		return func() {}
	}
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(n.watchdog / 2)
		defer tick.Stop()
		for {
			if err := healthy(); err != nil {
				glog.Errorf("not telling the watchdog that all is well: %v", err)
			} else {
				n.send("WATCHDOG=1")
			}
			select {
			case <-tick.C:
			case <-stopping:
				return
			}
		}
	}()
	return func() {
		close(stopping)
		<-stopped
	}
}
