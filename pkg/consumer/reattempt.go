package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// attempt makes a retry record's next attempt and moves its key on in the same transaction: to its
// followers, to another attempt, or to a dead letter. A record that is not its key's head has no
// effect. An error means that something is down and that the same attempt has to be made later.
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
	// Where a write fails, the transaction is repeated: with the head's failure, if the write was of
	// its own reaction; without followers, to find whether it is their failure; and then with the head as a
	// dead letter without its bytes.
	solo := false
	for tries := 0; tries < 4; {
		var l *unparking
		err = postgres.InPipeline(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
			l = &unparking{retries: r, tx: tx, now: time.Now(), head: h, solo: solo}
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
		if r.without(err) {
			continue
		}
		tries++
		_, own := errors.AsType[*recordError](err)
		err = postgres.Settle(ctx, r.cfg.Pool, err)
		if errs.KindOf(err) == errs.Transient || ctx.Err() != nil {
			return err
		}
		switch {
		case own && rec.cause == nil:
			rec.cause = err
		case !solo:
			solo = true
		case rec.cause == nil:
			rec.cause = err
		default:
			rec.bare = err
		}
	}
	return err
}

// askedToSkip reports whether an operator asked to skip a retry record that waited before. Its
// followers go on.
func (r *retries) askedToSkip(ctx context.Context, it *retryItem) (bool, error) {
	if it.waits == 0 {
		return false, nil
	}
	asked, err := r.store.Asked(ctx, r.cfg.Pool, it.place().Place())
	return asked[it.place().Place()], err
}

// place returns the place of the retry record itself.
func (it *retryItem) place() retry.Record { return (&item{record: it.record}).place() }

// prepare decodes a head and makes its call. It returns nil for a record that is no longer its
// key's head. Looking before a call avoids needless calls to the outside world. Only what the
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

// outsideError is an error of a call that has to wait. What it waits for is not part of this
// system, so it is no reason not to be ready.
type outsideError struct{ error }

func (e *outsideError) Unwrap() error { return e.error }

// callFor makes the call of a head. A failure counts as the record's own, unless something is down.
func (r *retries) callFor(ctx context.Context, h retry.Head, it *item) error {
	if it.id != h.InboxID { // an operator repaired it; the event may have arrived in another record
		seen, err := inbox.Seen(ctx, r.cfg.Pool, r.cfg.Group, []uuid.UUID{it.id})
		if err != nil || seen[it.id] {
			return err
		}
	}
	if err := r.callNow(ctx, it); err != nil {
		if errs.KindOf(err) == errs.Transient {
			return &outsideError{err}
		}
		it.cause = err
	}
	return nil
}
