package app_test

import (
	"context"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/internal/db"
)

func (f *fixture) sagas(filter app.SagaFilter) []db.Saga {
	f.t.Helper()
	if filter.Limit == 0 {
		filter.Limit = 100
	}
	rows, err := f.app.Sagas(context.Background(), filter)
	if err != nil {
		f.t.Fatal(err)
	}
	return rows
}

func ids(rows []db.Saga) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, r.OrderID.String())
	}
	return out
}

// TestSagas: the table has the orders that have not ended or need attention, and follows every
// change of an order.
func TestSagas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	placed := f.time()
	id := f.place(cart()).ID
	want := db.Saga{OrderID: uuid.MustParse(id), Version: 3, Status: "PENDING", SagaStyle: "choreographed",
		PlacedAt: placed, ConfirmBy: placed.Add(5 * time.Minute), ChangedAt: placed}
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff([]db.Saga{want}, f.sagas(app.SagaFilter{})); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("placed")

	f.advance(time.Minute)
	mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	want.Version, want.Status, want.ChangedAt = 4, "CONFIRMED", f.time()
	check("confirmed")

	f.advance(time.Minute)
	mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"}) // contradicts
	reason, detail := "PaymentRefunded", "customer"
	want.Version, want.ChangedAt, want.AttentionReason, want.AttentionDetail = 5, f.time(), &reason, &detail
	check("contradicted")

	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: placed})
	want.Version, want.Status = 7, "DELIVERED"
	check("ended, but somebody has to look")
}

func TestSagasThatEndedAreGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	declined, refused := f.place(cart()).ID, f.place(cart()).ID
	mustReceive(f, app.OnPaymentFailed, events.PaymentFailed{OrderID: declined, Reason: "insufficient_funds"})
	mustReceive(f, app.OnShipmentFailed, events.ShipmentFailed{OrderID: refused, Reason: "address_not_served"})
	mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: refused, Reason: "shipment_failed"})
	if diff := cmp.Diff([]string{refused}, ids(f.sagas(app.SagaFilter{NeedsAttention: true}))); diff != "" {
		t.Error(diff)
	}
	mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: refused, Reason: "shipment_failed"})
	if left := f.sagas(app.SagaFilter{}); len(left) != 0 {
		t.Errorf("%v are still listed", ids(left))
	}
}

func TestSagasAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var all []string
	for range 5 {
		all = append(all, f.place(cart()).ID)
		f.advance(time.Minute)
	}
	mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: all[3], Reason: "customer"})
	third := f.time().Add(-2 * time.Minute) // when the fourth was placed
	for what, c := range map[string]struct {
		filter app.SagaFilter
		want   []string
	}{
		"all, oldest first": {app.SagaFilter{}, all},
		"placed before":     {app.SagaFilter{PlacedBefore: &third}, all[:3]},
		"needing attention": {app.SagaFilter{NeedsAttention: true}, all[3:4]},
		"both":              {app.SagaFilter{NeedsAttention: true, PlacedBefore: &third}, []string{}},
		"a page":            {app.SagaFilter{Limit: 2}, all[:2]},
		"the page after":    {app.SagaFilter{Limit: 2, After: uuid.MustParse(all[1])}, all[2:4]},
	} {
		if diff := cmp.Diff(c.want, ids(f.sagas(c.filter))); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

// TestSagasOfOrdersFromBefore: the migration derives from the streams what keepSaga would have
// written.
func TestSagasOfOrdersFromBefore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.place(cart())
	roads := []func(id string){
		func(id string) { mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id}) },
		func(id string) { mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id}) },
		func(id string) {
			mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: f.time()})
		},
		func(id string) { mustReceive(f, app.OnPaymentFailed, events.PaymentFailed{OrderID: id}) },
		func(id string) {
			if _, err := f.cancel(id, "changed my mind"); err != nil {
				t.Fatal(err)
			}
		},
		func(id string) { // attention that ends with the order
			mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "customer"})
			mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id})
		},
		func(id string) {
			mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "customer"})
		},
		func(id string) { // attention after the cancellation
			mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: id})
			mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id})
		},
		func(id string) { // attention after the delivery
			mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: f.time()})
			mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id})
		},
	}
	for _, road := range roads {
		road(f.place(cart()).ID)
	}
	before := f.sagas(app.SagaFilter{})
	if len(before) != 7 {
		t.Fatalf("%d sagas, want 7 of %d orders", len(before), len(roads)+1)
	}
	ctx := context.Background()
	migration, err := os.ReadFile("../../migrations/00002_sagas.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(ctx, "DROP TABLE sagas"); err != nil {
		t.Fatal(err)
	}
	again := postgres.Component{Name: "again", FS: fstest.MapFS{
		"00001_sagas.sql": {Data: migration},
		"00002_style.sql": {Data: []byte("-- +goose Up\nALTER TABLE sagas ADD COLUMN saga_style text NOT NULL DEFAULT 'choreographed';")},
	}}
	if err := postgres.Migrate(ctx, f.pool.Config().ConnString(), again); err != nil {
		t.Fatal(err)
	}
	// The streams use the clock of the database, not of the fixture.
	if diff := cmp.Diff(before, f.sagas(app.SagaFilter{}), cmpopts.IgnoreFields(db.Saga{}, "ChangedAt")); diff != "" {
		t.Error(diff)
	}
	for _, row := range f.sagas(app.SagaFilter{}) {
		if o := f.get(row.OrderID.String()); row.Version != o.Version || row.Status != string(o.State) {
			t.Errorf("%s: %s@%d, the order is %s@%d", row.OrderID, row.Status, row.Version, o.State, o.Version)
		}
	}
}
