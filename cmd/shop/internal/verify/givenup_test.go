package verify

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// noted is what is kept of where a dead letter lies.
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

// TestPrunedIsStillDecided: long after the dead letters were pruned, an order whose event a
// person discarded is known to wait for ever, and the read models to be without it.
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

// TestSumsDoNotWrapAround: what would come out right in 64 bits is a breach all the same.
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
