package app

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/notification/notification"
)

// TestBothStylesSendTheSameMail: the mail from the callback and the mail from the event have the same
// bytes, and each style reacts to one event.
func TestBothStylesSendTheSameMail(t *testing.T) {
	for style, callbacks := range map[notification.Style]int{notification.ByNotification: 1, notification.ByState: 0} {
		for first, name := range []string{"OrderPlaced", "OrderCreated"} {
			t.Run(string(style)+", first "+name, func(t *testing.T) {
				f := newFixture(t)
				a, id := f.process(style), f.newOrder()
				deliveries := []func(*App, string) error{f.placed, f.created}
				f.must(deliveries[first](a, id))
				f.must(deliveries[1-first](a, id))
				if row := f.want(id, notification.ToSend); row.Style != string(style) || row.CustomerID != "cust-7" {
					t.Errorf("the row says %+v", row)
				}
				if got := f.orders.Calls(); got != callbacks {
					t.Errorf("%d callbacks, want %d", got, callbacks)
				}
				f.round(a)
				f.want(id, notification.Sent)
				f.wantMail(id)
				f.must(deliveries[first](a, id)) // again, as after a replay
				f.must(deliveries[1-first](a, id))
				if n := f.round(a); n != 0 {
					t.Errorf("%d mails are due again", n)
				}
				f.wantMail(id)
			})
		}
	}
}

// TestTheStyleChangesBetweenTheEvents: the event that comes second leads to the mail when the first
// was left out, whatever the style is by then.
func TestTheStyleChangesBetweenTheEvents(t *testing.T) {
	for name, test := range map[string]struct {
		style     notification.Style // before
		placed    bool               // the first event
		then      notification.Style
		state     notification.State // between the two
		callbacks int
	}{
		"OrderCreated left out, then by state":        {notification.ByNotification, false, notification.ByState, notification.AwaitingPlaced, 1},
		"OrderPlaced left out, then by notification":  {notification.ByState, true, notification.ByNotification, notification.AwaitingCreated, 0},
		"OrderPlaced came, then by state":             {notification.ByNotification, true, notification.ByState, notification.ToSend, 1},
		"OrderCreated came, then by notification":     {notification.ByState, false, notification.ByNotification, notification.ToSend, 0},
		"OrderCreated left out, and no change at all": {notification.ByNotification, false, notification.ByNotification, notification.AwaitingPlaced, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			before, then, id := f.process(test.style), f.process(test.then), f.newOrder()
			first, second := f.created, f.placed
			if test.placed {
				first, second = f.placed, f.created
			}
			f.must(first(before, id))
			f.want(id, test.state)
			f.must(second(then, id))
			f.want(id, notification.ToSend)
			if got := f.orders.Calls(); got != test.callbacks {
				t.Errorf("%d callbacks, want %d", got, test.callbacks)
			}
			f.round(then)
			f.wantMail(id)
		})
	}
}

// TestEveryOrderOfArrival: the events of many orders arrive at processes of both styles, in any order
// and several times. Each order gets one mail.
func TestEveryOrderOfArrival(t *testing.T) {
	f := newFixture(t)
	processes := []*App{f.process(notification.ByNotification), f.process(notification.ByState)}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var ids []string
	for range 12 {
		id := f.newOrder()
		ids = append(ids, id)
		deliveries := []func(*App, string) error{f.placed, f.created, f.placed, f.created}
		random.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
		for _, deliver := range deliveries {
			f.must(deliver(processes[random.IntN(2)], id))
			if random.IntN(2) == 0 {
				f.round(processes[random.IntN(2)])
			}
		}
	}
	f.round(processes[0])
	if got := len(f.mailbox.Arrived()); got != len(ids) {
		t.Errorf("%d mails about %d orders", got, len(ids))
	}
	for _, id := range ids {
		f.want(id, notification.Sent)
	}
}

// TestOldOrders: the service is younger than the shop. Orders from before get no mail and no row,
// whichever event comes.
func TestOldOrders(t *testing.T) {
	for _, style := range []notification.Style{notification.ByNotification, notification.ByState} {
		t.Run(string(style), func(t *testing.T) {
			f := newFixture(t)
			a, old, young := f.process(style), f.newOrder(), f.newOrder()
			since := a.since.Load().Truncate(time.Microsecond)
			if grace := f.time().Sub(since); grace < 9*time.Minute || grace > 15*time.Minute {
				t.Errorf("orders get mails since %s ago", grace)
			}
			f.must(f.deliverPlaced(a, placedAt(old, since.Add(-time.Second))))
			f.must(f.deliverCreated(a, createdAt(old, since.Add(-time.Second))))
			f.must(f.deliverPlaced(a, placedAt(young, since)))
			f.must(f.deliverCreated(a, createdAt(young, since)))
			f.round(a)
			f.wantMail(young)
			var rows int
			f.must(f.pool.QueryRow(t.Context(), `SELECT count(*) FROM mails`).Scan(&rows))
			if rows != 1 {
				t.Errorf("%d rows", rows)
			}
		})
	}
}

// TestTheOrderServiceIsAway: the record waits, and nothing is written. Afterwards the mail is sent. In
// the other style nothing waits.
func TestTheOrderServiceIsAway(t *testing.T) {
	f := newFixture(t)
	asks, carried := f.process(notification.ByNotification), f.process(notification.ByState)
	waiting, other := f.newOrder(), f.newOrder()
	f.orders.Down(true)
	if err := f.placed(asks, waiting); errs.KindOf(err) != errs.Transient {
		t.Fatalf("error %v of kind %s", err, errs.KindOf(err))
	}
	f.must(f.created(carried, other))
	f.round(carried)
	f.wantMail(other)
	f.orders.Down(false)
	f.must(f.placed(asks, waiting))
	f.round(asks)
	f.wantMail(other, waiting)
}

// TestTheCallbackShowsTheOrderOfToday: the answer of the callback is the order's state then, and not
// the event's. The mail keeps it, whatever happens to the order later.
func TestTheCallbackShowsTheOrderOfToday(t *testing.T) {
	f := newFixture(t)
	a, id := f.process(notification.ByNotification), f.newOrder()
	f.orders.Put(id, `{"orderId":"`+id+`","customer":{"id":"c","name":"Countess of Lovelace","email":"ada@example.com"},"totalAmount":1.00,"currency":"GBP"}`)
	f.must(f.placed(a, id))
	want := f.row(id).Body
	f.orders.Put(id, `{"orderId":"`+id+`","customer":{"name":"Ada","email":"x@example.com"},"totalAmount":2.00,"currency":"GBP"}`)
	f.must(f.placed(a, id))
	if diff := cmp.Diff(want, f.row(id).Body); diff != "" {
		t.Errorf("mail (-before +after):\n%s", diff)
	}
}

// TestAnAnswerThatWasNotAskedFor: a decision that needs the order, without an answer, is tried again
// with a call.
func TestAnAnswerThatWasNotAskedFor(t *testing.T) {
	f := newFixture(t)
	a, id := f.process(notification.ByNotification), f.newOrder()
	e := placedAt(id, f.time())
	err := f.apply(a, id, a.OnOrderPlaced(e, notification.Order{}), id)
	if errs.KindOf(err) != errs.Transient {
		t.Errorf("error %v of kind %s", err, errs.KindOf(err))
	}
	if rows, err := f.pool.Query(t.Context(), `SELECT order_id FROM mails`); err != nil {
		t.Error(err)
	} else if ids, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(ids) != 0 {
		t.Errorf("rows %v, %v", ids, err)
	}
}
