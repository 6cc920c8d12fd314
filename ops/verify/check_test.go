package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

func TestSoundWorldHasNoFinding(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Check(soundWorld().Facts) {
		if !f.OK() {
			t.Errorf("%s %s: %v", f.Invariant, f.Title, f.Breaches)
		}
		if f.Title == "" || f.Counted == "" || seen[f.Invariant] {
			t.Errorf("finding %+v", f)
		}
		seen[f.Invariant] = true
	}
	for _, i := range []string{"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12"} {
		if !seen[i] {
			t.Errorf("%s is not checked", i)
		}
	}
}

// TestDraftsAreSound: drafts are at rest, whether they are open, discarded or placed later.
func TestDraftsAreSound(t *testing.T) {
	w := soundWorld()
	w.Orders = append(w.Orders,
		stream("draft-open", 0, "DraftStarted", "DraftItemAdded"),
		stream("draft-gone", 0, "DraftStarted", "DraftDiscarded"))
	for _, f := range Check(w.Facts) {
		if !f.OK() {
			t.Errorf("%s: %v", f.Invariant, f.Breaches)
		}
	}
}

// TestNothingAtAllIsSound: an empty shop has no breach.
func TestNothingAtAllIsSound(t *testing.T) {
	for _, f := range Check(Facts{}) {
		if !f.OK() {
			t.Errorf("%s: %v", f.Invariant, f.Breaches)
		}
	}
}

// breach is one way to make a sound fixture wrong.
type breach struct {
	name  string
	plant func(w *world)
	names string // what the finding must name: order, SKU or event
}

// caught plants each breach in its own fixture. It expects that the invariant, and no other one,
// fails and names the order, SKU or event.
func caught(t *testing.T, invariant string, breaches []breach) {
	for _, b := range breaches {
		t.Run(b.name, func(t *testing.T) {
			w := soundWorld()
			b.plant(w)
			wantPrintable(t, b.name, w.Facts, "\x1b[2J\u202e\n\xff")
			for _, f := range Check(w.Facts) {
				switch {
				case f.Invariant != invariant && !f.OK():
					t.Errorf("%s fails too: %v", f.Invariant, f.Breaches)
				case f.Invariant == invariant && f.OK():
					t.Errorf("%s finds nothing", invariant)
				case f.Invariant == invariant:
					for _, text := range f.Breaches {
						if !strings.Contains(text, b.names) {
							t.Errorf("%q does not name %s", text, b.names)
						}
					}
				}
			}
		})
	}
}

func TestI1Money(t *testing.T) {
	entry := func(order, kind, currency string, amount int64) func(*world) {
		return func(w *world) { w.Ledger = append(w.Ledger, LedgerEntry{order, kind, currency, amount}) }
	}
	caught(t, "I1", []breach{
		{"charged twice", entry(delivered, "capture", "GBP", 2500), delivered},
		{"charged twice and given back once", func(w *world) {
			entry(stuck, "capture", "GBP", 499)(w)
			entry(stuck, "refund", "GBP", 499)(w)
		}, stuck},
		{"a draft charged", func(w *world) {
			w.Orders = append(w.Orders, stream("draft-open", 0, "DraftStarted"))
			entry("draft-open", "capture", "", 5)(w)
		}, "draft-open"},
		{"refunded twice", entry(refunded, "refund", "GBP", 1250), refunded},
		{"refunded less than nothing", entry(delivered, "refund", "GBP", -1), delivered},
		{"refunded in another currency", func(w *world) { w.Ledger[2].Currency = "EUR" }, refunded},
		{"charged in another currency", func(w *world) { w.Ledger[0].Currency = "EUR" }, delivered},
		{"delivered and given back", entry(delivered, "refund", "GBP", 2500), delivered},
		{"delivered for less", func(w *world) { w.Ledger[0].Amount-- }, delivered},
		{"delivered for more", func(w *world) { w.Ledger[0].Amount++ }, delivered},
		{"delivered for nothing", func(w *world) { w.Ledger[0].Kind = "decline" }, delivered},
		{"confirmed for nothing", func(w *world) { w.Ledger[3].Kind = "void" }, stuck},
		{"cancelled and money kept", func(w *world) { w.Ledger[2].Amount = 1249 }, refunded},
		{"money of nobody's order", entry("order-lost", "capture", "GBP", 1), "order-lost"},
		{"payment thinks it refunded", func(w *world) { w.Payments[0].State = "REFUNDED" }, delivered},
		{"payment thinks it kept", func(w *world) { w.Payments[1].State = "COMPLETED" }, refunded},
		{"payment thinks it was declined", func(w *world) { w.Payments[2].State = "FAILED" }, stuck},
		{"payment thinks it stopped in time", func(w *world) { w.Payments[2].State = "VOIDED" }, stuck},
	})
}

// TestI1SeesEveryDigit: an amount that a float cannot represent is compared exactly.
func TestI1SeesEveryDigit(t *testing.T) {
	const total = 1<<53 + 1
	f := Facts{
		Orders: []Order{stream("order-big", total, "OrderCreated", "OrderConfirmed", "OrderDelivered")},
		Ledger: []LedgerEntry{{"order-big", "capture", "GBP", total}},
	}
	if r := money(f); !r.OK() {
		t.Errorf("%v", r.Breaches)
	}
	f.Ledger[0].Amount--
	if r := money(f); r.OK() {
		t.Error("one unit is missing, and nothing is found")
	}
}

func TestI2Stock(t *testing.T) {
	caught(t, "I2", []breach{
		{"a piece is lost", func(w *world) { w.Stock[1].Available-- }, "WIDGET"},
		{"a piece is made", func(w *world) { w.Stock[0].Available++ }, "GADGET"},
		{"sold more than there is", func(w *world) {
			w.Stock[0] = Stock{SKU: "GADGET", Initial: 1, Available: -1, Reserved: 2}
		}, "GADGET"},
		{"reserved for nobody", func(w *world) { w.Stock[1].Reserved++; w.Stock[1].Available-- }, "WIDGET"},
		{"a reservation without its pieces", func(w *world) { w.Stock[0].Reserved--; w.Stock[0].Available++ }, "GADGET"},
		{"reserved twice for one order", func(w *world) { w.Stock[0].Reserved++; w.Stock[0].Available-- }, "GADGET"},
		{"shipped for nobody", func(w *world) { w.Stock[1].Shipped++; w.Stock[1].Available-- }, "WIDGET"},
		{"shipped and not booked out", func(w *world) { w.Stock[1].Shipped -= 2; w.Stock[1].Available += 2 }, "WIDGET"},
		{"restocked without a receipt", func(w *world) { w.Stock[1].Restocked++; w.Stock[1].Available++ }, "WIDGET"},
		{"a receipt that did not count", func(w *world) { w.Stock[1].Receipts = total(6) }, "WIDGET"},
		{"a SKU that is not stocked", func(w *world) { w.Reservations[2].Items["GHOST"] = 1 }, "GHOST"},
		{"a cancelled order holds pieces", func(w *world) {
			w.Reservations[1].State = "RESERVED"
			w.Stock[1].Reserved, w.Stock[1].Available = 1, 12
		}, refunded},
		{"a cancelled order's pieces left", func(w *world) {
			w.Reservations[1].State = "SHIPPED"
			w.Stock[1].Shipped, w.Stock[1].Available = 3, 12
		}, refunded},
	})
}

func TestI3OneEnd(t *testing.T) {
	then := func(i int, typ string) func(*world) {
		return func(w *world) {
			o := &w.Orders[i]
			o.Events = append(o.Events, DomainEvent{Version: int64(len(o.Events) + 1), Type: typ})
		}
	}
	caught(t, "I3", []breach{
		{"at rest and not at an end", func(w *world) { w.Orders[2].Events = w.Orders[2].Events[:3] }, stuck},
		{"placed after it was discarded", func(w *world) {
			w.Orders = append(w.Orders, stream("draft-gone", 0, "DraftStarted", "DraftDiscarded", "DraftPlaced", "OrderCreated"))
		}, "draft-gone"},
		{"delivered twice", then(0, "OrderDelivered"), delivered},
		{"shipped after the delivery", then(0, "OrderShipped"), delivered},
		{"cancelled twice", then(1, "OrderCancelled"), refunded},
		{"cancellation asked for after the end", then(1, "OrderCancellationRequested"), refunded},
	})
}

func TestI4PublishedIsWhatTheOutboxesHold(t *testing.T) {
	caught(t, "I4", []breach{
		{"marked and lost", func(w *world) { i, _ := w.find(stuck, "PaymentCompleted"); w.lose(w.Outbox[i].ID) }, stuck},
		{"never published", func(w *world) {
			i, _ := w.find(stuck, "PaymentCompleted")
			w.Outbox[i].Published = false
			w.lose(w.Outbox[i].ID)
		}, stuck},
		{"published and not marked", func(w *world) { i, _ := w.find(delivered, "OrderShipped"); w.Outbox[i].Published = false }, delivered},
		{"on another topic", func(w *world) {
			_, i := w.find(stuck, "OrderConfirmed")
			w.Records[i].Topic = events.TopicPaymentEvents
			w.Records[i].Version = 2 // after PaymentCompleted, so that only the topic is wrong
		}, stuck},
		{"on another topic too", func(w *world) {
			_, i := w.find(stuck, "OrderConfirmed")
			again := w.Records[i]
			again.Topic = events.TopicShippingEvents
			w.record(again)
		}, stuck},
		{"on a topic and in no outbox", func(w *world) {
			w.hear(w.record(Record{
				Topic: events.TopicOrderEvents, Key: "order-ghost", ID: w.id(), Type: "OrderCreated", Version: 1,
				Event: &events.OrderCreated{OrderID: "order-ghost"},
			}).ID, "OrderCreated")
		}, "order-ghost"},
		{"gone from the outbox", func(w *world) {
			i, _ := w.find(refunded, "InventoryReleased")
			w.Outbox = append(w.Outbox[:i:i], w.Outbox[i+1:]...)
		}, refunded},
		{"the latest snapshot is lost", func(w *world) {
			_, i := w.find(delivered, "OrderSnapshot")
			w.lose(w.Records[i].ID)
		}, delivered},
	})
}

func TestI5OneEffect(t *testing.T) {
	// again makes a service answer a cause twice, as if it had no inbox.
	again := func(order, typ string, version int64, event event.Event) func(*world) {
		return func(w *world) {
			i, _ := w.find(order, typ)
			w.tell(w.Outbox[i].Service, version, uuid.MustParse(w.Outbox[i].CausationID), event)
			w.Rebuilt = Rebuild(heard(w.Facts))
			w.Projection = w.Rebuilt // the projection received both
		}
	}
	caught(t, "I5", []breach{
		{"paid twice", again(stuck, "PaymentCompleted", 2, &events.PaymentCompleted{OrderID: stuck}), stuck},
		{"reserved twice", again(delivered, "InventoryReserved", 2, &events.InventoryReserved{OrderID: delivered}), delivered},
		{"refunded twice", again(refunded, "PaymentRefunded", 5, &events.PaymentRefunded{OrderID: refunded}), refunded},
		{"no mail", func(w *world) { w.unmail(delivered, "") }, delivered},
		{"a mail that waits for its second event", func(w *world) { w.unmail(delivered, "AWAITING_ORDER_PLACED") }, delivered},
		{"a mail to send, at rest", func(w *world) { w.unmail(refunded, "TO_SEND") }, refunded},
		{"a mail that was sent and did not arrive", func(w *world) { w.unmail(stuck, "SENT") }, stuck},
		{"a mail that arrived and was not recorded", func(w *world) { w.unmail(stuck, ""); w.Mailbox = append(w.Mailbox, stuck) }, stuck},
		{"two mails", func(w *world) { w.Mailbox = append(w.Mailbox, delivered) }, delivered},
		{"a mail about an old order", func(w *world) { w.MailsSince = placedAt(w.Facts)[delivered].Add(1) }, delivered},
		{"received twice", func(w *world) { w.Inbox = append(w.Inbox, w.Inbox[0]) }, soundWorld().Inbox[0].ID.String()},
	})
}

// TestI5CommandsAreAnsweredAgain: a command that an inbox has forgotten leads to no event, and to another
// answer that it changed nothing.
func TestI5CommandsAreAnsweredAgain(t *testing.T) {
	w := soundWorld()
	i, _ := w.find(chargedBack, "PaymentCommandAnswered")
	w.style = event.Orchestrated
	w.tell("payment", 4, uuid.MustParse(w.Outbox[i].CausationID), &events.PaymentCommandAnswered{OrderID: chargedBack})
	if r := effects(w.Facts); !r.OK() {
		t.Error(r.Breaches)
	}
}

// unmail removes an order's mail from the mailbox, and sets the state of its row; "" removes the row.
func (w *world) unmail(order, state string) {
	w.Mailbox = slices.DeleteFunc(w.Mailbox, func(id string) bool { return id == order })
	w.Mails = slices.DeleteFunc(w.Mails, func(m Mail) bool { return m.OrderID == order })
	if state != "" {
		w.Mails = append(w.Mails, Mail{order, state})
	}
}

// TestI5OrdersWithoutAMail: a refused mail, an order from before the service, and an order whose event
// the service has not handled, are no breach.
func TestI5OrdersWithoutAMail(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world){
		"refused": func(w *world) { w.unmail(delivered, "REFUSED") },
		"old": func(w *world) {
			w.MailsSince, w.Mails, w.Mailbox = w.MailsSince.Add(time.Hour), nil, nil
		},
		"its event is a dead letter": func(w *world) {
			w.unmail(delivered, "AWAITING_ORDER_PLACED")
			w.letter(mailer, w.event(delivered, "OrderCreated"), "dead_lettered")
			w.unhear(mailer, w.event(delivered, "OrderCreated").ID)
		},
	} {
		w := soundWorld()
		change(w)
		if r := effects(w.Facts); !r.OK() {
			t.Errorf("%s: %q", name, r.Breaches)
		}
	}
}

func TestI6VersionOrder(t *testing.T) {
	swap := func(order, a, b string) func(*world) {
		return func(w *world) {
			_, i := w.find(order, a)
			_, j := w.find(order, b)
			w.Records[i], w.Records[j] = w.Records[j], w.Records[i]
		}
	}
	caught(t, "I6", []breach{
		{"two events overtake", swap(delivered, "OrderConfirmed", "OrderShipped"), delivered},
		{"the first comes last", swap(delivered, "ShipmentScheduled", "ShipmentDelivered"), delivered},
		{"a compensation before what it undoes", swap(refunded, "InventoryReserved", "InventoryReleased"), refunded},
		{"two events of one version", func(w *world) { _, i := w.find(refunded, "PaymentRefunded"); w.Records[i].Version = 3 }, refunded},
		{"a stream on two partitions", func(w *world) { _, i := w.find(delivered, "OrderDelivered"); w.Records[i].Partition = 1 }, delivered},
	})
}

func TestI8OneOrderPerKey(t *testing.T) {
	promise := func(scope, key, order string) func(*world) {
		return func(w *world) { w.Answers = append(w.Answers, Answer{scope, key, order, 201}) }
	}
	caught(t, "I8", []breach{
		{"one key, two orders", promise("shop-a POST /orders", "key-1", stuck), stuck},
		{"one order, two keys", promise("shop-a POST /orders", "key-9", delivered), delivered},
		{"one order, two callers", promise("shop-b POST /orders", "key-2", stuck), stuck},
		{"promised and gone", promise("shop-a POST /orders", "key-9", "order-gone"), "order-gone"},
		{"promised without an id", promise("shop-a POST /orders", "key-9", ""), "key-9"},
	})
}

func TestI9Streams(t *testing.T) {
	caught(t, "I9", []breach{
		{"a version is missing", func(w *world) {
			evs := w.Orders[1].Events // without ItemAdded
			w.Orders[1].Events = append(evs[:1:1], evs[2:]...)
		}, refunded},
		{"a version comes twice", func(w *world) { w.Orders[2].Events[3].Version = 3 }, stuck},
		{"does not begin with 1", func(w *world) {
			for i := range w.Orders[2].Events {
				w.Orders[2].Events[i].Version++
			}
		}, stuck},
		{"snapshot of another status", func(w *world) { w.Orders[0].Snapshots[1].Status = "CONFIRMED" }, delivered},
		{"snapshot of a later status", func(w *world) { w.Orders[0].Snapshots[1].Version = 3 }, delivered},
		{"snapshot without a status", func(w *world) { w.Orders[0].Snapshots[1].Status = "" }, delivered},
		{"snapshot beyond the end", func(w *world) { w.Orders[0].Snapshots[1].Version = 6 }, delivered},
		{"snapshot before the beginning", func(w *world) { w.Orders[0].Snapshots[1].Version = 0 }, delivered},
	})
}

func TestI10ReadModels(t *testing.T) {
	order := func(id string, change func(*ProjectedOrder)) func(*world) {
		return func(w *world) { w.spoil(id, change) }
	}
	caught(t, "I10", []breach{
		{"an order is missing", func(w *world) { delete(w.Projection.Orders, stuck) }, stuck},
		{"an order nobody placed", func(w *world) { w.Projection.Orders["order-ghost"] = ProjectedOrder{Status: "PENDING"} }, "order-ghost"},
		{"a status", order(delivered, func(o *ProjectedOrder) { o.Status = "SHIPPED" }), delivered},
		{"a customer", order(delivered, func(o *ProjectedOrder) { o.CustomerID = "c-2" }), delivered},
		{"a total", order(stuck, func(o *ProjectedOrder) { o.TotalAmount++ }), stuck},
		{"a currency", order(stuck, func(o *ProjectedOrder) { o.Currency = "EUR" }), stuck},
		{"a tracking id", order(delivered, func(o *ProjectedOrder) { o.TrackingID = "" }), delivered},
		{"a reason", order(refunded, func(o *ProjectedOrder) { o.CancelReason = "deadline" }), refunded},
		{"attention that is over", order(refunded, func(o *ProjectedOrder) { o.NeedsAttention = true }), refunded},
		{"items", order(refunded, func(o *ProjectedOrder) { o.Items = 2 }), refunded},
		{"the last change", order(stuck, func(o *ProjectedOrder) { o.UpdatedAt = o.UpdatedAt.Add(1000) }), stuck},
		{"an event is missing from a timeline", func(w *world) { delete(w.Projection.Timeline[refunded], w.anEvent(refunded)) }, refunded},
		{"another event in a timeline", func(w *world) {
			delete(w.Projection.Timeline[refunded], w.anEvent(refunded))
			w.Projection.Timeline[refunded][w.id()] = "OrderCreated"
		}, refunded},
		{"an event of another type", func(w *world) { w.Projection.Timeline[stuck][w.anEvent(stuck)] = "OrderShipped" }, stuck},
		{"a timeline is missing", func(w *world) { delete(w.Projection.Timeline, stuck) }, stuck},
		{"money counted twice", func(w *world) {
			w.Projection.Revenue["2026-11-24 GBP"] = Revenue{Captured: total(5000), Payments: 2}
		}, "2026-11-24 GBP"},
		{"a day is missing", func(w *world) { delete(w.Projection.Revenue, "2026-11-25 GBP") }, "2026-11-25 GBP"},
		{"a day without money", func(w *world) { w.Projection.Revenue["2026-11-26 JPY"] = Revenue{Refunds: 1} }, "2026-11-26 JPY"},
	})
}
