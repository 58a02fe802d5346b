package main

import (
	"context"
	"time"

	"github.com/golang/glog"
	"go.opentelemetry.io/otel"

	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/metrics"
	"github.com/brockdb/brock/worker/trace"
)

// observation is what looks at a node from outside.
type observation struct {
	metrics *metrics.Metrics
	tracer  *trace.Tracer
}

// traceDrain is how long the last spans may take to be sent when an alpha ends.
const traceDrain = 5 * time.Second

// observe begins it. stop sends what is left.
func observe(ctx context.Context) (o observation, stop func(), err error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { glog.Warningf("traces: %v", err) }))
	o.metrics = metrics.New(versionText())
	if o.tracer, err = trace.Open(ctx, versionText()); err != nil {
		return o, nil, err
	}
	return o, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceDrain)
		defer cancel()
		if err := o.tracer.Close(ctx); err != nil {
			glog.Warningf("%v", err)
		}
	}, nil
}

// of has a node be observed.
func (o observation) of(options worker.Options) worker.Options {
	options.Metrics, options.Tracer = o.metrics, o.tracer
	return options
}
