package faults

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/telemetry"
)

// oddRecords are records with one extreme property.
func oddRecords() []Fault {
	const family = "odd records"
	return []Fault{
		{Name: "huge-key", Family: family, run: hugeKey,
			Done:   "an event whose key is 3,000 random bytes, and whose value cannot be decoded; discarded",
			Expect: "a dead letter in each of the five groups, no service ends or waits"},
		{Name: "second-traceparent", Family: family, run: secondTraceparent,
			Done: "an agent adds a second traceparent to every event of all services", Expect: "the header is replaced and counted, orders are delivered, nothing is dead"},
		{Name: "order-over-all-of-int64", Family: family, run: overAllOfInt64,
			Done:   "orders over the largest amount a 64-bit number holds, and such payments on the topic as an earlier release took",
			Expect: "orders refused with 422 that names the field; the day's sums go on"},
	}
}

func hugeKey(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	survived, err := t.survivors()
	if err != nil {
		return err
	}
	key := make([]byte, 3_000)
	rand.Read(key)
	began := time.Now()
	// Through the outbox, as a bug in the order service would write it.
	err = plant.Emit(ctx, t.file.DSN["order"], plant.Emitted{Topic: events.TopicOrderEvents, Key: key, Value: []byte{0, 0, 0, 0, 1, 0xff},
		Envelope: t.envelope("order", "OrderCreated", t.customer, 1)})
	if err != nil {
		return err
	}
	total, err := t.buriedBy(ctx, onePer(verify.SubscribersOf("OrderCreated", event.Choreographed)))
	if err != nil {
		return err
	}
	t.see("%d dead letters after %.1f s", total, time.Since(began).Seconds())
	if err := t.othersGoOn(ctx); err != nil {
		return err
	}
	if err := t.allReady(ctx, eventshop.Services()...); err != nil {
		return err
	}
	t.over(ctx)
	return survived()
}

// envelope returns the envelope of an event that a service publishes now about a subject.
func (t *trial) envelope(service, typ, subject string, version int64) event.Envelope {
	return event.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/eventshop/" + service, Type: typ, Subject: subject, AggregateVersion: version,
		Time: time.Now().UTC().Truncate(time.Microsecond), CorrelationID: subject, ContentType: event.ContentTypeAvro,
		TraceParent: telemetry.NewTraceParent(),
	}
}

func secondTraceparent(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	const metric = "eventshop_consumer_metadata_replaced_total"
	before := map[string]float64{}
	var removes []func(ctx context.Context) error
	for _, service := range eventshop.Services() {
		if before[service], err = t.sample(ctx, service, metric, event.HeaderTraceParent); err != nil {
			return err
		}
		if !slices.Contains(eventshop.Publishers(), service) {
			continue
		}
		remove, err := plant.AddHeader(ctx, t.file.DSN[service], event.HeaderTraceParent, telemetry.NewTraceParent())
		if err != nil {
			return err
		}
		removes = append(removes, t.once(remove))
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	for _, remove := range removes {
		if err := remove(ctx); err != nil {
			return err
		}
	}
	t.over(ctx)
	for _, id := range ids {
		if err := t.inOrder(ctx, id); err != nil {
			return err
		}
	}
	replaced := 0.0
	for _, service := range eventshop.Services() {
		now, err := t.sample(ctx, service, metric, event.HeaderTraceParent)
		if err != nil {
			return err
		}
		t.expect(now > before[service], "%s has counted no header that it replaced", service)
		replaced += now - before[service]
	}
	t.see("%.0f headers replaced", replaced)
	return check(ctx)
}

func overAllOfInt64(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	if err := t.tooDear(ctx); err != nil {
		return err
	}
	id, err := t.place(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.reach(ctx, []string{id}, delivered); err != nil {
		return err
	}
	if err := t.paidAgain(ctx, id, 2); err != nil {
		return err
	}
	t.over(ctx)
	var sum string
	err = eventually(ctx, 30*time.Second, "the day's sum is over all of int64", func(ctx context.Context) (over bool, err error) {
		err = t.query(ctx, "projection", `SELECT captured::text, captured >= 18446744073709551614 FROM revenue_days
			WHERE currency = 'GBP' ORDER BY captured DESC LIMIT 1`, nil, &sum, &over)
		return over, err
	})
	if err != nil {
		return err
	}
	// Payments from now on count on the same day.
	if err := t.othersGoOn(ctx); err != nil {
		return err
	}
	if err := t.caughtUp(ctx, "projection"); err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodGet, "projection", "/revenue", nil, nil); err != nil {
		return err
	}
	t.see("the day's sum was %s and went on", sum)
	return check(ctx)
}

// tooDear expects the order service to refuse orders above the maximum amount, including the
// largest amounts, and to name the invalid fields.
func (t *trial) tooDear(ctx context.Context) error {
	for currency, price := range map[string]string{"GBP": "92233720368547758.07", "JPY": "9223372036854775807"} {
		body := fmt.Sprintf(`{"customer":{"id":%q,"name":"Ada Lovelace","email":"ada@example.com"},
			"shippingAddress":{"street":"123 Babbage Lane","city":"London","postalCode":"SW1A 1AA","country":"GB"},
			"items":[{"sku":%q,"quantity":1,"unitPrice":%s}],"totalAmount":%s,"currency":%q}`, t.customer, t.sku, price, price, currency)
		a, err := t.http.Send(ctx, http.MethodPost, t.file.URL["order"]+"/orders", body)
		if err != nil {
			return err
		}
		t.expect(a.Status == http.StatusUnprocessableEntity && strings.Contains(string(a.Body), "unitPrice"),
			"an order over %s %s is answered with %d %s", price, currency, a.Status, a.Body)
	}
	return nil
}

// paidAgain makes the payment service publish n more completions of an order's payment, each with
// the largest possible amount. The payment counts them among its versions.
func (t *trial) paidAgain(ctx context.Context, id string, n int64) error {
	var last int64
	var style event.Style
	err := t.query(ctx, "payment", `UPDATE payments SET version = version + $2 WHERE order_id = $1 RETURNING version - $2, saga_style`,
		[]any{id, n}, &last, &style)
	if err != nil {
		return err
	}
	registry, err := t.file.RegistryOf("payment")
	if err != nil {
		return err
	}
	codec := schema.NewCodec(registry.Client(), events.Catalogue())
	for i := range n {
		e := events.PaymentCompleted{OrderID: id, PaymentID: uuid.NewString(), Amount: math.MaxInt64, Currency: "GBP", OccurredAt: time.Now().UTC()}
		value, err := codec.Encode(ctx, e)
		if err != nil {
			return err
		}
		envelope := t.envelope("payment", e.EventType(), id, last+1+i)
		envelope.Style = style
		err = plant.Emit(ctx, t.file.DSN["payment"], plant.Emitted{Topic: events.TopicPaymentEvents, Key: []byte(id), Value: value,
			Envelope: envelope})
		if err != nil {
			return err
		}
	}
	return nil
}
