// Package telemetry adds to every record, metric and message of a service the ids that connect
// them: structured logs (slog, JSON), W3C trace context and a Prometheus registry.
//
// It guarantees that a record logged with a context contains the subject, event, correlation
// and trace id of that context. It writes each record at once. What is true only after a commit is
// logged after it: see package reaction.
//
// It exports no spans. Each piece of work has a span id of its own, and what the work causes names
// that id as its parent (see [Continue]). So a tracing system can be added without a change of the
// wire format. Logging never fails; a writer's error is lost, as in slog.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"sync"
)

// IDs are the ids a context carries; empty means unknown.
type IDs struct {
	Subject       string // id of the aggregate that the work is about, which is the key of its records
	EventID       string // ce_id of the event being handled
	CorrelationID string // the same for everything that one external request caused
}

type (
	idsKey     struct{}
	subjectKey struct{}
)

// lateSubject is the subject of a request. It becomes known while the request runs.
type lateSubject struct {
	mu sync.Mutex
	id string
}

// WithSubject returns a context for a request whose subject is not known yet: see [Concerns].
func WithSubject(ctx context.Context) context.Context {
	return context.WithValue(ctx, subjectKey{}, &lateSubject{})
}

// Concerns sets the subject of the request that began with [WithSubject]. The context of
// WithSubject, and all contexts derived from it, carry it from now on, unless they carry another.
// Without such a context it has no effect.
func Concerns(ctx context.Context, subject string) {
	if s, ok := ctx.Value(subjectKey{}).(*lateSubject); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.id = subject
	}
}

// With returns a context that carries the ids. An empty id leaves what ctx already carries, so that
// each layer adds the ids that it knows.
func With(ctx context.Context, subject, eventID, correlationID string) context.Context {
	ids := FromContext(ctx)
	if subject != "" {
		ids.Subject = subject
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
	if s, ok := ctx.Value(subjectKey{}).(*lateSubject); ok && ids.Subject == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		ids.Subject = s.id
	}
	return ids
}

// NewLogger writes one JSON object per line to w: time, level, msg, service, the record's own
// attributes, and subject, eventId, correlationId and traceId when the context has them and the
// record has no attribute of that name. After WithGroup the ids are inside the group.
//
// subject is the system's own name for the attribute [KeySubject], for example "parcelId"; "" keeps
// the name.
func NewLogger(w io.Writer, service, subject string, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if subject != "" {
		opts.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == KeySubject {
				a.Key = subject
			}
			return a
		}
	}
	return slog.New(contextHandler{slog.NewJSONHandler(w, opts)}).With("service", service)
}

// Names of the attributes that records of all services share.
const (
	KeySubject     = "subject" // the log has the name that NewLogger was called with
	KeyEvent       = "eventId"
	KeyCorrelation = "correlationId"
	KeyTrace       = "traceId"
)

// contextHandler adds the ids of the context to each record.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, rec slog.Record) error {
	ids := FromContext(ctx)
	traceParent, _ := Trace(ctx)
	own := map[string]bool{}
	rec.Attrs(func(a slog.Attr) bool { own[a.Key] = true; return true })
	for _, a := range [...]struct{ key, value string }{
		{KeySubject, ids.Subject},
		{KeyEvent, ids.EventID},
		{KeyCorrelation, ids.CorrelationID},
		{KeyTrace, TraceID(traceParent)},
	} {
		if a.value != "" && !own[a.key] {
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
