package consumer

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// attempt makes a retry record's next attempt, in one transaction with what follows
// from it: the key moves on to its followers, to another attempt, or to a dead letter.
// A record that is not its key's head is left alone. An error means that something is
// down and the same attempt is to be made later.
func (r *retries) attempt(ctx context.Context, it *retryItem) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	h := it.head
	skip, err := r.askedToSkip(ctx, it)
	if err != nil {
		return err
	}
	if skip {
		h.Skip = true
	}
	rec, err := r.prepare(ctx, &h, it.omitted)
	if err != nil {
		return err
	}
	if rec == nil {
		r.metrics.records.WithLabelValues(it.record.Topic, "other", string(stale)).Inc()
		return nil
	}
	// A transaction that fails though no handler did (a constraint checked at its commit)
	// is made again without followers, then as the head's own failure, then as a dead letter
	// without the head's bytes.
	for try := range 4 {
		solo := try > 0
		var l *lane
		err = postgres.InTx(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
			l = &lane{retries: r, tx: tx, now: time.Now(), head: h, solo: solo}
			if skip {
				if err := r.store.Skipped(ctx, tx, it.place()); err != nil {
					return err
				}
			}
			return l.run(ctx, rec)
		})
		if err == nil {
			r.cfg.Outbox.Wake()
			for _, it := range l.seen {
				r.count(it)
			}
			return nil
		}
		err = postgres.Settle(ctx, r.cfg.Pool, err)
		if errs.KindOf(err) == errs.Transient || ctx.Err() != nil {
			return err
		}
		switch {
		case try == 1:
			rec.cause = cmp.Or(rec.cause, err)
		case try == 2:
			rec.bare = err
		}
	}
	return err
}

// askedToSkip reports whether an operator wants a retry record passed over that waited before.
// Its followers go on.
func (r *retries) askedToSkip(ctx context.Context, it *retryItem) (bool, error) {
	if it.waits == 0 {
		return false, nil
	}
	asked, err := r.store.Asked(ctx, r.cfg.Pool, it.place().Place())
	return asked[it.place().Place()], err
}

// place is where the retry record itself lies.
func (it *retryItem) place() retry.Record { return (&item{record: it.record}).place() }

// prepare decodes a head and makes its call. It returns nil for one that is no more its
// key's head: asking before a call spares the outside world, and only what the
// transaction finds decides.
func (r *retries) prepare(ctx context.Context, h *retry.Head, omitted bool) (*item, error) {
	if omitted {
		current, payload, err := r.store.Current(ctx, r.cfg.Pool, *h)
		if err != nil || !current {
			return nil, err
		}
		h.Value = payload
	}
	rec := itemOf(h.Record)
	rec.attempts = h.Attempts
	if h.Skip {
		return rec, nil
	}
	if err := r.decode(ctx, rec); err != nil {
		return nil, err
	}
	if rec.kind != subscribed || rec.sub.call == nil {
		return rec, nil
	}
	current, _, err := r.store.Current(ctx, r.cfg.Pool, *h)
	if err != nil || !current {
		return nil, err
	}
	return rec, r.callFor(ctx, *h, rec)
}

// outsideError is what a call waits for. That is not ours, and no reason not to be ready.
type outsideError struct{ error }

func (e *outsideError) Unwrap() error { return e.error }

// callFor makes the call of a head. Its failure is the record's, unless
// it is that something is down.
func (r *retries) callFor(ctx context.Context, h retry.Head, it *item) error {
	if it.id != h.InboxID { // repaired: it may turn out to be an event that came another way
		seen, err := inbox.Seen(ctx, r.cfg.Pool, r.cfg.Group, []uuid.UUID{it.id})
		if err != nil || seen[it.id] {
			return err
		}
	}
	if err := r.call(ctx, it); err != nil {
		if errs.KindOf(err) == errs.Transient {
			return &outsideError{err}
		}
		it.cause = err
	}
	return nil
}
