package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Saga is an orchestrated saga in the orchestrator's tables.
type Saga struct {
	OrderID, State string
	Attention      string // what an operator has to look at; "" if nothing
	Definition     int    // the version of the steps that it follows
	Version        int64  // commands sent
	Log            []SagaStep
}

// SagaStep is a line of a saga's log.
type SagaStep struct {
	N         int64 // from 1
	Input     string
	EventID   string // "" for an input that is no event
	Action    string
	From, To  string // states
	Command   string // that was sent; "" if none was
	CommandID string
}

// readSagas reads the sagas with their logs. A shop of the release before has none. A row in no state
// and without a log is of an order whose OrderCreated was not handled.
func (f *Facts) readSagas(ctx context.Context, conns map[string]*pgx.Conn) error {
	c, err := sagaTables(ctx, conns)
	if c == nil || err != nil {
		return err
	}
	f.orchestrator = true
	f.Sagas, err = collect(ctx, c, `SELECT order_id, state, attention, definition, version FROM sagas ORDER BY order_id`,
		func(r pgx.CollectableRow) (s Saga, err error) {
			return s, r.Scan(&s.OrderID, &s.State, &s.Attention, &s.Definition, &s.Version)
		})
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i, s := range f.Sagas {
		at[s.OrderID] = i
	}
	_, err = collect(ctx, c, `SELECT order_id, n, input, event_id, action, from_state, to_state, command, command_id FROM saga_log ORDER BY order_id, n`,
		func(r pgx.CollectableRow) (struct{}, error) {
			var order string
			var s SagaStep
			err := r.Scan(&order, &s.N, &s.Input, &s.EventID, &s.Action, &s.From, &s.To, &s.Command, &s.CommandID)
			if i, ok := at[order]; ok && err == nil { // a log without its row cannot be stored
				f.Sagas[i].Log = append(f.Sagas[i].Log, s)
			}
			return struct{}{}, err
		})
	f.Sagas = slices.DeleteFunc(f.Sagas, func(s Saga) bool { return s.State == "" && len(s.Log) == 0 })
	return err
}

// sagaTables returns the connection to the orchestrator's tables, or nil where there are none.
func sagaTables(ctx context.Context, conns map[string]*pgx.Conn) (*pgx.Conn, error) {
	c, ok := conns[coordinator]
	if !ok {
		return nil, nil
	}
	var there bool
	if err := c.QueryRow(ctx, `SELECT to_regclass('sagas') IS NOT NULL`).Scan(&there); err != nil || !there {
		return nil, err
	}
	return c, nil
}

// sagasAsking returns the orders whose sagas ask for attention: they may wait for an operator for
// ever.
func sagasAsking(ctx context.Context, conns map[string]*pgx.Conn) ([]string, error) {
	c, err := sagaTables(ctx, conns)
	if c == nil || err != nil {
		return nil, err
	}
	orders, err := collect(ctx, c, `SELECT order_id FROM sagas WHERE attention <> ''`, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("sagas that ask for attention: %w", err)
	}
	return orders, nil
}
