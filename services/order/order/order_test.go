package order_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/order"
)

func valid() order.Place {
	return order.Place{
		OrderID:         "o1",
		Customer:        order.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		ShippingAddress: order.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA"},
		Items:           []order.Item{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}, {SKU: "GADGET-05", Quantity: 1, UnitPrice: 4001}},
		TotalAmount:     9999,
		Currency:        "GBP",
		At:              time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		ConfirmWithin:   5 * time.Minute,
	}
}

func TestPlace(t *testing.T) {
	p := valid()
	events, err := p.Events()
	if err != nil {
		t.Fatal(err)
	}
	got := order.Order{}.Fold(events...)
	want := order.Order{
		ID: "o1", Version: 3, State: order.Pending, Customer: p.Customer, Address: p.ShippingAddress,
		Items: p.Items, TotalAmount: 9999, Currency: "GBP", Channel: order.Unspecified, Style: order.Choreographed, PlacedAt: p.At, ConfirmBy: p.At.Add(5 * time.Minute),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlaceNamesTheFieldAtFault(t *testing.T) {
	tests := map[string]struct {
		spoil func(*order.Place)
		field string
	}{
		"no customer id":        {func(p *order.Place) { p.Customer.ID = "" }, "customer.id"},
		"NUL in the name":       {func(p *order.Place) { p.Customer.Name = "Ada\x00" }, "customer.name"},
		"invalid UTF-8":         {func(p *order.Place) { p.Customer.Name = "Ada\xff" }, "customer.name"},
		"long email":            {func(p *order.Place) { p.Customer.Email = strings.Repeat("a", 255) }, "customer.email"},
		"newline in the street": {func(p *order.Place) { p.ShippingAddress.Street = "a\nb" }, "shippingAddress.street"},
		"no city":               {func(p *order.Place) { p.ShippingAddress.City = "" }, "shippingAddress.city"},
		"no postal code":        {func(p *order.Place) { p.ShippingAddress.PostalCode = "" }, "shippingAddress.postalCode"},
		"country by name":       {func(p *order.Place) { p.ShippingAddress.Country = "England" }, "shippingAddress.country"},
		"no items":              {func(p *order.Place) { p.Items = nil }, "items"},
		"too many items":        {func(p *order.Place) { p.Items = make([]order.Item, 101) }, "items"},
		"sku with a space":      {func(p *order.Place) { p.Items[0].SKU = "A B" }, "items[0].sku"},
		"same sku twice":        {func(p *order.Place) { p.Items[1].SKU = p.Items[0].SKU }, "items[1].sku"},
		"quantity 0":            {func(p *order.Place) { p.Items[1].Quantity = 0 }, "items[1].quantity"},
		"quantity -1":           {func(p *order.Place) { p.Items[1].Quantity = -1 }, "items[1].quantity"},
		"quantity too large":    {func(p *order.Place) { p.Items[1].Quantity = 1_000_001 }, "items[1].quantity"},
		"price -1":              {func(p *order.Place) { p.Items[0].UnitPrice = -1 }, "items[0].unitPrice"},
		"total one too many":    {func(p *order.Place) { p.TotalAmount++ }, "totalAmount"},
		"total overflows":       {func(p *order.Place) { p.Items[0].UnitPrice = math.MaxInt64/2 + 1 }, "totalAmount"},
		"a price too high":      {func(p *order.Place) { p.Items[0].UnitPrice = order.MaxAmount + 1 }, "items[0].unitPrice"},
		"all of int64":          {func(p *order.Place) { p.Items[0].UnitPrice, p.TotalAmount = math.MaxInt64, math.MaxInt64 }, "totalAmount"},
		"total of nothing":      {func(p *order.Place) { p.Items[0].UnitPrice, p.Items[1].UnitPrice, p.TotalAmount = 0, 0, 0 }, "totalAmount"},
		"no deadline":           {func(p *order.Place) { p.ConfirmWithin = 0 }, "confirmWithinSeconds"},
		"deadline too far":      {func(p *order.Place) { p.ConfirmWithin = 25 * time.Hour }, "confirmWithinSeconds"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := valid()
			tt.spoil(&p)
			events, err := p.Events()
			if errs.KindOf(err) != errs.Invalid || len(events) > 0 {
				t.Fatalf("got %d events and error %v, want none and an invalid one", len(events), err)
			}
			for _, f := range errs.Fields(err) {
				if f.Field == tt.field {
					return
				}
			}
			t.Errorf("%v does not name %s", err, tt.field)
		})
	}
}

// TestCap: the total of an order is at most MaxAmount, however the lines add up to it.
func TestCap(t *testing.T) {
	tests := map[string]struct {
		items []order.Item
		ok    bool
	}{
		"one piece":            {[]order.Item{{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount}}, true},
		"one unit more":        {[]order.Item{{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount + 1}}, false},
		"a million pieces":     {[]order.Item{{SKU: "A", Quantity: order.MaxQuantity, UnitPrice: order.MaxAmount / order.MaxQuantity}}, true},
		"dearer by one unit":   {[]order.Item{{SKU: "A", Quantity: order.MaxQuantity, UnitPrice: order.MaxAmount/order.MaxQuantity + 1}}, false},
		"two lines":            {[]order.Item{{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount - 1}, {SKU: "B", Quantity: 1, UnitPrice: 1}}, true},
		"two lines, one more":  {[]order.Item{{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount}, {SKU: "B", Quantity: 1, UnitPrice: 1}}, false},
		"wraps around to 2":    {[]order.Item{{SKU: "A", Quantity: 2, UnitPrice: math.MaxInt64}, {SKU: "B", Quantity: 4, UnitPrice: 1}}, false},
		"free beside the dear": {[]order.Item{{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount}, {SKU: "B", Quantity: order.MaxQuantity, UnitPrice: 0}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := valid()
			p.Items, p.TotalAmount = tt.items, 0
			for _, it := range tt.items {
				p.TotalAmount += int64(it.Quantity) * it.UnitPrice // wraps around, as in a service without overflow checks
			}
			_, err := p.Events()
			if (err == nil) != tt.ok {
				t.Errorf("error %v, want accepted: %t", err, tt.ok)
			}
			if fields := errs.Fields(err); !tt.ok && (len(fields) == 0 || fields[0].Field != "totalAmount") {
				t.Errorf("%v does not name totalAmount first", err)
			}
		})
	}
}

func TestPlaceSumsExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := valid()
		p.Items, p.TotalAmount = nil, 0
		for i := range rapid.IntRange(1, order.MaxItems).Draw(t, "items") {
			item := order.Item{
				SKU:       "S" + strings.Repeat("x", i%60) + string(rune('A'+i/60)),
				Quantity:  rapid.Int32Range(1, order.MaxQuantity).Draw(t, "quantity"),
				UnitPrice: rapid.Int64Range(1, 1e7).Draw(t, "price"), // 100 lines of a million come to MaxAmount,
			}
			p.Items = append(p.Items, item)
			p.TotalAmount += int64(item.Quantity) * item.UnitPrice
		}
		if _, err := p.Events(); err != nil {
			t.Fatalf("the right total is refused: %v", err)
		}
		p.TotalAmount += rapid.SampledFrom([]int64{-1, 1}).Draw(t, "off by")
		if _, err := p.Events(); err == nil {
			t.Fatal("a wrong total is accepted")
		}
	})
}

// TestAnyLife drives an order with arbitrary inputs and checks two invariants of every life: a
// final state is never left, and a snapshot of any version plus the events after it equals the
// whole stream.
func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream, err := valid().Events()
		if err != nil {
			t.Fatal(err)
		}
		o := order.Order{}.Fold(stream...)
		for range rapid.IntRange(0, 30).Draw(t, "inputs") {
			in := order.Message{
				Input:      rapid.SampledFrom(order.Inputs()).Draw(t, "input"),
				Reason:     rapid.SampledFrom([]string{"", "customer", "out_of_stock", "odd"}).Draw(t, "reason"),
				TrackingID: rapid.SampledFrom([]string{"", "T1"}).Draw(t, "tracking"),
			}
			d := o.Decide(in)
			next := o.Fold(d.Emit...)
			if o.State.Ended() && next.State != o.State {
				t.Fatalf("%s was left for %s by %s", o.State, next.State, in.Input)
			}
			switch d.Action {
			case order.Apply, order.Compensate, order.Wait, order.Refuse, order.Duplicate:
			default:
				t.Fatalf("%s + %s has no outcome", o.State, in.Input)
			}
			if d.Action == order.Duplicate && len(d.Emit) > 0 || d.Action == order.Refuse && next.State != o.State {
				t.Fatalf("%s + %s is a %s but moves the order: %v", o.State, in.Input, d.Action, d.Emit)
			}
			stream, o = append(stream, d.Emit...), next
		}
		cut := rapid.IntRange(0, len(stream)).Draw(t, "cut")
		folded := order.Order{}.Fold(stream[:cut]...)
		snapshot, err := folded.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if folded, err = order.FromSnapshot(folded.ID, int64(cut), snapshot); err != nil {
			t.Fatal(err)
		}
		for _, e := range stream[cut:] {
			data, err := order.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := order.Decode(e.Name(), data)
			if err != nil {
				t.Fatal(err)
			}
			folded = folded.Apply(stored)
		}
		if diff := cmp.Diff(o, folded); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestForeignSnapshotsAreRefused(t *testing.T) {
	for _, s := range []string{`{"format":1,"order":{"id":"o1","version":2}}`, `{"id":"o1","version":3}`, `{"id":"o2","version":2}`, `{"id":"o1"}`, `[]`, `nonsense`} {
		if _, err := order.FromSnapshot("o1", 2, []byte(s)); err == nil {
			t.Errorf("%s was taken for a snapshot", s)
		}
	}
}

func TestDecodeRefusesTheUnknown(t *testing.T) {
	if _, err := order.Decode("OrderFrobnicated", []byte(`{}`)); errs.KindOf(err) != errs.Internal {
		t.Errorf("unknown type: %v", err)
	}
	if _, err := order.Decode("OrderCreated", []byte(`[]`)); errs.KindOf(err) != errs.Internal {
		t.Errorf("wrong form: %v", err)
	}
}
