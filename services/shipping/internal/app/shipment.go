package app

import (
	"context"
	"slices"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

// Input is what an event, a command, or an update of the tracking feed, means to an order's shipment.
type Input struct {
	Kind  shipping.Input
	Style event.Style // the style of the saga that the record's data name; empty when they name none

	Parcel         *Parcel        // set for OrderCreated and ScheduleShipment only
	Answer         carrier.Answer // the answer to the call before the transaction; zero when there was no call
	Reason, Detail string         // why this step cancels; empty when it does not
	Update         carrier.Update // set for tracking only
}

// Parcel is the items to ship and their destination, from OrderCreated or ScheduleShipment.
type Parcel struct {
	CustomerID string
	Address    carrier.Address
	Items      []carrier.Item
}

// Asking subscribes to events or commands whose effect on a shipment may need an answer of the carrier.
func Asking[T event.Event](a *App, input func(consumer.Event[T]) Input) consumer.Subscription {
	return consumer.OnCall(a.Shipments,
		func(row db.Shipment, e consumer.Event[T]) consumer.Call[carrier.Answer] {
			return a.ask(row, e.Data.AggregateKey(), e.Cause(), input(e))
		},
		func(e consumer.Event[T], answer carrier.Answer) Input {
			in := input(e)
			in.Answer = answer
			return in
		},
	)
}

// ask returns the call that the input needs in the row's current state, or nil. A record that
// contradicts the style of the saga needs none. The errors of a call are the carrier's and those of
// [App.schedule].
func (a *App) ask(row db.Shipment, orderID string, cause outbox.Cause, in Input) consumer.Call[carrier.Answer] {
	if contradicts(row, cause.Style, in.Style) {
		return nil
	}
	switch shipping.Decide(shipping.State(row.State), in.Kind).Effect {
	case shipping.Schedule:
		return func(ctx context.Context) (carrier.Answer, error) {
			p := in.Parcel
			if p == nil {
				var err error
				if p, err = parcelOf(row); err != nil {
					return carrier.Answer{}, err
				}
			}
			return a.schedule(ctx, row, cause, carrier.Request{
				OrderID: orderID, CustomerID: p.CustomerID, Address: p.Address, Items: p.Items,
			})
		}
	case shipping.Cancel:
		return func(ctx context.Context) (carrier.Answer, error) {
			return a.carrier.Cancel(ctx, Key(orderID), orderID, row.CustomerID)
		}
	}
	return nil
}

// decide applies the transition table and updates the row.
func (a *App) decide(row db.Shipment, s reaction.Step[Input]) (reaction.Decision[db.Shipment], error) {
	if s.Cause.TraceParent == "" { // the carrier's feed has no trace, so the shipment's trace continues
		s.Cause.TraceParent, s.Cause.TraceState = telemetry.ChildOf(row.Traceparent, row.Tracestate, s.Span)
	}
	if contradicts(row, s.Cause.Style, s.Input.Style) {
		return a.contradict(row, s), nil
	}
	before := shipping.State(row.State)
	d, err := answered(before, s)
	if err != nil {
		return reaction.Decision[db.Shipment]{}, err
	}
	d = shipping.EmitDispatchOnce(d, row.DispatchedAt != nil)
	answer := shipping.Awaited
	if rejectedAlready(row, s) {
		d = shipping.DropRejection(d) // it was the answer to a command
	} else if len(d.Emit) == 0 {
		answer = shipping.AnswerTo(s.Input.Kind, d.Next)
	}
	news := s.Input.Parcel != nil && row.Address == nil
	out := reaction.Decision[db.Shipment]{Changed: d.Next != before || news || len(d.Emit) > 0 || answer != shipping.Awaited}
	if out.Changed {
		if err := record(&row, s, d); err != nil {
			return out, err
		}
		if out.Events, err = emit(&row, s, d.Emit); err != nil {
			return out, err
		}
		if answer != shipping.Awaited {
			out.Events = append(out.Events, answerTo(&row, s, answer))
		}
	}
	out.State = row
	out.Committed = func(ctx context.Context) {
		a.metrics.decided(s.Input.Kind, d.Action)
		a.log.DebugContext(ctx, "shipment decided", "cause", s.Input.Kind, "outcome", d.Action,
			"carrier", s.Input.Answer.Outcome, "from", before, "to", d.Next, "events", d.Emit)
		if out.Changed {
			a.report(ctx, before, row, s.Input, d)
		}
	}
	return out, nil
}

// answered applies the carrier's answer where the table requires one.
func answered(state shipping.State, s reaction.Step[Input]) (shipping.Decision, error) {
	d := shipping.Decide(state, s.Input.Kind)
	if d.Effect == shipping.NoEffect {
		return d, nil
	}
	answers := map[carrier.Outcome]shipping.Input{
		carrier.Accepted: shipping.CarrierAccepted, carrier.Refused: shipping.CarrierRefused, carrier.Stopped: shipping.CarrierStopped,
	}
	if d.Effect == shipping.Cancel {
		answers = map[carrier.Outcome]shipping.Input{
			carrier.Cancelled: shipping.CarrierCancelled, carrier.Departed: shipping.CarrierDeparted,
		}
	}
	in, asked := answers[s.Input.Answer.Outcome]
	if !asked {
		return d, errs.New(errs.Transient, "shipment of order %s became %q after the carrier was left alone; asking it next time", s.Key, state)
	}
	return shipping.Decide(state, in), nil
}

// report logs one INFO line per shipment, when it ends. It logs at WARN when a person has to look
// at it.
func (a *App) report(ctx context.Context, before shipping.State, row db.Shipment, in Input, d shipping.Decision) {
	if d.Action == shipping.Refuse && slices.Contains(d.Emit, shipping.ShipmentDispatched) {
		a.log.WarnContext(ctx, "a parcel left that was called off", "status", row.State, "cause", in.Kind)
	}
	if state := shipping.State(row.State); state == before || !state.Ended() {
		return
	}
	about := []any{"status", row.State, "cause", in.Kind}
	if len(d.Emit) > 0 {
		about = append(about, "event", d.Emit[len(d.Emit)-1])
	}
	if row.TrackingID != "" {
		about = append(about, "trackingId", row.TrackingID)
	}
	if row.Reason != "" {
		about = append(about, "reason", row.Reason, "detail", row.Detail)
	}
	a.log.InfoContext(ctx, "shipment ended", about...)
}
