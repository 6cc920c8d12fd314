package app

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

const orderID = "01936f2e-7a10-7cc3-9d5e-0242ac120002"

// noon is the clock of the tests.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// fixture is the shipping service on its own database and carrier.
type fixture struct {
	t        *testing.T
	pool     *pgxpool.Pool
	codec    *schema.Codec
	registry *schematest.Registry
	carrier  *carriertest.Carrier
	app      *App
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	f := &fixture{t: t, registry: schematest.Start(t), carrier: carriertest.Start(t)}
	f.pool = pgtest.NewDB(t, outbox.Component(), postgres.Component{Name: "shipping", FS: os.DirFS("../..")})
	f.codec = f.registry.Codec(events.Catalogue())
	f.app = f.newApp()
	return f
}

// newApp returns another replica of the service on the same database.
func (f *fixture) newApp() *App { return f.newAppBehind(patient(), slog.Default()) }

// newAppBehind returns a replica whose calls go through b.
func (f *fixture) newAppBehind(b carrier.Breakers, log *slog.Logger) *App {
	return New(Config{
		Pool: f.pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/shipping", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode}), Log: log,
		Carrier: carrier.New(f.carrier.URL, 10*time.Second, b), Now: func() time.Time { return noon },
	})
}

// patient returns circuit breakers that stay closed in tests of other behaviour.
func patient() carrier.Breakers {
	b := breaker.New(breaker.Config{Name: "carrier", Failures: 1000})
	return carrier.Breakers{Parcels: b, Feed: b}
}

// wrapped wraps data in the same way as the consumer.
func wrapped[T event.Event](data T) consumer.Event[T] {
	return consumer.Event[T]{
		Envelope: event.Envelope{ID: uuid.Must(uuid.NewV7()), Type: data.EventType(), CorrelationID: orderID, AggregateVersion: 1},
		Data:     data,
	}
}

func orderCreatedEvent() consumer.Event[events.OrderCreated] {
	return wrapped(events.OrderCreated{
		OrderID:         orderID,
		Customer:        events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		ShippingAddress: events.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
		Items:           []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}, {SKU: "GADGET-05", Quantity: 1, UnitPrice: 4001}},
		TotalAmount:     9999, Currency: "GBP", ConfirmBy: noon.Add(time.Minute), OccurredAt: noon,
	})
}

func inventoryReservedEvent() consumer.Event[events.InventoryReserved] {
	return wrapped(events.InventoryReserved{OrderID: orderID, ReservationID: "res-1", OccurredAt: noon})
}

func cancellationRequestedEvent() consumer.Event[events.OrderCancellationRequested] {
	return wrapped(events.OrderCancellationRequested{OrderID: orderID, Reason: "customer", Detail: "changed my mind", OccurredAt: noon})
}

// Each of these functions is one delivery by the consumer: the call, then the transaction.

func (f *fixture) orderCreated() error {
	e := orderCreatedEvent()
	return deliver(f, OnOrderCreated, e)
}

func (f *fixture) inventoryReserved() error {
	e := inventoryReservedEvent()
	return deliver(f, OnInventoryReserved, e)
}

func (f *fixture) cancellationRequested() error {
	e := cancellationRequestedEvent()
	return deliver(f, OnOrderCancellationRequested, e)
}

func deliver[T event.Event](f *fixture, input func(consumer.Event[T]) Input, e consumer.Event[T]) error {
	answer, err := askFor(f, input, e)
	if err != nil {
		return err
	}
	return f.inTx(func(tx pgx.Tx) error { return react(f, tx, input, e, answer) })
}

// askFor makes the call that an event needs.
func askFor[T event.Event](f *fixture, input func(consumer.Event[T]) Input, e consumer.Event[T]) (carrier.Answer, error) {
	key := e.Data.AggregateKey()
	rows, err := look(f.t.Context(), f.pool, []string{key})
	if err != nil {
		return carrier.Answer{}, err
	}
	if call := f.app.ask(rows[key], key, e.Cause(), input(e)); call != nil {
		return call(f.t.Context())
	}
	return carrier.Answer{}, nil
}

// react handles an event in the caller's transaction, with the answer of its call if there was one.
func react[T event.Event](f *fixture, tx pgx.Tx, input func(consumer.Event[T]) Input, e consumer.Event[T], answers ...carrier.Answer) error {
	in := input(e)
	for _, answer := range answers {
		in.Answer = answer
	}
	decisions, err := f.app.Shipments.Run(f.t.Context(), tx, f.app.Shipments.Step(e.Data.AggregateKey(), in, e.Cause()))
	if err == nil {
		reaction.Committed(telemetry.With(f.t.Context(), e.Data.AggregateKey(), "", e.CorrelationID), decisions...)
	}
	return err
}

func (f *fixture) inTx(fn func(tx pgx.Tx) error) error {
	return postgres.InTx(f.t.Context(), f.pool, fn)
}

// do runs deliveries that must succeed.
func (f *fixture) do(deliveries ...func() error) {
	f.t.Helper()
	for _, d := range deliveries {
		if err := d(); err != nil {
			f.t.Fatalf("delivery: %v", err)
		}
	}
}

// track applies one page of the feed.
func (f *fixture) track() error {
	_, err := f.app.TrackOnce(f.t.Context())
	return err
}

func (f *fixture) row() db.Shipment {
	f.t.Helper()
	row, err := db.New(f.pool).GetShipment(f.t.Context(), orderID)
	if err != nil {
		f.t.Fatalf("load shipment: %v", err)
	}
	return row
}

func (f *fixture) cursor() int64 {
	f.t.Helper()
	cursor, err := db.New(f.pool).GetCursor(f.t.Context(), feed)
	if err != nil {
		f.t.Fatal(err)
	}
	return cursor
}

// emitted returns the decoded outbox in the order of publication, after it has checked envelopes
// and versions.
func (f *fixture) emitted() []event.Event {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `
		SELECT event_type, payload, convert_from(key, 'UTF8'), aggregate_id, topic, ce_aggregateversion, ce_correlationid
		FROM outbox ORDER BY seq`)
	if err != nil {
		f.t.Fatal(err)
	}
	type stored struct {
		Name        string
		Payload     []byte
		Key         string
		Subject     string
		Topic       string
		Version     int64
		Correlation string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		f.t.Fatal(err)
	}
	emitted := []event.Event{}
	for i, s := range all {
		typ, ok := events.Catalogue().Lookup(s.Name)
		if !ok {
			f.t.Fatalf("outbox holds unknown type %s", s.Name)
		}
		e, err := f.codec.Decode(f.t.Context(), typ, s.Payload)
		if err != nil {
			f.t.Fatal(err)
		}
		if s.Key != orderID || s.Subject != orderID || s.Correlation != orderID || s.Topic != events.TopicShippingEvents {
			f.t.Errorf("envelope of %s: %+v", s.Name, s)
		}
		if s.Version != int64(i+1) {
			f.t.Errorf("%s has version %d, want %d", s.Name, s.Version, i+1)
		}
		emitted = append(emitted, e)
	}
	if len(emitted) > 0 && f.row().Version != int64(len(emitted)) {
		f.t.Errorf("row has version %d after %d events", f.row().Version, len(emitted))
	}
	return emitted
}

// want checks the row's state and the names of all events emitted so far.
func (f *fixture) want(state shipping.State, names ...string) {
	f.t.Helper()
	if got := f.row().State; got != string(state) {
		f.t.Fatalf("state = %s, want %s", got, state)
	}
	got := []string{}
	for _, e := range f.emitted() {
		got = append(got, e.EventType())
	}
	if diff := cmp.Diff(append([]string{}, names...), got); diff != "" {
		f.t.Fatalf("events emitted (-want +got):\n%s", diff)
	}
}

func wantTransient(t *testing.T, err error) {
	t.Helper()
	if errs.KindOf(err) != errs.Transient || err == nil {
		t.Fatalf("error = %v, want kind transient", err)
	}
}
