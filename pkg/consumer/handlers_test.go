package consumer_test

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
)

// session is the state and the set of a model whose decisions write for themselves, each in a
// savepoint. Tests of what happens to a transaction use it: their decisions write, fail and block in
// the middle. Save returns the first error that a decision had from the database, as the writes of a
// real set do.
type session struct {
	ctx context.Context
	tx  pgx.Tx
	err error
}

func (s *session) Get(string) *session                { return s }
func (s *session) Put(string, *session)               {}
func (s *session) Save(context.Context, pgx.Tx) error { return s.err }

// writing returns a model whose decisions are made by decide. After the commit of each, the model
// calls committed; nil: nothing.
func writing[I any](decide func(ctx context.Context, tx pgx.Tx, in I) error, committed func(ctx context.Context, in I)) *reaction.Model[*session, I] {
	return &reaction.Model[*session, I]{
		Load: func(ctx context.Context, tx pgx.Tx, _ []reaction.Step[I]) (reaction.Set[*session], error) {
			return &session{ctx: ctx, tx: tx}, nil
		},
		Look: func(context.Context, postgres.Querier, []string) (map[string]*session, error) { return nil, nil },
		Decide: func(s *session, step reaction.Step[I]) (reaction.Decision[*session], error) {
			err := s.write(func() error { return decide(s.ctx, s.tx, step.Input) })
			if postgres.State(err) != "" {
				s.err, err = cmp.Or(s.err, err), nil
			}
			d := reaction.Decision[*session]{State: s}
			if committed != nil {
				d.Committed = func(ctx context.Context) { committed(ctx, step.Input) }
			}
			return d, err
		},
	}
}

// write runs do in a savepoint, and undoes what it wrote when it fails or panics.
func (s *session) write(do func() error) error {
	if _, err := s.tx.Exec(s.ctx, `SAVEPOINT decision`); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			_, _ = s.tx.Exec(s.ctx, `ROLLBACK TO SAVEPOINT decision`) // the error that counts is do's
		}
	}()
	if err := do(); err != nil {
		return err
	}
	_, err := s.tx.Exec(s.ctx, `RELEASE SAVEPOINT decision`)
	done = err == nil
	return err
}

// on subscribes with a handler that writes for itself.
func on[T event.Event](handle func(ctx context.Context, tx pgx.Tx, e consumer.Event[T]) error) consumer.Subscription {
	return onThen(handle, nil)
}

// onThen is [on] with work after the commit.
func onThen[T event.Event](handle func(context.Context, pgx.Tx, consumer.Event[T]) error, committed func(context.Context, consumer.Event[T])) consumer.Subscription {
	return consumer.On(writing(handle, committed), func(e consumer.Event[T]) consumer.Event[T] { return e })
}

// onCall subscribes with a call and a handler that writes for itself.
func onCall[T event.Event, R any](
	call func(ctx context.Context, e consumer.Event[T]) (R, error),
	handle func(ctx context.Context, tx pgx.Tx, e consumer.Event[T], r R) error,
) consumer.Subscription {
	return onCallThen(call, handle, nil)
}

// onCallThen is [onCall] with work after the commit.
func onCallThen[T event.Event, R any](
	call func(ctx context.Context, e consumer.Event[T]) (R, error),
	handle func(ctx context.Context, tx pgx.Tx, e consumer.Event[T], r R) error,
	committed func(ctx context.Context, e consumer.Event[T]),
) consumer.Subscription {
	type answered struct {
		event  consumer.Event[T]
		answer R
	}
	return consumer.OnCall(
		writing(func(ctx context.Context, tx pgx.Tx, in answered) error { return handle(ctx, tx, in.event, in.answer) },
			func(ctx context.Context, in answered) {
				if committed != nil {
					committed(ctx, in.event)
				}
			}),
		func(_ *session, e consumer.Event[T]) consumer.Call[R] {
			return func(ctx context.Context) (R, error) { return call(ctx, e) }
		},
		func(e consumer.Event[T], r R) answered { return answered{e, r} },
	)
}
