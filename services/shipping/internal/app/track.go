package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/internal/shipping"
)

// The feed of the one carrier there is.
const feed = "carrier"

// trackBatch is how many updates one transaction applies. It bounds how many shipment
// rows the worker holds locked while the consumer may want one of them.
const trackBatch = 100

// trackLockWait bounds the wait for a shipment row. The consumer locks rows in the order
// of its records and this worker in the order of the feed, so each can hold what the
// other waits for. The worker gives way well before Postgres looks for deadlocks (1 s by
// default) and applies the same updates a little later.
const trackLockWait = "200ms"

// maxTrackPause bounds the pause after repeated failures. It is short because customers
// wait for the news once what was away is back, and asking costs one small request. A
// carrier that stays away is spared by the breaker.
const maxTrackPause = 2 * time.Second

// errOvertaken: another replica has applied the same updates meanwhile.
var errOvertaken = errors.New("the feed's cursor has moved")

// Track follows the carrier's tracking feed until ctx ends, asking every interval. A
// carrier, database or registry that is away is tried again with a growing pause; one
// whose circuit breaker has opened, once each time the breaker lets a probe through. The
// cursor moves in the transaction that applies the updates: only a line that can never
// be applied is passed over, with an error in the log and a count. With
// several replicas each update is applied by one of them.
//
// An update can come before the row knows that its parcel was scheduled: the answer to
// the scheduling got lost, or is about to be recorded. It is applied all the same, as
// proof that the parcel was taken, and what was missed is told first. Holding the cursor
// until the row is ready would let one order keep all parcels of the shop waiting.
func (a *App) Track(ctx context.Context, interval time.Duration) error {
	failures := 0
	for {
		n, err := a.TrackOnce(ctx)
		pause := interval
		switch {
		case ctx.Err() != nil:
			return nil
		case carrier.IsRefused(err):
			// The breaker has said what there is to say, and nobody was asked.
			pause, _ = errs.RetryAfter(err)
			a.log.DebugContext(ctx, "tracking feed not read: its circuit breaker is open", "error", err)
		case err != nil:
			failures++
			a.metrics.feedFailures.Inc()
			pause = min(interval<<min(failures, 10), maxTrackPause)
			pause += rand.N(pause/4 + 1) // replicas must not come back all at once
			a.log.WarnContext(ctx, "tracking feed not applied; trying again", "error", err, "failures", failures, "pause", pause.String())
		case n == trackBatch:
			failures, pause = 0, 0
		default:
			if failures > 0 {
				a.log.InfoContext(ctx, "tracking feed is followed again", "failures", failures)
			}
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// TrackOnce reads one page of the feed and applies it in one transaction. It returns how
// many updates the page had; 0 as well when another replica was faster.
func (a *App) TrackOnce(ctx context.Context) (int, error) {
	cursor, err := db.New(a.pool).GetCursor(ctx, feed)
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("load cursor of tracking feed: %w", err))
	}
	updates, err := a.carrier.Updates(ctx, cursor, trackBatch)
	if err != nil || len(updates) == 0 {
		return 0, err
	}
	// What can be learnt of the registry is learnt here, and not in the transaction, which
	// holds the cursor and the shipments. A line whose event cannot be encoded waits there.
	_ = a.outbox.CanAppend(ctx, events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentDispatched](), events.TypeOf[events.ShipmentDelivered]())
	err = postgres.InTx(ctx, a.pool, func(tx pgx.Tx) error { return a.applyUpdates(ctx, tx, cursor, updates) })
	if err != nil && lineAtFault(ctx, err) {
		err = a.applySingly(ctx, cursor, updates)
	}
	if errors.Is(err, errOvertaken) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("apply tracking updates after %d: %w", cursor, err)
	}
	a.metrics.feedUpdates.Add(float64(len(updates)))
	a.outbox.Wake()
	return len(updates), nil
}

func (a *App) applyUpdates(ctx context.Context, tx pgx.Tx, after int64, updates []carrier.Update) error {
	q, err := a.lockCursor(ctx, tx, after)
	if err != nil {
		return err
	}
	for _, u := range updates {
		if err := a.applyUpdate(ctx, tx, u); err != nil {
			return fmt.Errorf("update %d of order %s: %w", u.Seq, u.OrderID, err)
		}
	}
	return a.moveCursor(ctx, q, updates[len(updates)-1].Seq)
}

// lockCursor opens the feed's cursor for the transaction, when it still is where the
// updates were read from. Applying them again would change no shipment, but it would put
// the cursor back to where they end, and all replicas would read on from there.
func (a *App) lockCursor(ctx context.Context, tx pgx.Tx, after int64) (*db.Queries, error) {
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+trackLockWait+"'"); err != nil {
		return nil, fmt.Errorf("bound the wait for locks: %w", err)
	}
	q := db.New(tx)
	if err := q.OpenCursor(ctx, db.OpenCursorParams{Carrier: feed, Now: a.now()}); err != nil {
		return nil, fmt.Errorf("open cursor: %w", err)
	}
	cursor, err := q.LockCursor(ctx, feed)
	if err != nil {
		return nil, fmt.Errorf("lock cursor: %w", err)
	}
	if cursor != after {
		return nil, errOvertaken
	}
	return q, nil
}

func (a *App) moveCursor(ctx context.Context, q *db.Queries, to int64) error {
	if err := q.MoveCursor(ctx, db.MoveCursorParams{Carrier: feed, Cursor: to, Now: a.now()}); err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	return nil
}

// applySingly applies a page that failed as a whole, each update in a transaction of its
// own, and passes over those that fail for a reason that repeating does not mend: one
// parcel must not keep all others waiting. What is passed over is not lost for good: an
// update that comes twice changes nothing, so the cursor can be put back by hand.
func (a *App) applySingly(ctx context.Context, after int64, updates []carrier.Update) error {
	for _, u := range updates {
		err := postgres.InTx(ctx, a.pool, func(tx pgx.Tx) error { return a.applyUpdates(ctx, tx, after, []carrier.Update{u}) })
		if err != nil {
			if !lineAtFault(ctx, err) {
				return err
			}
			a.metrics.feedSkipped.WithLabelValues("failed").Inc()
			a.log.ErrorContext(ctx, "tracking update cannot be applied and is passed over",
				"seq", u.Seq, "order", u.OrderID, "status", u.Status, "error", err)
			err = postgres.InTx(ctx, a.pool, func(tx pgx.Tx) error {
				q, err := a.lockCursor(ctx, tx, after)
				if err != nil {
					return err
				}
				return a.moveCursor(ctx, q, u.Seq)
			})
			if err != nil {
				return fmt.Errorf("pass over update %d: %w", u.Seq, err)
			}
		}
		after = u.Seq
	}
	return nil
}

// lineAtFault reports whether an update failed because of what it is. Only Invalid says
// that: something that is away, or a schema the registry refuses, is Transient, a writer
// who was faster a Conflict and a bug of ours Internal, and those would fail every line. A feed that waits is found by its metric; updates passed over are not.
func lineAtFault(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, errOvertaken) {
		return false
	}
	return errs.KindOf(err) == errs.Invalid
}

func (a *App) applyUpdate(ctx context.Context, tx pgx.Tx, u carrier.Update) error {
	input := map[string]shipping.Input{
		carrier.UpdateDispatched: shipping.ParcelDispatched,
		carrier.UpdateDelivered:  shipping.ParcelDelivered,
	}[u.Status]
	why := ""
	switch {
	case !isOrderID(u.OrderID) || u.Key != Key(u.OrderID):
		why = "foreign"
	case input == "":
		why = "status" // one that says nothing about the saga
	}
	if why != "" {
		a.metrics.feedSkipped.WithLabelValues(why).Inc()
		a.log.InfoContext(ctx, "tracking update passed over", "why", why, "seq", u.Seq, "key", u.Key, "status", u.Status)
		return nil
	}
	return a.react(telemetry.With(ctx, u.OrderID, "", ""), tx, step{
		orderID: u.OrderID, input: input, update: u,
		// The correlation id is the row's; the cause is no event but a line of the feed.
		cause: outbox.Cause{CausationID: fmt.Sprintf("carrier-update-%d", u.Seq)},
	})
}

// isOrderID accepts the one form in which order ids are written, so that no other spelling
// opens a second shipment.
func isOrderID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}
