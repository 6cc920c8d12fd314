package app

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/services/order/order"
)

// History is a page of an order's domain events, oldest first.
type History struct {
	Currency string // of the amounts
	Events   []Recorded
	More     bool // there are events after these
}

// Recorded is a domain event with its position in the order's stream and what is known of its cause.
type Recorded struct {
	Version       int64
	RecordedAt    time.Time
	Event         order.Event
	Actor         string      // customer, deadline, expiry, unknown, or the service whose event or command the order reacted to
	CausedBy      order.Input // "" when the order was placed, and for events of earlier releases
	CorrelationID string
	CausationID   string // "" when a request or the deadline caused it
}

// GetOrderEvents returns at most limit domain events of an order after a version. The error has kind
// NotFound when the order does not exist.
func (a *App) GetOrderEvents(ctx context.Context, orderID string, after int64, limit int) (History, error) {
	records, err := eventstore.LoadPage(ctx, a.reads, orderID, after, limit+1)
	if err != nil {
		return History{}, err
	}
	var h History
	if h.More = len(records) > limit; h.More {
		records = records[:limit]
	}
	first := records
	if after > 0 { // the currency is in the first event, which also shows whether there is such an order
		if first, err = eventstore.LoadUntilVersion(ctx, a.reads, orderID, 1); err != nil {
			return History{}, err
		}
	}
	if len(first) == 0 {
		return History{}, errs.New(errs.NotFound, "there is no order %s", orderID)
	}
	created, err := order.Decode(first[0].Type, first[0].Data)
	if err != nil {
		return History{}, err
	}
	switch e := created.(type) {
	case order.OrderCreated:
		h.Currency = e.Currency
	case order.DraftStarted:
		h.Currency = e.Currency
	}
	for _, r := range records {
		recorded, err := recordedOf(r)
		if err != nil {
			return History{}, err
		}
		h.Events = append(h.Events, recorded)
	}
	return h, nil
}

func recordedOf(r eventstore.Record) (Recorded, error) {
	e, err := order.Decode(r.Type, r.Data)
	if err != nil {
		return Recorded{}, err
	}
	var m metadata
	if err := json.Unmarshal(r.Metadata, &m); err != nil {
		return Recorded{}, errs.Wrap(errs.Internal, err, "decode the metadata of "+r.Type)
	}
	actor := actorOf(m.Input)
	if m.Input == "" {
		actor = actorOfEvent(e)
	}
	return Recorded{
		Version: r.Version, RecordedAt: r.RecordedAt, Event: e,
		Actor: actor, CausedBy: m.Input, CorrelationID: m.CorrelationID, CausationID: m.CausationID,
	}, nil
}

// The actors that are not services. A service has its own name.
const (
	actorCustomer = "customer"
	actorDeadline = "deadline"
	actorExpiry   = "expiry" // of drafts
	actorUnknown  = "unknown"

	actorOrchestrator = "orchestrator"
)

// actorOf returns who is behind an input.
func actorOf(in order.Input) string {
	switch in {
	case order.RequestCancellation:
		return actorCustomer
	case order.PassDeadline:
		return actorDeadline
	case order.ConfirmOrder, order.CancelOrder:
		return actorOrchestrator
	}
	for prefix, service := range map[string]string{"Payment": "payment", "Inventory": "inventory", "Shipment": "shipping"} {
		if strings.HasPrefix(string(in), prefix) {
			return service
		}
	}
	return actorUnknown
}

// actorOfEvent returns who is behind an event that was stored without its input. Earlier releases
// stored none, and the first events of an order have none. It follows from the transition table: each
// event comes from inputs of one service, or says which.
func actorOfEvent(e order.Event) string {
	switch e := e.(type) {
	case order.OrderCreated, order.ItemAdded, order.DraftStarted, order.DraftItemAdded, order.DraftItemChanged, order.DraftItemRemoved,
		order.DraftAddressChanged, order.DraftPlaced:
		return actorCustomer
	case order.DraftDiscarded:
		if e.Reason == order.ReasonAbandoned {
			return actorExpiry
		}
		return actorCustomer
	case order.OrderCancellationRequested:
		switch {
		case e.Trigger == order.OnDeadline:
			return actorDeadline
		case e.Actor == order.ByCustomer:
			return actorCustomer
		}
		return actorUnknown
	case order.OrderConfirmed, order.OrderCancellationRejected, order.OrderShipped, order.OrderDelivered:
		return "shipping"
	case order.OrderFulfilmentFailed:
		if e.Reason == order.ReasonOutOfStock {
			return "inventory"
		}
		return "shipping"
	case order.OrderCancelled:
		return "payment"
	case order.OrderCommandAnswered:
		return actorOrchestrator
	case order.OrderNeedsAttention:
		return actorOf(order.Input(e.Reason))
	}
	return actorUnknown
}
