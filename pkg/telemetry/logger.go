// Package telemetry gives every record, metric and message of a service the
// ids that tie them together: structured logs (slog, JSON), W3C trace context
// and a Prometheus registry.
//
// It guarantees that a record logged with a context carries the order, event
// and correlation id of that context. It exports no spans: the traceparent is
// created and passed on, so that a tracing system can be added without a change
// of the wire format. It never fails; a writer's error is lost, as slog does.
package telemetry

import (
	"context"
	"io"
	"log/slog"
)

// IDs are the ids a context carries; empty means unknown.
type IDs struct {
	OrderID       string
	EventID       string // ce_id of the event being handled
	CorrelationID string // the same for everything that one outside request caused
}

type idsKey struct{}

// With returns a context that carries the ids. An empty one leaves what ctx
// already carries, so that each layer adds what it knows.
func With(ctx context.Context, orderID, eventID, correlationID string) context.Context {
	ids := FromContext(ctx)
	if orderID != "" {
		ids.OrderID = orderID
	}
	if eventID != "" {
		ids.EventID = eventID
	}
	if correlationID != "" {
		ids.CorrelationID = correlationID
	}
	return context.WithValue(ctx, idsKey{}, ids)
}

// FromContext returns the ids that ctx carries.
func FromContext(ctx context.Context) IDs {
	ids, _ := ctx.Value(idsKey{}).(IDs)
	return ids
}

// NewLogger writes one JSON object a line to w: time, level, msg, service, the
// record's own attributes, and order_id, event_id, correlation_id and trace_id
// where the context has them. After WithGroup the ids stand inside the group.
func NewLogger(w io.Writer, service string, level slog.Leveler) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(contextHandler{h}).With("service", service)
}

// contextHandler adds the ids of the context to each record.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, rec slog.Record) error {
	ids := FromContext(ctx)
	traceParent, _ := Trace(ctx)
	for _, a := range [...]struct{ key, value string }{
		{"order_id", ids.OrderID},
		{"event_id", ids.EventID},
		{"correlation_id", ids.CorrelationID},
		{"trace_id", TraceID(traceParent)},
	} {
		if a.value != "" {
			rec.AddAttrs(slog.String(a.key, a.value))
		}
	}
	return h.Handler.Handle(ctx, rec)
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
