package mutation_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/proof/check"
	"eventshop.example/proof/shop"
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// cell is a cell of a table in which something happens, with the tables in which nothing happens there.
type cell struct {
	name   string // the table, the state and the input
	tables shop.Tables
}

// cells lists the cells in which something happens, of all tables.
func cells() []cell {
	return slices.Concat(orderCells(), paymentCells(), inventoryCells(), shippingCells())
}

func orderCells() []cell {
	var out []cell
	for _, s := range order.States() {
		for _, in := range order.Inputs() {
			if order.Decide(s, in).Effect == order.NoEffect {
				continue
			}
			t := shop.Real()
			t.Order = func(o order.Order, m order.Message) order.Decision {
				if o.State == s && m.Input == in {
					return order.Decision{Action: order.Refuse}
				}
				return o.Decide(m)
			}
			out = append(out, cell{fmt.Sprintf("order %s %s", s, in), t})
		}
	}
	return out
}

func paymentCells() []cell {
	var out []cell
	for _, s := range payment.States() {
		for _, in := range payment.Inputs() {
			if d := payment.Decide(s, in); d.Next == s && len(d.Emit) == 0 && d.Effect == payment.NoEffect {
				continue
			}
			t := shop.Real()
			t.Payment = ignoring(t.Payment, s, in, payment.Decision{Action: payment.Refuse, Next: s})
			out = append(out, cell{fmt.Sprintf("payment %s %s", s, in), t})
		}
	}
	return out
}

func inventoryCells() []cell {
	var out []cell
	for _, s := range inventory.States() {
		for _, in := range inventory.Inputs() {
			if inventory.Decide(s, in).Next == s {
				continue
			}
			t := shop.Real()
			t.Inventory = ignoring(t.Inventory, s, in, inventory.Decision{Action: inventory.Refuse, Next: s})
			out = append(out, cell{fmt.Sprintf("inventory %s %s", s, in), t})
		}
	}
	return out
}

func shippingCells() []cell {
	var out []cell
	for _, s := range shipping.States() {
		for _, in := range shipping.Inputs() {
			if d := shipping.Decide(s, in); d.Next == s && len(d.Emit) == 0 && d.Effect == shipping.NoEffect {
				continue
			}
			t := shop.Real()
			t.Shipping = ignoring(t.Shipping, s, in, shipping.Decision{Action: shipping.Refuse, Next: s})
			out = append(out, cell{fmt.Sprintf("shipping %s %s", s, in), t})
		}
	}
	return out
}

// ignoring returns a table in which one cell does nothing.
func ignoring[S, I comparable, D any](real func(S, I) D, state S, input I, nothing D) func(S, I) D {
	return func(s S, in I) D {
		if s == state && in == input {
			return nothing
		}
		return real(s, in)
	}
}

// asking returns the services' tables, and notes each cell that is asked.
func asking(used map[string]bool) shop.Tables {
	return shop.Tables{
		Order: func(o order.Order, m order.Message) order.Decision {
			used[fmt.Sprintf("order %s %s", o.State, m.Input)] = true
			return o.Decide(m)
		},
		Payment:   noting("payment", payment.Decide, used),
		Inventory: noting("inventory", inventory.Decide, used),
		Shipping:  noting("shipping", shipping.Decide, used),
	}
}

func noting[S, I ~string, D any](name string, real func(S, I) D, used map[string]bool) func(S, I) D {
	return func(s S, in I) D {
		used[fmt.Sprintf("%s %s %s", name, s, in)] = true
		return real(s, in)
	}
}

// redundant has the cells whose loss no invariant shows, with the reason.
var redundant = map[string]string{
	"order PENDING RequestCancellation":   "an order that cannot be cancelled breaks no invariant",
	"order CONFIRMED RequestCancellation": "the same",
	"order PENDING PassDeadline":          "every message arrives in the end, so that the order ends without its deadline",

	"order PENDING InventoryReservationFailed":    "the order ends by the refund; this fact is only the reason",
	"order PENDING ShipmentFailed":                "the same",
	"order CANCELLING InventoryReservationFailed": "the same",
	"order CANCELLING ShipmentFailed":             "the same",

	"order PENDING ShipmentScheduled":     "the dispatch implies it",
	"order CONFIRMED ShipmentDispatched":  "the delivery implies it",
	"order CANCELLING ShipmentDispatched": "the delivery implies it",

	"payment VOIDING ChargeCaptured": "the worker's void finds it out",
	"payment VOIDING ChargeDeclined": "the same",
	"payment VOIDING ChargeStopped":  "the same",

	"inventory  PaymentVoided":                 "ShipmentCancelled, which caused the void, leaves the tombstone too",
	"inventory AWAITING_PAYMENT PaymentVoided": "the same",

	"shipping AWAITING_RESERVATION CarrierAccepted":  "the carrier's feed implies it",
	"shipping AWAITING_ADDRESS CarrierAccepted":      "the same",
	"shipping AWAITING_RESERVATION ParcelDispatched": "the delivery implies it",
	"shipping AWAITING_ADDRESS ParcelDispatched":     "the same",
	"shipping SCHEDULED ParcelDispatched":            "the same",
	"shipping AWAITING_RESERVATION CarrierStopped":   "the cancellation that stopped the parcel has its own answer",
}

// TestEveryCellMatters replaces each cell in which something happens by one in which nothing does.
// Each that the model uses is found, but for the redundant ones: what they do, another message does.
func TestEveryCellMatters(t *testing.T) {
	t.Parallel()
	bounds := []shop.Bounds{{}, {Spent: 1}, {Lost: 1}}
	used := map[string]bool{}
	for _, b := range bounds {
		if b := check.Explore(shop.New(asking(used), shop.Rules{}).System([]shop.Coordination{{}}, b, 0, 1), 0).Breach; b != nil {
			t.Fatalf("the real tables: %s: %s", b.Invariant, b.Text)
		}
	}
	found, unused := 0, 0
	survived := []string{}
	for _, c := range cells() {
		if !used[c.name] { // what is never asked makes no difference
			unused++
			continue
		}
		model := shop.New(c.tables, shop.Rules{})
		caught := slices.ContainsFunc(bounds, func(b shop.Bounds) bool {
			return check.Explore(model.System([]shop.Coordination{{}}, b, 0, 1), 0).Breach != nil
		})
		if caught {
			found++
		} else {
			survived = append(survived, c.name)
		}
	}
	slices.Sort(survived)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(redundant)), survived); diff != "" {
		t.Errorf("cells that can do nothing (-want +got):\n%s", diff)
	}
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if says := fmt.Sprintf("%d are found, %d are redundant and %d are not used", found, len(survived), unused); !strings.Contains(string(page), says) {
		t.Errorf("README.md does not say %q", says)
	}
}
