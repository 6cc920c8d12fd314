package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// stateNone is the name of [orchestrator.None], which is stored as "".
const stateNone = "NONE"

// StateName returns the name of a stored state for people.
func StateName(state string) string { return cmp.Or(state, stateNone) }

// GetSaga returns an order's saga and its log, oldest first. The error has kind NotFound when there is
// no saga of the order.
func (a *App) GetSaga(ctx context.Context, q db.DBTX, orderID string) (db.Saga, []db.SagaLog, error) {
	row, err := db.New(q).GetSaga(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, nil, notFound(orderID)
	}
	if err != nil {
		return row, nil, fmt.Errorf("load saga: %w", err)
	}
	log, err := db.New(q).GetLog(ctx, orderID)
	if err != nil {
		return row, nil, fmt.Errorf("load the saga's log: %w", err)
	}
	// Without a transaction the saga may have moved on between the two queries.
	log = log[:min(len(log), int(row.LogLines))]
	return row, log, nil
}

// SagaFilter selects sagas.
type SagaFilter struct {
	State     string // "": of every state; NONE is a saga that did not begin
	Attention bool   // only those that a person has to look at
	After     string // order id: those after it
	Limit     int32
}

// ListSagas returns sagas in the order of their order ids.
func (a *App) ListSagas(ctx context.Context, f SagaFilter) ([]db.Saga, error) {
	var state *string
	if f.State != "" {
		if f.State == stateNone {
			f.State = string(orchestrator.None)
		}
		state = &f.State
	}
	q := db.New(a.reads)
	var rows []db.Saga
	var err error
	if f.Attention {
		rows, err = q.ListSagasNeedingAttention(ctx, db.ListSagasNeedingAttentionParams{After: f.After, State: state, Most: f.Limit})
	} else {
		rows, err = q.ListSagas(ctx, db.ListSagasParams{After: f.After, State: state, Most: f.Limit})
	}
	if err != nil {
		return nil, fmt.Errorf("list sagas: %w", err)
	}
	return rows, nil
}

// DefinitionUse is a definition and how many sagas follow it.
type DefinitionUse struct {
	Version        int32
	Steps          []string // names; empty for a definition that this program does not know
	Newest         bool     // of all releases whose processes have begun sagas, and of this one
	Begins         bool     // this process begins new sagas under it
	Running, Ended int64
}

// Drained reports whether no saga has the definition to go: none follows it that has not ended, and this
// process begins none. The newest definition is never drained, because its sagas may be still to come.
func (d DefinitionUse) Drained() bool { return !d.Newest && !d.Begins && d.Running == 0 }

// ListDefinitions returns every definition that this program knows or a saga follows, the oldest first.
func (a *App) ListDefinitions(ctx context.Context) ([]DefinitionUse, error) {
	counts, err := db.New(a.reads).CountByDefinition(ctx)
	if err != nil {
		return nil, fmt.Errorf("count sagas: %w", err)
	}
	var uses []DefinitionUse
	for _, d := range a.definitions {
		use := DefinitionUse{Version: int32(d.Version), Begins: int32(d.Version) == a.begin}
		for _, step := range d.Steps {
			use.Steps = append(use.Steps, step.Name)
		}
		uses = append(uses, use)
	}
	for _, c := range counts {
		i := slices.IndexFunc(uses, func(d DefinitionUse) bool { return d.Version == c.Definition })
		if i < 0 {
			uses, i = append(uses, DefinitionUse{Version: c.Definition}), len(uses)
		}
		uses[i].Running, uses[i].Ended = c.Running, c.Ended
	}
	slices.SortFunc(uses, func(a, b DefinitionUse) int { return cmp.Compare(a.Version, b.Version) })
	uses[len(uses)-1].Newest = true
	return uses, nil
}
