package reaction

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry"
)

// ErrOvertaken is in the chain of an error of Save when a writer that does not lock the key was
// faster. Nothing was saved, and the same steps can succeed at once.
var ErrOvertaken = errors.New("another writer was faster")

// Step is one input for the state of one key.
type Step[I any] struct {
	Key   string // of the aggregate: the steps of a key stay in order
	Input I
	Cause outbox.Cause // what led to the input; the events that follow from it carry it on
	At    time.Time    // when the step is taken: UTC, microseconds, as the database keeps it
	Span  string       // a traceparent of the step's own, for a step whose cause has none: see telemetry.ChildOf
}

// Decision is the result of a step.
type Decision[S any] struct {
	State   S              // the state afterwards
	Changed bool           // State has to be saved
	Events  []outbox.Entry // to publish, in this order
	// Committed is called after the commit, for log lines and metrics; nil: nothing to do. What is
	// rolled back is neither logged nor counted.
	Committed func(ctx context.Context)
}

// Set is the loaded states of a set of keys within one transaction.
type Set[S any] interface {
	// Get returns the state of a key that was loaded. The caller may change the copy. The caller
	// must replace slices and maps in it instead of writing into them.
	Get(key string) S
	// Put replaces the state of a key. The next Get returns it and Save writes it.
	Put(key string, state S)
	// Save writes every state that was put, one statement per table.
	Save(ctx context.Context, tx pgx.Tx) error
}

// Model defines how the states of one service are loaded, decided about and saved. It is created
// once at start and is safe for concurrent use.
type Model[S, I any] struct {
	// Load locks and returns the states of the steps' keys; see the package comment.
	Load func(ctx context.Context, tx pgx.Tx, steps []Step[I]) (Set[S], error)
	// Look returns the present states of keys, without locks and without creating any. It serves
	// decisions before a transaction, such as whether a call is due. A key without a row is missing
	// in the map. nil for models without such decisions.
	Look func(ctx context.Context, q postgres.Querier, keys []string) (map[string]S, error)
	// Decide is pure; see the package comment.
	Decide func(state S, step Step[I]) (Decision[S], error)
	// Outbox takes the events; nil for models that publish none.
	Outbox *outbox.Outbox
	// Now is the clock of the steps; nil: time.Now.
	Now func() time.Time
}

// Step returns a step that is taken now.
func (m *Model[S, I]) Step(key string, input I, cause outbox.Cause) Step[I] {
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	s := Step[I]{Key: key, Input: input, Cause: cause, At: now().UTC().Truncate(time.Microsecond)}
	if cause.TraceParent == "" {
		s.Span = telemetry.NewTraceParent()
	}
	return s
}

// Keys returns the keys of the steps, each once, in the order in which they are locked.
func Keys[I any](steps []Step[I]) []string {
	keys := map[string]bool{}
	for _, s := range steps {
		keys[s.Key] = true
	}
	return slices.Sorted(maps.Keys(keys))
}

// Work is a set of steps within one transaction: loaded, and then decided one by one.
type Work[S, I any] struct {
	model *Model[S, I]
	steps []Step[I]
	set   Set[S]
	rows  []outbox.Prepared
}

// Begin loads the states of the steps.
func (m *Model[S, I]) Begin(ctx context.Context, tx pgx.Tx, steps []Step[I]) (*Work[S, I], error) {
	set, err := m.Load(ctx, tx, steps)
	if err != nil {
		return nil, postgres.Classify(err)
	}
	return &Work[S, I]{model: m, steps: steps, set: set}, nil
}

// State returns the state that the step with index i would be decided on now.
func (w *Work[S, I]) State(i int) S { return w.set.Get(w.steps[i].Key) }

// Decide decides about the step with index i. When it fails or panics, the set is unchanged.
func (w *Work[S, I]) Decide(ctx context.Context, i int) (Decision[S], error) {
	step := w.steps[i]
	d, err := w.model.Decide(w.set.Get(step.Key), step)
	if err != nil {
		return d, err
	}
	var rows []outbox.Prepared
	if len(d.Events) > 0 {
		if rows, err = w.model.Outbox.Prepare(ctx, d.Events...); err != nil {
			return d, err
		}
	}
	if d.Changed {
		w.set.Put(step.Key, d.State)
	}
	w.rows = append(w.rows, rows...)
	return d, nil
}

// Save writes the states that were decided, and then the events. Within [postgres.InPipeline] the
// commit returns the errors of statements that ran [postgres.Later].
func (w *Work[S, I]) Save(ctx context.Context, tx pgx.Tx) error {
	if err := w.set.Save(ctx, tx); err != nil {
		return postgres.Classify(err)
	}
	if len(w.rows) == 0 {
		return nil
	}
	return outbox.Write(ctx, tx, w.rows...)
}

// Run loads, decides and saves steps for callers that have no further use of a set: a subscription,
// an HTTP command, a worker. The first error ends it, and the caller has to roll the transaction
// back. The decisions are in the order of the steps.
func (m *Model[S, I]) Run(ctx context.Context, tx pgx.Tx, steps ...Step[I]) ([]Decision[S], error) {
	w, err := m.Begin(ctx, tx, steps)
	if err != nil {
		return nil, err
	}
	decisions := make([]Decision[S], len(steps))
	for i := range steps {
		if decisions[i], err = w.Decide(ctx, i); err != nil {
			return nil, fmt.Errorf("decide about %s: %w", steps[i].Key, err)
		}
	}
	return decisions, w.Save(ctx, tx)
}

// Committed calls what the decisions left to do after the commit.
func Committed[S any](ctx context.Context, decisions ...Decision[S]) {
	for _, d := range decisions {
		if d.Committed != nil {
			d.Committed(ctx)
		}
	}
}
