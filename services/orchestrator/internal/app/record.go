package app

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// otherStyle is the input's name in the log for an OrderCreated that begins no saga, because its style
// contradicts itself. The table has no such input.
const otherStyle = "OrderCreated of another style"

// record carries a decision out: it updates the row, sends the command and adds a line to the log.
func (a *App) record(definition orchestrator.Definition, g Saga, s reaction.Step[Input], d orchestrator.Decision) (reaction.Decision[Saga], error) {
	before, in := g.row, s.Input
	contradicts := in.Kind == orchestrator.OrderCreated && d.Action == orchestrator.Refuse
	out := reaction.Decision[Saga]{Changed: true}
	if !contradicts {
		if err := learn(&g.row, in); err != nil {
			return out, err
		}
	}
	if d.Action == orchestrator.Compensate && g.row.Reason == "" {
		g.row.Reason, g.row.Detail = in.Reason, in.Detail
	}
	if before.LogLines == 0 || d.Next != orchestrator.State(before.State) {
		enter(&g.row, definition, d.Next, s)
	}
	if in.Kind == orchestrator.DuePassed {
		g.row.DueAt = nil // a time limit passes once
	}
	if in.Kind == acknowledged {
		settle(&g.row, definition, s)
	}
	g.row.LogLines++
	line := db.SagaLog{
		N: g.row.LogLines, At: s.At, Input: string(in.Kind), EventID: s.Cause.CausationID,
		Action: string(d.Action), FromState: before.State, ToState: string(d.Next), Detail: joined(in.Reason, in.Detail),
	}
	if contradicts {
		line.Input = otherStyle
	}
	if d.Effect != orchestrator.NoEffect {
		g.row.Version++
		g.row.Attempt++
		command, err := commandOf(d.Effect, g.row, in, s.At)
		if err != nil {
			return out, err
		}
		id := commandID(g.row.OrderID, g.row.Version, s.At)
		line.Command, line.CommandID = string(d.Effect), id.String()
		out.Events = []outbox.Entry{{ID: id, Event: command, AggregateID: s.Key, Version: g.row.Version, Cause: causeOf(g.row, s)}}
	}
	if d.Attention {
		line.Detail = attention(definition, g.row, s)
		g.row.Attention = alsoLook(g.row.Attention, line.Detail)
		g.row.Unexplained = g.row.Unexplained || unexplained(definition, d, in)
	}
	g.lines, g.last = append(slices.Clip(g.lines), line), d
	if s.Cause.CausationID != "" {
		g.logged = append(slices.Clip(g.logged), s.Cause.CausationID)
	}
	out.State = g
	out.Committed = func(ctx context.Context) { a.report(ctx, before, g, s) }
	return out, nil
}

// learn stores what later commands need.
func learn(row *db.Saga, in Input) error {
	if in.TrackingID != "" {
		row.TrackingID = in.TrackingID
	}
	o := in.Order
	if o == nil || row.LogLines > 0 {
		return nil
	}
	row.CustomerID, row.TotalAmount, row.Currency = o.CustomerID, o.TotalAmount, o.Currency
	var err error
	if row.Address, err = json.Marshal(o.Address); err != nil {
		return errs.Wrap(errs.Internal, err, "encode the address of order "+row.OrderID)
	}
	if row.Items, err = json.Marshal(o.Items); err != nil {
		return errs.Wrap(errs.Internal, err, "encode the items of order "+row.OrderID)
	}
	return nil
}

// enter sets the row's state and all that depends on it. Another state ends what a person had to look
// at, unless that is unexplained.
func enter(row *db.Saga, definition orchestrator.Definition, state orchestrator.State, s reaction.Step[Input]) {
	row.State, row.Step = string(state), definition.StepOf(state)
	row.Attempt, row.ChangedAt = 0, s.At
	if !row.Unexplained {
		row.Attention = ""
	}
	row.CompensationsDue = []string{}
	for _, c := range definition.CompensationsDue(state) {
		row.CompensationsDue = append(row.CompensationsDue, string(c))
	}
	row.DueAt = nil
	if limit := definition.Due(state); limit > 0 {
		due := s.At.Add(limit)
		row.DueAt = &due
	}
	if s.Cause.CausationID != "" {
		row.CausationID, row.Traceparent, row.Tracestate = s.Cause.CausationID, s.Cause.TraceParent, s.Cause.TraceState
	}
}

// alsoLook adds what a person has to look at to what is there already since the saga entered its state.
func alsoLook(there, found string) string {
	switch {
	case there == "":
		return found
	case strings.Contains(there, found):
		return there
	}
	return there + "; " + found
}

// joined joins a code and a text for people.
func joined(code, text string) string {
	switch {
	case code == "":
		return text
	case text == "":
		return code
	}
	return code + ": " + text
}

// instant returns the zero time for nil. The statement stores the zero time as NULL.
func instant(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}
