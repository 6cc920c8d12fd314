package verify

import (
	"fmt"
	"maps"
	"slices"
)

// account sums up the gateway's ledger for one order, in minor units.
type account struct {
	captures           int
	captured, refunded Total
	currency           string
	mixed              bool // in more than one currency
}

func (a account) balance() Total { return a.captured.minus(a.refunded) }

func accounts(ledger []LedgerEntry) map[string]account {
	out := map[string]account{}
	for _, e := range ledger {
		a := out[e.OrderID]
		switch e.Kind {
		case "capture":
			a.captures++
			a.captured = a.captured.plus(total(e.Amount))
		case "refund":
			a.refunded = a.refunded.plus(total(e.Amount))
		default:
			continue // declines and voids move no money
		}
		a.mixed = a.mixed || (a.currency != "" && a.currency != e.Currency)
		a.currency = e.Currency
		out[e.OrderID] = a
	}
	return out
}

// money is I1. The gateway's own ledger decides: per order at most one capture, 0 ≤ refunded ≤
// captured, and net money according to the order's status. The payment service's records must agree
// with it.
func money(f Facts) Finding {
	r := Finding{Invariant: "I1", Title: "money: net = total where delivered, 0 where cancelled"}
	ledger := accounts(f.Ledger)
	known := map[string]bool{}
	var net int
	for _, o := range f.Orders {
		known[o.ID] = true
		s, a := fold(o.Events), ledger[o.ID]
		balance := a.balance()
		if balance.sign() != 0 {
			net++
		}
		switch {
		case a.captures > 1:
			r.breach("order %s was charged %d times", o.ID, a.captures)
		case a.refunded.sign() < 0 || a.refunded.cmp(a.captured) > 0:
			r.breach("order %s: refunded %s of %s captured", o.ID, a.refunded, a.captured)
		case a.mixed || (a.captures > 0 && a.currency != s.currency):
			r.breach("order %s in %s was charged in %s", o.ID, s.currency, a.currency)
		case s.status == "CONFIRMED" || s.status == "SHIPPED" || s.status == "DELIVERED":
			if !balance.Equal(total(s.total)) {
				r.breach("order %s is %s with %s of %d %s paid", o.ID, s.status, balance, s.total, s.currency)
			}
		case (s.status == "DRAFT" || s.status == "DISCARDED") && a.captures > 0:
			r.breach("order %s is %s and was charged", o.ID, s.status)
		case s.status == "CANCELLED" && balance.sign() != 0:
			r.breach("order %s is CANCELLED and %s %s were not given back", o.ID, balance, a.currency)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ledger)) {
		if !known[id] && ledger[id].balance().sign() != 0 {
			r.breach("order %s has money at the gateway and no stream", id)
		}
	}
	for _, p := range f.Payments {
		if a := ledger[p.OrderID]; !agrees(p.State, a) {
			r.breach("order %s: payment says %s, the gateway captured %s and refunded %s", p.OrderID, p.State, a.captured, a.refunded)
		}
	}
	r.Counted = fmt.Sprintf("%d ledger entries, %d orders, %d with money taken", len(f.Ledger), len(f.Orders), net)
	return r
}

// agrees reports whether a state of the payment service is consistent with an account. States of an
// unfinished payment, and a refund whose outcome is unknown, are consistent with any.
func agrees(state string, a account) bool {
	switch state {
	case "COMPLETED":
		return a.captured.sign() > 0 && a.refunded.sign() == 0
	case "REFUNDED":
		return a.captured.sign() > 0 && a.balance().sign() == 0
	case "FAILED", "VOIDED":
		return a.captured.sign() == 0
	}
	return true
}

// stock is I2: pieces are conserved and never negative. The reserved pieces are those of live
// reservations. A cancelled order has no live reservation, unless the event of its cancellation is
// parked or a dead letter at inventory.
func stock(f Facts) Finding {
	r := Finding{Invariant: "I2", Title: "stock: available + reserved + shipped = initial + restocked"}
	cancelled, unheard := map[string]bool{}, holding(f, "inventory")
	for _, o := range f.Orders {
		cancelled[o.ID] = fold(o.Events).status == "CANCELLED"
	}
	held, gone := totals{}, totals{}
	stocked := map[string]bool{}
	live := 0
	for _, res := range f.Reservations {
		switch res.State {
		case "RESERVED":
			live++
			if cancelled[res.OrderID] && !unheard[res.OrderID] {
				r.breach("order %s is CANCELLED and still holds stock", res.OrderID)
			}
			for sku, n := range res.Items {
				held.add(sku, n)
			}
		case "SHIPPED":
			if cancelled[res.OrderID] {
				r.breach("order %s is CANCELLED and its goods are shipped", res.OrderID)
			}
			for sku, n := range res.Items {
				gone.add(sku, n)
			}
		}
	}
	for _, s := range f.Stock {
		stocked[s.SKU] = true
		if min(s.Available, s.Reserved, s.Shipped, s.Initial, s.Restocked) < 0 {
			r.breach("SKU %s has a negative count: %s", s.SKU, s)
		}
		there, came := total(s.Available).plus(total(s.Reserved)).plus(total(s.Shipped)), total(s.Initial).plus(total(s.Restocked))
		if !there.Equal(came) {
			r.breach("SKU %s: %d available + %d reserved + %d shipped ≠ %d initial + %d restocked",
				s.SKU, s.Available, s.Reserved, s.Shipped, s.Initial, s.Restocked)
		}
		if !held[s.SKU].Equal(total(s.Reserved)) {
			r.breach("SKU %s: %d reserved, live reservations hold %s", s.SKU, s.Reserved, held[s.SKU])
		}
		if !gone[s.SKU].Equal(total(s.Shipped)) {
			r.breach("SKU %s: %d shipped, shipped reservations say %s", s.SKU, s.Shipped, gone[s.SKU])
		}
		if !s.Receipts.Equal(total(s.Restocked)) {
			r.breach("SKU %s: %d restocked, receipts add up to %s", s.SKU, s.Restocked, s.Receipts)
		}
	}
	for _, sku := range keys(held, gone) {
		if !stocked[sku] {
			r.breach("SKU %s is in reservations and not in stock", sku)
		}
	}
	r.Counted = fmt.Sprintf("%d SKUs, %d reservations, %d live", len(f.Stock), len(f.Reservations), live)
	return r
}
