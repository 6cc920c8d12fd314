package consumer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/pkg/telemetry/telemetrytest"
)

// spans records the traceparents in the contexts of calls, handlers and other work.
type spans struct {
	mu   sync.Mutex
	seen map[string][]string // by key and kind of work
}

func (s *spans) note(ctx context.Context, key, what string) {
	parent, _ := telemetry.Trace(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[key+" "+what] = append(s.seen[key+" "+what], parent)
}

// of returns the spans of one kind of work, without repetitions of a transaction: a repetition has
// the span of the first try.
func (s *spans) of(key, what string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Compact(slices.Clone(s.seen[key+" "+what]))
}

// traced returns the record with exactly these trace headers, in this order.
func (f *fixture) traced(r *kgo.Record, parents []string, state string) *kgo.Record {
	r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool {
		return h.Key == event.HeaderTraceParent || h.Key == event.HeaderTraceState
	})
	for _, parent := range parents {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: event.HeaderTraceParent, Value: []byte(parent)})
	}
	if state != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: event.HeaderTraceState, Value: []byte(state)})
	}
	return r
}

// TestTracesReachHandlers: the call and the handler of a record share one span, which is a child of
// the event's. Their log lines carry the trace, and events that they append name that span as their
// parent. A retry and a follower have spans of their own in their events' traces. Unusable headers
// start a new trace.
func TestTracesReachHandlers(t *testing.T) {
	t.Parallel()
	const (
		one       = "00-11111111111111111111111111111111-aaaaaaaaaaaaaaaa-01"
		unsampled = "00-22222222222222222222222222222222-aaaaaaaaaaaaaaaa-00"
		follows   = "00-33333333333333333333333333333333-aaaaaaaaaaaaaaaa-01"
		later     = "cc-44444444444444444444444444444444-aaaaaaaaaaaaaaaa-01-more"
	)
	f, log := newFixture(t), &telemetrytest.Log{}
	work := spans{seen: map[string][]string{}}
	logger := log.Logger("test")
	call := func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		work.note(ctx, e.Data.ParcelID, "call")
		logger.DebugContext(ctx, "called")
		return "", nil
	}
	tell := func(ctx context.Context, tx pgx.Tx, id, what string, cause outbox.Cause) error {
		if err := f.outbox.Append(ctx, tx, outbox.Entry{Event: sample.ParcelNoted{ParcelID: id}, Version: 9, Cause: cause},
			outbox.Entry{Event: sample.ParcelNoted{ParcelID: id}, Version: 10, Cause: cause}); err != nil {
			return err
		}
		return effect(ctx, tx, id, what)
	}
	report := func(ctx context.Context, id, what string) {
		work.note(ctx, id, what)
		logger.DebugContext(ctx, what)
	}
	labelled := map[int64]string{1: "retried", 2: "followed"} // by version
	f.run(consumer.Config{Logger: logger, Retry: quickly(3), Subscriptions: []consumer.Subscription{
		onCallThen(call, func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], _ string) error {
			return tell(ctx, tx, e.Data.ParcelID, "handled", e.Cause())
		}, func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) {
			report(ctx, e.Data.ParcelID, "handled")
		}),
		onThen(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled]) error {
			if e.AggregateVersion == 1 && e.Attempt == 1 {
				work.note(telemetry.WithTrace(ctx, e.Cause().TraceParent, ""), e.Data.ParcelID, "failed")
				return errors.New("once")
			}
			return tell(ctx, tx, e.Data.ParcelID, labelled[e.AggregateVersion], e.Cause())
		}, func(ctx context.Context, e consumer.Event[sample.ParcelLabelled]) {
			report(ctx, e.Data.ParcelID, labelled[e.AggregateVersion])
		}),
	}})
	f.together(
		f.traced(f.record(collected("given"), 1), []string{one}, "vendor=1"),
		f.traced(f.record(collected("unsampled"), 1), []string{unsampled}, ""),
		f.traced(f.record(collected("same twice"), 1), []string{one, one}, "a=b,c=d"),
		f.traced(f.record(collected("later version"), 1), []string{later}, ""),
		f.traced(f.record(collected("missing"), 1), nil, ""),
		f.traced(f.record(collected("malformed"), 1), []string{"00-rubbish"}, "vendor=1"),
		f.traced(f.record(collected("two"), 1), []string{one, unsampled}, "vendor=1"),
		f.traced(f.record(confirmed("fails"), 1), []string{one}, "vendor=1"),
		f.traced(f.record(confirmed("fails"), 2), []string{follows}, ""),
	)
	f.awaitEffects(9)
	kafkatest.Eventually(t, "what comes after the last commit", func() bool { return len(work.of("fails", "followed")) > 0 })

	for _, tt := range []struct {
		key, what     string
		parent, state string // "" starts a trace
	}{
		{"given", "handled", one, "vendor=1"},
		{"unsampled", "handled", unsampled, ""},
		{"same twice", "handled", one, "a=b,c=d"},
		{"later version", "handled", later, ""},
		{"missing", "handled", "", ""},
		{"malformed", "handled", "", ""},
		{"two", "handled", "", ""},
		{"fails", "retried", one, "vendor=1"},
		{"fails", "followed", follows, ""},
	} {
		span := work.of(tt.key, tt.what)
		if len(span) != 1 || !telemetry.ValidTraceParent(span[0]) {
			t.Fatalf("%s: spans of %q are %q", tt.key, tt.what, span)
		}
		if calls := work.of(tt.key, "call"); tt.what == "handled" && !slices.Equal(calls, span) {
			t.Errorf("%s: the call's span is %q, the handler's %q", tt.key, calls, span)
		}
		switch child := tt.parent != ""; {
		case child && (telemetry.TraceID(span[0]) != telemetry.TraceID(tt.parent) || span[0][36:52] == tt.parent[36:52] || span[0][53:] != tt.parent[53:55]):
			t.Errorf("%s: the span %s is no child of %s", tt.key, span[0], tt.parent)
		case !child && slices.Contains([]string{telemetry.TraceID(one), telemetry.TraceID(unsampled)}, telemetry.TraceID(span[0])):
			t.Errorf("%s: no new trace: %s", tt.key, span[0])
		}
		row := span[0] + " " + tt.state
		if diff := cmp.Diff([]string{row, row}, f.rows(`SELECT traceparent || ' ' || tracestate FROM outbox WHERE aggregate_id = $1
			AND split_part(traceparent, '-', 3) = $2 ORDER BY seq`, tt.key, span[0][36:52])); diff != "" {
			t.Errorf("%s: the events appended (-want +got):\n%s", tt.key, diff)
		}
		logged := false
		for _, line := range log.About(t, tt.key, "DEBUG") {
			if line["msg"] == tt.what {
				logged = line[telemetry.KeyTrace] == telemetry.TraceID(span[0])
			}
		}
		if !logged {
			t.Errorf("%s: the handler's lines are %v, want %s %s", tt.key, log.About(t, tt.key, "DEBUG"), telemetry.KeyTrace, telemetry.TraceID(span[0]))
		}
	}
	failed, retried := work.of("fails", "failed"), work.of("fails", "retried")
	if len(failed) == 0 || telemetry.TraceID(failed[0]) != telemetry.TraceID(retried[0]) || slices.Contains(failed, retried[0]) {
		t.Errorf("the retry's span is %q after %q, want another of the same trace", retried, failed)
	}
	if lines := log.About(t, "fails", "WARN"); len(lines) != 1 || lines[0][telemetry.KeyTrace] != telemetry.TraceID(one) {
		t.Errorf("what is logged of the failure: %v", lines)
	}
}

// TestTraceHeadersOfARecordThatFailsAreKept: retries and dead letters have the trace headers that
// the record had, byte for byte, even where they are unusable.
func TestTraceHeadersOfARecordThatFailsAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(consumer.Config{Retry: quickly(2), Subscriptions: []consumer.Subscription{
		on(func(_ context.Context, _ pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			if e.Data.ParcelID == "hopeless" {
				return errs.New(errs.Hopeless, "no use")
			}
			return errors.New("again")
		}),
	}})
	want := []string{"00-11111111111111111111111111111111-aaaaaaaaaaaaaaaa-01", "rubbish"}
	f.together(f.traced(f.record(collected("hopeless"), 1), want, "a=b"), f.traced(f.record(collected("again"), 1), want, "a=b"))
	for _, topic := range []event.Topic{event.RetryTopic(sample.TopicParcelEvents, group), event.DeadLetterTopic(sample.TopicParcelEvents, group)} {
		kafkatest.Eventually(t, "records on "+topic.Name, func() bool {
			records := kafkatest.ReadAll(t, f.brokers, topic.Name)
			for _, r := range records {
				var got []string
				for _, h := range r.Headers {
					if h.Key == event.HeaderTraceParent || h.Key == event.HeaderTraceState {
						got = append(got, string(h.Value))
					}
				}
				if diff := cmp.Diff(append(slices.Clone(want), "a=b"), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", topic.Name, diff)
				}
			}
			return len(records) > 0
		})
	}
	kafkatest.Eventually(t, "two dead letters", func() bool { return f.deadLetters() == 2 })
}
