package projection

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// attachWithin bounds how long the reader waits while a version catches up with it.
const attachWithin = 5 * time.Second

// attach hands the version over to the reader, when it contains what the reader has handled. What is
// missing by then is read while the reader waits.
func (f *filler[F]) attach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*attachWithin)
	defer cancel()
	err := postgres.InTx(ctx, f.cfg.Pool, func(tx pgx.Tx) error {
		if err := alone(ctx, tx); err != nil {
			return err
		}
		if _, _, err := f.lease(ctx, tx, f.run); err != nil {
			return err
		}
		bound, err := f.bound(ctx, tx)
		if err != nil {
			return err
		}
		if f.src.changed(bound) {
			return errOver
		}
		within, cancel := context.WithTimeout(ctx, attachWithin)
		defer cancel()
		for f.src.next.behind(bound, f.src.counts) > 0 {
			records, err := f.take(within, bound)
			if err != nil {
				return err
			}
			if within.Err() != nil {
				return errs.New(errs.Transient, "the records that are missing were not read in time")
			}
			if err := f.applyIn(ctx, tx, records); err != nil {
				return err
			}
		}
		// Positions of partitions that no longer exist count as reached.
		_, err = tx.Exec(ctx, `
			INSERT INTO public.projection_positions AS p (projection, version, topic_id, topic_partition, topic, next_offset)
			SELECT $1, $2, topic_id, topic_partition, topic, next_offset FROM public.consumer_positions WHERE consumer_group = $3
			ON CONFLICT (projection, version, topic_id, topic_partition) DO UPDATE SET next_offset = greatest(p.next_offset, excluded.next_offset)`,
			f.v.Projection, f.v.Number, f.cfg.Group)
		if err == nil {
			_, err = tx.Exec(ctx, `
				UPDATE public.projection_versions SET attached = true, state = CASE state WHEN 'live' THEN 'live' ELSE 'following' END,
					attached_at = clock_timestamp(), filler = '', filler_until = NULL, reason = ''
				WHERE projection = $1 AND version = $2`, f.v.Projection, f.v.Number)
		}
		if err != nil {
			return fmt.Errorf("attach %s: %w", f.v.id(), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.log.InfoContext(ctx, "projection follows", "projection", f.v.Projection, "version", f.v.Number, "records", f.passed)
	return f.goLive(ctx)
}

// alone takes the lock that the reader's transactions share. The reader waits behind it, so it does not
// wait long itself.
func alone(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', '5s', true)`); err != nil {
		return fmt.Errorf("bound the wait for the reader: %w", err)
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(`+lockKey+`)`); err != nil {
		return errs.New(errs.Transient, "wait for the reader's transactions: %w", err)
	}
	return nil
}

// goLive makes the first version of a projection live, once it contains everything.
func (f *filler[F]) goLive(ctx context.Context) error {
	_, err := f.cfg.Pool.Exec(ctx, `
		UPDATE public.projection_versions v SET state = 'live', live_at = clock_timestamp()
		WHERE v.projection = $1 AND v.version = $2 AND v.state = 'following' AND v.attached
		  AND NOT EXISTS (SELECT FROM public.projection_versions o WHERE o.projection = $1 AND o.state = 'live')
		  AND NOT EXISTS (SELECT FROM public.projection_failures x WHERE x.projection = $1 AND x.version = $2)`,
		f.v.Projection, f.v.Number)
	if err != nil {
		return postgres.Classify(fmt.Errorf("make %s live: %w", f.v.id(), err))
	}
	return nil
}
