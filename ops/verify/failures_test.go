package verify

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

func TestI7NothingIsLostOrTwice(t *testing.T) {
	// handled makes a group answer an event as if it had not failed.
	handled := func(group, order, typ string, effect event.Event) func(*world) {
		return func(w *world) {
			w.tell(group, 7, w.event(order, typ).ID, effect)
			w.rebuild()
		}
	}
	caught(t, "I7", []breach{
		{"never heard of", func(w *world) { w.unhear("shipping", w.event(stuck, "InventoryReserved").ID) }, stuck},
		{"never heard of by the read models", func(w *world) { w.unhear(projector, w.event(delivered, "OrderDelivered").ID) }, delivered},
		{"rubbish that went nowhere", func(w *world) { w.drop(w.of("inventory", "\xff\x00rubbish", "open")) }, "rubbish"},
		{"an event nobody can read that went nowhere", func(w *world) {
			_, i := w.find(refunded, "InventoryReserved")
			w.Records[i].Event = nil // shipping and the projection handled it, by their own records
		}, refunded},
		{"an event under another key", func(w *world) {
			r := w.event(stuck, "PaymentCompleted")
			r.Key = "order-posing"
			r.Version = 2
			w.record(r)
		}, "order-posing"},
		{"retried and handled", handled("payment", retried, "OrderCreated", &events.PaymentFailed{OrderID: retried}), retried},
		{"given up and handled", handled("shipping", dead, "OrderCreated", &events.ShipmentFailed{OrderID: dead}), dead},
		{"parked and handled", handled("shipping", dead, "OrderCancellationRequested", &events.ShipmentCancelled{OrderID: dead}), dead},
		{"discarded and handled", handled("payment", discarded, "OrderCreated", &events.PaymentFailed{OrderID: discarded}), discarded},
		{"given up twice", func(w *world) { w.letter(projector, w.event(delivered, "OrderShipped"), "dead_lettered", "discarded") }, delivered},
		{"parked twice", func(w *world) { w.follow("shipping", w.event(dead, "OrderCancellationRequested"), uuid.Nil) }, dead},
		{"retried and parked", func(w *world) { w.follow("payment", w.event(retried, "OrderCreated"), uuid.Nil) }, retried},
		{"two copies given up", func(w *world) {
			again := w.record(w.event(discarded, "OrderCreated"))
			w.letter("payment", again, "dead_lettered", "discarded")
		}, discarded},
	})
}

func TestI7ParkedKeysWaitForSomething(t *testing.T) {
	// resubmitted is a dead letter of a parking event, resubmitted and under way.
	resubmitted := func(w *world) *DeadLetter {
		return w.letter("inventory", w.event(stuck, "OrderCreated"), "dead_lettered", "resubmitted")
	}
	caught(t, "I7", []breach{
		{"a retry record that is lost", func(w *world) {
			head := w.parkedKey("payment", retried).Head
			w.Retries = slices.DeleteFunc(w.Retries, func(r Retry) bool { return r.ID == head })
		}, retried},
		{"a retry record of another key", func(w *world) {
			w.resend(w.parkedKey("payment", retried).Head, func(r *Retry) { r.Key = "order-other" })
		}, retried},
		{"a retry record of another topic", func(w *world) {
			w.resend(w.parkedKey(projector, retried).Head, func(r *Retry) {
				r.Topic = event.RetryTopic(events.TopicPaymentEvents, projector).Name
			})
		}, retried},
		{"a retry record for another group", func(w *world) {
			w.resend(w.parkedKey(projector, retried).Head, func(r *Retry) { r.Group = "payment" })
		}, retried},
		{"waits for no dead letter", func(w *world) { w.parkedKey("shipping", dead).Head = w.id() }, dead},
		{"waits for another group's dead letter", func(w *world) {
			w.parkedKey("shipping", dead).Head = w.of("inventory", "\xff\x00rubbish", "open").ID
		}, dead},
		{"waits for a decision that was made", func(w *world) {
			w.of("shipping", dead, "open").then("discarded", "discarded")
		}, dead},
		{"an open dead letter whose key goes on", func(w *world) {
			w.unpark("shipping", dead)
			w.ParkedRecords = slices.DeleteFunc(w.ParkedRecords, func(p ParkedRecord) bool { return p.Key == dead })
		}, dead},
		{"retries a dead letter that is open", func(w *world) { resubmitted(w).then("open", "failed_again") }, stuck},
		{"skips a dead letter that is on its way", func(w *world) {
			resubmitted(w)
			w.resend(w.parkedKey("inventory", stuck).Head, func(r *Retry) { r.Skip = true })
		}, stuck},
		{"retries a dead letter that never was", func(w *world) {
			w.resend(w.parkedKey(projector, retried).Head, func(r *Retry) { r.DeadLetter = w.id() })
		}, retried},
		{"resubmitted and nowhere", func(w *world) { resubmitted(w); w.unpark("inventory", stuck) }, stuck},
		{"resubmitted and in two places", func(w *world) {
			w.follow("inventory", w.event(stuck, "OrderCreated"), resubmitted(w).ID)
		}, stuck},
		{"parked behind nothing", func(w *world) { w.unpark("shipping", dead) }, dead},
		{"parked though it is resolved", func(w *world) { w.of("payment", retried, "resubmitted").then("resolved", "resolved") }, retried},
		{"parked and never received", func(w *world) { w.unhear("shipping", w.event(dead, "OrderCancellationRequested").ID) }, dead},
		{"parked in another order", func(w *world) { w.parkRefunded("OrderCancelled", "OrderCancellationRequested") }, refunded},
	})
}

// parkRefunded makes the projection retry the first event of an order and park others behind it, in
// the given order.
func (w *world) parkRefunded(types ...string) {
	w.retry(projector, w.event(refunded, "OrderCreated"))
	for _, typ := range types {
		w.follow(projector, w.event(refunded, typ), uuid.Nil)
	}
	w.rebuild()
}

func TestI7DeadLettersAreWhatTheyCameAs(t *testing.T) {
	resolved := func(w *world) *DeadLetter { return w.of(projector, delivered, "resolved") }
	caught(t, "I7", []breach{
		{"on no topic", func(w *world) { w.uncopy(w.of("shipping", dead, "open").ID) }, dead},
		{"in no table", func(w *world) {
			w.Copies = append(w.Copies, Copy{Topic: "order.events.payment.dlq", Group: "payment", Key: stuck, ID: w.id(), Time: w.At})
		}, stuck},
		{"on another group's topic", func(w *world) {
			w.recopy(resolved(w).ID, func(c *Copy) { c.Topic = "order.events.payment.dlq" })
		}, delivered},
		{"in another group's name", func(w *world) { w.recopy(resolved(w).ID, func(c *Copy) { c.Group = "payment" }) }, delivered},
		{"with other bytes on the topic", func(w *world) { w.recopy(resolved(w).ID, func(c *Copy) { c.Sum[0]++ }) }, delivered},
		{"with other bytes the second time", func(w *world) {
			id := resolved(w).ID
			w.Copies[slices.IndexFunc(w.Copies, func(c Copy) bool { return c.ID == id })].Sum[0]++
		}, delivered},
		{"repaired, and nowhere as it came", func(w *world) {
			w.recopy(w.of(projector, refunded, "resolved").ID, func(c *Copy) { c.Sum[0]++ })
		}, refunded},
		{"with other bytes in the table", func(w *world) {
			l := resolved(w)
			l.Sum[0]++
			w.recopy(l.ID, func(c *Copy) { c.Sum[0]++ })
		}, delivered},
		{"of another place", func(w *world) { w.of("payment", "\xff\x00rubbish", "open").Place.Offset += 100 }, "rubbish"},
		{"of no place", func(w *world) { resolved(w).Place.Offset += 100 }, delivered},
		{"discarded for no reason", func(w *world) {
			l := w.of("payment", discarded, "discarded")
			l.Actions[len(l.Actions)-1].Detail = ""
		}, discarded},
	})
}

func TestI11OneEffectOfAResubmission(t *testing.T) {
	trail := func(steps ...string) func(*world) {
		return func(w *world) {
			l := w.of(projector, delivered, "resolved")
			l.Actions = nil
			l.then("resolved", steps...)
			w.Retries = slices.DeleteFunc(w.Retries, func(r Retry) bool { return r.DeadLetter == l.ID })
		}
	}
	caught(t, "I11", []breach{
		{"resolved twice", trail("dead_lettered", "resubmitted", "resolved", "resolved"), delivered},
		{"resubmitted twice", trail("dead_lettered", "resubmitted", "resubmitted", "resolved"), delivered},
		{"resubmitted after its end", trail("dead_lettered", "resubmitted", "resolved", "resubmitted", "resolved"), delivered},
		{"edited after its end", trail("dead_lettered", "resubmitted", "resolved", "edited"), delivered},
		{"edited on its way", trail("dead_lettered", "resubmitted", "edited", "resolved"), delivered},
		{"discarded on its way", trail("dead_lettered", "resubmitted", "discarded", "resolved"), delivered},
		{"discarded after its end", trail("dead_lettered", "resubmitted", "resolved", "discarded"), delivered},
		{"open again after its end", trail("dead_lettered", "resubmitted", "resolved", "failed_again"), delivered},
		{"resolved by nobody's asking", trail("dead_lettered", "resolved"), delivered},
		{"no effect, though it was open", trail("dead_lettered", "resubmitted_again", "resubmitted", "resolved"), delivered},
		{"dead-lettered twice", trail("dead_lettered", "resubmitted", "dead_lettered", "resolved"), delivered},
		{"without a beginning", trail("resubmitted", "resolved"), delivered},
		{"edited before there was anything", trail("edited", "resubmitted", "resolved"), delivered},
		{"without a trail", trail(), delivered},
		{"with another end", trail("dead_lettered", "resubmitted"), delivered},
		{"a retry nobody asked for", func(w *world) {
			l := w.of("shipping", dead, "open")
			w.send("shipping", w.event(dead, "OrderCreated"), l.InboxID, l.ID, 0)
		}, dead},
		{"two retries for one resubmission", func(w *world) {
			l := w.of(projector, refunded, "resolved")
			for range 3 {
				w.send(projector, w.event(refunded, "PaymentCompleted"), l.InboxID, l.ID, 1)
			}
		}, refunded},
		{"one effect under each of two ids", func(w *world) {
			rec := w.event(stuck, "OrderCreated")
			l := w.letter("payment", rec, "dead_lettered", "edited", "resubmitted", "resolved")
			l.InboxID = w.id() // given up unread; another copy was handled
			rec.ID = w.id()
			l.Repaired = &rec
			w.tell("payment", 2, rec.ID, &events.PaymentCompleted{OrderID: stuck})
			w.rebuild()
		}, stuck},
	})
}

// TestHeldOrdersAreComparedToo: the rebuild leaves out only the events that the projection waits
// for.
func TestHeldOrdersAreComparedToo(t *testing.T) {
	caught(t, "I10", []breach{
		{"an order that waits for a dead letter elsewhere", func(w *world) {
			w.spoil(dead, func(o *ProjectedOrder) { o.Status = "CANCELLED" })
		}, dead},
		{"shown before its event is handled", func(w *world) { w.Projection.Orders[retried] = ProjectedOrder{Status: "PENDING"} }, retried},
		{"discarded and heard", func(w *world) {
			e := w.event(delivered, "ShipmentDispatched")
			w.Projection.Timeline[delivered][e.ID] = e.Type
		}, delivered},
		{"resolved and not heard", func(w *world) {
			delete(w.Projection.Timeline[delivered], w.event(delivered, "OrderShipped").ID)
		}, delivered},
		{"heard as it was before its repair", func(w *world) {
			day := w.Projection.Revenue["2026-11-25 GBP"]
			day.Captured = day.Captured.plus(total(1))
			w.Projection.Revenue["2026-11-25 GBP"] = day
		}, "2026-11-25 GBP"},
	})
}

// TestOrdersOnlyTheReadModelsWaitFor: they are not held, because the saga does not need the read
// models.
func TestOrdersOnlyTheReadModelsWaitFor(t *testing.T) {
	caught(t, "I3", []breach{{"given up by the projection alone", func(w *world) {
		w.Orders[2].Events = w.Orders[2].Events[:3]
		w.letter(projector, w.event(stuck, "OrderConfirmed"), "dead_lettered")
		w.rebuild()
	}, stuck}, {"rubbish in its name", func(w *world) {
		w.Orders[2].Events = w.Orders[2].Events[:3]
		posing := w.record(Record{Topic: events.TopicOrderEvents, Key: stuck})
		for _, group := range Readers(events.TopicOrderEvents) {
			w.letter(group, posing, "dead_lettered")
		}
	}, stuck}, {"a duplicate given up", func(w *world) {
		w.Orders[2].Events = w.Orders[2].Events[:3]
		r := w.event(stuck, "OrderCreated")
		r.Event = nil
		again := w.record(r)
		for _, group := range SubscribersOf("OrderCreated", event.Choreographed) {
			l := w.letter(group, again, "dead_lettered", "discarded")
			l.InboxID, l.Parks = w.id(), false
		}
	}, stuck}})
}

// unbroken expects no finding about a changed fixture.
func unbroken(t *testing.T, name string, change func(w *world)) {
	t.Run(name, func(t *testing.T) {
		w := soundWorld()
		change(w)
		for _, f := range Check(w.Facts) {
			if !f.OK() {
				t.Errorf("%s: %v", f.Invariant, f.Breaches)
			}
		}
	})
}

func TestWhatFailsIsNoBreach(t *testing.T) {
	unbroken(t, "parked in order", func(w *world) { w.parkRefunded("OrderCancellationRequested", "OrderCancelled") })
	unbroken(t, "resubmitted, and head of its key", func(w *world) {
		w.letter("inventory", w.event(stuck, "OrderCreated"), "dead_lettered", "edited", "resubmitted")
	})
	unbroken(t, "resubmitted later than what waits already", func(w *world) {
		posing := w.of(projector, retried, "discarded")
		place, inboxID := posing.Place, posing.InboxID
		w.drop(posing)
		w.unhear(projector, inboxID)
		w.tell("order", 3, uuid.Nil, &events.OrderCancellationRequested{OrderID: retried, OccurredAt: w.now()})
		w.follow(projector, w.event(retried, "OrderCancellationRequested"), uuid.Nil)
		w.follow("shipping", w.event(retried, "OrderCancellationRequested"), uuid.Nil)
		w.retry("shipping", w.event(retried, "OrderCreated"))
		i := slices.IndexFunc(w.Records, func(r Record) bool { return r.Place() == place })
		w.letter(projector, w.Records[i], "dead_lettered", "resubmitted")
		w.rebuild()
	})
	unbroken(t, "another effect after its id was repaired", func(w *world) {
		rec := w.event(stuck, "OrderCreated")
		l := w.letter("payment", rec, "dead_lettered", "edited", "resubmitted", "resolved")
		l.InboxID, rec.ID = w.id(), w.id()
		l.Repaired = &rec
		w.tell("payment", 2, rec.ID, &events.PaymentRefunded{OrderID: stuck})
		w.rebuild()
	})
	unbroken(t, "a cancelled order's goods wait for inventory", func(w *world) {
		w.letter("inventory", w.event(refunded, "ShipmentCancelled"), "dead_lettered")
		i, _ := w.find(refunded, "InventoryReleased")
		w.lose(w.Outbox[i].ID)
		w.Outbox = slices.Delete(w.Outbox, i, i+1)
		w.Reservations[1].State = "RESERVED"
		w.Stock[1].Reserved, w.Stock[1].Available = 1, 12
		w.rebuild()
	})
	unbroken(t, "an event that never was under its key", func(w *world) {
		w.Orders[2].Events = w.Orders[2].Events[:3]
		_, i := w.find(stuck, "ShipmentScheduled")
		w.Records[i].Key = "order-posing"
		for _, group := range []string{"order", projector} {
			w.unhear(group, w.Records[i].ID)
			l := w.letter(group, w.Records[i], "dead_lettered")
			l.Parks, l.InboxID = false, w.id()
			w.unpark(group, "order-posing")
		}
		w.rebuild()
	})
	unbroken(t, "a copy too large to be one", func(w *world) {
		w.recopy(w.of("shipping", dead, "open").ID, func(c *Copy) { c.Sum, c.Omitted = Sum{1}, true })
	})
	unbroken(t, "repaired, and failed as it then was", func(w *world) {
		id := w.of(projector, refunded, "resolved").ID
		w.Copies[slices.IndexFunc(w.Copies, func(c Copy) bool { return c.ID == id })].Sum[0]++
	})
	unbroken(t, "discarded, and others go on behind it", func(w *world) {
		l := w.of("shipping", dead, "open")
		l.then("discarded", "discarded")
		w.noted(l.ID).Decision = "discarded"
		k := w.parkedKey("shipping", dead)
		k.State, k.Head = "retrying", w.send("shipping", w.event(dead, "OrderCreated"), uuid.Nil, uuid.Nil, 0)
		w.resend(k.Head, func(r *Retry) { r.Skip = true })
	})
	unbroken(t, "pruned after a month", func(w *world) {
		w.At = w.At.Add(kept + time.Hour)
		w.drop(w.of("shipping", retried, "discarded"))
		for _, l := range w.DeadLetters {
			w.uncopy(l.ID)
		}
		w.Copies = append(w.Copies, Copy{Topic: "order.events.payment.dlq", Group: "payment", ID: w.id(), Time: began})
	})
	unbroken(t, "published again to a broker that had lost everything", func(w *world) {
		w.Records = slices.DeleteFunc(w.Records, func(r Record) bool { return r.ID == uuid.Nil })
		for i := range w.Records {
			w.Records[i].Offset, w.Records[i].Time = int64(i), w.Records[i].Time.Add(time.Hour)
		}
	})
}

// TestReceiptsArePrunedByTheDay: an event of a day whose receipts were dropped is not lost.
func TestReceiptsArePrunedByTheDay(t *testing.T) {
	at := func(day int) uuid.UUID {
		ms := began.AddDate(0, 0, day).UnixMilli()
		id := uuid.New()
		for i := range 6 {
			id[i] = byte(ms >> (40 - 8*i))
		}
		return id
	}
	lost := func(event, receipt uuid.UUID) bool {
		f := Facts{
			Records: []Record{{Topic: events.TopicPaymentEvents, Key: "order-1", ID: event, Type: "PaymentCompleted", Event: &events.PaymentCompleted{OrderID: "order-1"}}},
		}
		for _, group := range []string{"inventory", projector} {
			f.Inbox = append(f.Inbox, InboxRow{group, group, receipt})
		}
		return !settled(f).OK()
	}
	if lost(at(0), at(1)) {
		t.Error("lost, though no receipt of its day is left")
	}
	if !lost(at(1), at(1)) || !lost(at(1), at(0)) {
		t.Error("not lost, though receipts of its day are there")
	}
}

func TestI7CountsEachEventOncePerGroup(t *testing.T) {
	created := Record{Topic: events.TopicOrderEvents, Key: "order-1", ID: uuid.New(), Type: "OrderCreated", Event: &events.OrderCreated{OrderID: "order-1"}}
	again, later := created, created
	again.Offset = 1
	later.Offset, later.ID, later.Type, later.Event = 2, uuid.New(), "OrderConfirmed", &events.OrderConfirmed{OrderID: "order-1"}
	w := &world{offsets: map[string]int64{}}
	w.Records = []Record{created, again, later}
	w.hear(created.ID, created.Type)
	w.hear(later.ID, later.Type)
	done := len(SubscribersOf(created.Type, event.Choreographed)) + len(SubscribersOf(later.Type, event.Choreographed))
	const styled = 2 // the orchestrator's
	want := fmt.Sprintf("%d done, 0 retrying, 0 dead letters, %d of types not subscribed to, %d of the other style, 0 discarded",
		done, 2*len(Readers(created.Topic))-done-styled, styled)
	if r := settled(w.Facts); !r.OK() || r.Counted != want {
		t.Errorf("%q, want %q; %v", r.Counted, want, r.Breaches)
	}
}

func TestKeysAreShownAsText(t *testing.T) {
	for key, want := range map[string]string{
		"order-1": "order-1", "": `""`, "\xff": `"\xff"`, "a\nb": `"a\nb"`, "Größe": "Größe",
	} {
		if got := string(shown(key)); got != want {
			t.Errorf("%q is shown as %s, want %s", key, got, want)
		}
	}
}

func TestHolds(t *testing.T) {
	type line struct {
		Order, Group    string
		Dead, Discarded bool
	}
	var got []line
	for _, h := range Holds(soundWorld().Facts) {
		got = append(got, line{h.Order, h.Group, h.DeadLetter != uuid.Nil, h.Discarded})
	}
	want := []line{
		{retried, "payment", false, false}, {retried, projector, false, false},
		{dead, "shipping", true, false}, {discarded, "payment", true, true},
		{delivered, projector, true, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("holds (-want +got):\n%s", diff)
	}
}

func TestHeldNamesOrdersAndDeadLetters(t *testing.T) {
	w := soundWorld()
	line, why := Held(w.Facts)
	if want := "held: 2 orders (dead letters: " + w.of("shipping", dead, "open").ID.String() + "; retries: 2)"; line != want {
		t.Errorf("%q, want %q", line, want)
	}
	if len(why) != 3 {
		t.Errorf("%d reasons: %v", len(why), why)
	}
	if line, why := Held(Facts{}); line != "" || why != nil {
		t.Errorf("of nothing: %q %v", line, why)
	}
}
