package verify

import (
	"testing"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
)

// alone is a shop of one order with a stream of these types, and the data of gateway and payment.
// Money is in minor units of GBP; the order's total is 2500.
func alone(payment string, ledger []LedgerEntry, types ...string) Facts {
	f := Facts{Orders: []Order{stream("order-alone", 2500, types...)}, Ledger: ledger}
	if payment != "" {
		f.Payments = []Payment{{"order-alone", payment}}
	}
	return f
}

func entries(amounts ...int64) []LedgerEntry {
	var out []LedgerEntry
	for _, n := range amounts {
		kind := "capture"
		if n < 0 {
			kind, n = "refund", -n
		}
		out = append(out, LedgerEntry{"order-alone", kind, "GBP", n})
	}
	return out
}

// TestI1EveryStatusAndAmount: for a confirmed or later order the net money is exactly its total,
// for a cancelled one 0, and in other statuses any. Payment's record agrees in all cases, so only
// the order's status decides.
func TestI1EveryStatusAndAmount(t *testing.T) {
	t.Parallel()
	paths := map[string][]string{
		"PENDING":    {"OrderCreated"},
		"CANCELLING": {"OrderCreated", "OrderCancellationRequested"},
		"CONFIRMED":  {"OrderCreated", "OrderConfirmed"},
		"SHIPPED":    {"OrderCreated", "OrderConfirmed", "OrderShipped"},
		"DELIVERED":  {"OrderCreated", "OrderConfirmed", "OrderShipped", "OrderDelivered"},
		"CANCELLED":  {"OrderCreated", "OrderCancelled"},
	}
	full := map[string]bool{"CONFIRMED": true, "SHIPPED": true, "DELIVERED": true}
	for status, path := range paths {
		if got := fold(stream("x", 1, path...).Events).status; got != status {
			t.Fatalf("the path to %s leads to %s", status, got)
		}
		for _, c := range []struct {
			name    string
			payment string
			ledger  []LedgerEntry
			ok      bool
		}{
			{"nothing taken", "", nil, !full[status]},
			{"voided", "VOIDED", []LedgerEntry{{"order-alone", "void", "", 0}}, !full[status]},
			{"declined", "FAILED", []LedgerEntry{{"order-alone", "decline", "GBP", 2500}}, !full[status]},
			{"all of it", "COMPLETED", entries(2500), status != "CANCELLED"},
			{"one too little", "COMPLETED", entries(2499), !full[status] && status != "CANCELLED"},
			{"one too many", "COMPLETED", entries(2501), !full[status] && status != "CANCELLED"},
			{"given back", "REFUNDED", entries(2500, -2500), !full[status]},
			{"given back in two parts", "REFUNDED", entries(2500, -2000, -500), !full[status]},
			{"given back in part", "REFUNDING", entries(2500, -2499), !full[status] && status != "CANCELLED"},
			{"more given back than taken", "REFUNDING", entries(2500, -2501), false},
			{"taken twice", "COMPLETED", entries(2500, 2500), false},
			{"taken in two parts", "COMPLETED", entries(1250, 1250), false},
		} {
			if r := money(alone(c.payment, c.ledger, path...)); r.OK() != c.ok {
				t.Errorf("%s, %s: ok is %t, want %t: %v", status, c.name, r.OK(), c.ok, r.Breaches)
			}
		}
	}
}

// TestI1EveryStateOfPayment combines each state of payment with each account. If payment records a
// capture, the account must have it; if it records a refund, the account must have the capture and
// the refund.
func TestI1EveryStateOfPayment(t *testing.T) {
	t.Parallel()
	nothing, taken, part, back := "nothing", "taken", "partly back", "back"
	ledgers := map[string][]LedgerEntry{
		nothing: nil, taken: entries(2500), part: entries(2500, -1), back: entries(2500, -2500),
	}
	states := map[string]map[string]bool{
		"NONE":          {nothing: true, taken: true, part: true, back: true},
		"VOIDING":       {nothing: true, taken: true, part: true, back: true},
		"REFUNDING":     {nothing: true, taken: true, part: true, back: true},
		"REFUND_FAILED": {nothing: true, taken: true, part: true, back: true},
		"COMPLETED":     {taken: true},
		"REFUNDED":      {back: true},
		"FAILED":        {nothing: true},
		"VOIDED":        {nothing: true},
	}
	for state, ok := range states {
		for account, ledger := range ledgers {
			// The status of a cancelling order does not determine its money yet.
			r := money(alone(state, ledger, "OrderCreated", "OrderCancellationRequested"))
			if r.OK() != ok[account] {
				t.Errorf("payment says %s, at the gateway: %s: ok is %t, want %t: %v", state, account, r.OK(), ok[account], r.Breaches)
			}
		}
	}
}

// TestI1AConfirmedOrderIsPaid: in a complete shop, with payment's record beside the gateway's.
func TestI1AConfirmedOrderIsPaid(t *testing.T) {
	t.Parallel()
	caught(t, "I1", []breach{
		{"confirmed for less", func(w *world) { w.Ledger[3].Amount-- }, stuck},
		{"confirmed for more", func(w *world) { w.Ledger[3].Amount++ }, stuck},
		{"confirmed, declined and payment knows it", func(w *world) {
			w.Ledger[3].Kind, w.Payments[2].State = "decline", "FAILED"
		}, stuck},
		{"confirmed, given back and payment knows it", func(w *world) {
			w.Ledger = append(w.Ledger, LedgerEntry{stuck, "refund", "GBP", 499})
			w.Payments[2].State = "REFUNDED"
		}, stuck},
		{"refunded and never taken", func(w *world) {
			w.Ledger = append(w.Ledger[:1:1], w.Ledger[3:]...) // without the capture and its refund
		}, refunded},
		{"refunded and the gateway declined", func(w *world) {
			w.Ledger[1].Kind = "decline"
			w.Ledger = append(w.Ledger[:2:2], w.Ledger[3:]...)
		}, refunded},
		{"completed and partly given back", func(w *world) {
			w.Ledger = append(w.Ledger, LedgerEntry{stuck, "refund", "GBP", 1})
		}, stuck},
		{"a stranger's payment was taken", func(w *world) {
			w.Payments = append(w.Payments, Payment{"order-unheard-of", "COMPLETED"})
		}, "order-unheard-of"},
	})
}

// TestI6NeighboursThatSwap: versions that differ by one must be in order too.
func TestI6NeighboursThatSwap(t *testing.T) {
	t.Parallel()
	record := func(version int64) Record {
		id := uuid.New()
		return Record{
			Topic: events.TopicOrderEvents, Key: "order-alone", ID: id, Type: "OrderConfirmed", Version: version,
			Event: events.OrderConfirmed{OrderID: "order-alone"},
		}
	}
	if r := versions(Facts{Records: []Record{record(1), record(3), record(4)}}); !r.OK() {
		t.Errorf("a gap is no breach: %v", r.Breaches)
	}
	for _, of := range [][]int64{{2, 1}, {1, 3, 2}, {4, 1}, {3, 3}} {
		var f Facts
		for _, v := range of {
			f.Records = append(f.Records, record(v))
		}
		if versions(f).OK() {
			t.Errorf("versions %v pass", of)
		}
	}
}

// TestHoldsOutsideTheSagaExcuseNoOrder: the saga does not wait for the read models, nor for mails.
func TestHoldsOutsideTheSagaExcuseNoOrder(t *testing.T) {
	t.Parallel()
	for _, group := range groups() {
		f := alone("", nil, "OrderCreated")
		f.DeadLetters = []DeadLetter{{Service: group, Group: group, Key: "order-alone", ID: uuid.New(), Status: "open", Parks: true}}
		if got, want := terminal(f).OK(), inSaga(group); got != want {
			t.Errorf("a pending order that a dead letter of %s holds: ok is %t, want %t", group, got, want)
		}
	}
}
