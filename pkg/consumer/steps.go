package consumer

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
)

// steps is the reactions of a transaction: one set of steps per model. All sets are loaded before
// the first decision, and saved after the last one.
type steps struct {
	models []any // in the order of the subscription table, in which their rows are locked
	sets   map[any]set
}

// set is a set of steps of one model, whatever the types of the model's states and inputs.
type set interface {
	begin(ctx context.Context, tx pgx.Tx) error
	decide(ctx context.Context, i int) (committed func(context.Context), err error)
	save(ctx context.Context, tx pgx.Tx) error
}

// step is the place of one record's reaction in a set.
type step struct {
	set
	i int
}

func newSteps(models []any) *steps { return &steps{models, map[any]set{}} }

// add gives the record's reaction its place. An error is the record's own: it cannot be turned into
// an input.
func (s *steps) add(it *item) error {
	w := s.sets[it.sub.model]
	if w == nil {
		w = it.sub.newSet()
		s.sets[it.sub.model] = w
	}
	return guard(func() (err error) {
		it.step, err = it.sub.step(w, it)
		return err
	})
}

// begin loads and locks the states of all steps.
func (s *steps) begin(ctx context.Context, tx pgx.Tx) error {
	return s.each(func(w set) error { return w.begin(ctx, tx) })
}

// save writes what was decided.
func (s *steps) save(ctx context.Context, tx pgx.Tx) error {
	return s.each(func(w set) error { return w.save(ctx, tx) })
}

func (s *steps) each(do func(set) error) error {
	for _, m := range s.models {
		if w := s.sets[m]; w != nil {
			if err := postgres.Classify(guard(func() error { return do(w) })); err != nil {
				return err
			}
		}
	}
	return nil
}

// decide runs the record's decision. When it fails or panics, the set is unchanged.
func (s step) decide(ctx context.Context) (committed func(context.Context), err error) {
	err = guard(func() (err error) {
		committed, err = s.set.decide(ctx, s.i)
		return err
	})
	return committed, postgres.Classify(err)
}

// stepsOf is the [set] of a model.
type stepsOf[S, I any] struct {
	model *reaction.Model[S, I]
	steps []reaction.Step[I]
	due   []func(S) bool // by step: whether a call is due that was not made; nil where none is possible
	work  *reaction.Work[S, I]
}

func (s *stepsOf[S, I]) add(st reaction.Step[I], due func(S) bool) step {
	s.steps, s.due = append(s.steps, st), append(s.due, due)
	return step{s, len(s.steps) - 1}
}

func (s *stepsOf[S, I]) begin(ctx context.Context, tx pgx.Tx) (err error) {
	s.work, err = s.model.Begin(ctx, tx, s.steps)
	return err
}

func (s *stepsOf[S, I]) decide(ctx context.Context, i int) (committed func(context.Context), err error) {
	if due := s.due[i]; due != nil && due(s.work.State(i)) {
		return nil, errs.New(errs.Transient, "%s: %w", s.steps[i].Key, errNotCalled)
	}
	d, err := s.work.Decide(ctx, i)
	return d.Committed, err
}

func (s *stepsOf[S, I]) save(ctx context.Context, tx pgx.Tx) error { return s.work.Save(ctx, tx) }
