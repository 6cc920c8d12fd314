package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// settleAtOnce bounds one round of settling.
const settleAtOnce = 100

// settle tries the records that the version lists once more. A record that an operator has discarded
// since, or repaired, leaves the list, and so does one that this program can fold.
func (f *filler[F]) settle(ctx context.Context) error {
	failures, err := failuresIn(ctx, f.cfg.Pool, f.v.id(), longestUntried, settleAtOnce)
	if err != nil {
		return err
	}
	for _, failed := range failures {
		r, ok, err := f.recordAt(ctx, failed.Place)
		if err != nil {
			return err
		}
		if !ok {
			continue // only a rebuild can help, and it says why it cannot
		}
		err = postgres.InTx(ctx, f.cfg.Pool, func(tx pgx.Tx) error { return f.settleOne(ctx, tx, record[F]{Record: r}) })
		if err = postgres.Settle(ctx, f.cfg.Pool, err); err == nil {
			continue
		}
		if errs.KindOf(err) == errs.Transient {
			return err
		}
		if err := f.stays(ctx, failed.Place, err); err != nil {
			return err
		}
	}
	return nil
}

// stays notes why the tables still refuse a record. Others are tried before it is tried again.
func (f *filler[F]) stays(ctx context.Context, at retry.Place, why error) error {
	_, err := f.cfg.Pool.Exec(ctx, `UPDATE public.projection_failures SET reason = $6, failed_at = clock_timestamp()
		WHERE projection = $1 AND version = $2 AND topic = $3 AND record_partition = $4 AND record_offset = $5`,
		f.v.Projection, f.v.Number, at.Topic, at.Partition, at.Offset, reasonOf(why))
	if err != nil {
		return postgres.Classify(fmt.Errorf("note why %s is not settled: %w", at, err))
	}
	return nil
}

func (f *filler[F]) settleOne(ctx context.Context, tx pgx.Tx, r record[F]) error {
	if err := share(ctx, tx); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `DELETE FROM public.projection_failures
		WHERE projection = $1 AND version = $2 AND topic = $3 AND record_partition = $4 AND record_offset = $5`,
		f.v.Projection, f.v.Number, r.Topic, r.Partition, r.Offset)
	if err != nil {
		return fmt.Errorf("settle %s: %w", r.place(), err)
	}
	if tag.RowsAffected() == 0 {
		return nil // another process was faster, or the version was dropped
	}
	events, failures, err := f.events(ctx, tx, []record[F]{r})
	if err != nil {
		return err
	}
	_, refused, err := f.add(ctx, tx, events)
	if err != nil {
		return err
	}
	return list(ctx, tx, f.v.id(), append(failures, refused...)...)
}

// The orders of [failuresIn].
const (
	byPlace        = "topic, record_partition, record_offset"
	longestUntried = "failed_at, " + byPlace
)

// failuresIn returns the records that a version lists, at most so many.
func failuresIn(ctx context.Context, q postgres.Querier, v id, order string, most int) ([]Failure, error) {
	rows, err := q.Query(ctx, `SELECT topic, record_partition, record_offset, reason FROM public.projection_failures
		WHERE projection = $1 AND version = $2 ORDER BY `+order+` LIMIT $3`, v.projection, v.number, most)
	var all []Failure
	if err == nil {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Failure, err error) {
			f.Place = retry.Place{}
			err = row.Scan(&f.Topic, &f.Partition, &f.Offset, &f.Reason)
			return f, err
		})
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, postgres.Classify(fmt.Errorf("list the failures of %s: %w", v, err))
	}
	return all, nil
}
