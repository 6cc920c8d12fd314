package verify

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// The orders of the fixture.
const (
	delivered = "order-delivered" // without trouble
	refunded  = "order-refunded"  // paid, reserved, then cancelled by the customer
	stuck     = "order-stuck"     // confirmed, and needs attention
)

// began is the start of the fixture: the second order's refund falls on the next day.
var began = time.Date(2026, 11, 24, 23, 59, 50, 0, time.UTC)

// world is the facts of a small shop at rest, as Load would return them. Tests take a sound one and
// change it.
type world struct {
	Facts
	ids     uint64
	offsets map[string]int64
	style   event.Style // of the order whose events follow
}

// id returns ids that sort by their creation and contain its time, as UUIDv7 do.
func (w *world) id() uuid.UUID {
	w.ids++
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(began.Add(time.Duration(w.ids)*time.Second).UnixMilli())<<16)
	binary.BigEndian.PutUint64(id[8:], w.ids)
	return id
}

// now returns a time one second later with each new id.
func (w *world) now() time.Time { return began.Add(time.Duration(w.ids+1) * time.Second) }

// tell publishes an event of a service: it adds the outbox row, the record, the receipts of the
// subscribed groups, and the entry in the projection's timeline.
func (w *world) tell(service string, version int64, cause uuid.UUID, event event.Event) uuid.UUID {
	typ, _ := events.Catalogue().Lookup(event.EventType())
	row := OutboxRow{
		Service: service, Topic: typ.Topic, Type: typ.Name, AggregateID: event.AggregateKey(), ID: w.id(), Published: true,
	}
	if cause != uuid.Nil {
		row.CausationID = cause.String()
	}
	w.Outbox = append(w.Outbox, row)
	w.record(Record{
		Topic: typ.Topic, Key: row.AggregateID, ID: row.ID, Type: typ.Name, Version: version,
		Style: w.style, Causation: row.CausationID, Event: event,
	})
	w.hear(row.ID, typ.Name)
	if strings.HasSuffix(typ.Topic, ".events") {
		if w.Projection.Timeline[row.AggregateID] == nil {
			w.Projection.Timeline[row.AggregateID] = map[uuid.UUID]string{}
		}
		w.Projection.Timeline[row.AggregateID][row.ID] = typ.Name
	}
	return row.ID
}

func (w *world) record(r Record) Record {
	r.Offset, r.Time = w.offsets[r.Topic], w.now()
	w.offsets[r.Topic]++
	w.Records = append(w.Records, r)
	return r
}

// hear adds the receipts of every group that subscribes to a type of the present style.
func (w *world) hear(id uuid.UUID, typ string) {
	for _, r := range readers() {
		if r.takes(typ, w.style) {
			w.Inbox = append(w.Inbox, InboxRow{Service: r.group, Group: r.group, ID: id})
		}
	}
}

// stream is an order's stored events, versions from 1.
func stream(id string, total int64, types ...string) Order {
	o := Order{ID: id}
	for i, typ := range types {
		e := DomainEvent{Version: int64(i + 1), Type: typ, Data: map[string]any{}}
		if typ == "OrderCreated" {
			// As encoding/json decodes it with UseNumber.
			e.Data["totalAmount"], e.Data["currency"] = json.Number(itoa(total)), "GBP"
		}
		o.Events = append(o.Events, e)
	}
	return o
}

func itoa(n int64) string { b, _ := json.Marshal(n); return string(b) }

// soundWorld returns a fixture in which every invariant holds, with everything that is allowed and
// unusual: duplicates, foreign records, a compacted topic, the same key used by two callers, and
// all outcomes of failed records.
func soundWorld() *world {
	w := &world{offsets: map[string]int64{}}
	w.Projection = Projection{Orders: map[string]ProjectedOrder{}, Timeline: map[string]map[uuid.UUID]string{}}

	w.deliveredOrder()
	w.refundedOrder()
	w.stuckOrder()
	w.oddities()
	w.failures()
	w.chargedBackOrder()
	w.stored()
	w.mails()

	w.Projection.Revenue = map[string]Revenue{
		"2026-11-24 GBP": {Captured: total(2500), Payments: 1},
		"2026-11-25 GBP": {Captured: total(1249 + 499 + 700 + 300), Refunded: total(1250 + 300), Payments: 4, Refunds: 2}, // 1249 was 1250 until it was repaired
	}
	w.Stock = []Stock{
		{SKU: "GADGET", Initial: 3, Available: 1, Reserved: 2},
		{SKU: "WIDGET", Initial: 10, Restocked: 5, Receipts: total(5), Available: 13, Shipped: 2},
	}
	w.At = w.now()
	w.Rebuilt = Rebuild(heard(w.Facts))
	return w
}

func (w *world) created(id, customer string, total int64, items ...events.OrderItem) uuid.UUID {
	return w.tell("order", 2, uuid.Nil, &events.OrderCreated{
		OrderID: id, Customer: events.Customer{ID: customer}, Items: items, TotalAmount: total, Currency: "GBP", OccurredAt: w.now(),
	})
}

func (w *world) deliveredOrder() {
	o := stream(delivered, 2500, "OrderCreated", "ItemAdded", "OrderConfirmed", "OrderShipped", "OrderDelivered")
	o.Snapshots = []Snapshot{{Version: 3, Status: "CONFIRMED"}, {Version: 4, Status: "SHIPPED"}}
	w.Orders = append(w.Orders, o)

	placed := w.created(delivered, "c-1", 2500, events.OrderItem{SKU: "WIDGET", Quantity: 2, UnitPrice: 1250})
	paid := w.tell("payment", 1, placed, &events.PaymentCompleted{OrderID: delivered, Amount: 2500, Currency: "GBP", OccurredAt: w.now()})
	held := w.tell("inventory", 1, paid, &events.InventoryReserved{OrderID: delivered, OccurredAt: w.now()})
	planned := w.tell("shipping", 1, held, &events.ShipmentScheduled{OrderID: delivered, OccurredAt: w.now()})
	w.tell("order", 3, planned, &events.OrderConfirmed{OrderID: delivered, OccurredAt: w.now()})
	gone := w.tell("shipping", 2, uuid.Nil, &events.ShipmentDispatched{OrderID: delivered, OccurredAt: w.now()})
	w.tell("order", 4, gone, &events.OrderShipped{OrderID: delivered, TrackingID: "T-1", OccurredAt: w.now()})
	there := w.tell("shipping", 3, uuid.Nil, &events.ShipmentDelivered{OrderID: delivered, OccurredAt: w.now()})
	end := w.now()
	w.tell("order", 5, there, &events.OrderDelivered{OrderID: delivered, OccurredAt: end})

	w.Ledger = append(w.Ledger, LedgerEntry{delivered, "capture", "GBP", 2500})
	w.Payments = append(w.Payments, Payment{delivered, "COMPLETED"})
	w.Reservations = append(w.Reservations, Reservation{delivered, "SHIPPED", map[string]int64{"WIDGET": 2}})
	w.Answers = append(w.Answers, Answer{"shop-a POST /orders", "key-1", delivered, 201})
	w.Projection.Orders[delivered] = ProjectedOrder{
		Status: "DELIVERED", CustomerID: "c-1", Currency: "GBP", TrackingID: "T-1", TotalAmount: 2500, Items: 1, UpdatedAt: end,
	}
}

func (w *world) refundedOrder() {
	w.Orders = append(w.Orders, stream(refunded, 1250, "OrderCreated", "ItemAdded", "OrderCancellationRequested", "OrderCancelled"))

	placed := w.created(refunded, "c-2", 1250, events.OrderItem{SKU: "WIDGET", Quantity: 1, UnitPrice: 1250})
	paid := w.tell("payment", 1, placed, &events.PaymentCompleted{OrderID: refunded, Amount: 1250, Currency: "GBP", OccurredAt: w.now()})
	w.tell("inventory", 1, paid, &events.InventoryReserved{OrderID: refunded, OccurredAt: w.now()})
	asked := w.tell("order", 3, uuid.Nil, &events.OrderCancellationRequested{OrderID: refunded, Reason: "customer", OccurredAt: w.now()})
	stopped := w.tell("shipping", 1, asked, &events.ShipmentCancelled{OrderID: refunded, Reason: "customer", OccurredAt: w.now()})
	w.tell("inventory", 2, stopped, &events.InventoryReleased{OrderID: refunded, Reason: "customer", OccurredAt: w.now()})
	// An operator had the refund retried, and it failed again before it succeeded.
	w.tell("payment", 2, stopped, &events.PaymentRefundFailed{OrderID: refunded, OccurredAt: w.now()})
	w.tell("payment", 3, stopped, &events.PaymentRefundFailed{OrderID: refunded, OccurredAt: w.now()})
	back := w.tell("payment", 4, stopped, &events.PaymentRefunded{OrderID: refunded, Amount: 1250, Currency: "GBP", OccurredAt: w.now()})
	end := w.now()
	w.tell("order", 4, back, &events.OrderCancelled{OrderID: refunded, Reason: "customer", OccurredAt: end})

	w.Ledger = append(w.Ledger, LedgerEntry{refunded, "capture", "GBP", 1250}, LedgerEntry{refunded, "refund", "GBP", 1250})
	w.Payments = append(w.Payments, Payment{refunded, "REFUNDED"})
	w.Reservations = append(w.Reservations, Reservation{refunded, "RELEASED", map[string]int64{"WIDGET": 1}})
	w.Answers = append(w.Answers, Answer{"shop-b POST /orders", "key-1", refunded, 201})
	w.Projection.Orders[refunded] = ProjectedOrder{
		Status: "CANCELLED", CustomerID: "c-2", Currency: "GBP", CancelReason: "customer", TotalAmount: 1250, Items: 1, UpdatedAt: end,
	}
}

func (w *world) stuckOrder() {
	w.Orders = append(w.Orders, stream(stuck, 499, "OrderCreated", "ItemAdded", "OrderConfirmed", "OrderNeedsAttention"))

	placed := w.created(stuck, "c-3", 499, events.OrderItem{SKU: "GADGET", Quantity: 1, UnitPrice: 499})
	paid := w.tell("payment", 1, placed, &events.PaymentCompleted{OrderID: stuck, Amount: 499, Currency: "GBP", OccurredAt: w.now()})
	held := w.tell("inventory", 1, paid, &events.InventoryReserved{OrderID: stuck, OccurredAt: w.now()})
	planned := w.tell("shipping", 1, held, &events.ShipmentScheduled{OrderID: stuck, OccurredAt: w.now()})
	end := w.now()
	w.tell("order", 3, planned, &events.OrderConfirmed{OrderID: stuck, OccurredAt: end})

	w.Ledger = append(w.Ledger, LedgerEntry{stuck, "capture", "GBP", 499})
	w.Payments = append(w.Payments, Payment{stuck, "COMPLETED"})
	w.Reservations = append(w.Reservations, Reservation{stuck, "RESERVED", map[string]int64{"GADGET": 1}})
	w.Answers = append(w.Answers, Answer{"shop-a POST /orders", "key-2", stuck, 201})
	w.Projection.Orders[stuck] = ProjectedOrder{
		Status: "CONFIRMED", CustomerID: "c-3", Currency: "GBP", TotalAmount: 499, Items: 1, UpdatedAt: end,
	}
}

// mails adds the mail of every order, whichever event has led to it.
func (w *world) mails() {
	for _, o := range w.Orders {
		w.Mails, w.Mailbox = append(w.Mails, Mail{o.ID, "SENT"}), append(w.Mailbox, o.ID)
	}
	w.Mailbox = append(w.Mailbox, "order-of-another-shop")
	w.MailsSince = began
}

// oddities adds effects of a run with faults that are no breach.
func (w *world) oddities() {
	w.record(w.Records[0]) // published twice

	// Compaction has removed the first of two snapshots.
	w.tell("order", 2, uuid.Nil, &events.OrderSnapshot{OrderID: delivered, Version: 2})
	w.Records = w.Records[:len(w.Records)-1]
	w.tell("order", 5, uuid.Nil, &events.OrderSnapshot{OrderID: delivered, Version: 5})

	w.Answers = append(w.Answers, Answer{"shop-a POST /orders", "key-3", "", 422})
	w.Ledger = append(w.Ledger, LedgerEntry{"order-of-another-shop", "decline", "GBP", 1})
	w.Payments = append(w.Payments, Payment{"order-of-another-shop", "FAILED"})
}

// find returns the indexes of an event's outbox row and of its first record.
func (w *world) find(order, typ string) (row, record int) {
	row = slices.IndexFunc(w.Outbox, func(r OutboxRow) bool { return r.AggregateID == order && r.Type == typ })
	record = slices.IndexFunc(w.Records, func(r Record) bool { return r.Key == order && r.Type == typ })
	return row, record
}

// lose removes an event's records from the topics.
func (w *world) lose(id uuid.UUID) {
	w.Records = slices.DeleteFunc(w.Records, func(r Record) bool { return r.ID == id })
}

// spoil changes an order of the live read model.
func (w *world) spoil(order string, change func(*ProjectedOrder)) {
	o := w.Projection.Orders[order]
	change(&o)
	w.Projection.Orders[order] = o
}

// anEvent returns some event of an order's live timeline.
func (w *world) anEvent(order string) uuid.UUID {
	ids := slices.Collect(maps.Keys(w.Projection.Timeline[order]))
	return slices.MinFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
}
