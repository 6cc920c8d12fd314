package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/payment/internal/db"
)

// payments is a set of payments.
type payments struct {
	loaded  map[string]Payment
	changed map[string]bool
}

// load locks the rows of the steps' orders. It first creates the missing rows of orders that an
// event is about.
func load(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) (reaction.Set[Payment], error) {
	if err := open(ctx, later(tx, "open payments"), steps); err != nil {
		return nil, err
	}
	rows, err := db.New(tx).LockPayments(ctx, reaction.Keys(steps))
	if err != nil {
		return nil, fmt.Errorf("lock payments: %w", err)
	}
	return &payments{loaded: byOrder(rows), changed: map[string]bool{}}, nil
}

// open creates missing rows. A new row takes the style of the saga and the correlation id of the
// first step about its order that has them.
func open(ctx context.Context, q *db.Queries, steps []reaction.Step[Input]) error {
	first := map[string]outbox.Cause{}
	for _, s := range steps {
		if !s.Input.MustExist {
			known := first[s.Key]
			first[s.Key] = outbox.Cause{
				Style:         cmp.Or(known.Style, s.Cause.Style),
				CorrelationID: cmp.Or(known.CorrelationID, s.Cause.CorrelationID),
			}
		}
	}
	if len(first) == 0 {
		return nil
	}
	p := db.OpenPaymentsParams{OrderIds: slices.Sorted(maps.Keys(first)), Now: steps[0].At}
	for _, key := range p.OrderIds {
		p.CorrelationIds = append(p.CorrelationIds, cmp.Or(first[key].CorrelationID, key))
		p.SagaStyles = append(p.SagaStyles, string(cmp.Or(first[key].Style, event.Choreographed)))
	}
	return q.OpenPayments(ctx, p)
}

// look returns the existing payments in their current state.
func look(ctx context.Context, q postgres.Querier, orderIDs []string) (map[string]Payment, error) {
	rows, err := db.New(q).GetPayments(ctx, orderIDs)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("load payments: %w", err))
	}
	return byOrder(rows), nil
}

func byOrder(rows []db.Payment) map[string]Payment {
	out := make(map[string]Payment, len(rows))
	for _, row := range rows {
		out[row.OrderID] = Payment{row: row}
	}
	return out
}

// Get implements [reaction.Set].
func (p *payments) Get(key string) Payment { return p.loaded[key] }

// Put implements [reaction.Set].
func (p *payments) Put(key string, one Payment) { p.loaded[key], p.changed[key] = one, true }

// Save implements [reaction.Set].
func (p *payments) Save(ctx context.Context, tx pgx.Tx) error {
	if len(p.changed) == 0 {
		return nil
	}
	var rows db.SavePaymentsParams
	var history db.AddHistoryParams
	for _, key := range slices.Sorted(maps.Keys(p.changed)) {
		appendRow(&rows, p.loaded[key].row)
		for i, line := range p.loaded[key].lines {
			history.OrderIds, history.Ordinals = append(history.OrderIds, key), append(history.Ordinals, int32(i+1))
			history.At, history.Inputs = append(history.At, line.At), append(history.Inputs, line.Input)
			history.Actions, history.States = append(history.Actions, line.Action), append(history.States, line.State)
			history.Details = append(history.Details, line.Detail)
		}
	}
	if err := later(tx, "store payments").SavePayments(ctx, rows); err != nil {
		return err
	}
	if len(history.OrderIds) == 0 {
		return nil
	}
	return later(tx, "add history").AddHistory(ctx, history)
}

// later returns the queries whose results are not read. Their errors say what was attempted.
func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}

func appendRow(p *db.SavePaymentsParams, row db.Payment) {
	p.OrderIds, p.States, p.Versions = append(p.OrderIds, row.OrderID), append(p.States, row.State), append(p.Versions, row.Version)
	p.CustomerIds, p.Amounts = append(p.CustomerIds, row.CustomerID), append(p.Amounts, row.Amount)
	p.Currencies = append(p.Currencies, row.Currency)
	p.ChargeIds, p.RefundIds = append(p.ChargeIds, row.ChargeID), append(p.RefundIds, row.RefundID)
	p.DeclineCodes, p.DeclineDetails = append(p.DeclineCodes, row.DeclineCode), append(p.DeclineDetails, row.DeclineDetail)
	p.Reasons, p.Attempts = append(p.Reasons, row.Reason), append(p.Attempts, row.Attempts)
	p.NextAttemptsAt = append(p.NextAttemptsAt, instant(row.NextAttemptAt))
	p.ReturningSince = append(p.ReturningSince, instant(row.ReturningSince))
	p.LastErrors, p.Attentions = append(p.LastErrors, row.LastError), append(p.Attentions, row.Attention)
	p.CausationIds, p.Traceparents = append(p.CausationIds, row.CausationID), append(p.Traceparents, row.Traceparent)
	p.Tracestates, p.UpdatedAt = append(p.Tracestates, row.Tracestate), append(p.UpdatedAt, row.UpdatedAt)
}

// instant returns the zero time for nil. The statement stores the zero time as NULL.
func instant(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}
