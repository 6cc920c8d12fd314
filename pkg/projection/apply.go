package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// errMoved is the error of a filler whose version was moved by another one.
var errMoved = errs.New(errs.Transient, "another process moves the version's positions")

// record is a record of a set.
type record[F any] struct {
	*kgo.Record
	reading *reading[F] // what it is, when it was read ahead of its transaction; nil: it was not
	refused error       // why the database does not take it; it is listed
}

func (r record[F]) place() retry.Place {
	return retry.Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// apply adds records to the version, in one transaction. When the database refuses the set, halving
// finds the record at fault, which is listed.
func (f *filler[F]) apply(ctx context.Context, records []record[F]) error {
	if len(records) == 0 {
		return nil
	}
	err := postgres.InTx(ctx, f.cfg.Pool, func(tx pgx.Tx) error { return f.applyIn(ctx, tx, records) })
	if err == nil {
		return nil
	}
	err = postgres.Settle(ctx, f.cfg.Pool, err)
	switch {
	case errors.Is(err, errOver), errs.KindOf(err) == errs.Transient, ctx.Err() != nil:
		return err
	case len(records) > 1:
		half := len(records) / 2
		if err := f.apply(ctx, records[:half]); err != nil {
			return err
		}
		return f.apply(ctx, records[half:])
	case records[0].refused != nil:
		return err // not even listing it works
	}
	records[0].refused = err
	return f.apply(ctx, records)
}

// at returns the partition of a record.
func (f *filler[F]) at(r record[F]) partition {
	for id, name := range f.src.names {
		if name == r.Topic {
			return partition{id, r.Partition}
		}
	}
	return partition{number: r.Partition} // not reached: the source reads known topics
}

// applyIn adds records to the version within a transaction that ends with it.
func (f *filler[F]) applyIn(ctx context.Context, tx pgx.Tx, records []record[F]) error {
	if _, _, err := f.lease(ctx, tx, f.run); err != nil { // locks the version's row
		return err
	}
	if err := f.move(ctx, tx, records); err != nil {
		return err
	}
	events, failures, err := f.events(ctx, tx, records)
	if err != nil {
		return err
	}
	applied, refused, err := f.add(ctx, tx, events)
	if err != nil {
		return err
	}
	if err := list(ctx, tx, f.v.id(), append(failures, refused...)...); err != nil {
		return err
	}
	f.passed += int64(len(records))
	f.metrics.applied(f.v.id(), applied)
	return nil
}

// events returns what the records mean to the version, and the records that mean nothing that could be
// known. What operators decided about the group's dead letters replaces the records.
func (f *filler[F]) events(ctx context.Context, tx pgx.Tx, records []record[F]) (events []Event[F], failures []Failure, err error) {
	originals := make([]retry.Record, len(records))
	for i, r := range records {
		originals[i] = original(r.Record)
	}
	decisions, err := f.cfg.Failed.Decisions(ctx, tx, originals)
	if err != nil {
		return nil, nil, err
	}
	for i, r := range records {
		read := r.Record
		failed := func(why error) {
			failures = append(failures, Failure{Place: r.place(), Reason: reasonOf(why)})
		}
		d, given := decisions[r.place()]
		switch {
		case given && d.Discarded:
			continue
		case given && d.Open != "":
			failed(errors.New(d.Open))
			continue
		case given:
			read = kafkaRecord(*d.Record)
		}
		if r.refused != nil {
			failed(r.refused)
			continue
		}
		is := r.reading
		if is == nil || given {
			if is, err = f.read(ctx, read); err != nil {
				return nil, nil, fmt.Errorf("record %s: %w", originals[i].Place(), err)
			}
		}
		switch {
		case is.err != nil:
			failed(is.err)
		case is.ok:
			is.event.Topic, is.event.Partition, is.event.Offset = r.Topic, r.Partition, r.Offset
			events = append(events, is.event)
		}
	}
	return events, failures, nil
}

// probing has the statements of a set probe indexes. The tables grow faster than the server gathers
// statistics about them. Without these, it takes a few hundred keys for all that there are, and would read
// whole tables for each set, or compile the statement for the rows that it expects.
const probing = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
	set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`

// add adds the events that are new to the version.
func (f *filler[F]) add(ctx context.Context, tx pgx.Tx, events []Event[F]) (applied int, refused []Failure, err error) {
	needed, unclear := taken(f.v, events)
	fresh, err := f.fresh(ctx, tx, needed)
	if err != nil {
		return 0, nil, err
	}
	rows, failures, _ := foldAll(f.v, fresh)
	if _, err := tx.Exec(ctx, probing); err != nil {
		return 0, nil, fmt.Errorf("have indexes used: %w", err)
	}
	if err := f.give(ctx, tx, f.v, false, fresh, rows); err != nil {
		return 0, nil, err
	}
	if _, err := tx.Exec(ctx, `SET LOCAL search_path TO DEFAULT`); err != nil {
		return 0, nil, fmt.Errorf("leave the schema of %s: %w", f.v.id(), err)
	}
	return len(fresh) - len(failures), failuresOf(append(failures, unclear...)), nil
}

// move moves the version's positions behind the records. They must be where this filler left them.
func (f *filler[F]) move(ctx context.Context, tx pgx.Tx, records []record[F]) error {
	stored, err := ofVersion(ctx, tx, f.v.id())
	if err != nil {
		return err
	}
	to := positions{}
	for _, r := range records {
		at := f.at(r)
		if _, begun := to[at]; !begun && stored[at] > r.Offset {
			return errMoved
		}
		to[at] = r.Offset + 1
	}
	names, ids, numbers, offsets := []string{}, []uuid.UUID{}, []int32{}, []int64{}
	for at, offset := range to {
		names, ids = append(names, f.src.names[at.topic]), append(ids, at.topic)
		numbers, offsets = append(numbers, at.number), append(offsets, offset)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO public.projection_positions AS p (projection, version, topic, topic_id, topic_partition, next_offset)
		SELECT $1, $2, n.* FROM unnest($3::text[], $4::uuid[], $5::int[], $6::bigint[]) AS n
		ON CONFLICT (projection, version, topic_id, topic_partition) DO UPDATE SET next_offset = excluded.next_offset`,
		f.v.Projection, f.v.Number, names, ids, numbers, offsets)
	if err != nil {
		return fmt.Errorf("move positions of %s: %w", f.v.id(), err)
	}
	return nil
}

// clear empties the version's tables.
func (f *filler[F]) clear(ctx context.Context, run int) error {
	return postgres.InTx(ctx, f.cfg.Pool, func(tx pgx.Tx) error { return clearIn(ctx, tx, f.v.id(), f.v.Base, f.v.Tables, run) })
}

// clearIn empties the tables of a version whose rows nothing writes or reads. Queries that began before
// keep their snapshot.
func clearIn(ctx context.Context, tx pgx.Tx, v id, base bool, tables []string, run int) error {
	var locked bool
	err := tx.QueryRow(ctx, `SELECT true FROM public.projection_versions WHERE projection = $1 AND version = $2 AND run = $3 AND NOT cleared FOR UPDATE`,
		v.projection, v.number, run).Scan(&locked)
	if errors.Is(err, pgx.ErrNoRows) {
		return errOver
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", v, err)
	}
	for _, t := range tables {
		name := pgx.Identifier{Schema(v.projection, v.number), t}
		if base {
			name[0] = "public"
		}
		if _, err := tx.Exec(ctx, `DELETE FROM `+name.Sanitize()); err != nil {
			return fmt.Errorf("empty %s of %s: %w", t, v, err)
		}
	}
	for _, t := range []string{"projection_facts", "projection_positions", "projection_failures"} {
		if _, err := tx.Exec(ctx, `DELETE FROM public.`+t+` WHERE projection = $1 AND version = $2`, v.projection, v.number); err != nil {
			return fmt.Errorf("empty %s of %s: %w", t, v, err)
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE public.projection_versions SET cleared = true WHERE projection = $1 AND version = $2`, v.projection, v.number); err != nil {
		return fmt.Errorf("note that %s is empty: %w", v, err)
	}
	return nil
}
