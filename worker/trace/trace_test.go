package trace

import (
	"errors"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

func TestConfigured(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"OTEL_SERVICE_NAME": "x"}, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, false},
	} {
		if got := configured(func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%v: %v", test.env, got)
		}
	}
}

// TestNothingIsMade holds that without an exporter there is none, and that a
// tracer that is not there can be used.
func TestNothingIsMade(t *testing.T) {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		t.Setenv(name, "")
	}
	tracer, err := Open(t.Context(), "v1")
	if tracer != nil || err != nil {
		t.Fatalf("%v %v", tracer, err)
	}
	progress := new(backup.Progress)
	ctx, end := tracer.Task(t.Context(), "Backup", "0x1", "", progress)
	progress.Enter(backup.PhaseScan)
	end(errors.New("no"))
	if ctx != t.Context() || progress.View().Phase != backup.PhaseScan || tracer.Close(ctx) != nil {
		t.Error("a tracer that is not there does something")
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "no such exporter")
	if _, err := Open(t.Context(), "v1"); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}
