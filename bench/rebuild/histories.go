package rebuild

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// Open is how many orders are under way at the same time: the events of so many are mixed on the topics.
const Open = 500

// step returns the next event of an order.
type step func(o *order) event.Event

// order is the data of an order, all of which follows from its number.
type order struct {
	id       string
	customer string
	items    []events.OrderItem
	total    int64
	at       time.Time // of its latest event
	steps    []step
	versions map[string]int64 // by topic
}

// kinds lists how orders end. Of ten orders in turn, each has the history at its place.
func kinds() [][]step {
	delivered := []step{created, paid, reserved, scheduled, confirmed, dispatched, shipped, arrived, delivered}
	return [][]step{
		delivered, delivered, delivered, delivered, delivered, delivered, delivered,
		{created, declined, cancelled},
		{created, paid, outOfStock, refunded, cancelled},
		{created, paid, reserved, scheduled, confirmed, cancelling, parcelCancelled, released, refunded, cancelled},
	}
}

// Sums is what the read models have to contain.
type Sums struct {
	Events, Orders, Payments, Refunds int64
	Captured, Refunded, Ordered       int64 // minor units; Ordered is the sum of the orders
}

// Histories returns the events of orders until there are n, in the order in which the services publish
// them, and adds them to the sums. from is the number of the first order. Orders end in all ways, and the
// last ones may not have ended.
func Histories(n, from int, s *Sums) iter.Seq2[event.Event, int64] {
	began := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	all := kinds()
	place := func(number int) *order {
		o := &order{
			id: uuid.Must(uuid.NewV7()).String(), customer: fmt.Sprintf("cust-%05d", number%5000),
			at: began.Add(time.Duration(number) * time.Second), steps: all[number%len(all)], versions: map[string]int64{},
		}
		for i := range 1 + number%3 {
			it := events.OrderItem{SKU: fmt.Sprintf("SKU-%03d", (number*7+i)%200), Quantity: int32(1 + i), UnitPrice: int64(500 + number%1000)}
			o.items, o.total = append(o.items, it), o.total+int64(it.Quantity)*it.UnitPrice
		}
		return o
	}
	return func(yield func(event.Event, int64) bool) {
		var under []*order
		next := from
		for done := 0; ; {
			for i := 0; i < len(under); i++ {
				o := under[i]
				o.at = o.at.Add(time.Second)
				e := o.steps[0](o)
				if o.steps = o.steps[1:]; len(o.steps) == 0 {
					under = append(under[:i], under[i+1:]...)
					i--
				}
				topic := topicOf(e)
				o.versions[topic]++
				s.add(e)
				if done++; !yield(e, o.versions[topic]) || done == n {
					return
				}
			}
			for len(under) < Open {
				under = append(under, place(next))
				next++
			}
		}
	}
}

func topicOf(e event.Event) string {
	t, _ := events.Catalogue().Lookup(e.EventType())
	return t.Topic
}

func (s *Sums) add(e event.Event) {
	s.Events++
	switch e := e.(type) {
	case events.OrderCreated:
		s.Orders, s.Ordered = s.Orders+1, s.Ordered+e.TotalAmount
	case events.PaymentCompleted:
		s.Payments, s.Captured = s.Payments+1, s.Captured+e.Amount
	case events.PaymentRefunded:
		s.Refunds, s.Refunded = s.Refunds+1, s.Refunded+e.Amount
	}
}

// Record returns the record that a relay publishes for an event.
func Record(ctx context.Context, codec *schema.Codec, e event.Event, version int64) (*kgo.Record, error) {
	typ, ok := codec.Types().Lookup(e.EventType())
	if !ok {
		return nil, fmt.Errorf("%s is not in the catalogue", e.EventType())
	}
	value, err := codec.Encode(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typ.Name, err)
	}
	key := e.AggregateKey()
	envelope := event.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/bench", Type: typ.Name, Subject: key, AggregateVersion: version,
		Time: time.Now().UTC().Truncate(time.Microsecond), CorrelationID: key, ContentType: event.ContentTypeAvro,
	}
	r := &kgo.Record{Topic: typ.Topic, Key: []byte(key), Value: value}
	for _, h := range envelope.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r, nil
}

func created(o *order) event.Event {
	return events.OrderCreated{
		OrderID: o.id, Customer: events.Customer{ID: o.customer, Name: "Ada Lovelace", Email: o.customer + "@example.com"},
		ShippingAddress: events.Address{Street: "1 Test Street", City: "London", PostalCode: "SW1A 1AA", Country: []string{"GB", "DE", "FR"}[len(o.items)-1]},
		Items:           o.items, TotalAmount: o.total, Currency: "EUR", ConfirmBy: o.at.Add(time.Minute), OccurredAt: o.at,
	}
}

func confirmed(o *order) event.Event {
	return events.OrderConfirmed{OrderID: o.id, TrackingID: "track-" + o.id, OccurredAt: o.at}
}

func cancelling(o *order) event.Event {
	return events.OrderCancellationRequested{OrderID: o.id, Reason: "customer", OccurredAt: o.at}
}

func cancelled(o *order) event.Event {
	return events.OrderCancelled{OrderID: o.id, Reason: "customer", OccurredAt: o.at}
}

func shipped(o *order) event.Event {
	return events.OrderShipped{OrderID: o.id, TrackingID: "track-" + o.id, OccurredAt: o.at}
}

func delivered(o *order) event.Event { return events.OrderDelivered{OrderID: o.id, OccurredAt: o.at} }

func paid(o *order) event.Event {
	return events.PaymentCompleted{OrderID: o.id, PaymentID: "pay-" + o.id, Amount: o.total, Currency: "EUR", OccurredAt: o.at}
}

func declined(o *order) event.Event {
	return events.PaymentFailed{OrderID: o.id, Reason: "card_declined", OccurredAt: o.at}
}

func refunded(o *order) event.Event {
	return events.PaymentRefunded{OrderID: o.id, PaymentID: "pay-" + o.id, RefundID: "ref-" + o.id, Amount: o.total, Currency: "EUR", Reason: "cancelled", OccurredAt: o.at}
}

func reserved(o *order) event.Event {
	return events.InventoryReserved{OrderID: o.id, ReservationID: "res-" + o.id, OccurredAt: o.at}
}

func outOfStock(o *order) event.Event {
	return events.InventoryReservationFailed{OrderID: o.id, Reason: "out_of_stock", OccurredAt: o.at}
}

func released(o *order) event.Event {
	return events.InventoryReleased{OrderID: o.id, ReservationID: "res-" + o.id, Reason: "cancelled", OccurredAt: o.at}
}

func scheduled(o *order) event.Event {
	return events.ShipmentScheduled{OrderID: o.id, ShipmentID: "ship-" + o.id, TrackingID: "track-" + o.id, Carrier: "carrier", OccurredAt: o.at}
}

func dispatched(o *order) event.Event {
	return events.ShipmentDispatched{OrderID: o.id, ShipmentID: "ship-" + o.id, TrackingID: "track-" + o.id, DispatchedAt: o.at, OccurredAt: o.at}
}

func arrived(o *order) event.Event {
	return events.ShipmentDelivered{OrderID: o.id, ShipmentID: "ship-" + o.id, DeliveredAt: o.at, OccurredAt: o.at}
}

func parcelCancelled(o *order) event.Event {
	return events.ShipmentCancelled{OrderID: o.id, ShipmentID: "ship-" + o.id, Reason: "customer", OccurredAt: o.at}
}
