package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// seen is a read model that notes what a reader handles, in the transaction of the reader.
func seen(t *testing.T, pool *pgxpool.Pool, types ...string) *eventstore.Reader {
	t.Helper()
	if _, err := pool.Exec(t.Context(), `CREATE TABLE IF NOT EXISTS seen (n serial, what text)`); err != nil {
		t.Fatal(err)
	}
	return &eventstore.Reader{Name: "seen", Types: types, Pool: pool, Batch: 3,
		Handle: func(ctx context.Context, tx pgx.Tx, events []eventstore.Positioned) error {
			for _, e := range events {
				if _, err := tx.Exec(ctx, `INSERT INTO seen (what) VALUES ($1)`, fmt.Sprintf("%s %d %s", e.StreamID, e.Version, e.Type)); err != nil {
					return err
				}
			}
			return nil
		}}
}

// readAll takes steps until there is nothing more to read at once.
func readAll(t *testing.T, r *eventstore.Reader) []string {
	t.Helper()
	for {
		more, err := r.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return handled(t, r.Pool)
		}
	}
}

func handled(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT what FROM seen ORDER BY n`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAReaderSeesAllStreamsInOrder(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	r := seen(t, pool, "Created", "Changed")
	if got := readAll(t, r); len(got) != 0 {
		t.Errorf("of an empty store: %v", got)
	}
	mustAppend(t, pool, "a", 0, "Created", "Ignored", "Changed")
	mustAppend(t, pool, "b", 0, "Created")
	mustAppend(t, pool, "a", 3, "Changed", "Changed")
	want := []string{"a 1 Created", "a 3 Changed", "b 1 Created", "a 4 Changed", "a 5 Changed"}
	if diff := cmp.Diff(want, readAll(t, r)); diff != "" {
		t.Errorf("handled (-want +got):\n%s", diff)
	}
	// What was passed over and what was handled is not read again, nor by another process.
	mustAppend(t, pool, "c", 0, "Ignored")
	if diff := cmp.Diff(want, readAll(t, seen(t, pool, "Created", "Changed"))); diff != "" {
		t.Errorf("handled again (-want +got):\n%s", diff)
	}
}

// TestAReaderWaitsForAWriterThatStaysOpen: a transaction has appended and stays open. What others have
// committed since lies behind it. Nothing is skipped, and nothing is handled before its turn.
func TestAReaderWaitsForAWriterThatStaysOpen(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(tx pgx.Tx) error{
		"commits":    func(tx pgx.Tx) error { return tx.Commit(t.Context()) },
		"rolls back": func(tx pgx.Tx) error { return tx.Rollback(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.NewDB(t, eventstore.Component())
			r := seen(t, pool)
			late, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer late.Rollback(context.WithoutCancel(t.Context()))
			if _, err := eventstore.Append(t.Context(), late, "late", 0, facts("Created")); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, pool, "early", 0, "Created")
			if got := readAll(t, r); len(got) != 0 {
				t.Fatalf("handled %v beside an open writer", got)
			}
			if err := end(late); err != nil {
				t.Fatal(err)
			}
			want := []string{"late 1 Created", "early 1 Created"}
			if name == "rolls back" {
				want = want[1:]
			}
			if diff := cmp.Diff(want, readAll(t, r)); diff != "" {
				t.Errorf("handled (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAHandlerThatFails: the position stays where it is, and the handler's writes are gone.
func TestAHandlerThatFails(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	r := seen(t, pool)
	mustAppend(t, pool, "a", 0, "Created", "Changed")
	works, broken := r.Handle, errors.New("broken")
	r.Handle = func(ctx context.Context, tx pgx.Tx, events []eventstore.Positioned) error {
		return errors.Join(works(ctx, tx, events), broken)
	}
	if _, err := r.Step(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("the error is %v", err)
	}
	r.Handle = works
	if diff := cmp.Diff([]string{"a 1 Created", "a 2 Changed"}, readAll(t, r)); diff != "" {
		t.Errorf("handled (-want +got):\n%s", diff)
	}
}

// TestReadersBesideWriters: writers append to many streams, commit late and roll back. Two readers of
// one name work beside them. Each event has its effect once, and within a stream in order.
func TestReadersBesideWriters(t *testing.T) {
	t.Parallel()
	const writers, each = 3, 15
	pool := pgtest.NewDB(t, eventstore.Component())
	r := seen(t, pool)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers errgroup.Group
	for range 2 {
		other := *r
		readers.Go(func() error {
			for ctx.Err() == nil {
				if _, err := other.Step(ctx); err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	var writing errgroup.Group
	for w := range writers {
		writing.Go(func() error {
			for n := range each {
				stream := fmt.Sprintf("s-%d-%d", w, n)
				undo := errors.New("undo")
				err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
					if _, err := eventstore.Append(t.Context(), tx, stream, 0, facts("Created", "Changed")); err != nil {
						return err
					}
					if _, err := tx.Exec(t.Context(), `SELECT pg_sleep($1)`, float64((w*each+n)%3)/200); err != nil {
						return err
					}
					if n%5 == 4 {
						return undo
					}
					return nil
				})
				if err != nil && !errors.Is(err, undo) {
					return err
				}
			}
			return nil
		})
	}
	if err := writing.Wait(); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := readers.Wait(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for w := range writers {
		for n := range each {
			if n%5 != 4 {
				want = append(want, fmt.Sprintf("s-%d-%d 1 Created", w, n), fmt.Sprintf("s-%d-%d 2 Changed", w, n))
			}
		}
	}
	// The server may notice a moment later that a reader is gone, whose lock makes others pass.
	var got []string
	kafkatest.Eventually(t, "all events to be handled", func() bool { got = readAll(t, r); return len(got) >= len(want) })
	for i, what := range got {
		stream, version := "", 0
		if _, err := fmt.Sscanf(what, "%s %d", &stream, &version); err != nil {
			t.Fatal(err)
		}
		if version == 2 && !slices.Contains(got[:i], stream+" 1 Created") {
			t.Errorf("%s came before the first event of its stream", what)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("handled (-want +got):\n%s", diff)
	}
}

// TestAReaderHasTheRightsOfTheService: the role of the service can append and read, and can change no
// event.
func TestAReaderHasTheRightsOfTheService(t *testing.T) {
	t.Parallel()
	s := pgtest.NewSeparate(t, eventstore.Component())
	s.Migrate(t)
	pool := s.App(t)
	mustAppend(t, pool, "a", 0, "Created")
	n := 0
	r := &eventstore.Reader{Name: "count", Pool: pool, Handle: func(_ context.Context, _ pgx.Tx, events []eventstore.Positioned) error {
		n += len(events)
		return nil
	}}
	if _, err := r.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n != 1 {
		t.Errorf("%d events read, want 1", n)
	}
	for _, sql := range []string{`UPDATE events SET data = '{}'`, `DELETE FROM events`, `TRUNCATE events`, `SELECT setval('events_position_seq', 1)`} {
		if _, err := pool.Exec(t.Context(), sql); postgres.State(err) != "42501" {
			t.Errorf("%s: %v, want no permission", sql, err)
		}
	}
}
