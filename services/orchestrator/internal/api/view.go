package api

import (
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/internal/db"
)

// view returns the API's representation of a saga without its log.
func view(g db.Saga) Saga {
	return Saga{
		OrderId:          g.OrderID,
		Definition:       g.Definition,
		Status:           app.StateName(g.State),
		Step:             g.Step,
		Attempt:          g.Attempt,
		CompensationsDue: append([]string{}, g.CompensationsDue...),
		DueAt:            g.DueAt,
		Attention:        optional(g.Attention),
		Reason:           optional(g.Reason),
		Detail:           optional(g.Detail),
		Version:          g.Version,
		StartedAt:        g.StartedAt,
		UpdatedAt:        g.ChangedAt,
	}
}

// whole returns the API's representation of a saga with its log.
func whole(g db.Saga, log []db.SagaLog) Saga {
	v := view(g)
	lines := []LogLine{}
	for _, l := range log {
		lines = append(lines, LogLine{
			N: l.N, At: l.At, Input: l.Input, EventId: optional(l.EventID), Action: l.Action,
			From: app.StateName(l.FromState), To: app.StateName(l.ToState),
			Command: optional(l.Command), CommandId: optional(l.CommandID), Detail: optional(l.Detail),
		})
	}
	v.Log = &lines
	return v
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
