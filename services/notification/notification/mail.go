package notification

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Order is what a mail says about an order. Amounts are exact decimals as text, such as "29.99".
type Order struct {
	ID         string
	CustomerID string
	Name       string // of the customer
	Email      string
	Items      []Item
	Total      string
	Currency   string // ISO 4217
}

// Item is one line of an order.
type Item struct {
	SKU       string
	Quantity  int64 // pieces
	UnitPrice string
}

// Mail is a mail to a customer.
type Mail struct {
	To, Subject, Text string
}

// Key returns the idempotency key of an order's only mail at the mailbox.
func Key(orderID string) string { return "mail-" + orderID }

// Compose returns the mail that confirms an order. The same order always leads to the same bytes.
// Control characters in the order's texts become U+FFFD, so that no text begins a line of its own.
func Compose(o Order) Mail {
	var text strings.Builder
	fmt.Fprintf(&text, "Dear %s,\n\nthank you for your order %s:\n\n", clean(o.Name), clean(o.ID))
	for _, item := range o.Items {
		fmt.Fprintf(&text, "  %d x %s at %s %s\n", item.Quantity, clean(item.SKU), item.UnitPrice, clean(o.Currency))
	}
	fmt.Fprintf(&text, "\nTotal: %s %s\n", o.Total, clean(o.Currency))
	return Mail{To: clean(o.Email), Subject: "Your order " + clean(o.ID), Text: text.String()}
}

// clean returns valid UTF-8 without control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}
