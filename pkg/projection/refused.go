package projection

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

const (
	// mostListed is how many records the reader lists for a version before it stops feeding it. Settling
	// tries each of them again every few seconds.
	mostListed = 1000
	// mostRemembered bounds the memory of [refusals], in records. One that was forgotten is refused and
	// remembered again.
	mostRemembered = 10_000
)

// refusal is the error of writing a set of events into a version: of a statement, or of the code of
// the version that makes it.
type refusal struct {
	version id
	live    bool
	places  []retry.Place // of the events
	error
}

func (r *refusal) Unwrap() error { return r.error }

// refusals remembers, for versions that are not live, the records of sets that could not be written.
type refusals struct {
	mu  sync.Mutex
	all map[id]map[retry.Place]error
	n   int
}

// Without reports whether the transaction of the reader that failed with err can be tried again
// without what failed. That is so when the writes of a version failed that no query reads. The next
// [Set.Save] of these records finds those at fault and lists them for that version. It is for
// consumer.Config.Without.
func (s *Set[F]) Without(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	if !ok || r.live || !ofTheVersion(err) || !s.refused.remember(r) {
		return false
	}
	s.metrics.refused(r.version)
	s.log.Warn("the reader goes on without a version that is not live", "projection", r.version.projection, "version", r.version.number,
		"records", len(r.places), "first", r.places[0].String(), "error", r.error)
	return true
}

// ofTheVersion reports whether a write can have failed by the fault of its version. What ends by itself
// for all versions, such as a broken connection or a deadlock, is not. Tables that are missing, in use
// by a long lock, or damaged, concern their version only.
func ofTheVersion(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if errors.Is(err, context.DeadlineExceeded) || errs.KindOf(postgres.Classify(err)) != errs.Transient {
		return true
	}
	switch state := postgres.State(err); state {
	case "57014", "XX001", "XX002", "2200H": // a statement that took too long, damaged tables, a sequence at its end
		return true
	default:
		return strings.HasPrefix(state, "42") || strings.HasPrefix(state, "3F") || strings.HasPrefix(state, "55")
	}
}

// remember reports whether any of the records is new.
func (s *refusals) remember(r *refusal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || s.n+len(r.places) > mostRemembered {
		s.all, s.n = map[id]map[retry.Place]error{}, 0
	}
	of := s.all[r.version]
	if of == nil {
		of = map[retry.Place]error{}
		s.all[r.version] = of
	}
	added := false
	for _, p := range r.places {
		if of[p] == nil {
			of[p], added = r.error, true
			s.n++
		}
	}
	return added
}

// of returns the error of a record's set, nil when the record is not remembered.
func (s *refusals) of(v id, p retry.Place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[v][p]
}

// without returns the events that are tried together, and those of sets that the version could not write.
func (s *Set[F]) without(v id, events []Event[F]) (tried []Event[F], refused []failure[F]) {
	for _, e := range events {
		if err := s.refused.of(v, e.place()); err != nil {
			refused = append(refused, failure[F]{e, err})
			continue
		}
		tried = append(tried, e)
	}
	return tried, refused
}

// narrow writes what can be written of sets that were refused, and returns the others. Where the tables
// as a whole were the reason, none is tried.
func (s *Set[F]) narrow(ctx context.Context, tx pgx.Tx, v Version[F], refused []failure[F]) (failures []failure[F], err error) {
	var doubtful []Event[F]
	for _, r := range refused {
		if errors.Is(r.err, context.DeadlineExceeded) || errs.KindOf(postgres.Classify(r.err)) == errs.Transient {
			failures = append(failures, r)
			continue
		}
		doubtful = append(doubtful, r.event)
	}
	found, err := s.halve(ctx, tx, v, doubtful)
	return append(failures, found...), err
}

// halve writes events behind a savepoint. When that fails, it does so with each half.
func (s *Set[F]) halve(ctx context.Context, tx pgx.Tx, v Version[F], events []Event[F]) ([]failure[F], error) {
	if len(events) == 0 {
		return nil, nil
	}
	rows, failures, _ := foldAll(v, events)
	savepoint, err := tx.Begin(ctx) // its statements do not wait
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("set a savepoint for %s: %w", v.id(), err))
	}
	why := s.give(ctx, savepoint, v, false, events, rows)
	if why == nil {
		s.metrics.applied(v.id(), len(events)-len(failures))
		return failures, savepoint.Commit(ctx)
	}
	if !ofTheVersion(why) || ctx.Err() != nil {
		return nil, why
	}
	if err := savepoint.Rollback(ctx); err != nil {
		return nil, postgres.Classify(fmt.Errorf("return to the savepoint for %s: %w", v.id(), err))
	}
	if len(events) == 1 {
		return []failure[F]{{events[0], why}}, nil
	}
	half := len(events) / 2
	failures, err = s.halve(ctx, tx, v, events[:half])
	if err != nil {
		return nil, err
	}
	more, err := s.halve(ctx, tx, v, events[half:])
	return append(failures, more...), err
}

func (e Event[F]) place() retry.Place {
	return retry.Place{Topic: e.Topic, Partition: e.Partition, Offset: e.Offset}
}

// give writes events that were folded. Every error of the version's own statements is a [refusal],
// wherever it appears: most statements wait and are sent with others.
func (s *Set[F]) give(ctx context.Context, tx pgx.Tx, v Version[F], live bool, events []Event[F], rows Rows) error {
	if rows == nil {
		return nil
	}
	if !v.Base {
		// This sends what waits of the versions before, so what fails from here on is this version's.
		if err := enterSchema(ctx, tx, v.id()); err != nil {
			return err
		}
	}
	blame := func(err error) error {
		if _, already := errors.AsType[*refusal](err); already || err == nil {
			return err
		}
		r := &refusal{version: v.id(), live: live, error: err}
		for _, e := range events {
			r.places = append(r.places, e.place())
		}
		return r
	}
	return blame(saveRows(ctx, postgres.Named(tx, blame), v, rows))
}

// saveRows writes rows into the tables of their version. A panic is an error.
func saveRows[F any](ctx context.Context, tx pgx.Tx, v Version[F], rows Rows) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errs.New(errs.Internal, "save %s: panic: %v\n%s", v.id(), p, debug.Stack())
		}
	}()
	if err := rows.Save(ctx, tx); err != nil {
		return fmt.Errorf("save %s: %w", v.id(), err)
	}
	return nil
}

// giveUp stops feeding a version for which the reader lists too much. A rebuild begins again; a base
// version can only be dropped. A live one goes on.
func giveUp(ctx context.Context, tx pgx.Tx, v id, cause error) error {
	_, err := later(tx, "stop feeding a version").Exec(ctx, `
		UPDATE public.projection_versions SET state = 'failed', attached = false, reason = $3, filler = '', filler_until = NULL
		WHERE projection = $1 AND version = $2 AND state IN ('filling', 'following')
		  AND (SELECT count(*) FROM public.projection_failures WHERE projection = $1 AND version = $2) > $4`,
		v.projection, v.number, reasonOf(fmt.Errorf("more than %d records failed, lately because: %w", mostListed, cause)), mostListed)
	return err
}
