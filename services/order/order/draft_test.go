package order_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/order"
)

var (
	ada    = order.Customer{ID: "c7", Name: "Ada", Email: "ada@example.com"}
	home   = order.Address{Street: "1 Lane", City: "London", PostalCode: "SW1A 1AA"}
	atNoon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
)

// draftOf returns the history of a draft with items and the address.
func draftOf(items ...order.Item) []order.Event {
	events := []order.Event{order.DraftStarted{OrderID: "o1", Customer: ada, Currency: "GBP", StartedAt: atNoon}, order.DraftAddressChanged(home)}
	for _, i := range items {
		events = append(events, order.DraftItemAdded(i))
	}
	return events
}

func many(n int) (items []order.Item) {
	for i := range n {
		items = append(items, order.Item{SKU: fmt.Sprint("S", i), Quantity: 1, UnitPrice: 1})
	}
	return items
}

// TestEdits: given a history, when a command, then these events, this rule or these fields.
func TestEdits(t *testing.T) {
	t.Parallel()
	a := order.Item{SKU: "A", Quantity: 2, UnitPrice: 2999}
	more := order.Item{SKU: "A", Quantity: 3, UnitPrice: 2999}
	placed := append(draftOf(a), order.DraftPlaced{}, order.OrderCreated{OrderID: "o1"}, order.ItemAdded(a))
	for name, c := range map[string]struct {
		given  []order.Event
		when   order.Edit
		then   []order.Event
		rule   order.Rule
		fields string
	}{
		"add":                      {given: draftOf(), when: order.AddItem(a), then: []order.Event{order.DraftItemAdded(a)}},
		"add what is there":        {given: draftOf(a), when: order.AddItem(more), rule: order.RuleOneLine},
		"add the hundredth":        {given: draftOf(many(99)...), when: order.AddItem(a), then: []order.Event{order.DraftItemAdded(a)}},
		"add one too many":         {given: draftOf(many(100)...), when: order.AddItem(a), rule: order.RuleItems},
		"add what has no quantity": {given: draftOf(), when: order.AddItem{SKU: "A"}, fields: "quantity"},
		"add a SKU that is none":   {given: draftOf(), when: order.AddItem{SKU: "no sku", Quantity: 1}, fields: "sku"},
		"add a negative price":     {given: draftOf(), when: order.AddItem{SKU: "A", Quantity: 1, UnitPrice: -1}, fields: "unitPrice"},
		"add more than can be charged": {given: draftOf(order.Item{SKU: "B", Quantity: 1, UnitPrice: order.MaxAmount}),
			when: order.AddItem{SKU: "A", Quantity: 1, UnitPrice: 1}, rule: order.RuleAmount},
		"change":                   {given: draftOf(a), when: order.ChangeItem(more), then: []order.Event{order.DraftItemChanged(more)}},
		"change nothing":           {given: draftOf(a), when: order.ChangeItem(a)},
		"change what is not there": {given: draftOf(), when: order.ChangeItem(a), rule: order.RuleNoLine},
		"change to what can be charged, though both prices together cannot": {given: draftOf(order.Item{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount}),
			when: order.ChangeItem{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount - 1},
			then: []order.Event{order.DraftItemChanged{SKU: "A", Quantity: 1, UnitPrice: order.MaxAmount - 1}}},
		"change to more than can be charged": {given: draftOf(a), when: order.ChangeItem{SKU: "A", Quantity: 2, UnitPrice: order.MaxAmount}, rule: order.RuleAmount},
		"remove":                             {given: draftOf(a), when: order.RemoveItem{SKU: "A"}, then: []order.Event{order.DraftItemRemoved{SKU: "A"}}},
		"remove what is not there":           {given: draftOf(a), when: order.RemoveItem{SKU: "B"}, rule: order.RuleNoLine},
		"remove twice":                       {given: append(draftOf(a), order.DraftItemRemoved{SKU: "A"}), when: order.RemoveItem{SKU: "A"}, rule: order.RuleNoLine},
		"another address": {given: draftOf(), when: order.ChangeAddress{Street: "2 Lane", City: "Paris", PostalCode: "75001", Country: "FR"},
			then: []order.Event{order.DraftAddressChanged{Street: "2 Lane", City: "Paris", PostalCode: "75001", Country: "FR"}}},
		"the same address":      {given: draftOf(), when: order.ChangeAddress(home)},
		"an address with holes": {given: draftOf(), when: order.ChangeAddress{Street: "2 Lane", Country: "France"}, fields: "city postalCode country"},
		"discard": {given: draftOf(a), when: order.Discard{Reason: order.ReasonCustomer},
			then: []order.Event{order.DraftDiscarded{Reason: order.ReasonCustomer}}},
		"place": {given: draftOf(a), when: order.PlaceDraft{At: atNoon, ConfirmWithin: time.Minute}, then: []order.Event{
			order.DraftPlaced{},
			order.OrderCreated{OrderID: "o1", Customer: ada, ShippingAddress: home, TotalAmount: 5998, Currency: "GBP", Channel: order.Unspecified, Style: order.Choreographed, PlacedAt: atNoon, ConfirmBy: atNoon.Add(time.Minute)},
			order.ItemAdded(a),
		}},
		"place without items":           {given: draftOf(), when: order.PlaceDraft{At: atNoon, ConfirmWithin: time.Minute}, rule: order.RuleEmpty},
		"place without an address":      {given: slices.Delete(draftOf(a), 1, 2), when: order.PlaceDraft{At: atNoon, ConfirmWithin: time.Minute}, rule: order.RuleAddress},
		"place what is free":            {given: draftOf(order.Item{SKU: "A", Quantity: 1}), when: order.PlaceDraft{At: atNoon, ConfirmWithin: time.Minute}, rule: order.RuleAmount},
		"place with no time to confirm": {given: draftOf(a), when: order.PlaceDraft{At: atNoon}, fields: "confirmWithinSeconds"},

		"change what was placed":     {given: placed, when: order.AddItem{SKU: "B", Quantity: 1}, rule: order.RuleDraft},
		"place twice":                {given: placed, when: order.PlaceDraft{At: atNoon, ConfirmWithin: time.Minute}, rule: order.RuleDraft},
		"discard what was placed":    {given: placed, when: order.Discard{}, rule: order.RuleDraft},
		"place what was discarded":   {given: append(draftOf(a), order.DraftDiscarded{}), when: order.PlaceDraft{At: atNoon, ConfirmWithin: time.Minute}, rule: order.RuleDraft},
		"discard what was discarded": {given: append(draftOf(a), order.DraftDiscarded{}), when: order.Discard{}, rule: order.RuleDraft},
		"edit what never was one":    {given: history(order.Pending), when: order.RemoveItem{SKU: "A"}, rule: order.RuleDraft},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := order.Order{}.Fold(c.given...).Edit(c.when)
			if diff := cmp.Diff(c.then, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			var rule order.Rule
			if broken, ok := errors.AsType[*order.RuleError](err); ok {
				rule = broken.Rule
				if errs.KindOf(err) != errs.Conflict {
					t.Errorf("the kind is %s", errs.KindOf(err))
				}
			}
			var fields []string
			for _, f := range errs.Fields(err) {
				fields = append(fields, f.Field)
			}
			if rule != c.rule || strings.Join(fields, " ") != c.fields || (err != nil) != (c.rule != "" || c.fields != "") {
				t.Errorf("rule %q fields %q error %v, want rule %q fields %q", rule, fields, err, c.rule, c.fields)
			}
		})
	}
}

func TestStartOfADraft(t *testing.T) {
	t.Parallel()
	a := order.Item{SKU: "A", Quantity: 2, UnitPrice: 2999}
	got, err := order.StartDraft{OrderID: "o1", Customer: ada, Currency: "GBP", Address: home, Items: []order.Item{a}, At: atNoon}.Events()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(draftOf(a), got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	_, err = order.StartDraft{OrderID: "o1", Customer: order.Customer{ID: "c7", Email: "e"}, Currency: "GBP",
		Address: order.Address{Street: "x"}, Items: []order.Item{a, a, {SKU: "B"}}}.Events()
	var fields []string
	for _, f := range errs.Fields(err) {
		fields = append(fields, f.Field)
	}
	want := []string{"customer.name", "shippingAddress.city", "shippingAddress.postalCode", "items[1].sku", "items[2].quantity"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// TestADraftBecomesTheOrderThatWasPlacedAtOnce: whatever the edits, the placed draft is the order that a
// customer would have placed with the items that are left. No fold changes an earlier one.
func TestADraftBecomesTheOrderThatWasPlacedAtOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		item := rapid.Custom(func(t *rapid.T) order.Item {
			return order.Item{SKU: rapid.SampledFrom([]string{"A", "B", "C", "D"}).Draw(t, "sku"),
				Quantity: rapid.Int32Range(1, 5).Draw(t, "quantity"), UnitPrice: rapid.Int64Range(0, 500).Draw(t, "price")}
		})
		o := order.Order{}.Fold(draftOf()...)
		var lines []order.Item // the model
		at := func(sku string) int { return slices.IndexFunc(lines, func(i order.Item) bool { return i.SKU == sku }) }
		for range rapid.IntRange(0, 20).Draw(t, "edits") {
			i := item.Draw(t, "item")
			var edit order.Edit
			there := at(i.SKU)
			allowed := there >= 0
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				if edit, allowed = order.AddItem(i), there < 0; allowed {
					lines = append(slices.Clone(lines), i)
				}
			case 1:
				if edit = order.ChangeItem(i); allowed {
					lines = slices.Clone(lines)
					lines[there] = i
				}
			default:
				if edit = (order.RemoveItem{SKU: i.SKU}); allowed {
					lines = slices.Delete(slices.Clone(lines), there, there+1)
				}
			}
			before := slices.Clone(o.Items)
			events, err := o.Edit(edit)
			if (err == nil) != allowed {
				t.Fatalf("%#v: %v, allowed %v", edit, err, allowed)
			}
			changed := o.Fold(events...)
			if !slices.Equal(o.Items, before) {
				t.Fatal("a fold changed the order that it began with")
			}
			o = changed
		}
		style := rapid.SampledFrom([]order.Style{"", order.Choreographed, order.Orchestrated, "other"}).Draw(t, "style")
		place := order.Place{OrderID: "o1", Customer: ada, ShippingAddress: home, Items: lines, Currency: "GBP", At: atNoon, ConfirmWithin: time.Minute, Style: style}
		for _, i := range lines {
			place.TotalAmount += int64(i.Quantity) * i.UnitPrice
		}
		if o.TotalAmount != place.TotalAmount {
			t.Fatalf("the draft comes to %d, its items to %d", o.TotalAmount, place.TotalAmount)
		}
		directly, wrong := place.Events()
		events, err := o.Edit(order.PlaceDraft{At: atNoon, ConfirmWithin: time.Minute, Style: style})
		if (wrong == nil) != (err == nil) {
			t.Fatalf("placed at once: %v; as a draft: %v", wrong, err)
		}
		if err != nil {
			return
		}
		want, got := order.Order{}.Fold(directly...), o.Fold(events...)
		got.Version = want.Version
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the order (-placed at once +from a draft):\n%s", diff)
		}
	})
}
