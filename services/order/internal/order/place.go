package order

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"eventshop.example/pkg/errs"
)

// Limits of what can be ordered. They bound the size of an OrderCreated event to
// well below a broker's message limit.
const (
	MaxItems    = 100
	MaxQuantity = 1_000_000
	MaxDeadline = 24 * time.Hour

	// MaxAmount bounds what one order may come to, and so the price of one piece, in minor
	// units. It is ten million US dollars in the currency that is worth least per minor unit
	// (the Iranian rial, two decimals, a million for a dollar), so no real order meets it.
	// It has 15 digits behind the first, so a client that keeps numbers as doubles shows it
	// exactly. And 9,223 orders of it fit int64, so that a sum that should be numeric and is
	// not shows in tests of what is possible, not with the first order of its kind.
	MaxAmount = int64(1_000_000_000_000_000)
)

var (
	skuCode     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	countryCode = regexp.MustCompile(`^[A-Z]{2}$`)
)

// Place is the command that begins an order. Amounts are in minor units.
type Place struct {
	OrderID         string
	Customer        Customer
	ShippingAddress Address
	Items           []Item
	TotalAmount     int64
	Currency        string // ISO 4217; that the code exists is checked where it comes in
	At              time.Time
	ConfirmWithin   time.Duration // 0 < d ≤ MaxDeadline
}

// Events checks the command and gives the events that begin the stream. The error
// is of kind Invalid and names every field at fault, as the HTTP API names them.
func (p Place) Events() ([]Event, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	events := []Event{Created{
		OrderID:         p.OrderID,
		Customer:        p.Customer,
		ShippingAddress: p.ShippingAddress,
		TotalAmount:     p.TotalAmount,
		Currency:        p.Currency,
		PlacedAt:        p.At,
		ConfirmBy:       p.At.Add(p.ConfirmWithin),
	}}
	for _, item := range p.Items {
		events = append(events, ItemAdded(item))
	}
	return events, nil
}

func (p Place) check() error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, errs.Field(field, format, args...))
	}
	text := func(field, s string, most int) {
		switch {
		case s == "":
			fault(field, "must not be empty")
		case !utf8.ValidString(s) || slices.ContainsFunc([]rune(s), unicode.IsControl):
			fault(field, "must not contain control characters")
		case utf8.RuneCountInString(s) > most:
			fault(field, "must not be longer than %d characters", most)
		}
	}
	text("customer.id", p.Customer.ID, 64)
	text("customer.name", p.Customer.Name, 200)
	text("customer.email", p.Customer.Email, 254) // RFC 5321 path limit less the brackets
	text("shippingAddress.street", p.ShippingAddress.Street, 200)
	text("shippingAddress.city", p.ShippingAddress.City, 100)
	text("shippingAddress.postalCode", p.ShippingAddress.PostalCode, 20)
	if c := p.ShippingAddress.Country; c != "" && !countryCode.MatchString(c) {
		fault("shippingAddress.country", "must be a code of two capital letters (ISO 3166-1)")
	}
	if p.ConfirmWithin <= 0 || p.ConfirmWithin > MaxDeadline {
		fault("confirmWithinSeconds", "must be between 1 and %d", int(MaxDeadline/time.Second))
	}
	if n := len(p.Items); n < 1 || n > MaxItems {
		fault("items", "an order has 1 to %d items, not %d", MaxItems, n)
	}
	seen := map[string]int{}
	for i, item := range p.Items {
		at := func(name string) string { return fmt.Sprintf("items[%d].%s", i, name) }
		if !skuCode.MatchString(item.SKU) {
			fault(at("sku"), "must be 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit")
		}
		if first, twice := seen[item.SKU]; twice {
			fault(at("sku"), "is the same as items[%d].sku; put the quantities together", first)
		} else {
			seen[item.SKU] = i
		}
		if item.Quantity < 1 || item.Quantity > MaxQuantity {
			fault(at("quantity"), "must be between 1 and %d", MaxQuantity)
		}
		if item.UnitPrice < 0 {
			fault(at("unitPrice"), "must not be negative")
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...) // a total of faulty items says nothing
	}
	total, ok := sum(p.Items)
	switch {
	case !ok:
		fault("totalAmount", "the items add up to more than can be charged: at most %d minor units", MaxAmount)
		for i, item := range p.Items {
			if item.UnitPrice > MaxAmount {
				fault(fmt.Sprintf("items[%d].unitPrice", i), "is more than can be charged")
			}
		}
		return errors.Join(faults...)
	case total != p.TotalAmount:
		return errs.Field("totalAmount", "is not the sum of the items")
	case total == 0:
		// A charge of nothing cannot be made, so the saga could never confirm it.
		return errs.Field("totalAmount", "must be more than 0")
	}
	return nil
}

// sum adds up the lines; ok is false when that is more than MaxAmount. It never
// overflows: quantities and prices are not negative, and the room that is left is
// divided before anything is multiplied.
func sum(items []Item) (total int64, ok bool) {
	for _, item := range items {
		if q := int64(item.Quantity); q > 0 && item.UnitPrice > (MaxAmount-total)/q {
			return 0, false
		}
		total += int64(item.Quantity) * item.UnitPrice
	}
	return total, true
}
