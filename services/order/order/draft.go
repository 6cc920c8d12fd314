package order

import (
	"errors"
	"fmt"
	"time"

	"eventshop.example/pkg/errs"
)

// Rule is what a draft's command can violate. The values are part of the HTTP contract.
type Rule string

// The rules.
const (
	RuleDraft   Rule = "only-drafts-change"    // the order was placed or discarded
	RuleOneLine Rule = "one-line-per-sku"      // the draft has an item of this SKU
	RuleNoLine  Rule = "no-such-item"          // the draft has no item of this SKU
	RuleItems   Rule = "at-most-100-items"     // see MaxItems
	RuleAmount  Rule = "amount-can-be-charged" // the total is above MaxAmount, or 0 when the order is placed
	RuleEmpty   Rule = "an-order-has-items"    // when it is placed
	RuleAddress Rule = "an-order-has-an-address"
)

// RuleError is a command that the order's present state does not allow. Its kind is Conflict.
type RuleError struct {
	Rule   Rule
	Detail string
}

func (e *RuleError) Error() string { return e.Detail }

func violates(r Rule, format string, args ...any) error {
	return errs.New(errs.Conflict, "%w", &RuleError{r, fmt.Sprintf(format, args...)})
}

// StartDraft is the command that begins a draft. Address and Items are optional.
type StartDraft struct {
	OrderID  string
	Customer Customer
	Currency string // ISO 4217; the HTTP edge checks that the code exists
	Channel  Channel
	Address  Address
	Items    []Item
	At       time.Time
}

// Events checks the command and returns the events that begin the stream. The error has kind Invalid
// and names every invalid field with its name in the HTTP API.
func (s StartDraft) Events() ([]Event, error) {
	var f faults
	f.customer(s.Customer)
	f.channel(s.Channel)
	events := []Event{DraftStarted{s.OrderID, s.Customer, s.Currency, s.Channel, s.At}}
	if s.Address != (Address{}) {
		f.address("shippingAddress.", s.Address)
		events = append(events, DraftAddressChanged(s.Address))
	}
	if n := len(s.Items); n > MaxItems {
		f.add("items", "an order has at most %d items, not %d", MaxItems, n)
	}
	f.items(s.Items)
	if _, ok := sum(s.Items); !ok && len(f) == 0 {
		f.add("items", "add up to more than can be charged: at most %d minor units", MaxAmount)
	}
	if len(f) > 0 {
		return nil, errors.Join(f...)
	}
	for _, item := range s.Items {
		events = append(events, DraftItemAdded(item))
	}
	return events, nil
}

// Edit is a command that changes, places or discards a draft.
type Edit interface {
	// edit returns the events that the command causes. The order is a draft.
	edit(o Order) ([]Event, error)
}

// The commands. Amounts are in minor units of the draft's currency.
type (
	AddItem Item
	// ChangeItem replaces the line of the same SKU.
	ChangeItem Item
	RemoveItem struct{ SKU string }
	// ChangeAddress replaces the address.
	ChangeAddress Address
	Discard       Cause
	// PlaceDraft makes the draft an order, which then cannot be changed any more.
	PlaceDraft struct {
		At            time.Time
		ConfirmWithin time.Duration // 0 < d ≤ MaxDeadline
		Style         Style         // "": Choreographed
	}
)

// Edit returns the events that a command causes; none if it changes nothing. The error has kind Invalid
// when the command's fields are wrong, and is a [RuleError] when the draft does not allow it.
func (o Order) Edit(e Edit) ([]Event, error) {
	if o.State != Draft {
		return nil, violates(RuleDraft, "order %s is %s; only a draft can be changed, placed or discarded", o.ID, o.State)
	}
	return e.edit(o)
}

func (c AddItem) edit(o Order) ([]Event, error) {
	switch {
	case o.line(c.SKU) >= 0:
		return nil, violates(RuleOneLine, "the draft has an item %s; change its quantity", c.SKU)
	case len(o.Items) >= MaxItems:
		return nil, violates(RuleItems, "the draft has %d items, and an order has no more", MaxItems)
	}
	return o.with(Item(c), DraftItemAdded(c))
}

func (c ChangeItem) edit(o Order) ([]Event, error) {
	i := o.line(c.SKU)
	switch {
	case i < 0:
		return nil, violates(RuleNoLine, "the draft has no item %s", c.SKU)
	case o.Items[i] == Item(c):
		return nil, nil
	}
	return o.with(Item(c), DraftItemChanged(c))
}

// with returns the event if the item is valid and the draft's total with it can be charged.
func (o Order) with(item Item, e Event) ([]Event, error) {
	var f faults
	f.item("", item)
	if len(f) > 0 {
		return nil, errors.Join(f...)
	}
	others := o.applyDraft(DraftItemRemoved{item.SKU}).Items
	if _, ok := sum(append(others, item)); !ok {
		return nil, violates(RuleAmount, "with this item the order comes to more than can be charged: at most %d minor units", MaxAmount)
	}
	return []Event{e}, nil
}

func (c RemoveItem) edit(o Order) ([]Event, error) {
	if o.line(c.SKU) < 0 {
		return nil, violates(RuleNoLine, "the draft has no item %s", c.SKU)
	}
	return []Event{DraftItemRemoved(c)}, nil
}

func (c ChangeAddress) edit(o Order) ([]Event, error) {
	var f faults
	if f.address("", Address(c)); len(f) > 0 {
		return nil, errors.Join(f...)
	}
	if o.Address == Address(c) {
		return nil, nil
	}
	return []Event{DraftAddressChanged(c)}, nil
}

func (c Discard) edit(Order) ([]Event, error) { return []Event{DraftDiscarded(c)}, nil }

func (c PlaceDraft) edit(o Order) ([]Event, error) {
	switch {
	case len(o.Items) == 0:
		return nil, violates(RuleEmpty, "the draft has no items")
	case o.Address == Address{}:
		return nil, violates(RuleAddress, "the draft has no address")
	case o.TotalAmount == 0:
		return nil, violates(RuleAmount, "the draft comes to 0, which cannot be charged")
	}
	placed, err := Place{
		OrderID: o.ID, Customer: o.Customer, ShippingAddress: o.Address, Items: o.Items,
		TotalAmount: o.TotalAmount, Currency: o.Currency, Channel: o.Channel, Style: c.Style,
		At: c.At, ConfirmWithin: c.ConfirmWithin,
	}.Events()
	if err != nil {
		return nil, err
	}
	return append([]Event{DraftPlaced{}}, placed...), nil
}
