package projection

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// uniqueViolation is the SQLSTATE of a row that is there already.
const uniqueViolation = "23505"

// fact identifies an event within a version.
type fact struct {
	key string
	id  uuid.UUID
}

// fresh notes the facts and returns the events that are new. The facts are the largest part of a filling.
// COPY takes them as long as all are new, which they are unless a relay has published events twice. A set
// with a fact that is there is noted by a statement that leaves such facts out, and so is the next one.
func (f *filler[F]) fresh(ctx context.Context, tx pgx.Tx, events []Event[F]) ([]Event[F], error) {
	if len(events) == 0 {
		return nil, nil
	}
	once := make(map[fact]int, len(events)) // their places in first
	first := make([]Event[F], 0, len(events))
	for _, e := range events {
		n := fact{e.Key, e.ID}
		if _, twice := once[n]; !twice {
			once[n] = len(first)
			first = append(first, e)
		}
	}
	if !f.repeats {
		all, err := f.copyFacts(ctx, tx, first)
		if err != nil || all {
			return first, err
		}
	}
	fresh, err := f.mergeFacts(ctx, tx, first, once)
	f.repeats = len(fresh) < len(first)
	return fresh, err
}

// copyFacts notes the facts when all of them are new, and reports whether they were. It notes them in the
// order in which the reader does, so that the two cannot wait for each other.
func (f *filler[F]) copyFacts(ctx context.Context, tx pgx.Tx, events []Event[F]) (all bool, err error) {
	sorted := make([]*Event[F], len(events))
	for i := range events {
		sorted[i] = &events[i]
	}
	slices.SortFunc(sorted, func(a, b *Event[F]) int {
		return cmp.Or(bytes.Compare(a.ID[:], b.ID[:]), cmp.Compare(a.Key, b.Key))
	})
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // a savepoint
		row := []any{f.v.Projection, int32(f.v.Number), "", uuid.Nil}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"public", "projection_facts"}, []string{"projection", "version", "key", "event_id"},
			pgx.CopyFromSlice(len(sorted), func(i int) ([]any, error) {
				row[2], row[3] = sorted[i].Key, sorted[i].ID
				return row, nil
			}))
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == uniqueViolation {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("copy facts: %w", err)
	}
	return true, nil
}

// mergeFacts notes the facts that are new, and returns their events.
func (f *filler[F]) mergeFacts(ctx context.Context, tx pgx.Tx, events []Event[F], once map[fact]int) ([]Event[F], error) {
	keys, ids := make([]string, len(events)), make([]uuid.UUID, len(events))
	for i, e := range events {
		keys[i], ids[i] = e.Key, e.ID
	}
	found, err := tx.Query(ctx, `
		INSERT INTO public.projection_facts (projection, version, key, event_id)
		SELECT $1, $2, n.key, n.event_id FROM unnest($3::text[], $4::uuid[]) AS n (key, event_id) ORDER BY n.event_id, n.key
		ON CONFLICT DO NOTHING RETURNING key, event_id`, f.v.Projection, f.v.Number, keys, ids)
	var fresh []Event[F]
	if err == nil {
		var n fact
		_, err = pgx.ForEachRow(found, []any{&n.key, &n.id}, func() error {
			fresh = append(fresh, events[once[n]])
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("note facts: %w", err)
	}
	return fresh, nil
}
