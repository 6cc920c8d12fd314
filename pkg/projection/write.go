package projection

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Save adds events to all versions that the reader feeds. The reader's model calls it once per
// transaction. Where all versions are base versions, it uses no table of this package. Besides the
// versions' own statements it takes two, whatever the number of events and of versions, and one per
// version that is no base version. Failures take more.
//
// A version that is not attached takes part in one case: the filler has passed the event's record. The
// event then comes from a retry or from a repaired dead letter, and the filler does not see it.
func (s *Set[F]) Save(ctx context.Context, tx pgx.Tx, events []Event[F]) error {
	if len(events) == 0 {
		return nil
	}
	noted, err := s.note(ctx, tx, events)
	if err != nil {
		return err
	}
	inSchema := false
	for _, v := range s.versions {
		fresh := noted.fresh[v.id()]
		if v.Base {
			fresh = noted.base
			if noted.idle[v.id()] {
				continue
			}
		}
		live := !noted.listed[v.id()]
		fresh, failures := taken(v, fresh)
		if !live {
			var refused []failure[F]
			fresh, refused = s.without(v.id(), fresh)
			unwritten, err := s.narrow(ctx, tx, v, refused)
			if err != nil {
				return err
			}
			failures = append(failures, unwritten...)
			inSchema = inSchema || len(refused) > 0 && !v.Base
		}
		rows, unfolded, err := foldAll(v, fresh)
		failures = append(failures, unfolded...)
		if len(failures) > 0 {
			if live {
				return cmp.Or(err, failures[0].err)
			}
			if err := list(ctx, tx, v.id(), failuresOf(failures)...); err != nil {
				return err
			}
			if err := giveUp(ctx, tx, v.id(), failures[0].err); err != nil {
				return err
			}
		}
		if rows != nil && !v.Base {
			inSchema = true
		}
		if err := s.give(ctx, tx, v, live, fresh, rows); err != nil {
			return err
		}
		s.metrics.applied(v.id(), len(fresh)-len(unfolded))
	}
	if inSchema {
		return leaveSchema(ctx, tx)
	}
	return nil
}

// share takes the lock that keeps versions from being attached, switched or dropped meanwhile. The
// statement waits, so that it takes no round trip of its own.
func share(ctx context.Context, tx pgx.Tx) error {
	_, err := later(tx, "lock the projections").Exec(ctx, `SELECT pg_advisory_xact_lock_shared(`+lockKey+`)`)
	return err
}

func later(tx pgx.Tx, what string) postgres.Querier {
	return postgres.Later(tx, func(err error) error { return postgres.Classify(fmt.Errorf("%s: %w", what, err)) })
}

// taken returns the events that the version needs, and those about which its code panics.
func taken[F any](v Version[F], events []Event[F]) (needed []Event[F], failures []failure[F]) {
	if v.Takes == nil {
		return events, nil
	}
	for _, e := range events {
		switch takes, err := asked(v, e); {
		case err != nil:
			failures = append(failures, failure[F]{e, err})
		case takes:
			needed = append(needed, e)
		}
	}
	return needed, failures
}

func asked[F any](v Version[F], e Event[F]) (takes bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errs.New(errs.Internal, "ask %s whether it takes the event: panic: %v\n%s", v.id(), p, debug.Stack())
		}
	}()
	return v.Takes(e.Fact), nil
}

// failure is an event that a fold refused.
type failure[F any] struct {
	event Event[F]
	err   error
}

// foldAll folds events. When the fold fails, it folds each event alone to find the ones at fault, and
// returns the rows of the others. err is the first failure.
func foldAll[F any](v Version[F], events []Event[F]) (rows Rows, failures []failure[F], err error) {
	if len(events) == 0 {
		return nil, nil, nil
	}
	if rows, err = guarded(v, events); err == nil {
		return rows, nil, nil
	}
	var good []Event[F]
	for _, e := range events {
		if _, alone := guarded(v, []Event[F]{e}); alone != nil {
			failures = append(failures, failure[F]{e, alone})
			continue
		}
		good = append(good, e)
	}
	if len(failures) == 0 {
		// Only together do they fail, so none of them is at fault alone.
		for _, e := range events {
			failures = append(failures, failure[F]{e, err})
		}
		return nil, failures, err
	}
	err = failures[0].err
	if len(good) == 0 {
		return nil, failures, err
	}
	rows, together := guarded(v, good)
	if together != nil {
		return nil, append(failures, failure[F]{good[0], together}), together
	}
	return rows, failures, err
}

// guarded folds events. A panic is an error.
func guarded[F any](v Version[F], events []Event[F]) (rows Rows, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errs.New(errs.Internal, "panic: %v\n%s", p, debug.Stack())
		}
	}()
	if rows, err = v.Fold(events); err != nil {
		return nil, fmt.Errorf("fold into %s: %w", v.id(), err)
	}
	return rows, nil
}

// enterSchema makes unqualified names those of the version's schema. It does not wait with others:
// what follows is planned before it is sent, and must find its tables.
func enterSchema(ctx context.Context, tx pgx.Tx, v id) error {
	path := pgx.Identifier{Schema(v.projection, v.number)}.Sanitize() + ", public"
	if _, err := tx.Exec(ctx, `SELECT set_config('search_path', $1, true)`, path); err != nil {
		return postgres.Classify(fmt.Errorf("enter the schema of %s: %w", v, err))
	}
	return nil
}

// leaveSchema restores the names of the connection.
func leaveSchema(ctx context.Context, tx pgx.Tx) error {
	_, err := later(tx, "leave the schema of a projection").Exec(ctx, `SET LOCAL search_path TO DEFAULT`)
	return err
}

// noted is what is new to the versions.
type noted[F any] struct {
	base   []Event[F]        // new to the base versions
	fresh  map[id][]Event[F] // new to the others
	idle   map[id]bool       // versions that are not written
	listed map[id]bool       // versions that list a failure instead of failing the record: all but live ones
}

// noteFacts notes the events in each version that takes part, and returns those that are new. It also
// returns a row without an event for the state of each version, the present one first.
const noteFacts = `
	WITH added AS (
		INSERT INTO public.projection_facts (projection, version, key, event_id)
		SELECT v.projection, v.version, n.key, n.event_id
		FROM unnest($1::text[], $2::int[], $3::text[], $4::uuid[], $5::text[], $6::int[], $7::bigint[])
			AS n (projection, version, key, event_id, topic, topic_partition, record_offset)
		JOIN public.projection_versions v USING (projection, version)
		WHERE v.attached OR v.state IN ('filling', 'live') AND EXISTS (
			SELECT FROM public.projection_positions p WHERE p.projection = v.projection AND p.version = v.version
			  AND p.topic = n.topic AND p.topic_partition = n.topic_partition AND p.next_offset > n.record_offset)
		ORDER BY v.projection, v.version, n.event_id, n.key
		ON CONFLICT DO NOTHING
		RETURNING projection, version, key, event_id
	)
	SELECT projection, version, '' AS state, key, event_id FROM added
	UNION ALL
	SELECT projection, version, state, NULL, NULL FROM public.projection_versions`

// note finds out which events are new to which version. Both questions go out in one round trip.
func (s *Set[F]) note(ctx context.Context, tx pgx.Tx, events []Event[F]) (noted[F], error) {
	n := noted[F]{fresh: map[id][]Event[F]{}, idle: map[id]bool{}, listed: map[id]bool{}}
	if s.onlyBase() { // none of them can be replaced, so they have no state
		base, err := s.cfg.Base(ctx, tx, events)
		n.base = base
		return n, err
	}
	if err := share(ctx, tx); err != nil {
		return n, err
	}
	type fact struct {
		of  id
		key string
		id  uuid.UUID
	}
	waiting := map[fact]Event[F]{}
	args := []any{[]string{}, []int32{}, []string{}, []uuid.UUID{}, []string{}, []int32{}, []int64{}}
	for _, v := range s.versions {
		if v.Base {
			continue
		}
		needed, unclear := taken(v, events) // an unclear one fails below, where it is known whether the version is live
		for _, f := range unclear {
			needed = append(needed, f.event)
		}
		for _, e := range needed {
			f := fact{v.id(), e.Key, e.ID}
			if _, twice := waiting[f]; twice {
				continue
			}
			waiting[f] = e
			args = []any{
				append(args[0].([]string), v.Projection), append(args[1].([]int32), int32(v.Number)), append(args[2].([]string), e.Key),
				append(args[3].([]uuid.UUID), e.ID), append(args[4].([]string), e.Topic), append(args[5].([]int32), e.Partition),
				append(args[6].([]int64), e.Offset),
			}
		}
	}
	read := func(rows pgx.Rows) error {
		var projection, state string
		var version int
		var key *string
		var event *uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&projection, &version, &state, &key, &event}, func() error {
			v := id{projection, version}
			if event == nil {
				n.idle[v], n.listed[v] = state == string(Dropped) || state == string(Failed), state != string(Live)
				return nil
			}
			n.fresh[v] = append(n.fresh[v], waiting[fact{v, *key, *event}])
			return nil
		})
		return err
	}
	first := &beforeQuery{Tx: tx, sql: noteFacts, args: args, read: read}
	if s.cfg.Base != nil {
		base, err := s.cfg.Base(ctx, first, events)
		if err != nil {
			return n, err
		}
		n.base = base
	}
	if err := first.flush(ctx); err != nil {
		return n, postgres.Classify(fmt.Errorf("note the facts of the projections: %w", err))
	}
	return n, nil
}
