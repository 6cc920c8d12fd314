package api_test

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/order"
)

// TestDearestOrder: an order at the maximum total is accepted and shown with all its digits.
func TestDearestOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for code, amount := range map[string]string{
		"GBP": "10000000000000.00", "JPY": "1000000000000000", "KWD": "1000000000000.000",
	} {
		body := strings.NewReplacer(`99.99`, amount, `"quantity": 2`, `"quantity": 1`, `29.99`, amount, `40.01`, `0`, `GBP`, code).Replace(cart)
		a := f.do("POST", "/orders", body)
		if a.Status != http.StatusCreated || a.Body["totalAmount"] != json.Number(amount) {
			t.Errorf("%s %s: %d %s", amount, code, a.Status, a.Text)
		}
	}
}

// TestCurrentCurrencies: currencies that the standard added since 2017 are accepted.
func TestCurrentCurrencies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, code := range []string{"SLE", "VES", "VED", "MRU", "STN", "ZWG", "XCG"} {
		if a := f.do("POST", "/orders", strings.Replace(cart, "GBP", code, 1)); a.Status != http.StatusCreated {
			t.Errorf("%s: %d %s", code, a.Status, a.Text)
		}
	}
}

// TestOrdersOfBefore: orders from before the maximum total, and orders in currencies that were
// withdrawn since, are shown exactly, with their history, and can be cancelled.
func TestOrdersOfBefore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for currency, want := range map[string]string{
		"GBP": "92233720368547758.07", "JPY": "9223372036854775807", "KWD": "9223372036854775.807",
		"HRK": "92233720368547758.07", "SLL": "92233720368547758.07", "BGN": "92233720368547758.07",
	} {
		id := f.stored(currency, math.MaxInt64)
		a := f.do("GET", "/orders/"+id, "")
		if a.Status != http.StatusOK || a.Body["totalAmount"] != json.Number(want) || a.Body["currency"] != currency {
			t.Errorf("%s: %d %s", currency, a.Status, a.Text)
		}
		if a = f.do("GET", "/orders/"+id+"/events", ""); a.Status != http.StatusOK || strings.Count(a.Text, want) != 2 {
			t.Errorf("%s: the total and the price are not %s: %d %s", currency, want, a.Status, a.Text)
		}
		if a = f.do("POST", "/orders/"+id+"/cancel", ""); a.Status != http.StatusAccepted {
			t.Errorf("%s: cancel: %d %s", currency, a.Status, a.Text)
		}
	}
}

// stored writes the stream of an order as an earlier release did, without the checks of the API.
func (f *fixture) stored(currency string, amount int64) (id string) {
	f.t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	at := time.Now().UTC().Truncate(time.Microsecond)
	var records []eventstore.NewRecord
	for _, e := range []order.Event{
		order.OrderCreated{
			OrderID: id, Customer: order.Customer{ID: "cust-7", Name: "Ada", Email: "ada@example.com"},
			ShippingAddress: order.Address{Street: "1 Test St", City: "London", PostalCode: "N1"},
			TotalAmount:     amount, Currency: currency, PlacedAt: at, ConfirmBy: at.Add(time.Hour),
		},
		order.ItemAdded{SKU: "WIDGET-01", Quantity: 1, UnitPrice: amount},
	} {
		data, err := order.Encode(e)
		if err != nil {
			f.t.Fatal(err)
		}
		records = append(records, eventstore.NewRecord{Type: e.Name(), Data: data, Metadata: json.RawMessage(`{}`)})
	}
	err := postgres.InTx(context.Background(), f.pool, func(tx pgx.Tx) error {
		_, err := eventstore.Append(context.Background(), tx, id, 0, records)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}
