package verify

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

func TestI12Sagas(t *testing.T) {
	line := func(n int, change func(*SagaStep)) func(*world) {
		return func(w *world) { change(&w.story().Log[n-1]) }
	}
	caught(t, "I12", []breach{
		{"a line is missing", func(w *world) { w.story().Log = slices.Delete(w.story().Log, 4, 5) }, chargedBack},
		{"a line is there twice", line(5, func(s *SagaStep) { s.N = 4 }), chargedBack},
		{"does not begin with 1", func(w *world) {
			for i := range w.story().Log {
				w.story().Log[i].N++
			}
		}, chargedBack},
		{"a line begins elsewhere", line(5, func(s *SagaStep) { s.From = "RELEASING" }), chargedBack},
		{"the first begins in a state", line(1, func(s *SagaStep) { s.From = "CHARGING" }), chargedBack},
		{"the end of the log is cut off", func(w *world) { w.story().Log = w.story().Log[:7:7] }, chargedBack},
		{"a log without lines", func(w *world) {
			w.story().Log = nil
			w.unsend("ChargePayment", "ReserveInventory", "ReleaseInventory", "RefundPayment", "CancelOrder")
			w.story().Version = 0
			w.unanswer()
		}, chargedBack},
		{"a version that is not the number of commands", func(w *world) { w.story().Version++ }, chargedBack},

		{"an input that is on no topic", line(2, func(s *SagaStep) { s.EventID = uuid.Max.String() }), chargedBack},
		{"an input without its event", line(2, func(s *SagaStep) { s.EventID = "" }), chargedBack},
		{"an input of another order", func(w *world) {
			w.story().Log[1].EventID = w.event(delivered, "PaymentCompleted").ID.String()
		}, chargedBack},
		{"an input of another type", line(2, func(s *SagaStep) { s.Input = "PaymentFailed" }), chargedBack},
		{"another answer", line(3, func(s *SagaStep) { s.Input = "ReserveInventory: unchanged" }), chargedBack},
		{"an answer to another command", line(4, func(s *SagaStep) { s.Input = "ReserveInventory: unchanged" }), chargedBack},

		{"a command that is on no topic", func(w *world) { w.unsend("ReserveInventory") }, chargedBack},
		{"a command of another type", line(1, func(s *SagaStep) { s.Command = "ConfirmOrder" }), chargedBack},
		{"a command that is an event", line(1, func(s *SagaStep) { s.Command = "OrderConfirmed" }), chargedBack},
		{"a command in two lines", func(w *world) {
			w.story().Log[7].Command, w.story().Log[7].CommandID = "CancelOrder", w.story().Log[6].CommandID
			w.story().Version++
		}, chargedBack},
		{"a command that the log does not have", func(w *world) {
			w.style = event.Orchestrated
			w.tell(coordinator, 9, uuid.Nil, &events.ConfirmOrder{OrderID: chargedBack})
		}, chargedBack},
		{"an answer to a command that was never sent", func(w *world) {
			w.style = event.Orchestrated
			w.tell("shipping", 1, uuid.Nil, &events.ShipmentCommandAnswered{OrderID: chargedBack, Command: "CancelShipment", Outcome: "refused", OccurredAt: began})
			w.rebuild()
		}, chargedBack},
		{"a command for a choreographed order", func(w *world) {
			w.style = event.Choreographed
			w.tell(coordinator, 1, uuid.Nil, &events.ConfirmOrder{OrderID: delivered})
			w.hearAs(event.Orchestrated, delivered, "ConfirmOrder")
		}, delivered},
		{"a command without an answer", func(w *world) {
			i, _ := w.find(chargedBack, "OrderCancelled")
			w.Outbox[i].CausationID = uuid.Max.String()
			_, i = w.find(chargedBack, "OrderCancelled")
			w.Records[i].Causation = uuid.Max.String()
		}, chargedBack},
		{"a command that only itself answers", func(w *world) {
			i, j := w.find(chargedBack, "OrderCancelled")
			w.Outbox[i].CausationID, w.Records[j].Causation = "", w.Records[j].ID.String()
			_, j = w.find(chargedBack, "CancelOrder")
			w.Records[j].Causation = w.Records[j].ID.String()
		}, chargedBack},

		{"a choreographed order with a saga", func(w *world) {
			w.Sagas = append(w.Sagas, Saga{OrderID: delivered, State: "DELIVERED", Log: []SagaStep{{N: 1, Input: "DuePassed", To: "DELIVERED"}}})
		}, delivered},
		{"an orchestrated order without a saga", func(w *world) {
			w.Sagas = nil
			w.unsend("ChargePayment", "ReserveInventory", "ReleaseInventory", "RefundPayment", "CancelOrder")
			w.unanswer()
		}, chargedBack},
		{"a saga without an order", func(w *world) {
			w.Sagas = append(w.Sagas, Saga{OrderID: "order-ghost", Attention: "it waits"})
		}, "order-ghost"},
		{"an event of the other style", func(w *world) { w.restyle(chargedBack, "OrderCancelled") }, chargedBack},
		{"an event of the other style in a choreographed order", func(w *world) { w.restyle(stuck, "OrderConfirmed") }, stuck},
		{"a field that contradicts the header", func(w *world) {
			w.event(chargedBack, "OrderCreated").Event.(*events.OrderCreated).SagaStyle = "choreographed"
		}, chargedBack},

		{"payment has the other style", func(w *world) { w.has("payment", chargedBack, event.Choreographed) }, chargedBack},
		{"inventory has the other style", func(w *world) { w.has("inventory", refunded, event.Orchestrated) }, refunded},
		{"shipping has the other style", func(w *world) { w.has("shipping", delivered, event.Orchestrated) }, delivered},
		{"a style that there is not", func(w *world) { w.has("shipping", delivered, "danced") }, delivered},
		{"the order's list has the other style", func(w *world) { w.has("order", stuck, event.Orchestrated) }, stuck},
		{"the projection has the other style", func(w *world) { w.has(projector, chargedBack, event.Choreographed) }, chargedBack},
		{"the projection of the release before read an orchestrated order", func(w *world) { w.has(projector, chargedBack, "") }, chargedBack},

		{"another end", func(w *world) {
			w.story().Log[7].To, w.story().State = "DELIVERED", "DELIVERED"
		}, chargedBack},
		{"the saga has not ended", func(w *world) { w.story().Log = w.story().Log[:7]; w.story().State = "CLOSING" }, chargedBack},
	})
}

// TestSagasThatMayWait: an order that a failed event holds, and a saga that asks for attention, have
// commands without an answer; an order may wait for its OrderCreated; commands expire.
func TestSagasThatMayWait(t *testing.T) {
	t.Parallel()
	unanswered := func(w *world) {
		// The order is asked to cancel itself and has not.
		w.lose(w.event(chargedBack, "OrderCancelled").ID)
		w.Outbox = slices.DeleteFunc(w.Outbox, func(r OutboxRow) bool { return r.AggregateID == chargedBack && r.Type == "OrderCancelled" })
		w.Orders[slices.IndexFunc(w.Orders, func(o Order) bool { return o.ID == chargedBack })] = stream(chargedBack, 300, "OrderCreated", "ItemAdded")
		w.story().Log, w.story().State = w.story().Log[:7], "CLOSING"
		w.rebuild()
	}
	for name, change := range map[string]func(*world){
		"its saga asks for attention": func(w *world) {
			unanswered(w)
			w.story().Attention = "CancelOrder has no answer"
		},
		"a group has it as a dead letter": func(w *world) {
			unanswered(w)
			w.letter("order", w.event(chargedBack, "CancelOrder"), "dead_lettered")
			w.unhear("order", w.event(chargedBack, "CancelOrder").ID)
		},
		"its OrderCreated is retried": func(w *world) {
			w.style = event.Orchestrated
			w.Orders = append(w.Orders, stream("order-next", 0, "OrderCreated"))
			w.Mails, w.Mailbox = append(w.Mails, Mail{"order-next", "SENT"}), append(w.Mailbox, "order-next")
			w.created("order-next", "c-9", 0)
			w.retry(coordinator, w.event("order-next", "OrderCreated"))
			w.rebuild()
		},
		"the late step answers the compensation that overtook it": func(w *world) {
			charge := w.event(chargedBack, "ChargePayment").ID.String()
			i, j := w.find(chargedBack, "PaymentRefunded")
			w.Outbox[i].CausationID, w.Records[j].Causation = charge, charge
			w.unsend("PaymentCommandAnswered")
			w.rebuild()
		},
		"its commands have expired": func(w *world) {
			for _, typ := range []string{"ChargePayment", "ReserveInventory", "ReleaseInventory", "RefundPayment", "RefundPayment", "CancelOrder"} {
				w.lose(w.event(chargedBack, typ).ID)
			}
			w.At = w.At.Add(31 * 24 * time.Hour)
		},
	} {
		w := soundWorld()
		change(w)
		for _, f := range Check(w.Facts) {
			if !f.OK() {
				t.Errorf("%s: %s: %q", name, f.Invariant, f.Breaches)
			}
		}
	}
}

// TestRecordsExpire: I4 misses a published record only while its topic keeps it.
func TestRecordsExpire(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for _, c := range []struct {
		typ   string
		after time.Duration // since the event
		row   func(*OutboxRow)
		found bool
	}{
		{"ChargePayment", 29 * day, nil, true},
		{"ChargePayment", 31 * day, nil, false},
		{"ChargePayment", 31 * day, func(r *OutboxRow) { r.Published = false }, true},
		{"PaymentCompleted", 3000 * day, nil, true},
	} {
		w := soundWorld()
		i, _ := w.find(chargedBack, c.typ)
		w.lose(w.Outbox[i].ID)
		if c.row != nil {
			c.row(&w.Outbox[i])
		}
		w.At = timeOf(w.Outbox[i].ID).Add(c.after)
		if r := published(w.Facts); r.OK() == c.found {
			t.Errorf("%s after %s: %q", c.typ, c.after, r.Breaches)
		}
	}
	f := Facts{At: began.Add(8 * day), Outbox: []OutboxRow{{Topic: events.TopicOrderNotifications, ID: (&world{}).id(), Published: true}}}
	if r := published(f); !r.OK() {
		t.Errorf("a notification after 8 days: %q", r.Breaches)
	}
	f.At = began.Add(6 * day)
	if r := published(f); r.OK() {
		t.Error("a notification after 6 days is not missed")
	}
}

// TestAShopWithoutAnOrchestrator: the release before had none, and no orchestrated orders.
func TestAShopWithoutAnOrchestrator(t *testing.T) {
	t.Parallel()
	created := Record{Topic: events.TopicOrderEvents, Key: "order-1", ID: uuid.New(), Type: "OrderCreated", Event: &events.OrderCreated{OrderID: "order-1"}}
	f := Facts{Records: []Record{created}}
	if r := sagas(f); !r.OK() || r.Counted != "0 orchestrated orders, no orchestrator" {
		t.Errorf("%q, %q", r.Counted, r.Breaches)
	}
	f.Records[0].Style = event.Orchestrated
	if r := sagas(f); r.OK() {
		t.Error("an orchestrated order without an orchestrator is not found")
	}
}

// unsend removes commands from the topics and outboxes.
func (w *world) unsend(types ...string) {
	gone := func(order, typ string) bool { return order == chargedBack && slices.Contains(types, typ) }
	w.Records = slices.DeleteFunc(w.Records, func(r Record) bool { return gone(r.Key, r.Type) })
	w.Outbox = slices.DeleteFunc(w.Outbox, func(r OutboxRow) bool { return gone(r.AggregateID, r.Type) })
}

// unanswer removes the answers of the orchestrated order.
func (w *world) unanswer() {
	w.unsend("PaymentCommandAnswered", "InventoryCommandAnswered")
	w.rebuild()
}

// restyle gives a record the other style, and the receipts of the groups that take it.
func (w *world) restyle(order, typ string) {
	_, i := w.find(order, typ)
	was := styleOf(w.Records[i])
	other := event.Orchestrated
	if was == event.Orchestrated {
		other = event.Choreographed
	}
	w.Records[i].Style = other
	w.hearAs(other, order, typ)
}

// hearAs adds the receipts that the groups lack which take a record in a style.
func (w *world) hearAs(style event.Style, order, typ string) {
	id := w.event(order, typ).ID
	for _, group := range SubscribersOf(typ, style) {
		if row := (InboxRow{group, group, id}); !slices.Contains(w.Inbox, row) {
			w.Inbox = append(w.Inbox, row)
		}
	}
}
