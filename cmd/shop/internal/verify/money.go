package verify

import (
	"fmt"
	"maps"
	"slices"
)

// account is what the gateway's ledger says about one order, in minor units.
type account struct {
	captures           int
	captured, refunded int64
	currency           string
	mixed              bool // in more than one currency
}

func (a account) balance() int64 { return a.captured - a.refunded }

func accounts(ledger []LedgerEntry) map[string]account {
	out := map[string]account{}
	for _, e := range ledger {
		a := out[e.OrderID]
		switch e.Kind {
		case "capture":
			a.captures++
			a.captured += e.Amount
		case "refund":
			a.refunded += e.Amount
		default:
			continue // declines and voids move no money
		}
		a.mixed = a.mixed || (a.currency != "" && a.currency != e.Currency)
		a.currency = e.Currency
		out[e.OrderID] = a
	}
	return out
}

// money is I1. The gateway's own ledger is the oracle: per order at most one
// capture, 0 ≤ refunded ≤ captured, and net money as the order's status says. What
// the payment service has written down must agree with it.
func money(f Facts) Finding {
	r := Finding{Invariant: "I1", Title: "money: net = total where delivered, 0 where cancelled"}
	ledger := accounts(f.Ledger)
	known := map[string]bool{}
	var net int
	for _, o := range f.Orders {
		known[o.ID] = true
		s, a := fold(o.Events), ledger[o.ID]
		balance := a.balance()
		if balance != 0 {
			net++
		}
		switch {
		case a.captures > 1:
			r.breach("order %s was charged %d times", o.ID, a.captures)
		case a.refunded < 0 || a.refunded > a.captured:
			r.breach("order %s: refunded %d of %d captured", o.ID, a.refunded, a.captured)
		case a.mixed || (a.captures > 0 && a.currency != s.currency):
			r.breach("order %s in %s was charged in %s", o.ID, s.currency, a.currency)
		case s.status == "CONFIRMED" || s.status == "SHIPPED" || s.status == "DELIVERED":
			if balance != s.total {
				r.breach("order %s is %s with %d of %d %s paid", o.ID, s.status, balance, s.total, s.currency)
			}
		case s.status == "CANCELLED" && balance != 0:
			r.breach("order %s is CANCELLED and %d %s were not given back", o.ID, balance, a.currency)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ledger)) {
		if !known[id] && ledger[id].balance() != 0 {
			r.breach("order %s has money at the gateway and no stream", id)
		}
	}
	for _, p := range f.Payments {
		if a := ledger[p.OrderID]; !agrees(p.State, a) {
			r.breach("order %s: payment says %s, the gateway captured %d and refunded %d", p.OrderID, p.State, a.captured, a.refunded)
		}
	}
	r.Counted = fmt.Sprintf("%d ledger entries, %d orders, %d with money taken", len(f.Ledger), len(f.Orders), net)
	return r
}

// agrees tells whether a state of the payment service can stand beside an account.
// States on the way, and a refund that nobody knows the outcome of, can beside any.
func agrees(state string, a account) bool {
	switch state {
	case "COMPLETED":
		return a.captured > 0 && a.refunded == 0
	case "REFUNDED":
		return a.captured > 0 && a.balance() == 0
	case "FAILED", "VOIDED":
		return a.captured == 0
	}
	return true
}

// stock is I2: pieces are conserved and never negative, what is reserved is what
// live reservations hold, and a cancelled order holds none, unless inventory has
// the news of it parked or as a dead letter.
func stock(f Facts) Finding {
	r := Finding{Invariant: "I2", Title: "stock: available + reserved + shipped = initial + restocked"}
	cancelled, unheard := map[string]bool{}, holding(f, "inventory")
	for _, o := range f.Orders {
		cancelled[o.ID] = fold(o.Events).status == "CANCELLED"
	}
	held, gone := map[string]int64{}, map[string]int64{}
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
				held[sku] += n
			}
		case "SHIPPED":
			if cancelled[res.OrderID] {
				r.breach("order %s is CANCELLED and its goods are shipped", res.OrderID)
			}
			for sku, n := range res.Items {
				gone[sku] += n
			}
		}
	}
	for _, s := range f.Stock {
		stocked[s.SKU] = true
		if min(s.Available, s.Reserved, s.Shipped, s.Initial, s.Restocked) < 0 {
			r.breach("SKU %s has a negative count: %+v", s.SKU, s)
		}
		if s.Available+s.Reserved+s.Shipped != s.Initial+s.Restocked {
			r.breach("SKU %s: %d available + %d reserved + %d shipped ≠ %d initial + %d restocked",
				s.SKU, s.Available, s.Reserved, s.Shipped, s.Initial, s.Restocked)
		}
		if s.Reserved != held[s.SKU] {
			r.breach("SKU %s: %d reserved, live reservations hold %d", s.SKU, s.Reserved, held[s.SKU])
		}
		if s.Shipped != gone[s.SKU] {
			r.breach("SKU %s: %d shipped, shipped reservations say %d", s.SKU, s.Shipped, gone[s.SKU])
		}
		if s.Restocked != s.Receipts {
			r.breach("SKU %s: %d restocked, receipts add up to %d", s.SKU, s.Restocked, s.Receipts)
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
