package consumer

import (
	"context"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
)

// On subscribes to events of type T. Each event is a step of the model: load, decide, save (see
// package reaction). The events of a batch that share a model are one set of steps: their states
// are loaded together, after the events' inbox rows were inserted, and saved together. Two models of
// one consumer must not write the same rows, because both load before either saves. input turns the
// event into the model's input. The kind of the decision's error decides
// the record's outcome (see package errs). Decision.Committed is called after the commit.
func On[T event.Event, S, I any](m *reaction.Model[S, I], input func(e Event[T]) I) Subscription {
	return reacting(m, func(e Event[T], _ any) I { return input(e) })
}

// Call is a call to the outside world and its answer.
type Call[R any] func(ctx context.Context) (R, error)

// OnCall is [On] for events whose handling may need a call to the outside world. call is pure: it
// returns the call that is due in a state, or nil when none is. state is what the model's Look returns
// for the event's key, or the zero value when there is no such row. The call runs before the transaction,
// so that no database lock is kept while a foreign server works. Its answer is part of the step's
// input; the zero value stands for no call. The decision reads the state again and decides what the
// answer means.
//
// The call must be idempotent by a key derived from the event's aggregate. It is repeated after a
// crash between call and commit. It must return an error of kind errs.Transient when the outcome is
// unknown. The record is then tried again, and never taken as declined.
//
// [Subscription.Emits] lists the event types that the decision may emit to report the call, so that
// no call is made whose outcome could not be published.
//
// Calls run ahead of the transactions. While a record's call runs, the records behind it on its
// partition wait, and other partitions go on. A call is not made before the previous record of the
// key on the same partition is committed. The answer is kept until the record is committed, however
// often its transaction has to be tried. A record without an answer is decided about only when no
// call is due in the state that the transaction has locked; otherwise the call is made first. A decision
// that cannot use an answer, because the state has changed since the call saw it, returns
// errs.Transient: the record is then tried again with a new call.
func OnCall[T event.Event, S, I, R any](
	m *reaction.Model[S, I],
	call func(state S, e Event[T]) Call[R],
	input func(e Event[T], r R) I,
) Subscription {
	s := reacting(m, func(e Event[T], result any) I {
		// A nil interface R arrives here as a nil any; the zero R restores it.
		answer, _ := result.(R)
		return input(e, answer)
	})
	s.look = func(ctx context.Context, q postgres.Querier, keys []string) (any, error) { return m.Look(ctx, q, keys) }
	s.call = func(states any, r received) (func(context.Context) (any, error), error) {
		e, err := typed[T](r)
		if err != nil {
			return nil, err
		}
		due := call(states.(map[string]S)[e.Data.AggregateKey()], e)
		if due == nil {
			return nil, nil
		}
		return func(ctx context.Context) (any, error) { return due(ctx) }, nil
	}
	plain := s.step
	s.step = func(w set, it *item) (step, error) {
		st, err := plain(w, it)
		if err == nil && it.call != answered {
			steps := w.(*stepsOf[S, I])
			steps.due[st.i] = func(state S) bool {
				e, err := typed[T](it.event)
				return err == nil && call(state, e) != nil
			}
		}
		return st, err
	}
	return s
}

// reacting returns a subscription without a call.
func reacting[T event.Event, S, I any](m *reaction.Model[S, I], input func(e Event[T], result any) I) Subscription {
	return Subscription{
		Type: event.Type{Name: nameOf[T]()}, typeIn: event.TypeOf[T],
		model:  m,
		newSet: func() set { return &stepsOf[S, I]{model: m} },
		step: func(s set, it *item) (step, error) {
			e, err := typed[T](it.event)
			if err != nil {
				return step{}, err
			}
			return s.(*stepsOf[S, I]).add(m.Step(e.Data.AggregateKey(), input(e, it.result), e.Cause()), nil), nil
		},
	}
}
