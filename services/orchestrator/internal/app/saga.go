package app

import (
	"context"
	"slices"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// Input is what an event, a time limit, or an operator's retry or acknowledgement means to an order's saga.
type Input struct {
	Kind orchestrator.Input

	Order          *Order // set for OrderCreated only
	Reason, Detail string // why the saga turns back if this input turns it back; otherwise for people: of an acknowledgement, who and why
	TrackingID     string // set for events about a booked parcel
	seen           int32  // of an acknowledgement: the lines of the log that were seen; 0: all
	wrong          string // why the event is no input at all
}

// Order is what the commands need of an order, from OrderCreated.
type Order struct {
	Style       event.Style // that the event's data names
	CustomerID  string
	Address     Address
	Items       []Item
	TotalAmount int64 // minor units
	Currency    string
}

// Address is where the parcel goes.
type Address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"country"`
}

// Item is one line of the order.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int32  `json:"quantity"`
}

// Saga is the saga of one order.
type Saga struct {
	row    db.Saga               // zero when there is none
	lines  []db.SagaLog          // of this set, not stored yet
	logged []string              // ids of the set's events that the log has
	last   orchestrator.Decision // about the last step of this set
}

func (g Saga) state() orchestrator.State { return orchestrator.State(g.row.State) }

// began reports whether the saga has reacted to its OrderCreated.
func (g Saga) began() bool { return g.row.LogLines > 0 }

// due reports whether the saga has a time limit that has passed.
func (g Saga) due(at time.Time) bool { return g.row.DueAt != nil && !g.row.DueAt.After(at) }

// decide applies the transition table to the step's input and updates the row.
//
// The log knows every event that was no duplicate. Such an event is a duplicate when it comes again,
// also after the inbox has forgotten it.
func (a *App) decide(g Saga, s reaction.Step[Input]) (reaction.Decision[Saga], error) {
	in, version := s.Input, a.begin
	if g.began() {
		version = g.row.Definition
	}
	// Before anything is refused, because a process that knows the definition may know the input, too.
	definition, err := a.definition(version)
	if err != nil {
		return reaction.Decision[Saga]{}, err
	}
	switch {
	case in.wrong != "":
		return reaction.Decision[Saga]{}, errs.New(errs.Hopeless, "the saga of order %s: %s", s.Key, in.wrong)
	case !g.began() && in.Kind != orchestrator.OrderCreated:
		return reaction.Decision[Saga]{}, missing(s)
	case in.Kind == orchestrator.DuePassed && !g.due(s.At):
		return reaction.Decision[Saga]{State: g}, nil // another process has passed it, or the saga has moved on
	}
	if !g.began() {
		g.row.Definition, g.row.StartedAt = version, s.At
	}
	before := g.row
	if d := a.decision(definition, g, s); d.Action != orchestrator.Duplicate {
		return a.record(definition, g, s, d)
	}
	g.last = orchestrator.Decision{Action: orchestrator.Duplicate, Next: g.state()}
	return reaction.Decision[Saga]{State: g, Committed: func(ctx context.Context) { a.report(ctx, before, g, s) }}, nil
}

// decision returns what the table says, unless the style of the order forbids it: a saga does not begin
// for an order whose style contradicts itself, because other services may have begun it without commands.
func (a *App) decision(definition orchestrator.Definition, g Saga, s reaction.Step[Input]) orchestrator.Decision {
	if s.Cause.CausationID != "" && slices.Contains(g.logged, s.Cause.CausationID) {
		return orchestrator.Decision{Action: orchestrator.Duplicate, Next: g.state()}
	}
	if s.Input.Kind == acknowledged {
		return acknowledge(definition, g, s.Input)
	}
	refused := orchestrator.Decision{Action: orchestrator.Refuse, Next: g.state()}
	switch order := s.Input.Order; {
	case order != nil && order.Style != event.Orchestrated:
		refused.Attention = true
		return refused
	case g.began() && g.state() == orchestrator.None:
		return refused // it contradicted itself before
	}
	return orchestrator.Decide(definition, g.state(), s.Input.Kind)
}

// missing returns the error of an input for an order without a saga. For an event it has kind Hopeless,
// because a saga begins with OrderCreated, before any command, and no order that has begun without one
// gets one later.
func missing(s reaction.Step[Input]) error {
	if s.Cause.CausationID == "" {
		return notFound(s.Key)
	}
	return errs.New(errs.Hopeless, "%s: there is no saga of order %s", s.Input.Kind, s.Key)
}

// causeOf returns what a command carries on. A command that no event leads to acts for the event that
// moved the saga last, in its trace. All commands have the saga's style.
func causeOf(row db.Saga, s reaction.Step[Input]) outbox.Cause {
	cause := s.Cause
	cause.Style = event.Orchestrated
	if cause.CausationID == "" {
		cause.CausationID = row.CausationID
	}
	if cause.CorrelationID == "" {
		cause.CorrelationID = row.CorrelationID
	}
	if cause.TraceParent == "" {
		cause.TraceParent, cause.TraceState = telemetry.ChildOf(row.Traceparent, row.Tracestate, s.Span)
	}
	return cause
}

// report counts and logs a decision after its commit. It logs one INFO line per saga, when the saga
// ends, and at WARN when a person has to look at it.
func (a *App) report(ctx context.Context, before db.Saga, g Saga, s reaction.Step[Input]) {
	row, d := g.row, g.last
	ctx = telemetry.With(ctx, row.OrderID, "", row.CorrelationID)
	a.metrics.decided(s.Input.Kind, d.Action)
	a.log.DebugContext(ctx, "saga decided", "cause", s.Input.Kind, "outcome", d.Action,
		"from", before.State, "to", row.State, "command", d.Effect)
	if d.Attention {
		a.log.WarnContext(ctx, "saga needs a person", "status", row.State, "cause", s.Input.Kind, "attention", row.Attention)
	}
	if row.State == before.State || !g.state().Ended() {
		return
	}
	about := []any{"status", row.State, "cause", s.Input.Kind, "version", row.Version,
		"took", s.At.Sub(row.StartedAt).Round(time.Millisecond).String()}
	if row.Reason != "" {
		about = append(about, "reason", row.Reason, "detail", row.Detail)
	}
	a.log.InfoContext(ctx, "saga ended", about...)
}
