package verify

import (
	"slices"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// The orders of the fixture that failed events hold.
const (
	retried   = "order-retried"   // payment and the projection are retrying OrderCreated
	dead      = "order-dead"      // shipping gave OrderCreated up, and the cancellation waits behind it
	discarded = "order-discarded" // an operator discarded OrderCreated at payment
)

// failures adds the outcomes of failed records, one of every kind.
func (w *world) failures() {
	w.retriedOrder()
	w.deadOrder()
	w.discardedOrder()

	// The projection failed at three events of orders that ended: one that it handled in the third
	// round, one that was repaired, one that was discarded.
	w.letter(projector, w.event(delivered, "OrderShipped"),
		"dead_lettered", "resubmitted", "resubmitted_again", "failed_again", "resubmitted", "failed_again", "resubmitted", "resolved", "resubmitted_again")
	fixed := w.letter(projector, w.event(refunded, "PaymentCompleted"), "dead_lettered", "resubmitted", "failed_again", "edited", "resubmitted", "resolved")
	rec := w.event(refunded, "PaymentCompleted")
	paid := *rec.Event.(*events.PaymentCompleted)
	paid.Amount = 1249
	rec.Event = &paid
	fixed.Repaired = &rec
	dropped := w.event(delivered, "ShipmentDispatched")
	w.letter(projector, dropped, "dead_lettered", "edited", "discarded").Repaired = &dropped
	delete(w.Projection.Timeline[delivered], dropped.ID)

	// An undecodable record is a dead letter in each group that reads the topic, whatever its key.
	poison := w.record(Record{Topic: events.TopicOrderEvents, Key: "\xff\x00rubbish"})
	posing := w.record(Record{Topic: events.TopicOrderEvents, Key: retried})
	for _, group := range Readers(events.TopicOrderEvents) {
		w.letter(group, poison, "dead_lettered")
		if group == "payment" {
			w.letter(group, posing, "dead_lettered", "resubmitted") // and waits behind the order's own event
			continue
		}
		w.letter(group, posing, "dead_lettered", "discarded")
	}
}

func (w *world) retriedOrder() {
	w.Orders = append(w.Orders, stream(retried, 700, "OrderCreated"))
	w.created(retried, "c-4", 700)
	w.retry("payment", w.event(retried, "OrderCreated"))
	// It is not visible yet: OrderCreated creates its row and its timeline.
	w.retry(projector, w.event(retried, "OrderCreated"))
	delete(w.Projection.Timeline, retried)
}

func (w *world) deadOrder() {
	w.Orders = append(w.Orders, stream(dead, 700, "OrderCreated", "ItemAdded", "OrderCancellationRequested"))
	placed := w.created(dead, "c-4", 700, events.OrderItem{SKU: "GADGET", Quantity: 1, UnitPrice: 700})
	paid := w.tell("payment", 1, placed, &events.PaymentCompleted{OrderID: dead, Amount: 700, Currency: "GBP", OccurredAt: w.now()})
	w.tell("inventory", 1, paid, &events.InventoryReserved{OrderID: dead, OccurredAt: w.now()})
	end := w.now()
	w.tell("order", 3, uuid.Nil, &events.OrderCancellationRequested{OrderID: dead, Reason: "customer", OccurredAt: end})
	w.letter("shipping", w.event(dead, "OrderCreated"), "dead_lettered")
	w.follow("shipping", w.event(dead, "OrderCancellationRequested"), uuid.Nil)

	w.Ledger = append(w.Ledger, LedgerEntry{dead, "capture", "GBP", 700})
	w.Payments = append(w.Payments, Payment{dead, "COMPLETED"})
	w.Reservations = append(w.Reservations, Reservation{dead, "RESERVED", map[string]int64{"GADGET": 1}})
	w.Projection.Orders[dead] = ProjectedOrder{
		Status: "CANCELLING", CustomerID: "c-4", Currency: "GBP", TotalAmount: 700, Items: 1, UpdatedAt: end,
	}
}

func (w *world) discardedOrder() {
	w.Orders = append(w.Orders, stream(discarded, 700, "OrderCreated"))
	at := w.now()
	w.created(discarded, "c-4", 700)
	w.letter("payment", w.event(discarded, "OrderCreated"), "dead_lettered", "discarded")
	w.Projection.Orders[discarded] = ProjectedOrder{
		Status: "PENDING", CustomerID: "c-4", Currency: "GBP", TotalAmount: 700, UpdatedAt: at,
	}
}

// event returns the first record of an order's event.
func (w *world) event(order, typ string) Record {
	_, i := w.find(order, typ)
	return w.Records[i]
}

// raw adds a published outbox row that is no event.
func (w *world) raw(group, topic string) uuid.UUID {
	row := OutboxRow{Service: group, Topic: topic, ID: w.id(), Published: true, Raw: true}
	w.Outbox = append(w.Outbox, row)
	return row.ID
}

// send writes a retry record of rec.
func (w *world) send(group string, rec Record, inboxID, letter uuid.UUID, attempts int) uuid.UUID {
	topic := event.RetryTopic(rec.Topic, group).Name
	r := Retry{
		Topic: topic, Group: group, Key: rec.Key, ID: w.raw(group, topic), Place: rec.Place(),
		InboxID: inboxID, DeadLetter: letter, Attempts: attempts,
	}
	w.Retries = append(w.Retries, r, r) // published twice
	return r.ID
}

// retry makes a group fail twice at an event.
func (w *world) retry(group string, rec Record) {
	w.send(group, rec, rec.ID, uuid.Nil, 1)
	head := w.send(group, rec, rec.ID, uuid.Nil, 2)
	w.ParkedKeys = append(w.ParkedKeys, ParkedKey{group, group, rec.Topic, rec.Key, head, "retrying"})
}

// follow makes a group park a record behind the head of its key.
func (w *world) follow(group string, rec Record, letter uuid.UUID) {
	inboxID := rec.ID
	if letter != uuid.Nil {
		inboxID = w.given(letter).InboxID
	}
	w.ParkedRecords = append(w.ParkedRecords, ParkedRecord{
		group, group, rec.Key, int64(len(w.ParkedRecords) + 1), rec.Place(), inboxID, letter, w.now(),
	})
}

// given returns the dead letter with that id.
func (w *world) given(letter uuid.UUID) *DeadLetter {
	return &w.DeadLetters[slices.IndexFunc(w.DeadLetters, func(l DeadLetter) bool { return l.ID == letter })]
}

// letter adds a dead letter: its final state, and what each step has left on topics and in tables.
// Real events park their keys.
func (w *world) letter(group string, rec Record, steps ...string) *DeadLetter {
	dlq := event.DeadLetterTopic(rec.Topic, group).Name
	l := DeadLetter{
		Service: group, Group: group, Key: rec.Key, Place: rec.Place(), InboxID: rec.ID, EventID: rec.ID, Type: rec.Type,
		Parks: rec.ID != uuid.Nil, CreatedAt: w.now(), Sum: rec.Sum,
	}
	if !l.Parks {
		l.InboxID = w.id()
		w.Inbox = append(w.Inbox, InboxRow{group, group, l.InboxID})
	}
	var head uuid.UUID
	for _, step := range steps {
		l.Actions = append(l.Actions, Action{"somebody", step, "as asked for"})
		switch step {
		case "dead_lettered", "failed_again":
			row := w.raw(group, dlq)
			if step == "dead_lettered" {
				l.ID = row
			}
			w.Copies = append(w.Copies, Copy{Topic: dlq, Group: group, Key: rec.Key, ID: l.ID, Sum: l.Sum, Time: w.now()})
			l.Status, head = "open", l.ID
		case "resubmitted":
			l.Status, head = "resubmitted", w.send(group, rec, l.InboxID, l.ID, 0)
		case "resolved", "discarded":
			l.Status = step
		}
	}
	w.DeadLetters = append(w.DeadLetters, l)
	g := GivenUp{Service: group, Group: group, Place: l.Place, DeadLetter: l.ID, Decision: decision(l.Status)}
	if l.Parks {
		g.Key = l.Key
	}
	w.GivenUp = append(w.GivenUp, g)
	parked := slices.ContainsFunc(w.ParkedKeys, func(k ParkedKey) bool {
		return k.Group == group && k.Topic == rec.Topic && k.Key == rec.Key
	})
	switch {
	case l.Status == "resubmitted" && parked:
		w.Retries = slices.DeleteFunc(w.Retries, func(r Retry) bool { return r.ID == head })
		w.follow(group, rec, l.ID)
	case l.Status == "resubmitted":
		w.ParkedKeys = append(w.ParkedKeys, ParkedKey{group, group, rec.Topic, rec.Key, head, "retrying"})
	case l.Status == "open" && l.Parks:
		w.ParkedKeys = append(w.ParkedKeys, ParkedKey{group, group, rec.Topic, rec.Key, head, "dead"})
	}
	return w.given(l.ID)
}

// rebuild makes the live read models equal to the records that the projection received.
func (w *world) rebuild() {
	w.Rebuilt = Rebuild(heard(w.Facts))
	w.Projection = w.Rebuilt
}

// unhear removes a group's receipt.
func (w *world) unhear(group string, id uuid.UUID) {
	w.Inbox = slices.DeleteFunc(w.Inbox, func(r InboxRow) bool { return r.Group == group && r.ID == id })
}

// of returns the dead letter of a group with that key and status.
func (w *world) of(group, key, status string) *DeadLetter {
	return &w.DeadLetters[slices.IndexFunc(w.DeadLetters, func(l DeadLetter) bool {
		return l.Group == group && l.Key == key && l.Status == status
	})]
}

// then continues the life of a dead letter, in its table only.
func (l *DeadLetter) then(status string, steps ...string) {
	l.Status = status
	for _, step := range steps {
		l.Actions = append(l.Actions, Action{"somebody", step, "as asked for"})
	}
}

// parkedKey returns the parked key of a group.
func (w *world) parkedKey(group, key string) *ParkedKey {
	return &w.ParkedKeys[slices.IndexFunc(w.ParkedKeys, func(k ParkedKey) bool { return k.Group == group && k.Key == key })]
}

// unpark removes a group's parked key, and leaves the records behind it.
func (w *world) unpark(group, key string) {
	w.ParkedKeys = slices.DeleteFunc(w.ParkedKeys, func(k ParkedKey) bool { return k.Group == group && k.Key == key })
}

// resend changes all records of one retry.
func (w *world) resend(id uuid.UUID, change func(*Retry)) {
	for i := range w.Retries {
		if w.Retries[i].ID == id {
			change(&w.Retries[i])
		}
	}
}

// recopy changes all copies of a dead letter.
func (w *world) recopy(letter uuid.UUID, change func(*Copy)) {
	for i := range w.Copies {
		if w.Copies[i].ID == letter {
			change(&w.Copies[i])
		}
	}
}

// uncopy removes a dead letter's copies from the topics.
func (w *world) uncopy(letter uuid.UUID) {
	w.Copies = slices.DeleteFunc(w.Copies, func(c Copy) bool { return c.ID == letter })
}

// drop removes a dead letter from its table, and its copies from the topics.
func (w *world) drop(l *DeadLetter) {
	id := l.ID
	w.uncopy(id)
	w.DeadLetters = slices.DeleteFunc(w.DeadLetters, func(l DeadLetter) bool { return l.ID == id })
}
