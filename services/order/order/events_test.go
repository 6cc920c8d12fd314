package order_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/services/order/order"
)

// stored has rows of existing databases: the name and the data of each domain event whose form has one
// version. Both stay readable forever, whatever the Go types are called. The others are in
// upcast_test.go.
var stored = []struct {
	name, data string
	want       order.Event
}{
	{"ItemAdded", `{"sku":"A","quantity":2,"unitPrice":2999}`, order.ItemAdded{SKU: "A", Quantity: 2, UnitPrice: 2999}},
	{"OrderConfirmed", `{"trackingId":"T1"}`, order.OrderConfirmed{TrackingID: "T1"}},
	{"OrderFulfilmentFailed", `{"reason":"out_of_stock","detail":"A"}`, order.OrderFulfilmentFailed{Reason: "out_of_stock", Detail: "A"}},
	{"OrderCancellationRejected", `{"reason":"dispatched"}`, order.OrderCancellationRejected{Reason: "dispatched"}},
	{"OrderCancelled", `{"reason":"customer","detail":"changed my mind"}`, order.OrderCancelled{Reason: "customer", Detail: "changed my mind"}},
	{"OrderShipped", `{"trackingId":"T1"}`, order.OrderShipped{TrackingID: "T1"}},
	{"OrderDelivered", `{"deliveredAt":"2026-01-03T03:04:05Z"}`, order.OrderDelivered{DeliveredAt: time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC)}},
	{"OrderNeedsAttention", `{"reason":"ShipmentDispatched"}`, order.OrderNeedsAttention{Reason: "ShipmentDispatched"}},
	{"OrderCommandAnswered", `{"command":"CancelOrder","outcome":"refused"}`, order.OrderCommandAnswered{Command: order.CancelOrder, Outcome: order.Refused}},
	{"DraftStarted", `{"orderId":"o1","customer":{"id":"c7","name":"Ada","email":"ada@example.com"},"currency":"GBP","startedAt":"2026-01-02T03:04:05Z"}`,
		order.DraftStarted{OrderID: "o1", Customer: order.Customer{ID: "c7", Name: "Ada", Email: "ada@example.com"}, Currency: "GBP",
			StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
	{"DraftItemAdded", `{"sku":"A","quantity":2,"unitPrice":2999}`, order.DraftItemAdded{SKU: "A", Quantity: 2, UnitPrice: 2999}},
	{"DraftItemChanged", `{"sku":"A","quantity":3,"unitPrice":2999}`, order.DraftItemChanged{SKU: "A", Quantity: 3, UnitPrice: 2999}},
	{"DraftItemRemoved", `{"sku":"A"}`, order.DraftItemRemoved{SKU: "A"}},
	{"DraftAddressChanged", `{"street":"1 Lane","city":"London","postalCode":"SW1A 1AA"}`,
		order.DraftAddressChanged{Street: "1 Lane", City: "London", PostalCode: "SW1A 1AA"}},
	{"DraftDiscarded", `{"reason":"abandoned"}`, order.DraftDiscarded{Reason: "abandoned"}},
	{"DraftPlaced", `{}`, order.DraftPlaced{}},
}

// TestStoredEventsAreRead: rows of existing databases decode, and new rows are written in the same
// form.
func TestStoredEventsAreRead(t *testing.T) {
	for _, row := range stored {
		t.Run(row.name, func(t *testing.T) {
			got, err := order.Decode(row.name, json.RawMessage(row.data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			data, err := order.Encode(row.want)
			if err != nil {
				t.Fatal(err)
			}
			if string(data) != row.data || row.want.Name() != row.name {
				t.Errorf("stored as %s %s, want %s %s", row.want.Name(), data, row.name, row.data)
			}
			if typ := reflect.TypeOf(row.want).Name(); typ != row.name {
				t.Errorf("the type is %s in Go and %s in the store", typ, row.name)
			}
		})
	}
}

// TestStoredSnapshotIsRead reads a snapshot of an existing database.
func TestStoredSnapshotIsRead(t *testing.T) {
	const row = `{"id":"o1","version":4,"status":"CONFIRMED",` +
		`"customer":{"id":"c7","name":"Ada","email":"ada@example.com"},` +
		`"address":{"street":"1 Lane","city":"London","postalCode":"SW1A 1AA"},` +
		`"items":[{"sku":"A","quantity":1,"unitPrice":100}],"totalAmount":100,"currency":"GBP","channel":"web","saga":"orchestrated",` +
		`"placedAt":"2026-01-02T03:04:05Z","confirmBy":"2026-01-02T03:09:05Z","trackingId":"T1"}`
	o, err := order.FromSnapshot("o1", 4, json.RawMessage(row))
	if err != nil || o.State != order.Confirmed || o.Version != 4 || o.Style != order.Orchestrated || o.TrackingID != "T1" {
		t.Fatalf("read %v: %+v", err, o)
	}
	// A snapshot of before there were styles says nothing about the order's.
	if o, err := order.FromSnapshot("o1", 4, json.RawMessage(strings.Replace(row, `"saga":"orchestrated",`, "", 1))); err == nil {
		t.Errorf("without a style: %+v", o)
	}
	again, err := o.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != row {
		t.Errorf("written as %s, want %s", again, row)
	}
}
