package notification

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCompose(t *testing.T) {
	t.Parallel()
	got := Compose(Order{
		ID: "o-42", CustomerID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com", Total: "99.99", Currency: "GBP",
		Items: []Item{{"WIDGET-01", 2, "29.99"}, {"GADGET-05", 1, "40.01"}},
	})
	want := Mail{
		To: "ada@example.com", Subject: "Your order o-42",
		Text: "Dear Ada Lovelace,\n\nthank you for your order o-42:\n\n" +
			"  2 x WIDGET-01 at 29.99 GBP\n  1 x GADGET-05 at 40.01 GBP\n\nTotal: 99.99 GBP\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mail (-want +got):\n%s", diff)
	}
}

// TestNoTextAddsALine: no name, address or SKU adds a line to the mail or a character that a database
// does not take.
func TestNoTextAddsALine(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		m := Compose(Order{
			ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Email: text.Draw(t, "email"), Currency: text.Draw(t, "currency"),
			Items: []Item{{SKU: text.Draw(t, "sku"), Quantity: 1, UnitPrice: "1.00"}}, Total: "1.00",
		})
		if n := strings.Count(m.Text, "\n"); n != 7 {
			t.Fatalf("%d lines: %q", n, m.Text)
		}
		for _, s := range []string{m.To, m.Subject, m.Text} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || strings.ContainsAny(m.To+m.Subject, "\r\n") {
				t.Fatalf("mail %q", s)
			}
		}
	})
}
