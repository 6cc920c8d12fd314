package app

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

// Input is what a command, a deadline or an event of another service means to an order.
type Input struct {
	Place   *order.Place      // creates the order; its time is that of the step
	Draft   *order.StartDraft // creates a draft; its time is that of the step
	Edit    *edit             // for a draft
	Message order.Message     // for an order that was placed
}

// edit is a command for a draft, from a client that knows it at a version.
type edit struct {
	order.Edit
	expected int64     // 0: any version
	ramp     SagaStyle // of [order.PlaceDraft]
}

// creates reports whether the input's order does not exist yet.
func (in Input) creates() bool { return in.Place != nil || in.Draft != nil }

// Order is an order with what the decisions of a set add to it. Every row that [orders.Save] writes
// follows from it.
type Order struct {
	order.Order
	unreadable error // why the stream cannot be folded

	// known holds the ids of events that the stream records as a cause, of those that the set's
	// steps have. The inbox forgets events after a while, and the state answers most facts that are
	// repeated after that. It does not answer a fact that contradicted another one: such a fact
	// raised attention, and a later state would act on it a second time.
	known []string
	due   bool // the order had a deadline that had passed; only loaded for [order.PassDeadline]

	action    order.Action // of the last decision
	news      []eventstore.NewRecord
	changedAt time.Time        // of the last decision with news
	fromDraft bool             // a draft that the set has placed
	deadline  *db.SagaDeadline // to add
	undue     bool             // the deadline has to be removed
}

// isDue reports whether the order has a deadline that has passed.
func (o Order) isDue(at time.Time) bool {
	switch {
	case o.undue: // removed by an earlier step of the set
		return false
	case o.deadline != nil: // added by an earlier step of the set
		return !o.deadline.DueAt.After(at)
	}
	return o.due
}

// decide lets the order decide, and derives what has to be stored and published.
func (a *App) decide(o Order, s reaction.Step[Input]) (reaction.Decision[Order], error) {
	d, err := decideOrder(o, s)
	if err != nil {
		return reaction.Decision[Order]{}, err
	}
	before, in := o.Order, s.Input
	if in.Message.Input == order.PassDeadline && !o.isDue(s.At) {
		return reaction.Decision[Order]{State: o}, nil // another replica has passed it, or the order has moved on
	}
	o.action = d.Action
	out := reaction.Decision[Order]{}
	if in.Message.Input == order.PassDeadline { // a deadline passes once, whatever the order decides
		o.undue, out.Changed = true, true
	}
	if len(d.Emit) > 0 {
		out.Changed = true
		if o, err = record(o, s, d.Emit); err != nil {
			return out, err
		}
		out.Events = a.publish(before, d.Emit, s.At, s.Cause)
	}
	out.State = o
	out.Committed = func(ctx context.Context) {
		a.noteSnapshots(before, d.Emit)
		a.report(ctx, before, o.Order, s, d)
	}
	return out, nil
}

// decideOrder returns the order's own decision. The error has kind NotFound when a command names an
// order that does not exist. It has kind Hopeless for an event about such an order, because every
// order is in the store before its first event is published.
func decideOrder(o Order, s reaction.Step[Input]) (order.Decision, error) {
	switch place, draft := s.Input.Place, s.Input.Draft; {
	case o.unreadable != nil:
		return order.Decision{}, o.unreadable
	case place != nil:
		placed := *place
		placed.At = s.At
		news, err := placed.Events()
		return order.Decision{Action: order.Apply, Emit: news}, err
	case draft != nil:
		started := *draft
		started.At = s.At
		news, err := started.Events()
		return order.Decision{Action: order.Apply, Emit: news}, err
	case o.State == order.None && s.Cause.CausationID != "":
		return order.Decision{}, errs.New(errs.Hopeless, "%s: there is no order %s", s.Input.Message.Input, s.Key)
	case o.State == order.None:
		return order.Decision{}, errs.New(errs.NotFound, "there is no order %s", s.Key)
	case s.Input.Edit != nil:
		return decideEdit(o, *s.Input.Edit, s.At)
	}
	style := order.Style(s.Cause.Style)
	d := order.Decision{}
	if o.Contradicts(style) {
		d = o.Contradicted(s.Input.Message.Input, style)
	} else {
		d = o.Decide(s.Input.Message)
		d.Emit = append(d.Emit, o.Answer(s.Input.Message.Input, d.Emit)...)
	}
	if len(d.Emit) > 0 && slices.Contains(o.known, s.Cause.CausationID) {
		return order.Decision{Action: order.Duplicate}, nil
	}
	return d, nil
}

// decideEdit returns the draft's decision about a command. The error is a [*VersionError] when the
// draft is at another version than its client knows.
func decideEdit(o Order, e edit, at time.Time) (order.Decision, error) {
	if e.expected != 0 && e.expected != o.Version {
		return order.Decision{}, &VersionError{Current: o.Version}
	}
	command := e.Edit
	if place, ok := command.(order.PlaceDraft); ok {
		place.At = at
		style, err := e.ramp.choose(o.Customer.ID, place.Style)
		if err != nil {
			return order.Decision{}, err
		}
		place.Style = style
		command = place
	}
	news, err := o.Edit(command)
	return order.Decision{Action: order.Apply, Emit: news}, err
}

// record applies new domain events and derives the rows that belong to them.
func record(o Order, s reaction.Step[Input], news []order.Event) (Order, error) {
	before := o.Order
	records, err := encode(news, s)
	if err != nil {
		return o, err
	}
	o.Order, o.news, o.changedAt = before.Fold(news...), slices.Concat(o.news, records), s.At
	if s.Cause.CausationID != "" {
		o.known = slices.Concat(o.known, []string{s.Cause.CausationID})
	}
	o.fromDraft = o.fromDraft || before.State == order.Draft && o.State.Placed()
	return keepDeadline(o, before.State, s.Cause)
}

// keepDeadline keeps one row per order that is PENDING, and none for other orders.
func keepDeadline(o Order, before order.State, cause outbox.Cause) (Order, error) {
	switch {
	case !before.Placed() && o.State.Placed():
		id, err := uuid.Parse(o.ID)
		if err != nil {
			return o, errs.Wrap(errs.Internal, err, "order id "+o.ID)
		}
		o.deadline = &db.SagaDeadline{OrderID: id, DueAt: o.ConfirmBy, Traceparent: cause.TraceParent, Tracestate: cause.TraceState}
	case before == order.Pending && o.State != order.Pending:
		o.undue = true
	}
	return o, nil
}

// metadata is stored beside each event. CausationID is the id of the event that caused it. It is ""
// when a command caused it. Input is what the order reacted to. It is "" for the command that places an
// order, and on events of earlier releases.
type metadata struct {
	CorrelationID string      `json:"correlationId"`
	CausationID   string      `json:"causationId"`
	Input         order.Input `json:"input,omitempty"`
}

// encode returns the stored form of domain events. Their metadata names the cause.
func encode(news []order.Event, s reaction.Step[Input]) ([]eventstore.NewRecord, error) {
	origin, err := json.Marshal(metadata{CorrelationID: s.Cause.CorrelationID, CausationID: s.Cause.CausationID, Input: s.Input.Message.Input})
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode metadata")
	}
	records := make([]eventstore.NewRecord, len(news))
	for i, e := range news {
		data, err := order.Encode(e)
		if err != nil {
			return nil, err
		}
		records[i] = eventstore.NewRecord{Type: e.Name(), Data: data, Metadata: origin}
	}
	return records, nil
}

// report counts and logs a decision after its commit. It logs one INFO line per order, when the
// order ends. It logs at WARN when a person has to look at the order.
func (a *App) report(ctx context.Context, before, after order.Order, s reaction.Step[Input], d order.Decision) {
	a.metrics.moved(before, after, s.At)
	switch {
	case !before.State.Placed() && after.State.Placed():
		a.log.DebugContext(ctx, "order placed", "customerId", after.Customer.ID,
			"total", after.TotalAmount, "currency", after.Currency, "version", after.Version)
		return
	case !after.State.Placed():
		a.log.DebugContext(ctx, "draft changed", "status", after.State, "version", after.Version)
		return
	}
	cause := s.Input.Message.Input
	a.metrics.decided(cause, d.Action)
	a.log.DebugContext(ctx, "order decided", "cause", cause,
		"outcome", d.Action, "from", before.State, "to", after.State, "version", after.Version)
	switch style := order.Style(s.Cause.Style); {
	case before.Attention == nil && after.Attention != nil:
		a.log.WarnContext(ctx, "order needs a person", "status", after.State, "cause", cause,
			"reason", after.Attention.Reason, "detail", after.Attention.Detail)
	case before.Contradicts(style):
		a.log.WarnContext(ctx, "record of another style changed nothing", "status", after.State, "cause", cause,
			"style", style, "saga", before.Style)
	}
	if before.State.Ended() || !after.State.Ended() {
		return
	}
	about := []any{"status", after.State, "cause", cause, "event", d.Emit[len(d.Emit)-1].Name(),
		"version", after.Version, "took", s.At.Sub(after.PlacedAt).Round(time.Millisecond).String()}
	if after.Cancelled != nil {
		about = append(about, "reason", after.Cancelled.Reason, "detail", after.Cancelled.Detail)
	}
	a.log.InfoContext(ctx, "order ended", about...)
}
