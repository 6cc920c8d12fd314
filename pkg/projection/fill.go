package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// settleEvery is the pause between tries of the records that failed.
const settleEvery = 5 * time.Second

// errOver is the error of a filler whose version another process fills, or that was dropped.
var errOver = errors.New("this filling is over")

// filler fills one version.
type filler[F any] struct {
	*Set[F]
	v    Version[F]
	name string // of this process
	run  int    // of the version that is filled

	src *source

	repeats bool // the latest set had facts that were there

	exact bool // attaches without a record left: the last attempt met one that the tables refuse

	since   time.Time // for the rate
	passed  int64     // records
	settled time.Time
}

// Run declares the versions, and then fills those that need it, until ctx ends. It runs once per process;
// processes share the work by leases.
func (s *Set[F]) Run(ctx context.Context) error {
	declared := false
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	for !declared {
		err := s.declare(ctx)
		if declared = err == nil; !declared {
			s.log.WarnContext(ctx, "projections not declared; will be tried again", "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
	var all sync.WaitGroup
	for _, v := range s.versions {
		f := &filler[F]{Set: s, v: v, name: uuid.NewString()}
		all.Go(func() { f.work(ctx) })
	}
	all.Wait()
	return nil
}

// work fills the version whenever it needs it. Nothing ends it but ctx.
func (f *filler[F]) work(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Every)
	defer tick.Stop()
	for {
		err := f.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errBeginning):
			f.fails(ctx, err)
		case err != nil && !errors.Is(err, errOver):
			f.log.WarnContext(ctx, "projection not filled; will be tried again", "projection", f.v.Projection, "version", f.v.Number, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// step does what there is to do for the version now.
func (f *filler[F]) step(ctx context.Context) error {
	st, err := f.status(ctx, f.cfg.Pool, f.v.id())
	if err != nil {
		return err
	}
	f.metrics.seen(st)
	switch {
	case st.State == Dropped && !st.cleared:
		return f.clear(ctx, st.run)
	case !st.Attached && (st.State == Filling || st.State == Live):
		return f.fill(ctx)
	case st.Attached && st.Done < st.Total:
		return f.detach(ctx)
	case st.Attached && st.Failures > 0 && time.Since(f.settled) >= settleEvery:
		f.settled = time.Now()
		if err := f.settle(ctx); err != nil {
			return err
		}
	}
	if st.Attached && st.State == Following {
		return f.goLive(ctx)
	}
	return nil
}

// lease takes or extends the right to fill the version, and returns its run. run 0 takes any.
func (f *filler[F]) lease(ctx context.Context, q postgres.Querier, run int) (got int, cleared bool, err error) {
	err = q.QueryRow(ctx, `
		UPDATE public.projection_versions SET filler = $3, filler_until = clock_timestamp() + $4 * interval '1 second', per_second = $5
		WHERE projection = $1 AND version = $2 AND NOT attached AND state IN ('filling', 'live')
		  AND (filler = $3 OR filler_until IS NULL OR filler_until < clock_timestamp()) AND ($6 = 0 OR run = $6)
		RETURNING run, cleared`,
		f.v.Projection, f.v.Number, f.name, f.cfg.Lease.Seconds(), f.rate(), run).Scan(&got, &cleared)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, errOver
	}
	if err != nil {
		return 0, false, postgres.Classify(fmt.Errorf("lease the filling of %s: %w", f.v.id(), err))
	}
	return got, cleared, nil
}

func (f *filler[F]) rate() float64 {
	if took := time.Since(f.since).Seconds(); !f.since.IsZero() && took > 0 {
		return float64(f.passed) / took
	}
	return 0
}

// fill reads the topics until the version is attached.
func (f *filler[F]) fill(ctx context.Context) error {
	f.since, f.passed = time.Time{}, 0
	run, cleared, err := f.lease(ctx, f.cfg.Pool, 0)
	if err != nil {
		return err
	}
	f.run = run
	if !cleared {
		if err := f.clear(ctx, run); err != nil {
			return err
		}
	}
	own, err := ofVersion(ctx, f.cfg.Pool, f.v.id())
	if err != nil {
		return err
	}
	if f.src, err = f.open(ctx, own); err != nil {
		return err
	}
	defer f.src.close()
	f.since = time.Now()
	f.log.InfoContext(ctx, "projection is being filled", "projection", f.v.Projection, "version", f.v.Number)
	return f.pass(ctx)
}

// pass adds the records of the source until the version is attached. While a set is written, the next one
// is read.
func (f *filler[F]) pass(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var next <-chan set[F]
	defer func() {
		cancel()
		if next != nil {
			<-next // the source is closed after it
		}
	}()
	for {
		bound, err := f.bound(ctx, f.cfg.Pool)
		if err != nil {
			return err
		}
		if f.src.changed(bound) {
			return nil // the next step opens the topics again
		}
		if next == nil {
			if f.near(bound) {
				err := f.attach(ctx)
				f.exact = err != nil && !errors.Is(err, errOver) && errs.KindOf(err) != errs.Transient
				return err
			}
			next = f.ahead(ctx, bound)
		}
		now := <-next
		next = nil
		if now.err != nil {
			return now.err
		}
		if !f.near(bound) {
			next = f.ahead(ctx, bound)
		}
		if err := f.apply(ctx, now.records); err != nil {
			return err
		}
		if len(now.records) == 0 {
			if _, _, err := f.lease(ctx, f.cfg.Pool, f.run); err != nil {
				return err
			}
		}
	}
}

// near reports whether so little is left that the version is attached. One set more or less takes the
// reader no notable time. While it goes on, the filler may never be exactly where it is.
func (f *filler[F]) near(bound positions) bool {
	left := f.src.next.behind(bound, f.src.counts)
	return left == 0 || left <= int64(f.cfg.FillSet) && !f.exact
}

// bound returns how far the reader is: its positions, and for partitions without one the offset that the
// group has committed, as a release does that stores receipts in place of positions.
func (f *filler[F]) bound(ctx context.Context, q postgres.Querier) (positions, error) {
	bound, err := ofReader(ctx, q, f.cfg.Group)
	for at, offset := range f.src.committed {
		if _, stored := bound[at]; !stored && err == nil {
			bound[at] = offset
		}
	}
	return bound, err
}

// detach ends the feeding of a version by the reader, when the reader has handled records that the version
// does not contain: it was a process of an earlier release, on a partition without records since.
func (f *filler[F]) detach(ctx context.Context) error {
	return postgres.InTx(ctx, f.cfg.Pool, func(tx pgx.Tx) error {
		if err := alone(ctx, tx); err != nil {
			return err
		}
		if st, err := f.status(ctx, tx, f.v.id()); err != nil || !st.Attached || st.Done >= st.Total {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE public.projection_versions SET attached = false, state = CASE state WHEN 'live' THEN 'live' ELSE 'filling' END
			WHERE projection = $1 AND version = $2`, f.v.Projection, f.v.Number)
		if err != nil {
			return fmt.Errorf("detach %s: %w", f.v.id(), err)
		}
		return nil
	})
}

// take waits for records for a part of the lease.
func (f *filler[F]) take(ctx context.Context, bound positions) ([]record[F], error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Lease/3)
	defer cancel()
	taken, err := f.src.take(ctx, bound, f.cfg.FillSet)
	records := make([]record[F], len(taken))
	for i, r := range taken {
		records[i] = record[F]{Record: r}
	}
	return records, err
}

// fails ends a filling that cannot succeed. A live version stays live, with the reason.
func (f *filler[F]) fails(ctx context.Context, cause error) {
	_, err := f.cfg.Pool.Exec(ctx, `
		UPDATE public.projection_versions SET state = CASE state WHEN 'live' THEN 'live' ELSE 'failed' END, reason = $3, filler = '', filler_until = NULL
		WHERE projection = $1 AND version = $2 AND NOT attached AND state IN ('filling', 'live')`,
		f.v.Projection, f.v.Number, reasonOf(cause))
	f.log.ErrorContext(ctx, "projection cannot be filled", "projection", f.v.Projection, "version", f.v.Number, "error", errors.Join(cause, err))
}
