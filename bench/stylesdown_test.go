package main

import (
	"testing"
	"time"

	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
)

// TestOutagesAreCountedByOrder: an order that was accepted before the outage and waited for its end counts
// as waiting, and one that was accepted after it counts nowhere.
func TestOutagesAreCountedByOrder(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return time.Unix(int64(1_000+seconds), 0) }
	confirmed := map[string]time.Time{}
	order := func(id string, accepted, confirmedAt int) shop.Placed {
		confirmed[id] = at(confirmedAt)
		return shop.Placed{ID: id, Sent: at(accepted - 1), Accepted: at(accepted)}
	}
	orders := []shop.Placed{
		order("before", 5, 6), order("caught", 9, 75), order("went", 20, 21),
		order("waited", 30, 78), order("waited long", 40, 80), order("after", 72, 90),
	}
	r := report.New("styles-down", "", orchestrated, choreographed)
	addOutage(r, "", orchestrated, func(id string) time.Time { return confirmed[id] }, orders, away{from: at(10), until: at(70), ready: at(73)})
	for what, want := range map[string]float64{
		"accepted meanwhile": 3, "confirmed of these meanwhile": 1, "waited at the end": 3,
		"last of them confirmed after the service was ready": 7, "POST p95 meanwhile": 1_000,
	} {
		if got := r.Find(what).Spread(orchestrated).Median; got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}
