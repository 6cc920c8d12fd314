package verify

import (
	"fmt"
	"strings"

	"eventshop.example/ops/quote"
)

// told is text that is safe to print: the checks themselves build it. Any other string came from a
// record or a table, where a producer may have written anything.
type reported string

// breach adds a line. Every argument that may have come from outside is quoted.
func (f *Finding) breach(format string, args ...any) {
	f.Breaches = append(f.Breaches, string(tell(format, args...)))
}

// tell is fmt.Sprintf with arguments made safe to print. An argument of a type not listed here is a
// number, an id, or formats itself safely.
func tell(format string, args ...any) reported {
	for i, arg := range args {
		switch a := arg.(type) {
		case string:
			args[i] = quote.Word(a)
		case []string:
			args[i] = quote.Words(a)
		case error:
			args[i] = quote.Text(a.Error())
		}
	}
	return reported(fmt.Sprintf(format, args...))
}

// shown formats a record's key safely: keys of foreign records are arbitrary bytes.
func shown(key string) reported { return reported(quote.Word(key)) }

// shownDay formats a key of the revenue safely: its currency comes from a record.
func shownDay(key string) reported {
	day, currency, _ := strings.Cut(key, " ")
	return tell("%s %s", day, currency)
}

func (p Place) String() string {
	return fmt.Sprintf("%s/%d/%d", quote.Word(p.Topic), p.Partition, p.Offset)
}

// String formats the counts.
func (s Stock) String() string {
	return fmt.Sprintf("%d initial, %d restocked, %d available, %d reserved, %d shipped, receipts of %s",
		s.Initial, s.Restocked, s.Available, s.Reserved, s.Shipped, s.Receipts)
}

// String formats all fields.
func (o ProjectedOrder) String() string {
	return string(tell("{status %s, customer %s, %d %s for %d items, tracking id %s, cancel reason %s, needs attention %t, updated %s}",
		o.Status, o.CustomerID, o.TotalAmount, o.Currency, o.Items, o.TrackingID, o.CancelReason, o.NeedsAttention, o.UpdatedAt))
}

// String formats the sums.
func (r Revenue) String() string {
	return fmt.Sprintf("{%s captured in %d payments, %s refunded in %d}", r.Captured, r.Payments, r.Refunded, r.Refunds)
}
