package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/pkg/worker"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

// feed is the name of the only carrier's feed.
const feed = "carrier"

// trackBatch is the number of updates per transaction. It bounds how many shipment rows the worker
// locks while the consumer may need one of them.
const trackBatch = 100

// trackLockWait bounds the wait for a shipment row. The consumer and this worker can each hold rows
// that the other waits for. The worker gives up well before Postgres looks for deadlocks (1 s by
// default) and applies the same updates a little later.
const trackLockWait = "200ms"

// maxTrackPause bounds the pause after repeated failures. It is short because customers wait for
// updates once the carrier is back, and one poll is a small request. The breaker protects a carrier
// that stays unavailable.
const maxTrackPause = 2 * time.Second

// errOvertaken reports that another replica has applied the same updates.
var errOvertaken = errors.New("the feed's cursor has moved")

// Track follows the carrier's tracking feed until ctx ends and polls once per interval. When the
// carrier, the database or the registry is unavailable, it tries again with a growing pause. When
// the circuit breaker is open, it tries again each time the breaker allows a probe. The cursor
// moves in the transaction that applies the updates. Only a line that can never be applied is
// skipped, with an error in the log and a count. With several replicas, one of them applies each
// update.
//
// An update can arrive before the row shows that the parcel was scheduled: the answer to the
// schedule request was lost, or is not recorded yet. Track applies the update anyway, because it
// proves that the carrier took the parcel. The missed events are emitted first. Waiting with the
// cursor until the row is ready would let one order delay all parcels of the shop.
func (a *App) Track(ctx context.Context, interval time.Duration) error {
	return worker.Loop{
		Every: interval,
		// The jitter spreads the retries of the replicas, also when the pause grows no more.
		Failing: backoff.Policy{Base: interval, Max: maxTrackPause + maxTrackPause/4, Jitter: 0.25, Plateau: maxTrackPause},
		Waits: func(err error) (time.Duration, bool) {
			if !carrier.IsRefused(err) {
				return 0, false
			}
			return errs.RetryAfter(err)
		},
		Round: func(ctx context.Context) (more bool, err error) {
			n, err := a.TrackOnce(ctx)
			return n == trackBatch, err
		},
		Failed: func(ctx context.Context, err error, failures int, pause time.Duration) {
			if carrier.IsRefused(err) {
				// The breaker has logged the reason, and the carrier received no request.
				a.log.DebugContext(ctx, "tracking feed not read: its circuit breaker is open", "error", err)
				return
			}
			a.metrics.feedFailures.Inc()
			a.log.WarnContext(ctx, "tracking feed not applied; trying again", "error", err, "failures", failures, "pause", pause.String())
		},
		Recovered: func(ctx context.Context, failures int) {
			a.log.InfoContext(ctx, "tracking feed is followed again", "failures", failures)
		},
	}.Run(ctx)
}

// TrackOnce reads one page of the feed and applies it. It returns the number of updates in the
// page, or 0 when another replica applied them first.
func (a *App) TrackOnce(ctx context.Context) (int, error) {
	cursor, err := db.New(a.pool).GetCursor(ctx, feed)
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("load cursor of tracking feed: %w", err))
	}
	updates, err := a.carrier.Updates(ctx, cursor, trackBatch)
	if err != nil || len(updates) == 0 {
		return 0, err
	}
	// Registry lookups happen here, because the transaction below locks the cursor and the
	// shipments. The error is ignored: updates whose events cannot be encoded fail there and are
	// tried again.
	_ = a.outbox.CanAppend(ctx, events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentDispatched](), events.TypeOf[events.ShipmentDelivered]())
	err = a.applyAtOnce(ctx, cursor, updates)
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

// applyAtOnce applies updates in one transaction, as one set.
func (a *App) applyAtOnce(ctx context.Context, after int64, updates []carrier.Update) error {
	var steps []reaction.Step[Input]
	for _, u := range updates {
		if s, ours := a.tracked(ctx, u); ours {
			steps = append(steps, s)
		}
	}
	var decisions []reaction.Decision[db.Shipment]
	err := postgres.InTx(ctx, a.pool, func(tx pgx.Tx) (err error) {
		decisions, err = a.applyWithin(ctx, tx, after, updates[len(updates)-1].Seq, steps)
		return err
	})
	if err != nil {
		return err
	}
	for i, d := range decisions {
		reaction.Committed(telemetry.With(ctx, steps[i].Key, "", d.State.CorrelationID), d)
	}
	return nil
}

// applyWithin applies the steps and moves the cursor from after to to.
func (a *App) applyWithin(ctx context.Context, tx pgx.Tx, after, to int64, steps []reaction.Step[Input]) ([]reaction.Decision[db.Shipment], error) {
	q, err := a.lockCursor(ctx, tx, after)
	if err != nil {
		return nil, err
	}
	var decisions []reaction.Decision[db.Shipment]
	if len(steps) > 0 {
		if decisions, err = a.Shipments.Run(ctx, tx, steps...); err != nil {
			return nil, err
		}
	}
	return decisions, a.moveCursor(ctx, q, to)
}

// lockCursor creates the feed's cursor if needed and locks it for the transaction. It fails if the
// cursor has moved since the updates were read. Applying them again would change no shipment, but
// it would move the cursor back to their end, and all replicas would continue from there.
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

// applySingly applies the updates of a failed page, each in its own transaction. It skips updates
// that fail for a permanent reason, so that one parcel does not delay all others. A skipped update
// is not lost: applying an update twice changes nothing, so an operator can set the cursor back.
func (a *App) applySingly(ctx context.Context, after int64, updates []carrier.Update) error {
	for _, u := range updates {
		err := a.applyAtOnce(ctx, after, []carrier.Update{u})
		if err != nil {
			if !lineAtFault(ctx, err) {
				return err
			}
			a.metrics.feedSkipped.WithLabelValues("failed").Inc()
			a.log.ErrorContext(ctx, "tracking update cannot be applied and is passed over",
				"seq", u.Seq, telemetry.KeySubject, u.OrderID, "status", u.Status, "error", err)
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

// lineAtFault reports whether an update failed because of its own content. Only Invalid means that.
// An unavailable system or a schema that the registry refuses is Transient, a concurrent writer is
// a Conflict and a bug is Internal. Those would fail every line, so the feed waits instead, and
// eventshop_tracking_failures_total shows it.
func lineAtFault(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, errOvertaken) {
		return false
	}
	return errs.KindOf(err) == errs.Invalid
}

// tracked returns the step of a line of the feed. ours is false for a line that is skipped.
func (a *App) tracked(ctx context.Context, u carrier.Update) (s reaction.Step[Input], ours bool) {
	input := map[string]shipping.Input{
		carrier.UpdateDispatched: shipping.ParcelDispatched,
		carrier.UpdateDelivered:  shipping.ParcelDelivered,
	}[u.Status]
	why := ""
	switch {
	case !isOrderID(u.OrderID) || u.Key != Key(u.OrderID):
		why = "foreign"
	case input == "":
		why = "status" // a status that the saga does not need
	}
	if why != "" {
		a.metrics.feedSkipped.WithLabelValues(why).Inc()
		a.log.DebugContext(ctx, "tracking update passed over", "why", why, "seq", u.Seq, "key", u.Key,
			telemetry.KeySubject, u.OrderID, "status", u.Status)
		return s, false
	}
	// The row supplies the correlation id and the trace. The cause is a line of the feed, not an
	// event.
	cause := outbox.Cause{CausationID: fmt.Sprintf("carrier-update-%d", u.Seq)}
	return a.Shipments.Step(u.OrderID, Input{Kind: input, Update: u}, cause), true
}

// isOrderID accepts only the canonical form of an order id, so that another spelling of the id
// opens no second shipment.
func isOrderID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}
