package graph

import (
	"log"
	"strings"

	"github.com/golang/glog"
)

// newErrorLog passes on what net/http has to say: mostly panics.
func newErrorLog() *log.Logger { return log.New(glogWriter{}, "", 0) }

type glogWriter struct{}

func (glogWriter) Write(line []byte) (int, error) {
	glog.Warning(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}
