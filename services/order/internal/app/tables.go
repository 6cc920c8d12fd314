package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

// orders is the orders of one set; see [reaction.Set].
type orders struct {
	loaded  map[string]Order
	stored  map[string]int64 // the versions in the event store
	changed map[string]bool
}

// load locks the orders' streams, folds them, and finds the steps whose events a stream has
// recorded before. HTTP, the deadline worker and the consumer lock here first, so that they decide
// one after the other.
func (a *App) load(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) (reaction.Set[Order], error) {
	set := &orders{loaded: map[string]Order{}, stored: map[string]int64{}, changed: map[string]bool{}}
	// No other writer knows the id of an order that is created.
	steps = slices.DeleteFunc(slices.Clone(steps), func(s reaction.Step[Input]) bool { return s.Input.creates() })
	if len(steps) == 0 {
		return set, nil
	}
	keys := reaction.Keys(steps)
	if err := eventstore.Lock(ctx, tx, keys...); err != nil {
		return nil, err
	}
	var err error
	if set.loaded, err = a.look(ctx, tx, keys...); err != nil {
		return nil, err
	}
	for key, o := range set.loaded {
		set.stored[key] = o.Version
	}
	if err := set.findRepeated(ctx, tx, steps); err != nil {
		return nil, err
	}
	return set, set.claimDue(ctx, tx, steps)
}

// look folds the present state of orders, without locks. Orders that do not exist are missing.
func (a *App) look(ctx context.Context, q postgres.Querier, keys ...string) (map[string]Order, error) {
	states, err := a.states.Load(ctx, q, keys...)
	if err != nil {
		return nil, err
	}
	folded := map[string]Order{}
	for key, s := range states {
		folded[key] = Order{Order: s.State, unreadable: s.Err}
	}
	return folded, nil
}

// findRepeated notes the causes of steps that the orders' streams have recorded.
func (s *orders) findRepeated(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) error {
	var marks []eventstore.Mark
	var causes []string
	for _, step := range steps {
		if step.Cause.CausationID == "" {
			continue // a command, whose Idempotency-Key answers repetitions
		}
		mark, err := json.Marshal(map[string]string{"causationId": step.Cause.CausationID})
		if err != nil {
			return errs.Wrap(errs.Internal, err, "encode metadata")
		}
		marks = append(marks, eventstore.Mark{StreamID: step.Key, Metadata: mark})
		causes = append(causes, step.Cause.CausationID)
	}
	if len(marks) == 0 {
		return nil
	}
	repeated, err := eventstore.Marked(ctx, tx, marks...)
	if err != nil {
		return err
	}
	for i, m := range marks {
		if repeated[i] {
			o := s.loaded[m.StreamID]
			o.known = append(o.known, causes[i])
			s.loaded[m.StreamID] = o
		}
	}
	return nil
}

// claimDue locks the deadlines that have passed, where a step is about that, and notes their orders.
func (s *orders) claimDue(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) error {
	var at time.Time
	var asked []uuid.UUID
	for _, step := range steps {
		if step.Input.Message.Input != order.PassDeadline {
			continue
		}
		id, err := uuid.Parse(step.Key)
		if err != nil {
			return errs.Wrap(errs.Internal, err, "order id "+step.Key)
		}
		asked, at = append(asked, id), step.At
	}
	if len(asked) == 0 {
		return nil
	}
	due, err := db.New(tx).ClaimDeadlines(ctx, db.ClaimDeadlinesParams{OrderIds: asked, Now: at})
	if err != nil {
		return fmt.Errorf("claim deadlines: %w", err)
	}
	for _, id := range due {
		o := s.loaded[id.String()]
		o.due = true
		s.loaded[id.String()] = o
	}
	return nil
}

// Get implements [reaction.Set].
func (s *orders) Get(key string) Order { return s.loaded[key] }

// Put implements [reaction.Set].
func (s *orders) Put(key string, o Order) { s.loaded[key], s.changed[key] = o, true }

// Save implements [reaction.Set]. Deadlines come first: programs of earlier releases lock an
// order's deadline, not its stream, before they append. All statements run [postgres.Later].
//
// The error has kind Transient when a program of an earlier release changed an order meanwhile. The
// caller has to load and decide again.
func (s *orders) Save(ctx context.Context, tx pgx.Tx) error {
	if len(s.changed) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(s.changed))
	if err := s.saveDeadlines(ctx, tx, keys); err != nil {
		return err
	}
	var appends []eventstore.Appended
	var former []eventstore.Snapshot
	for _, key := range keys {
		o := s.loaded[key]
		appends = append(appends, eventstore.Appended{StreamID: key, Expected: s.stored[key], Records: o.news})
		if o.fromDraft && o.Style != order.Orchestrated {
			// Processes of the release before cannot read the events of drafts. They begin with this. They
			// must not read an orchestrated order.
			state, err := o.FormerSnapshot()
			if err != nil {
				return err
			}
			former = append(former, eventstore.Snapshot{StreamID: key, Version: o.Version, State: state})
		}
	}
	if err := eventstore.AppendAll(ctx, postgres.Later(tx, overtaken), appends...); err != nil {
		return err
	}
	if err := eventstore.SaveFormerSnapshots(ctx, tx, former...); err != nil {
		return err
	}
	return s.saveSagas(ctx, tx, keys)
}

// overtaken returns the error of an append with the reason for which a reaction runs again.
func overtaken(err error) error {
	if errs.KindOf(err) == errs.Conflict {
		return errs.Wrap(errs.Transient, errors.Join(reaction.ErrOvertaken, err), "append")
	}
	return err
}

// later returns the queries whose results are not read. Their errors say what was attempted.
func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}

func (s *orders) saveDeadlines(ctx context.Context, tx pgx.Tx, keys []string) error {
	var added db.AddDeadlinesParams
	var passed []uuid.UUID
	for _, key := range keys {
		o := s.loaded[key]
		if d := o.deadline; d != nil && !o.undue {
			added.OrderIds, added.DueAt = append(added.OrderIds, d.OrderID), append(added.DueAt, d.DueAt)
			added.Traceparents, added.Tracestates = append(added.Traceparents, d.Traceparent), append(added.Tracestates, d.Tracestate)
		}
		if o.undue && o.deadline == nil {
			id, err := uuid.Parse(key)
			if err != nil {
				return errs.Wrap(errs.Internal, err, "order id "+key)
			}
			passed = append(passed, id)
		}
	}
	q := later(tx, "store deadlines")
	if len(added.OrderIds) > 0 {
		if err := q.AddDeadlines(ctx, added); err != nil {
			return err
		}
	}
	if len(passed) > 0 {
		return q.RemoveDeadlines(ctx, passed)
	}
	return nil
}

// saveSagas keeps one row per order that has not ended or needs attention, and none for other
// orders. A draft has no saga.
func (s *orders) saveSagas(ctx context.Context, tx pgx.Tx, keys []string) error {
	var kept db.KeepSagasParams
	var ended []uuid.UUID
	for _, key := range keys {
		o := s.loaded[key]
		if len(o.news) == 0 || !o.State.Placed() {
			continue
		}
		id, err := uuid.Parse(key)
		if err != nil {
			return errs.Wrap(errs.Internal, err, "order id "+key)
		}
		if o.State.Ended() && o.Attention == nil {
			ended = append(ended, id)
			continue
		}
		kept.OrderIds, kept.Versions = append(kept.OrderIds, id), append(kept.Versions, o.Version)
		kept.Statuses, kept.PlacedAt = append(kept.Statuses, string(o.State)), append(kept.PlacedAt, o.PlacedAt)
		kept.SagaStyles = append(kept.SagaStyles, string(o.Style))
		kept.ConfirmBy, kept.ChangedAt = append(kept.ConfirmBy, o.ConfirmBy), append(kept.ChangedAt, o.changedAt)
		attention := order.Cause{}
		if o.Attention != nil {
			attention = *o.Attention
		}
		kept.Attention = append(kept.Attention, o.Attention != nil)
		kept.AttentionReasons, kept.AttentionDetails = append(kept.AttentionReasons, attention.Reason), append(kept.AttentionDetails, attention.Detail)
	}
	q := later(tx, "store sagas")
	if len(kept.OrderIds) > 0 {
		if err := q.KeepSagas(ctx, kept); err != nil {
			return err
		}
	}
	if len(ended) > 0 {
		return q.EndSagas(ctx, ended)
	}
	return nil
}
