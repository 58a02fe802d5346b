package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/golang/glog"
)

// Logger receives the warnings and errors of Badger and of the store's
// background work: reaping dropped collections.
type Logger interface {
	Warningf(format string, args ...any)
	Errorf(format string, args ...any)
}

// glogLogger is the Logger of a server.
type glogLogger struct{}

func (glogLogger) Warningf(format string, args ...any) {
	glog.WarningDepth(2, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (glogLogger) Errorf(format string, args ...any) {
	glog.ErrorDepth(2, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// vlogSyncFailed is how Badger begins its log line when the fsync of the value
// log failed. It returns that error to nobody: values of 1 MiB and more would
// be acknowledged without being durable.
const vlogSyncFailed = "Error while curlf sync"

// badgerLogger hands Badger's warnings and errors on, and watches for the
// errors that Badger only logs.
type badgerLogger struct {
	out        Logger
	syncFailed func(error)
	workFailed func(err error, manifest bool) // see failedWork
	debug      func(format string, args []any)
}

func (l badgerLogger) Errorf(format string, args ...any) {
	l.watch(format, args)
	l.out.Errorf("badger: "+format, args...)
}

func (l badgerLogger) Warningf(format string, args ...any) {
	l.watch(format, args)
	l.out.Warningf("badger: "+format, args...)
}

func (l badgerLogger) watch(format string, args []any) {
	if strings.HasPrefix(format, vlogSyncFailed) {
		l.syncFailed(fmt.Errorf("sync value log: %s", strings.TrimSpace(fmt.Sprintf(format, args...))))
		return
	}
	const most = 400 // a compaction prints all that it knows
	line := strings.TrimSpace(fmt.Sprintf(format, args...))
	if failed, manifest := failedWork(format, line); failed {
		l.workFailed(errors.New(line[:min(len(line), most)]), manifest)
	}
}

func (badgerLogger) Infof(string, ...any) {}

func (l badgerLogger) Debugf(format string, args ...any) { l.debug(format, args) }
