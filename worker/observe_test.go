package worker

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker/task"
	"github.com/brockdb/brock/worker/trace"
)

// awaitTask waits for the end of a task.
func awaitTask(t *testing.T, n *Node, id string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found, err := n.Task(id); err != nil {
			t.Fatal(err)
		} else if found.Status.Final() {
			return
		}
	}
	t.Fatalf("task %s does not end", id)
}

func failing(context.Context, *backup.Progress) (any, error) {
	return nil, fault.New(fault.NoSpace, "write part", "the disk is full")
}

// spanCollector takes spans as OTLP over HTTP sends them.
type spanCollector struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*otlp.Span
	services []string
}

func newSpanCollector(t *testing.T) *spanCollector {
	t.Helper()
	c := new(spanCollector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unzipped
		}
		text, err := io.ReadAll(body)
		var sent collector.ExportTraceServiceRequest
		if err = errors.Join(err, proto.Unmarshal(text, &sent)); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range sent.ResourceSpans {
			for _, attribute := range resource.Resource.Attributes {
				if attribute.Key == "service.name" {
					c.services = append(c.services, attribute.Value.GetStringValue())
				}
			}
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// TestTraces backs up twice, once in vain, and finds what an operator would see.
func TestTraces(t *testing.T) {
	c := newSpanCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_SERVICE_NAME", "alpha-7")
	tracer, err := trace.Open(t.Context(), "v1")
	if err != nil || tracer == nil {
		t.Fatal(tracer, err)
	}
	n := openNode(t, Options{Dir: t.TempDir(), Tracer: tracer})
	id, err := n.SubmitBackup(task.WithRequester(t.Context(), "alice"), BackupRequest{Destination: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	awaitTask(t, n, id)
	bad, err := n.tasks.Submit(t.Context(), task.Verify, nil, failing)
	if err != nil {
		t.Fatal(err)
	}
	awaitTask(t, n, bad)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	byName := make(map[string]*otlp.Span)
	for _, span := range c.spans {
		byName[span.Name] = span
		if span.EndTimeUnixNano < span.StartTimeUnixNano {
			t.Errorf("%s ends before it begins", span.Name)
		}
	}
	whole := byName["task Backup"]
	if whole == nil || attributeOf(whole, "brock.task.id") != id || attributeOf(whole, "brock.requested_by") != "alice" || whole.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
		t.Fatalf("the backup's span is %v", whole)
	}
	for _, phase := range []string{"lock", "snapshot", "scan", "commit"} {
		if span := byName[phase]; span == nil || string(span.ParentSpanId) != string(whole.SpanId) || string(span.TraceId) != string(whole.TraceId) {
			t.Errorf("phase %s: %v", phase, span)
		}
	}
	failed := byName["task Verify"]
	if failed == nil || failed.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || attributeOf(failed, "error.type") != "no space" {
		t.Errorf("the failed task's span is %v", failed)
	}
	if !slices.Contains(c.services, "alpha-7") {
		t.Errorf("the services are %v", c.services)
	}
}

func attributeOf(span *otlp.Span, key string) string {
	for _, attribute := range span.Attributes {
		if attribute.Key == key {
			return attribute.Value.GetStringValue()
		}
	}
	return ""
}

// listener is a monitor that answers with some statuses, then with 200.
func listener(t *testing.T, statuses ...int) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		if r.Method != http.MethodGet || r.URL.Path != "/ping/secret-uuid" || r.URL.RawQuery != "token=secret" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if n <= len(statuses) {
			w.WriteHeader(statuses[n-1])
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/ping/secret-uuid?token=secret", asked
}

func TestHeartbeat(t *testing.T) {
	url, asked := listener(t, 500)
	n := openNode(t, Options{Dir: t.TempDir(), Heartbeat: url})
	n.heartbeat.pause = time.Millisecond
	id, err := n.SubmitBackup(t.Context(), BackupRequest{Destination: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	awaitTask(t, n, id)
	for deadline := time.Now().Add(20 * time.Second); asked.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the monitor was asked %d times", asked.Load())
		}
	}
	bad, err := n.tasks.Submit(t.Context(), task.Backup, nil, failing)
	if err != nil {
		t.Fatal(err)
	}
	awaitTask(t, n, bad)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != 2 {
		t.Errorf("the monitor was asked %d times", asked.Load())
	}
}

// TestHeartbeatIsBounded holds that a monitor that is away is given up, that the
// end of the node does not wait for it, and that no error shows the secret.
func TestHeartbeatIsBounded(t *testing.T) {
	url, asked := listener(t, 500, 404, 500, 500)
	h, err := newHeartbeat(url)
	if err != nil {
		t.Fatal(err)
	}
	h.pause = time.Millisecond
	h.send(t.Context())
	if asked.Load() != heartbeatTries {
		t.Errorf("tried %d times", asked.Load())
	}
	hanging := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hanging }))
	defer silent.Close()
	defer close(hanging)
	for name, text := range map[string]string{"silent": silent.URL + "/secret", "closed": "http://127.0.0.1:1/secret?secret"} {
		h, err := newHeartbeat(text)
		if err != nil {
			t.Fatal(err)
		}
		h.client.Timeout = 50 * time.Millisecond
		if err := h.try(t.Context()); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(h.String(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		h.client.Timeout, h.pause = time.Hour, time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		h.send(ctx)
		cancel()
	}
	for _, text := range []string{"secret", "ftp://host/secret", "http://", "http://ho st/secret", "://"} {
		if _, err := newHeartbeat(text); !fault.Is(err, fault.Usage) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
