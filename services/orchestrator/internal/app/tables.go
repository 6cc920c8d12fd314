package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// sagas is a set of sagas.
type sagas struct {
	loaded  map[string]Saga
	changed map[string]bool
}

// load locks the rows of the steps' orders, and finds the steps whose events the logs have. It first
// creates the missing rows of orders that an OrderCreated is about. No other input creates a row.
func (a *App) load(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) (reaction.Set[Saga], error) {
	if err := a.open(ctx, later(tx, "open sagas"), steps); err != nil {
		return nil, err
	}
	q, keys := db.New(tx), reaction.Keys(steps)
	rows, err := q.LockSagas(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("lock sagas: %w", err)
	}
	set := &sagas{loaded: map[string]Saga{}, changed: map[string]bool{}}
	for _, row := range rows {
		set.loaded[row.OrderID] = Saga{row: row}
	}
	find := db.FindLoggedParams{OrderIds: keys}
	for _, s := range steps {
		if s.Cause.CausationID != "" {
			find.EventIds = append(find.EventIds, s.Cause.CausationID)
		}
	}
	if len(find.EventIds) == 0 {
		return set, nil
	}
	logged, err := q.FindLogged(ctx, find)
	if err != nil {
		return nil, fmt.Errorf("look for logged events: %w", err)
	}
	for _, line := range logged {
		g := set.loaded[line.OrderID]
		g.logged = append(g.logged, line.EventID)
		set.loaded[line.OrderID] = g
	}
	return set, nil
}

// open creates rows. A new row takes the correlation id of the first step about its order.
func (a *App) open(ctx context.Context, q *db.Queries, steps []reaction.Step[Input]) error {
	correlation := map[string]string{}
	for _, s := range steps {
		if s.Input.Kind == orchestrator.OrderCreated && correlation[s.Key] == "" {
			correlation[s.Key] = s.Cause.CorrelationID
		}
	}
	if len(correlation) == 0 {
		return nil
	}
	p := db.OpenSagasParams{OrderIds: slices.Sorted(maps.Keys(correlation)), Definition: a.begin, Now: steps[0].At}
	for _, key := range p.OrderIds {
		if correlation[key] == "" {
			correlation[key] = key
		}
		p.CorrelationIds = append(p.CorrelationIds, correlation[key])
	}
	return q.OpenSagas(ctx, p)
}

// Get implements [reaction.Set].
func (s *sagas) Get(key string) Saga { return s.loaded[key] }

// Put implements [reaction.Set].
func (s *sagas) Put(key string, g Saga) { s.loaded[key], s.changed[key] = g, true }

// Save implements [reaction.Set].
func (s *sagas) Save(ctx context.Context, tx pgx.Tx) error {
	if len(s.changed) == 0 {
		return nil
	}
	var rows db.SaveSagasParams
	var log db.AddLogParams
	for _, key := range slices.Sorted(maps.Keys(s.changed)) {
		g := s.loaded[key]
		if err := appendRow(&rows, g.row); err != nil {
			return err
		}
		for _, line := range g.lines {
			log.OrderIds, log.Ns, log.At = append(log.OrderIds, key), append(log.Ns, line.N), append(log.At, line.At)
			log.Inputs, log.EventIds = append(log.Inputs, line.Input), append(log.EventIds, line.EventID)
			log.Actions, log.Details = append(log.Actions, line.Action), append(log.Details, line.Detail)
			log.FromStates, log.ToStates = append(log.FromStates, line.FromState), append(log.ToStates, line.ToState)
			log.Commands, log.CommandIds = append(log.Commands, line.Command), append(log.CommandIds, line.CommandID)
		}
	}
	if err := later(tx, "store sagas").SaveSagas(ctx, rows); err != nil {
		return err
	}
	return later(tx, "add to the logs of sagas").AddLog(ctx, log)
}

// later returns the queries whose results are not read. Their errors say what was attempted.
func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}

func appendRow(p *db.SaveSagasParams, row db.Saga) error {
	due, err := json.Marshal(row.CompensationsDue)
	if err != nil {
		return errs.Wrap(errs.Internal, err, "encode compensations")
	}
	p.OrderIds, p.Definitions, p.States = append(p.OrderIds, row.OrderID), append(p.Definitions, row.Definition), append(p.States, row.State)
	p.Steps, p.Attempts = append(p.Steps, row.Step), append(p.Attempts, row.Attempt)
	p.CompensationsDue, p.DueAt = append(p.CompensationsDue, string(due)), append(p.DueAt, instant(row.DueAt))
	p.Attentions, p.Unexplained = append(p.Attentions, row.Attention), append(p.Unexplained, row.Unexplained)
	p.Reasons = append(p.Reasons, row.Reason)
	p.Details, p.CustomerIds = append(p.Details, row.Detail), append(p.CustomerIds, row.CustomerID)
	p.Addresses, p.Items = append(p.Addresses, string(row.Address)), append(p.Items, string(row.Items))
	p.TotalAmounts, p.Currencies = append(p.TotalAmounts, row.TotalAmount), append(p.Currencies, row.Currency)
	p.TrackingIds, p.Versions = append(p.TrackingIds, row.TrackingID), append(p.Versions, row.Version)
	p.LogLines, p.CorrelationIds = append(p.LogLines, row.LogLines), append(p.CorrelationIds, row.CorrelationID)
	p.CausationIds, p.Traceparents = append(p.CausationIds, row.CausationID), append(p.Traceparents, row.Traceparent)
	p.Tracestates, p.StartedAt = append(p.Tracestates, row.Tracestate), append(p.StartedAt, row.StartedAt)
	p.ChangedAt = append(p.ChangedAt, row.ChangedAt)
	return nil
}
