package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/app"
)

// revenue is the answer to GET /revenue. Numbers keep their text.
type revenue struct {
	From, To string
	Days     []struct {
		Day, Currency           string
		Captured, Refunded, Net json.Number
		Payments, Refunds       int64
	}
}

func (r revenue) lines() []string {
	out := []string{}
	for _, d := range r.Days {
		out = append(out, fmt.Sprintf("%s %s %s-%s=%s %d %d", d.Day, d.Currency, d.Captured, d.Refunded, d.Net, d.Payments, d.Refunds))
	}
	return out
}

func TestRevenue(t *testing.T) {
	f := newFixture(t)
	id := f.order("c", "KWD", 1, 100)
	capture := func(at time.Time, amount int64, currency string) {
		receive(f, app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: id, Amount: amount, Currency: currency, OccurredAt: at})
	}
	capture(noon, 1005, "KWD")
	capture(noon, 2999, "GBP")
	capture(noon, 1, "GBP")
	capture(noon.AddDate(0, 0, 1), 500, "JPY")
	receive(f, app.OnPaymentRefunded, 2, events.PaymentRefunded{OrderID: id, Amount: 1500, Currency: "JPY", OccurredAt: noon.AddDate(0, 0, 1)})

	gbp, kwd := "2026-11-24 GBP 30.00-0.00=30.00 2 0", "2026-11-24 KWD 1.005-0.000=1.005 1 0"
	jpy := "2026-11-25 JPY 500-1500=-1000 1 1"
	for path, want := range map[string][]string{
		"/revenue?from=2026-11-24&to=2026-11-25": {gbp, kwd, jpy},
		"/revenue?from=2026-11-24&to=2026-11-24": {gbp, kwd},
		"/revenue?from=2026-11-25&to=2026-11-25": {jpy},
		"/revenue?from=2026-11-26&to=2026-12-31": {},
		"/revenue?to=2026-12-24":                 {gbp, kwd, jpy}, // from is 30 days before
		"/revenue?to=2026-12-25":                 {jpy},
		"/revenue?from=0001-01-01&to=9999-12-31": {gbp, kwd, jpy},
	} {
		var got revenue
		f.get(path, http.StatusOK, &got)
		if diff := cmp.Diff(want, got.lines()); diff != "" {
			t.Errorf("GET %s (-want +got):\n%s", path, diff)
		}
	}
}

// TestRevenueHasAllDigits: sums beyond int64 and beyond a float are written exactly.
func TestRevenueHasAllDigits(t *testing.T) {
	f := newFixture(t)
	id := f.order("c", "GBP", 1, 100)
	for range 3 {
		receive(f, app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: id, Amount: math.MaxInt64, Currency: "GBP", OccurredAt: noon})
		receive(f, app.OnPaymentRefunded, 2, events.PaymentRefunded{OrderID: id, Amount: math.MaxInt64, Currency: "JPY", OccurredAt: noon})
	}
	receive(f, app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: id, Amount: 1, Currency: "JPY", OccurredAt: noon})
	receive(f, app.OnPaymentRefunded, 2, events.PaymentRefunded{OrderID: id, Amount: 1, Currency: "GBP", OccurredAt: noon})
	var got revenue
	f.get("/revenue?from=2026-11-24&to=2026-11-24", http.StatusOK, &got)
	want := []string{
		"2026-11-24 GBP 276701161105643274.21-0.01=276701161105643274.20 3 1",
		"2026-11-24 JPY 1-27670116110564327421=-27670116110564327420 1 3",
	}
	if diff := cmp.Diff(want, got.lines()); diff != "" {
		t.Errorf("GET /revenue (-want +got):\n%s", diff)
	}
}

// TestRevenueUntilToday: without to, the last day is today in UTC.
func TestRevenueUntilToday(t *testing.T) {
	f := newFixture(t)
	before := time.Now().UTC()
	var got revenue
	f.get("/revenue", http.StatusOK, &got)
	last, err := time.Parse(time.DateOnly, got.To)
	if err != nil || last.Before(before.Truncate(24*time.Hour)) || last.After(time.Now().UTC()) {
		t.Errorf("to is %q at %s", got.To, before)
	}
	if first := last.AddDate(0, 0, -30).Format(time.DateOnly); got.From != first {
		t.Errorf("from is %q, want %q", got.From, first)
	}
}
