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

func (k *kit) sagas(f app.SagaFilter) []db.Saga {
	k.t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	rows, err := k.app.Sagas(context.Background(), f)
	if err != nil {
		k.t.Fatal(err)
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

// TestSagas: the table holds what has not ended or needs attention, and follows every
// change of the order.
func TestSagas(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	placed := k.time()
	id := k.place(cart()).ID
	want := db.Saga{OrderID: uuid.MustParse(id), Version: 3, Status: "PENDING",
		PlacedAt: placed, ConfirmBy: placed.Add(5 * time.Minute), ChangedAt: placed}
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff([]db.Saga{want}, k.sagas(app.SagaFilter{})); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("placed")

	k.advance(time.Minute)
	tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	want.Version, want.Status, want.ChangedAt = 4, "CONFIRMED", k.time()
	check("confirmed")

	k.advance(time.Minute)
	tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"}) // contradicts
	reason, detail := "PaymentRefunded", "customer"
	want.Version, want.ChangedAt, want.AttentionReason, want.AttentionDetail = 5, k.time(), &reason, &detail
	check("contradicted")

	tell(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	tell(k, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: placed})
	want.Version, want.Status = 7, "DELIVERED"
	check("ended, but somebody has to look")
}

func TestSagasThatEndedAreGone(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	declined, refused := k.place(cart()).ID, k.place(cart()).ID
	tell(k, k.app.OnPaymentFailed, events.PaymentFailed{OrderID: declined, Reason: "insufficient_funds"})
	tell(k, k.app.OnShipmentFailed, events.ShipmentFailed{OrderID: refused, Reason: "address_not_served"})
	tell(k, k.app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: refused, Reason: "shipment_failed"})
	if diff := cmp.Diff([]string{refused}, ids(k.sagas(app.SagaFilter{NeedsAttention: true}))); diff != "" {
		t.Error(diff)
	}
	tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: refused, Reason: "shipment_failed"})
	if left := k.sagas(app.SagaFilter{}); len(left) != 0 {
		t.Errorf("%v are still listed", ids(left))
	}
}

func TestSagasAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var all []string
	for range 5 {
		all = append(all, k.place(cart()).ID)
		k.advance(time.Minute)
	}
	tell(k, k.app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: all[3], Reason: "customer"})
	third := k.time().Add(-2 * time.Minute) // when the fourth was placed
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
		if diff := cmp.Diff(c.want, ids(k.sagas(c.filter))); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

// TestSagasOfOrdersFromBefore: the migration finds in the streams what keepSaga would
// have written.
func TestSagasOfOrdersFromBefore(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.place(cart())
	roads := []func(id string){
		func(id string) { tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id}) },
		func(id string) { tell(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id}) },
		func(id string) {
			tell(k, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: k.time()})
		},
		func(id string) { tell(k, k.app.OnPaymentFailed, events.PaymentFailed{OrderID: id}) },
		func(id string) {
			if _, err := k.cancel(id, "changed my mind"); err != nil {
				t.Fatal(err)
			}
		},
		func(id string) { // attention, and mended
			tell(k, k.app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "customer"})
			tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id})
		},
		func(id string) {
			tell(k, k.app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "customer"})
		},
		func(id string) { // attention after the end
			tell(k, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id})
			tell(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id})
		},
		func(id string) { // attention before the end
			tell(k, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: k.time()})
			tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id})
		},
	}
	for _, road := range roads {
		road(k.place(cart()).ID)
	}
	before := k.sagas(app.SagaFilter{})
	if len(before) != 7 {
		t.Fatalf("%d sagas, want 7 of %d orders", len(before), len(roads)+1)
	}
	ctx := context.Background()
	migration, err := os.ReadFile("../../migrations/00002_sagas.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.pool.Exec(ctx, "DROP TABLE sagas"); err != nil {
		t.Fatal(err)
	}
	again := postgres.Component{Name: "again", FS: fstest.MapFS{"00001_sagas.sql": {Data: migration}}}
	if err := postgres.Migrate(ctx, k.pool.Config().ConnString(), again); err != nil {
		t.Fatal(err)
	}
	// The clock of the streams is the database's, not the kit's.
	if diff := cmp.Diff(before, k.sagas(app.SagaFilter{}), cmpopts.IgnoreFields(db.Saga{}, "ChangedAt")); diff != "" {
		t.Error(diff)
	}
	for _, row := range k.sagas(app.SagaFilter{}) {
		if o := k.get(row.OrderID.String()); row.Version != o.Version || row.Status != string(o.Status) {
			t.Errorf("%s: %s@%d, the order is %s@%d", row.OrderID, row.Status, row.Version, o.Status, o.Version)
		}
	}
}
