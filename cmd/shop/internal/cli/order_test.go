package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/saga"
	"eventshop.example/ops/story"
)

// placed is the time of the tests' order, in this machine's time zone.
func placed() time.Time { return time.Date(2026, 2, 3, 12, 0, 0, 0, time.Local) }

// ms is a delay.
func ms(n float64) *float64 { return &n }

func aStory() story.Story {
	next := placed().Add(72 * time.Second)
	by := placed().Add(5 * time.Minute)
	place := story.Place{Partition: 3, Offset: 7}
	return story.Story{
		OrderID: "019b76da-4001-7000-8000-000000004001", Style: "choreographed", At: placed().Add(time.Minute),
		Order: &story.Order{Status: "PENDING", TotalAmount: "29.99", Currency: "GBP", PlacedAt: placed(), ConfirmBy: by},
		Events: []story.Event{
			{N: 1, ID: "a", Type: "OrderCreated", Service: "order", At: placed(), Cause: story.Cause{Kind: story.ByOutside, Type: "request"}, Published: true,
				Copies: []story.Place{place, {Partition: 3, Offset: 9}}, Data: json.RawMessage(`{"totalAmount":2999,"currency":"GBP"}`)},
			{N: 2, ID: "b", Type: "PaymentCompleted", Service: "payment", At: placed().Add(-20 * time.Millisecond), DelayMS: ms(-20),
				Cause: story.Cause{Kind: story.ByEvent, N: 1, Type: "OrderCreated"}},
			{N: 3, ID: "c", Type: "InventoryReserved", Service: "inventory", At: placed().Add(25 * time.Hour), DelayMS: ms(61_000), Published: true,
				Cause: story.Cause{Kind: story.ByUnknown, ID: "z"}, Copies: []story.Place{place}},
		},
		Money: story.Money{
			Gateway: &story.Charge{Status: "captured", Amount: "29.99", Refunded: "0.00", Currency: "GBP"},
			Payment: &story.Payment{Status: "COMPLETED", Captured: "29.99"},
		},
		Stock: &story.Stock{Status: "RESERVED", Items: []story.Item{{SKU: "A", Quantity: 2}, {SKU: "B", Quantity: 1}}},
		WaitsFor: []story.Wait{{Service: "payment", To: story.ToAnswer, Event: "OrderCreated", N: 1, By: &by,
			Because: []saga.Hold{{Kind: saga.BreakerOpen, Group: "payment", Type: "gateway", Detail: "open", Next: &next}}}},
		HeldBy:      []saga.Hold{{Kind: saga.DeadLetter, Group: "projection", ID: "d", Type: "OrderCreated", Detail: "boom"}},
		Retries:     []story.Retry{{Group: "payment", Type: "OrderCreated", Attempts: 1, Error: "not yet", At: placed().Add(time.Second)}},
		DeadLetters: []operators.Summary{{ID: "d", Group: "projection", EventType: "OrderCreated", Status: operators.Resolved, ErrorMessage: "boom", CreatedAt: placed().Add(2 * time.Second)}},
	}
}

func printed(t *testing.T, s story.Story) string {
	t.Helper()
	var out bytes.Buffer
	if err := (&operator{env: &env{out: &out}}).printStory(s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// squeezed returns lines with one space between words, so that tests do not depend on widths.
func squeezed(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			out = append(out, l)
		}
	}
	return out
}

func TestPrintStory(t *testing.T) {
	t.Parallel()
	want := []string{
		"order 019b76da-4001-7000-8000-000000004001 PENDING choreographed " + placed().Format("2006-01-02 MST"),
		"29.99 GBP, placed 12:00:00.000, to be confirmed by 12:05:00.000",
		"N TIME SERVICE EVENT CAUSE DELAY NOTE",
		"1 12:00:00.000 order OrderCreated ← request - 2 copies: 3/7,",
		"3/9; 29.99 GBP",
		"2 11:59:59.980 payment PaymentCompleted ← 1 OrderCreated -20ms not published",
		"yet; clocks",
		"differ",
		"3 2026-02-04 13:00:00.000 inventory InventoryReserved ← unknown z 1m01s",
		"money gateway: charged 29.99 GBP, refunded 0.00; payment: COMPLETED, charged 29.99",
		"stock RESERVED: 2 × A, 1 × B",
		"parcel nothing known",
		"mail the customer has got no mail about this order",
		"FAILED SERVICE EVENT OUTCOME ERROR",
		"12:00:01.000 payment OrderCreated retry after 1 failure not yet",
		"12:00:02.000 projection OrderCreated dead letter d, resolved boom",
		"waits for: payment to answer OrderCreated (breaker gateway is open, next try in 12s); its deadline",
		"passes in 4m00s",
		"held by: projection: dead letter d, OrderCreated: boom",
	}
	if diff := cmp.Diff(want, squeezed(printed(t, aStory()))); diff != "" {
		t.Error(diff)
	}
}

// TestPrintStoryOfAnEnd checks that the order waits for nothing, and the reason of the refund.
func TestPrintStoryOfAnEnd(t *testing.T) {
	t.Parallel()
	s := aStory()
	s.Ended, s.WaitsFor, s.HeldBy = true, nil, nil
	s.Order.Status, s.Order.Cancellation = "CANCELLED", &saga.Cause{Reason: "out_of_stock", Detail: "A"}
	s.Money = story.Money{Gateway: &story.Charge{Status: "declined", DeclineCode: "stolen"}, Payment: &story.Payment{Status: "FAILED", DeclineCode: "stolen", Reason: "deadline", Refunded: "1.00"}}
	s.Parcel = &story.Parcel{Status: "FAILED", TrackingID: "T", Carrier: "C", Reason: "refused", Detail: "no"}
	ended := placed().Add(3 * time.Second)
	s.Mail = &story.Mail{Status: "REFUSED", To: "ada@example.com", Subject: "Order", Attempts: 2, EndedAt: &ended, Reason: "bounced", Detail: "no such box"}
	text := strings.Join(squeezed(printed(t, s)), "\n")
	for _, part := range []string{
		"cancellation: out_of_stock: A", "waits for: nothing, the order has ended", "gateway: declined: stolen",
		"payment: FAILED, refunded 1.00 because of deadline, declined:\nstolen", "parcel FAILED, tracking T of C: refused: no",
		"mail REFUSED to ada@example.com, 12:00:03.000, after 2 attempts: Order (bounced: no such box)",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
	s.Order, s.Ended, s.Events, s.Missing = nil, false, nil, []string{"order cannot be asked"}
	text = printed(t, s)
	for _, part := range []string{"status unknown", "no events", "not known, because not all services answered"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// TestHostileStory checks that every text of a record, a service or an error is printed safely.
func TestHostileStory(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\r\n\x00\u202e"
	s := aStory()
	s.Order = &story.Order{Status: evil, TotalAmount: evil, Currency: evil, Attention: &saga.Cause{Reason: evil, Detail: evil}, Cancellation: &saga.Cause{Reason: evil, Detail: evil}}
	for i := range s.Events {
		e := &s.Events[i]
		e.Type, e.Service, e.Topic, e.DataError = evil, evil, evil, evil
		e.Cause.Type, e.Cause.ID = evil, evil
		e.Data = json.RawMessage(`{"reason":"\u001b[2J","detail":"\r\n","trackingId":"\u0000","currency":"\u001b","amount":1}`)
	}
	s.Events[0].Problem = evil
	s.Money = story.Money{Gateway: &story.Charge{Status: evil, Amount: evil, Currency: evil}, Payment: &story.Payment{Status: evil, Captured: evil, Refunded: evil, Reason: evil, DeclineCode: evil}}
	s.Stock = &story.Stock{Status: evil, Items: []story.Item{{SKU: evil}}}
	s.Parcel = &story.Parcel{Status: evil, TrackingID: evil, Carrier: evil, Reason: evil, Detail: evil}
	s.Retries = []story.Retry{{Group: evil, Type: evil, Error: evil}}
	s.DeadLetters = []operators.Summary{{ID: evil, Group: evil, EventType: evil, Status: evil, ErrorMessage: evil}}
	s.HeldBy = nil
	for _, kind := range []string{saga.DeadLetter, saga.ParkedKey, saga.RefundFailed, saga.Returning, saga.BreakerOpen, saga.CallsFail, saga.NotRelayed, evil} {
		s.HeldBy = append(s.HeldBy, saga.Hold{Kind: kind, Group: "payment", Type: evil, Topic: evil, Detail: evil})
	}
	s.WaitsFor = []story.Wait{{Service: evil, To: story.ToAnswer, Event: evil, Because: s.HeldBy}}
	text := printed(t, s)
	if strings.ContainsAny(text, "\x1b\r\x00\u202e") {
		t.Errorf("%q", text)
	}
	if n := strings.Count(text, `"\x1b[2J \x00\u202e"`); n < 15 {
		t.Errorf("of the texts %d can be seen as they are:\n%s", n, text)
	}
	if n := strings.Count(text, "\n"); n > 60 { // quoted texts take lines of their table
		t.Errorf("a text broke its line:\n%s", text)
	}
}

// TestWaitKey: passing time does not change the key, another reason does.
func TestWaitKey(t *testing.T) {
	t.Parallel()
	s, later := aStory(), aStory()
	at := placed().Add(time.Hour)
	later.At, later.WaitsFor[0].Because[0].Next = at, &at
	if waitKey(s) != waitKey(later) {
		t.Error("time is news")
	}
	later.HeldBy = nil
	if waitKey(s) == waitKey(later) {
		t.Error("a hold that is gone is no news")
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	next := placed().Add(12 * time.Second)
	for want, h := range map[string]saga.Hold{
		"payment: refund is tried again, 3 attempts failed, next try in 12s: no answer": {Kind: saga.Returning, Group: "payment", Type: "REFUNDING", Attempts: 3, Next: &next, Detail: "no answer"},
		"payment: charge is being stopped, 1 attempt failed, next try in 12s":           {Kind: saga.Returning, Group: "payment", Type: "VOIDING", Attempts: 1, Next: &next},
		"shipping: calls to the carrier fail, 2 of them in a row: 500":                  {Kind: saga.CallsFail, Group: "shipping", Type: "carrier", Attempts: 2, Detail: "500"},
		"order: OrderCreated is not on order.events yet: no relay publishes it":         {Kind: saga.NotRelayed, Group: "order", Type: "OrderCreated", Topic: "order.events"},
		"order: OrderCreated is not on order.events yet, next try in 12s: too large":    {Kind: saga.NotRelayed, Group: "order", Type: "OrderCreated", Topic: "order.events", Detail: "too large", Next: &next},
		"payment: breaker gateway is half-open, next try in 12s":                        {Kind: saga.BreakerOpen, Group: "payment", Type: "gateway", Detail: "half-open", Next: &next},
		"payment: OrderCreated failed and is tried again, next try in 12s: boom":        {Kind: saga.ParkedKey, Group: "payment", Type: "OrderCreated", Next: &next, Detail: "boom"},
		"payment: key parked behind dead letter d":                                      {Kind: saga.ParkedKey, Group: "payment", ID: "d"},
	} {
		if got := hold(h, placed()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestOneReasonIsSaidOnce: a fault that holds an order in several groups is one line.
func TestOneReasonIsSaidOnce(t *testing.T) {
	t.Parallel()
	soon, later := placed().Add(3*time.Second), placed().Add(5*time.Second)
	parked := func(group, typ string, next *time.Time) saga.Hold {
		return saga.Hold{Kind: saga.ParkedKey, Group: group, Type: typ, Topic: "order.events", Detail: "boom", Next: next, Attempts: 2}
	}
	dead := func(group, id string) saga.Hold {
		return saga.Hold{Kind: saga.DeadLetter, Group: group, ID: id, Type: "OrderCreated", Detail: "boom"}
	}
	holds := []saga.Hold{
		parked("payment", "OrderCreated", &later), dead("payment", "d1"), parked("inventory", "PaymentCompleted", &soon), parked("projection", "OrderCreated", &later),
		dead("shipping", "d2"), {Kind: saga.DeadLetter, Group: "order", ID: "d3", Type: "OrderCreated", Detail: "another"},
		{Kind: saga.NotRelayed, Group: "order", Type: "A", Topic: "t", Detail: "full"}, {Kind: saga.NotRelayed, Group: "order", Type: "B", Topic: "u", Detail: "full"},
		{Kind: saga.ParkedKey, Group: "payment", ID: "d1"}, {Kind: saga.ParkedKey, Group: "shipping", ID: "d2"},
		{Kind: saga.BreakerOpen, Group: "payment", Type: "gateway", Detail: "open"}, {Kind: saga.BreakerOpen, Group: "shipping", Type: "carrier", Detail: "open"},
		{Kind: saga.BreakerOpen, Group: "payment-2", Type: "gateway", Detail: "open"},
	}
	want := []string{
		"payment, inventory, projection: OrderCreated, PaymentCompleted failed and are tried again, next try in 3s: boom",
		"payment, shipping: dead letters d1, d2, OrderCreated: boom", "order: dead letter d3, OrderCreated: another",
		"order: A, B are not on t, u yet: full", "payment, shipping: key parked behind dead letters d1, d2",
		"payment, payment-2: breaker gateway is open", "shipping: breaker carrier is open",
	}
	if diff := cmp.Diff(want, holdsOf(holds, placed())); diff != "" {
		t.Error(diff)
	}
	s := aStory()
	s.HeldBy = holds
	s.WaitsFor[0].Because = []saga.Hold{parked("payment", "OrderCreated", &later), parked("payment", "PaymentFailed", &soon)}
	text := strings.Join(strings.Fields(printed(t, s)), " ")
	if n := strings.Count(text, "boom"); n != 4 { // the dead letter above, the wait, and two reasons of eight holds
		t.Errorf("boom is said %d times:\n%s", n, text)
	}
	if got := reasons(saga.Saga{Holds: holds}, placed()); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// TestNewsFitTheTerminal checks the lines of --follow at any width: no blanks at their ends.
func TestNewsFitTheTerminal(t *testing.T) {
	t.Parallel()
	s := aStory()
	s.Events[1].Cause.Type = "ShipmentCancellationRejected"
	s.Events = append(s.Events, story.Event{N: 4, ID: "d", Type: "InventoryReservationFailed", Service: "inventory", At: placed(), Published: true, DelayMS: ms(12),
		Cause: story.Cause{Kind: story.ByEvent, N: 2, Type: "PaymentCompleted"}, Data: json.RawMessage(`{"reason":"out_of_stock","detail":"of SKU WIDGET-01 three pieces are wanted and two are there"}`)})
	for _, width := range []int{40, 60, 80, 100} {
		for _, e := range s.Events {
			text := newsOf(e, s.Events, width)
			for l := range strings.Lines(text) {
				l = strings.TrimSuffix(l, "\n")
				if n := len([]rune(l)); n > width || strings.TrimRight(l, " ") != l {
					t.Errorf("%d of %d columns: %q", n, width, l)
				}
			}
			for _, part := range append(strings.Fields(note(e)), e.Type, moment(e.At, placed()), e.Service) {
				if !strings.Contains(strings.Join(strings.Fields(text), " "), part) {
					t.Errorf("%q is missing in %q", part, text)
				}
			}
		}
	}
	want := "4   12:00:00.000  inventory  InventoryReservationFailed ← 2        12ms\n" +
		"    out_of_stock; of SKU WIDGET-01 three pieces are wanted and two are there\n"
	if got := newsOf(s.Events[3], s.Events, 80); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := newsOf(s.Events[0], s.Events[:1], 100); !strings.HasPrefix(got, "1   12:00:00.000  order      OrderCreated               ← request                       -\n    2 copies") {
		t.Errorf("%q", got)
	}
}

// TestJSONLines: characters that could control a terminal are escaped, and a program reads the
// original text.
func TestJSONLines(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\u202e\u0085<\U000e0001"
	var b bytes.Buffer
	out, _ := term.New(&b, &b, func(string) string { return "" })
	s := aStory()
	s.Events[0].Problem, s.Events[0].Data = evil, json.RawMessage(`{"reason":"`+"\u202e"+`"}`)
	o := &operator{env: &env{out: out}, asJSON: true}
	if err := o.printNews(s, map[string]bool{}, true); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	var v map[string]story.Event
	if err := json.Unmarshal([]byte(lines[0]), &v); err != nil || len(lines) != 3 || v["event"].Problem != evil {
		t.Errorf("%v, %d lines: %q, want %q in %s", err, len(lines), v["event"].Problem, evil, lines[0])
	}
	var d struct{ Reason string }
	if err := json.Unmarshal(v["event"].Data, &d); err != nil || d.Reason != "\u202e" {
		t.Errorf("%v %q", err, d.Reason)
	}
}
