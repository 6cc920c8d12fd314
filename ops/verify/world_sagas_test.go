package verify

import (
	"slices"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// chargedBack is an orchestrated order: it was paid, there was too little stock, and the money was
// returned. An operator had RefundPayment sent a second time, before the first answer came.
const chargedBack = "order-charged-back"

// saga writes an orchestrated order's log as the orchestrator does.
type saga struct {
	w *world
	Saga
}

// take adds a line for an input. With a command, it publishes that too, and returns its id.
func (s *saga) take(input string, cause uuid.UUID, action, state string, command event.Event) uuid.UUID {
	line := SagaStep{N: int64(len(s.Log) + 1), Input: input, Action: action, From: s.State, To: state}
	if cause != uuid.Nil {
		line.EventID = cause.String()
	}
	var id uuid.UUID
	if command != nil {
		s.Version++
		id = s.w.tell(coordinator, s.Version, cause, command)
		line.Command, line.CommandID = command.EventType(), id.String()
	}
	s.State, s.Log = state, append(s.Log, line)
	return id
}

func (w *world) chargedBackOrder() {
	w.style = event.Orchestrated
	defer func() { w.style = "" }()
	w.Orders = append(w.Orders, stream(chargedBack, 300, "OrderCreated", "ItemAdded", "OrderCancelled"))
	w.orchestrator = true

	s := &saga{w: w, Saga: Saga{OrderID: chargedBack}}
	placed := w.tell("order", 2, uuid.Nil, &events.OrderCreated{
		OrderID: chargedBack, Customer: events.Customer{ID: "c-5"}, TotalAmount: 300, Currency: "GBP", SagaStyle: "orchestrated", OccurredAt: w.now(),
	})
	charge := s.take("OrderCreated", placed, "apply", "CHARGING", &events.ChargePayment{OrderID: chargedBack})
	paid := w.tell("payment", 1, charge, &events.PaymentCompleted{OrderID: chargedBack, Amount: 300, Currency: "GBP", OccurredAt: w.now()})
	reserve := s.take("PaymentCompleted", paid, "apply", "RESERVING", &events.ReserveInventory{OrderID: chargedBack})
	// Inventory had the order's tombstone.
	none := w.tell("inventory", 1, reserve, &events.InventoryCommandAnswered{
		OrderID: chargedBack, Command: "ReserveInventory", Outcome: "refused", State: "CANCELLED", OccurredAt: w.now(),
	})
	release := s.take("ReserveInventory: refused", none, "compensate", "RELEASING", &events.ReleaseInventory{OrderID: chargedBack})
	free := w.tell("inventory", 2, release, &events.InventoryCommandAnswered{
		OrderID: chargedBack, Command: "ReleaseInventory", Outcome: "unchanged", State: "CANCELLED", OccurredAt: w.now(),
	})
	refund := s.take("ReleaseInventory: unchanged", free, "apply", "REFUNDING", &events.RefundPayment{OrderID: chargedBack})
	s.take("DuePassed", uuid.Nil, "wait", "REFUNDING", nil)
	again := s.take("Retry", uuid.Nil, "apply", "REFUNDING", &events.RefundPayment{OrderID: chargedBack})
	w.Outbox[len(w.Outbox)-1].CausationID = w.Outbox[len(w.Outbox)-2].CausationID // an operator has no event
	w.Records[len(w.Records)-1].Causation = free.String()
	back := w.tell("payment", 2, refund, &events.PaymentRefunded{OrderID: chargedBack, Amount: 300, Currency: "GBP", OccurredAt: w.now()})
	w.tell("payment", 3, again, &events.PaymentCommandAnswered{
		OrderID: chargedBack, Command: "RefundPayment", Outcome: "unchanged", State: "REFUNDED", OccurredAt: w.now(),
	})
	end := s.take("PaymentRefunded", back, "apply", "CLOSING", &events.CancelOrder{OrderID: chargedBack})
	at := w.now()
	over := w.tell("order", 3, end, &events.OrderCancelled{OrderID: chargedBack, Reason: "out_of_stock", OccurredAt: at})
	s.take("OrderCancelled", over, "apply", "CANCELLED", nil)
	w.Sagas = append(w.Sagas, s.Saga)

	w.Ledger = append(w.Ledger, LedgerEntry{chargedBack, "capture", "GBP", 300}, LedgerEntry{chargedBack, "refund", "GBP", 300})
	w.Payments = append(w.Payments, Payment{chargedBack, "REFUNDED"})
	w.Projection.Orders[chargedBack] = ProjectedOrder{
		Status: "CANCELLED", CustomerID: "c-5", Currency: "GBP", CancelReason: "out_of_stock", TotalAmount: 300, UpdatedAt: at,
	}
}

// stored adds the styles that the services store. The release before has stored none of the order that is
// delivered. A row of another shop's order has none to be compared with.
func (w *world) stored() {
	for _, service := range []string{"payment", "inventory", "shipping", projector} {
		w.Styles = append(w.Styles, StoredStyle{service, delivered, ""}, StoredStyle{service, refunded, event.Choreographed},
			StoredStyle{service, stuck, event.Choreographed}, StoredStyle{service, chargedBack, event.Orchestrated})
	}
	w.Styles = append(w.Styles, StoredStyle{"order", stuck, event.Choreographed}, StoredStyle{"payment", "order-of-another-shop", event.Orchestrated})
}

// has gives an order a style in a service's table.
func (w *world) has(service, order string, style event.Style) {
	i := slices.IndexFunc(w.Styles, func(s StoredStyle) bool { return s.Service == service && s.OrderID == order })
	w.Styles[i].Style = style
}

// story returns the saga of the orchestrated order.
func (w *world) story() *Saga { return &w.Sagas[0] }
