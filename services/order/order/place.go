package order

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"eventshop.example/pkg/errs"
)

// Limits of an order. They keep an OrderCreated event well below the broker's message limit.
const (
	MaxItems    = 100
	MaxQuantity = 1_000_000
	MaxDeadline = 24 * time.Hour

	// MaxAmount bounds the total of one order in minor units, and so the price of one piece. It is
	// ten million US dollars in the currency with the lowest value per minor unit (the Iranian
	// rial: two decimals, a million per dollar). So no real order reaches it. It is 10^15, so a
	// client that stores numbers as doubles shows it exactly. 9,223 orders of this amount fit
	// int64. So a test of the limits reveals a sum that should be numeric but is int64, before real
	// orders do.
	MaxAmount = int64(1_000_000_000_000_000)
)

var (
	skuCode     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	countryCode = regexp.MustCompile(`^[A-Z]{2}$`)
)

// Place is the command that creates an order. Amounts are in minor units.
type Place struct {
	OrderID         string
	Customer        Customer
	ShippingAddress Address
	Items           []Item
	TotalAmount     int64
	Currency        string  // ISO 4217; the HTTP edge checks that the code exists
	Channel         Channel // "": Unspecified
	Style           Style   // "": Choreographed
	At              time.Time
	ConfirmWithin   time.Duration // 0 < d ≤ MaxDeadline
}

// Events checks the command and returns the events that begin the stream. The error has kind
// Invalid and names every invalid field with its name in the HTTP API.
func (p Place) Events() ([]Event, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	events := []Event{OrderCreated{
		OrderID:         p.OrderID,
		Customer:        p.Customer,
		ShippingAddress: p.ShippingAddress,
		TotalAmount:     p.TotalAmount,
		Currency:        p.Currency,
		Channel:         cmp.Or(p.Channel, Unspecified),
		Style:           cmp.Or(p.Style, Choreographed),
		PlacedAt:        p.At,
		ConfirmBy:       p.At.Add(p.ConfirmWithin),
	}}
	for _, item := range p.Items {
		events = append(events, ItemAdded(item))
	}
	return events, nil
}

func (p Place) check() error {
	var f faults
	f.customer(p.Customer)
	f.address("shippingAddress.", p.ShippingAddress)
	f.channel(p.Channel)
	f.style(p.Style)
	if p.ConfirmWithin <= 0 || p.ConfirmWithin > MaxDeadline {
		f.add("confirmWithinSeconds", "must be between 1 and %d", int(MaxDeadline/time.Second))
	}
	if n := len(p.Items); n < 1 || n > MaxItems {
		f.add("items", "an order has 1 to %d items, not %d", MaxItems, n)
	}
	f.items(p.Items)
	if len(f) > 0 {
		return errors.Join(f...) // the total of invalid items has no meaning
	}
	total, ok := sum(p.Items)
	switch {
	case !ok:
		f.add("totalAmount", "the items add up to more than can be charged: at most %d minor units", MaxAmount)
		for i, item := range p.Items {
			if item.UnitPrice > MaxAmount {
				f.add(fmt.Sprintf("items[%d].unitPrice", i), "is more than can be charged")
			}
		}
		return errors.Join(f...)
	case total != p.TotalAmount:
		return errs.Field("totalAmount", "is not the sum of the items")
	case total == 0:
		// A charge of 0 is impossible, so the saga could never confirm the order.
		return errs.Field("totalAmount", "must be more than 0")
	}
	return nil
}

// faults collects what is wrong with a command, by the fields' names in the HTTP API.
type faults []error

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, errs.Field(field, format, args...))
}

func (f *faults) text(field, s string, most int) {
	switch {
	case s == "":
		f.add(field, "must not be empty")
	case !utf8.ValidString(s) || slices.ContainsFunc([]rune(s), unicode.IsControl):
		f.add(field, "must not contain control characters")
	case utf8.RuneCountInString(s) > most:
		f.add(field, "must not be longer than %d characters", most)
	}
}

func (f *faults) customer(c Customer) {
	f.text("customer.id", c.ID, 64)
	f.text("customer.name", c.Name, 200)
	f.text("customer.email", c.Email, 254) // the path limit of RFC 5321 without the brackets
}

func (f *faults) channel(c Channel) {
	switch c {
	case "", Unspecified, Web, MobileApp, Phone, Store, Partner:
	default:
		f.add("channel", "is not a sales channel")
	}
}

func (f *faults) style(s Style) {
	switch s {
	case "", Choreographed, Orchestrated:
	default:
		f.add("saga", "is not a style of a saga")
	}
}

func (f *faults) address(prefix string, a Address) {
	f.text(prefix+"street", a.Street, 200)
	f.text(prefix+"city", a.City, 100)
	f.text(prefix+"postalCode", a.PostalCode, 20)
	if a.Country != "" && !countryCode.MatchString(a.Country) {
		f.add(prefix+"country", "must be a code of two capital letters (ISO 3166-1)")
	}
}

func (f *faults) items(items []Item) {
	seen := map[string]int{}
	for i, item := range items {
		prefix := fmt.Sprintf("items[%d].", i)
		f.item(prefix, item)
		if first, twice := seen[item.SKU]; twice {
			f.add(prefix+"sku", "is the same as items[%d].sku; put the quantities together", first)
		} else {
			seen[item.SKU] = i
		}
	}
}

func (f *faults) item(prefix string, item Item) {
	if !skuCode.MatchString(item.SKU) {
		f.add(prefix+"sku", "must be 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit")
	}
	if item.Quantity < 1 || item.Quantity > MaxQuantity {
		f.add(prefix+"quantity", "must be between 1 and %d", MaxQuantity)
	}
	if item.UnitPrice < 0 {
		f.add(prefix+"unitPrice", "must not be negative")
	}
}

// sum adds up the lines. ok is false when the total exceeds MaxAmount. It never overflows:
// quantities and prices are not negative, and it divides the remaining room before it multiplies.
func sum(items []Item) (total int64, ok bool) {
	for _, item := range items {
		if q := int64(item.Quantity); q > 0 && item.UnitPrice > (MaxAmount-total)/q {
			return 0, false
		}
		total += int64(item.Quantity) * item.UnitPrice
	}
	return total, true
}
