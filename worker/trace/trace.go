// Package trace makes OpenTelemetry spans of tasks and their phases. Where the
// standard variables (OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_ENDPOINT…) name no
// exporter there is none, and nothing is made.
package trace

import (
	"context"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/fault"
)

// Tracer makes spans. A nil Tracer makes none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// configured reports whether the environment, which OpenTelemetry defines, names
// an exporter.
func configured(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return getenv("OTEL_TRACES_EXPORTER") != "" || getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" ||
		getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Open returns a tracer for the exporter that the environment names, or nil when
// it names none. It must be closed.
func Open(ctx context.Context, version string) (*Tracer, error) {
	if !configured(os.Getenv) {
		return nil, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fault.New(fault.Usage, "export traces", "%w", err).WithHint("correct or unset the OTEL_ variables of the environment")
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "brock"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fault.New(fault.Usage, "export traces", "%w", err).WithHint("correct or unset OTEL_RESOURCE_ATTRIBUTES")
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/brockdb/brock", trace.WithInstrumentationVersion(version))}, nil
}

// Close sends the spans that are left, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return fault.Wrap(t.provider.Shutdown(ctx), "export traces")
}

// Task begins the span of a task; each phase that progress enters is a span in
// it. The context is for what the task does. end must be called once.
func (t *Tracer) Task(ctx context.Context, kind, id, requestedBy string, progress *backup.Progress) (in context.Context, end func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, whole := t.tracer.Start(ctx, "task "+kind, trace.WithAttributes(
		attribute.String("brock.task.id", id), attribute.String("brock.task.kind", kind), attribute.String("brock.requested_by", requestedBy)))
	var phase trace.Span // of the goroutine that runs the task
	progress.OnEnter(func(name string) {
		if phase != nil {
			phase.End()
			phase = nil
		}
		if name != backup.PhaseDone {
			_, phase = t.tracer.Start(ctx, name)
		}
	})
	return ctx, func(err error) {
		progress.OnEnter(func(string) {})
		now := progress.View()
		whole.SetAttributes(attribute.Int64("brock.records", now.Records), attribute.Int64("brock.bytes.raw", now.RawBytes),
			attribute.Int64("brock.bytes.stored", now.StoredBytes))
		for _, span := range []trace.Span{phase, whole} {
			if span == nil {
				continue
			}
			if err != nil {
				span.SetStatus(codes.Error, err.Error())
				span.SetAttributes(attribute.String("error.type", fault.KindOf(err).String()))
			}
			span.End()
		}
	}
}
