package verify

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// noted returns the stored place of a dead letter.
func (w *world) noted(letter uuid.UUID) *GivenUp {
	return &w.GivenUp[slices.IndexFunc(w.GivenUp, func(g GivenUp) bool { return g.DeadLetter == letter })]
}

func TestI7WhatWasGivenUpIsNoted(t *testing.T) {
	caught(t, "I7", []breach{
		{"not noted", func(w *world) {
			l := w.of("shipping", dead, "open")
			w.GivenUp = slices.DeleteFunc(w.GivenUp, func(g GivenUp) bool { return g.DeadLetter == l.ID })
		}, dead},
		{"noted without the decision", func(w *world) { w.noted(w.of("shipping", retried, "discarded").ID).Decision = "" }, retried},
		{"noted with another", func(w *world) { w.noted(w.of("shipping", retried, "discarded").ID).Decision = "resolved" }, retried},
		{"decided about while it is open", func(w *world) { w.noted(w.of("shipping", dead, "open").ID).Decision = "discarded" }, dead},
	})
}

// TestPrunedIsStillDecided: long after the dead letters were pruned, Holds still reports an order
// whose event an operator discarded as waiting for ever, and the read models are still compared
// without the event.
func TestPrunedIsStillDecided(t *testing.T) {
	unbroken(t, "all that was closed", func(w *world) {
		w.At = w.At.Add(kept + time.Hour)
		for {
			i := slices.IndexFunc(w.DeadLetters, func(l DeadLetter) bool { return l.Status == "discarded" || l.Status == "resolved" && l.Repaired == nil })
			if i < 0 {
				break
			}
			w.drop(&w.DeadLetters[i])
		}
		for _, l := range w.DeadLetters {
			w.uncopy(l.ID)
		}
		w.Copies = append(w.Copies, Copy{Topic: "order.events.payment.dlq", Group: "payment", ID: w.id(), Time: began})
		w.Rebuilt = Rebuild(heard(w.Facts))
	})
}

// TestSkippedIsDiscarded: a record that an operator had skipped has neither a dead letter nor a
// receipt.
func TestSkippedIsDiscarded(t *testing.T) {
	unbroken(t, "a record of no order", func(w *world) {
		rec := w.record(Record{Topic: "order.events", Key: "\x00"})
		for _, group := range groups() {
			w.GivenUp = append(w.GivenUp, GivenUp{Service: group, Group: group, Place: rec.Place(), Decision: "discarded"})
		}
	})
	unbroken(t, "an order's own event", func(w *world) {
		rec := w.event(discarded, "OrderCreated")
		l := w.of("payment", discarded, "discarded")
		w.noted(l.ID).DeadLetter = uuid.Nil
		w.unhear("payment", rec.ID)
		w.drop(l)
	})
}

// TestSumsDoNotWrapAround: an amount that would be right modulo 2^64 is still a breach.
func TestSumsDoNotWrapAround(t *testing.T) {
	caught(t, "I1", []breach{{"refunds of 2^64 beside a capture", func(w *world) {
		for _, n := range []int64{math.MaxInt64, math.MaxInt64, 2} { // 2^64 in all
			w.Ledger = append(w.Ledger, LedgerEntry{delivered, "refund", "GBP", n})
		}
	}, delivered}})
	caught(t, "I2", []breach{
		{"pieces", func(w *world) {
			s := &w.Stock[1]
			s.Available, s.Reserved, s.Shipped = math.MaxInt64, math.MaxInt64, s.Initial+s.Restocked+2
		}, "WIDGET"},
		{"receipts", func(w *world) {
			w.Stock[1].Receipts = w.Stock[1].Receipts.plus(total(math.MaxInt64)).plus(total(math.MaxInt64)).plus(total(2))
		}, "WIDGET"},
		{"what reservations hold", func(w *world) {
			for range 2 {
				w.Reservations = append(w.Reservations, Reservation{w.id().String(), "RESERVED", map[string]int64{"GADGET": math.MaxInt64}})
			}
			w.Reservations = append(w.Reservations, Reservation{w.id().String(), "RESERVED", map[string]int64{"GADGET": 2}})
		}, "GADGET"},
	})
	caught(t, "I10", []breach{{"revenue", func(w *world) {
		day := w.Projection.Revenue["2026-11-25 GBP"]
		day.Captured = day.Captured.plus(total(math.MaxInt64)).plus(total(math.MaxInt64)).plus(total(2))
		w.Projection.Revenue["2026-11-25 GBP"] = day
	}, "2026-11-25 GBP"}})
}

func TestGivenUpIsRead(t *testing.T) {
	t.Parallel()
	c := connect(t, retry.Component())
	letter := uuid.MustParse("01936f2e-7a10-7cc3-9d5e-0242ac120002")
	if _, err := c.Exec(t.Context(), `
		INSERT INTO given_up (consumer_group, topic, record_partition, record_offset, record_time, key, dead_letter, decision) VALUES
			('payment', 'order.events', 1, 7, '2026-01-02 03:04:05.678Z', 'o-1', $1, 'resolved'),
			('payment', 'order.events', 1, 8, '2026-01-02 03:04:05.678Z', NULL, $1, ''),
			('payment', 'order.events', 1, 9, '2026-01-02 03:04:05.678Z', NULL, NULL, 'skipped'),
			('payment', 'order.events', 2, 9, NULL, NULL, NULL, 'skip')`, letter); err != nil {
		t.Fatal(err)
	}
	var f Failures
	if err := f.givenUp(t.Context(), "payment", c); err != nil {
		t.Fatal(err)
	}
	place := func(offset int64) Place { return Place{"order.events", 1, offset, 1767323045678} }
	want := []GivenUp{
		{"payment", "payment", place(7), "o-1", letter, "resolved"},
		{"payment", "payment", place(8), "", letter, ""},
		{"payment", "payment", place(9), "", uuid.Nil, "discarded"},
	}
	if diff := cmp.Diff(want, f.GivenUp); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
}

// TestBigSumsAreRead: sums beyond int64, of the read models and of receipts.
func TestBigSumsAreRead(t *testing.T) {
	t.Parallel()
	c := connect(t, postgres.Component{Name: "projection", FS: os.DirFS("../../services/projection/migrations")})
	if _, err := c.Exec(t.Context(), `INSERT INTO revenue_days VALUES ('2026-01-02', 'GBP', 27670116110564327421, -18446744073709551616, 3, 2)`); err != nil {
		t.Fatal(err)
	}
	p, err := readModels(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	most := total(math.MaxInt64)
	want := Revenue{Captured: most.plus(most).plus(most), Refunded: total(math.MinInt64).plus(total(math.MinInt64)), Payments: 3, Refunds: 2}
	if diff := cmp.Diff(map[string]Revenue{"2026-01-02 GBP": want}, p.Revenue); diff != "" {
		t.Errorf("revenue (-want +got):\n%s", diff)
	}
	c = connect(t, postgres.Component{Name: "inventory", FS: os.DirFS("../../services/inventory/migrations")})
	if _, err := c.Exec(t.Context(), `INSERT INTO stock (sku, available) VALUES ('A', 0)`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), `INSERT INTO receipts SELECT gen_random_uuid(), 'A', 9223372036854775807, now() FROM generate_series(1, 2)`); err != nil {
		t.Fatal(err)
	}
	stocks, err := stockRows(t.Context(), c)
	if err != nil || len(stocks) != 1 || !stocks[0].Receipts.Equal(most.plus(most)) {
		t.Errorf("stock %+v, %v", stocks, err)
	}
}
