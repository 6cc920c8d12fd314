package app

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

// orderCreatedNaming delivers an OrderCreated with the header of the choreographed style, whose data name
// a style.
func (f *fixture) orderCreatedNaming(style string) error {
	e := orderCreatedEvent()
	e.Data.SagaStyle = style
	return deliver(f, OnOrderCreated, e)
}

// TestAContradictionChangesNothing, in both directions: the state stays, the carrier is not called and
// nothing is published. The shipment asks for a person, once for each contradiction.
func TestAContradictionChangesNothing(t *testing.T) {
	choreographed := func(f *fixture) error { f.do(f.orderCreated); return f.inventoryReserved() }
	for name, tt := range map[string]struct {
		order, late func(f *fixture) error
		want        string
	}{
		"a command to book, choreographed": {(*fixture).orderCreated, (*fixture).scheduleShipment,
			"ScheduleShipment says orchestrated, and the order's saga is choreographed"},
		"a command to cancel, choreographed": {choreographed, (*fixture).cancelShipment,
			"CancelShipment says orchestrated, and the order's saga is choreographed"},
		"an order that names the other style": {choreographed,
			func(f *fixture) error { return f.orderCreatedNaming("orchestrated") },
			"OrderCreated says orchestrated, and the order's saga is choreographed"},
		"the order, orchestrated": {(*fixture).scheduleShipment, (*fixture).orderCreated,
			"OrderCreated says choreographed, and the order's saga is orchestrated"},
		"a request, orchestrated": {(*fixture).scheduleShipment, (*fixture).cancellationRequested,
			"OrderCancellationRequested says choreographed, and the order's saga is orchestrated"},
		"a refused payment, orchestrated": {(*fixture).scheduleShipment,
			func(f *fixture) error {
				e := wrapped(events.PaymentFailed{OrderID: orderID, Reason: "insufficient_funds", OccurredAt: noon})
				return deliver(f, OnPaymentFailed, e)
			},
			"PaymentFailed says choreographed, and the order's saga is orchestrated"},
	} {
		t.Run(name, func(t *testing.T) {
			f, log := newFixture(t), &telemetrytest.Log{Subject: "orderId"}
			f.app = f.newAppBehind(patient(), log.Logger("shipping"))
			late := func() error { return tt.late(f) }
			f.do(func() error { return tt.order(f) })
			before, reported, asked := f.row(), f.published(orderID), f.carrier.Requests()
			f.do(late, late)
			after := f.row()
			if want := "the style of the saga is contradicted: " + tt.want; after.Attention != want {
				t.Errorf("attention %q, want %q", after.Attention, want)
			}
			before.Attention = after.Attention
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the row changed (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(reported, f.published(orderID)); diff != "" {
				t.Errorf("published (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(asked, f.carrier.Requests()); diff != "" {
				t.Errorf("the carrier was asked (-before +after):\n%s", diff)
			}
			log.Await(t, orderID, "WARN", "shipment needs a person")
		})
	}
}

// TestAnOrderThatContradictsItself is stored, has no state and waits for nothing.
func TestAnOrderThatContradictsItself(t *testing.T) {
	f := newFixture(t)
	f.do(func() error { return f.orderCreatedNaming("orchestrated") }, f.scheduleShipment)
	s, err := f.app.Shipment(t.Context(), orderID)
	if err != nil || s.State != "NONE" || s.Saga != event.Choreographed || s.Address != nil ||
		!strings.Contains(s.Attention, "OrderCreated says") || !strings.Contains(s.Attention, "; the style") {
		t.Errorf("shipment %+v, %v", s, err)
	}
	if asked := f.carrier.Requests(); len(asked) != 0 {
		t.Errorf("the carrier was asked: %v", asked)
	}
}

// TestAContradictionDuringTheCall: another process creates the row of the other style after this one has
// looked. A parcel is booked only when the row has the command's style, and what the carrier answered to
// a cancellation is kept for the person who looks.
func TestAContradictionDuringTheCall(t *testing.T) {
	t.Run("schedule", func(t *testing.T) {
		f := newFixture(t)
		e := scheduleCommand(orderID)
		due := f.app.ask(db.Shipment{}, orderID, e.Cause(), OnScheduleShipment(e))
		f.do(f.orderCreated)
		answer, err := due(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.do(func() error {
			return f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnScheduleShipment, e, answer) })
		})
		f.want(shipping.AwaitingReservation)
		if asked := f.carrier.Requests(); len(asked) != 0 || f.row().Attention == "" {
			t.Errorf("the carrier was asked %v, row %+v", asked, f.row())
		}
	})
	t.Run("cancel", func(t *testing.T) {
		f := newFixture(t)
		e := cancelCommand(orderID)
		answer, err := askFor(f, OnCancelShipment, e)
		if err != nil {
			t.Fatal(err)
		}
		f.do(f.orderCreated, func() error {
			return f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnCancelShipment, e, answer) })
		})
		f.want(shipping.AwaitingReservation)
		if got := f.row().Attention; !strings.Contains(got, "the carrier had answered: cancelled") {
			t.Errorf("attention %q", got)
		}
	})
}

// TestUpgradeKeepsChoreographedOrders starts from a database of the previous release, with a row of it, and
// with one that a process of it adds after the migration.
func TestUpgradeKeepsChoreographedOrders(t *testing.T) {
	t.Parallel()
	url, pool := before(t, "00001_shipping.sql", "00002_called_off_dispatched.sql", "00003_rejected_requests.sql", "00004_trace.sql")
	const old = `INSERT INTO shipments (order_id, state, correlation_id, created_at, updated_at) VALUES ($1, '', 'c', now(), now())`
	if _, err := pool.Exec(t.Context(), old, "of before"); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, postgres.Component{Name: "shipping", FS: os.DirFS("../../migrations")}); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), old, "of an old process"); err != nil {
		t.Fatal(err)
	}
	rows, err := db.New(pool).GetShipments(t.Context(), []string{"of before", "of an old process"})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		if row.SagaStyle != string(event.Choreographed) || row.Attention != "" {
			t.Errorf("row %+v", row)
		}
	}
}
