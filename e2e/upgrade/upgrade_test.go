package upgrade

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"eventshop.example/lab/plant"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
)

// SKUs and customers. A planted fault is for the orders of one of them.
const (
	sku       = "UPGRADE"
	skuParked = "UPGRADE-PARKED" // projection cannot write its orders' items
	skuDead   = "UPGRADE-DEAD"   // inventory cannot
	ada       = "upgrade-ada"
	poor      = "upgrade-poor"   // whose card is declined
	spoilt    = "upgrade-spoilt" // whose OrderCreated is cut in half
)

// flags are those of the first start, which later ones keep. Projection's first retry is due
// when this release runs.
func flags() []string {
	return []string{"--ports", "auto", "--env", "carrier.DISPATCH_AFTER=1500ms", "--env", "carrier.DELIVER_AFTER=500ms",
		"--env", "order.SNAPSHOT_EVERY=3", "--env", "projection.RETRY_BACKOFF_BASE=20s"}
}

// left is what the release before has left behind, unfinished.
type left struct {
	waiting     []string // in the middle of their sagas, some of them not even published
	parked      string   // projection will try its OrderCreated again, with the order's later events behind it
	dead        string   // inventory has given its OrderCreated up; the fault is over
	spoilt      string   // four groups cannot decode its OrderCreated; a cancellation is behind it
	spoiltByWho []string
	poisoned    int64 // records on payment.events that are no events
}

// TestUpgradeInPlace lets the release before make state of every kind and stops it with SIGKILL in
// the middle of sagas. Then it starts this release on the same folder, and all orders end as they
// must. After that it goes back to the release before, in the two ways there are.
func TestUpgradeInPlace(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	t.Parallel()
	old, now := releases(t)
	s := newShop(t)
	s.up(t, old, flags()...)
	l := leave(t, s, old)
	s.up(t, now)
	takeOver(t, s, now, l)
	if !t.Run("rollback is refused", func(t *testing.T) { refused(t, s, old, now) }) {
		return
	}
	t.Run("rollback with the outbox migrated down", func(t *testing.T) { back(t, s, old, now) })
}

// leave makes orders of every kind with the release before and stops it.
func leave(t *testing.T, s *shop, old release) (l left) {
	s.stock(t, sku, skuParked, skuDead)
	s.rule(t, "gateway", `{"match":{"customerId":"`+poor+`"},"decline":"insufficient_funds"}`)
	fault := func(service string, f plant.Fault) {
		t.Helper()
		if _, err := plant.Refuse(t.Context(), s.DSN[service], f); err != nil {
			t.Fatal(err)
		}
	}
	fault("projection", plant.Fault{Table: "order_items", Column: "sku", Value: skuParked})
	fault("inventory", plant.Fault{Table: "reservation_items", Column: "sku", Value: skuDead})
	if _, err := plant.Spoil(t.Context(), s.DSN["order"], plant.Fault{Table: "outbox", Column: "event_type", Value: "OrderCreated", Times: 1}, "payload", spoilt); err != nil {
		t.Fatal(err)
	}

	done := s.placeAll(t, 3, ada, sku)
	declined := s.place(t, poor, sku)
	l.parked, l.dead, l.spoilt = s.place(t, ada, skuParked), s.place(t, ada, skuDead), s.place(t, spoilt, sku)
	s.cancel(t, l.spoilt)
	given := s.place(t, ada, sku)
	s.await(t, []string{given}, confirmed)
	s.cancel(t, given)
	s.await(t, done, delivered)
	s.await(t, []string{declined}, cancelled)
	s.await(t, []string{given}, cancelled, delivered) // the parcel may have left
	s.await(t, []string{l.parked}, delivered)

	s.awaitCount(t, 1, "projection", `SELECT count(*) FROM parked_keys WHERE state = 'retrying'`)
	s.awaitCount(t, 4, "projection", followers) // three of the parked order, one of the spoilt one
	s.awaitCount(t, 1, "shipping", followers)
	l.spoiltByWho = verify.SubscribersOf("OrderCreated", event.Choreographed) // a group that this release adds reads the topic from its beginning
	for _, group := range l.spoiltByWho {
		if slices.Contains(old.services(), group) {
			s.awaitCount(t, 1, group, openLetters)
		}
	}
	s.awaitCount(t, 2, "inventory", openLetters)
	put, err := plant.Poison(t.Context(), s.Kafka, "upgrade", "payment.events")
	if err != nil {
		t.Fatal(err)
	}
	l.poisoned = int64(put["payment.events"])
	for _, group := range verify.Readers("payment.events") {
		if !slices.Contains(old.services(), group) {
			continue // it gives them up when it reads the topic from its beginning
		}
		s.awaitCount(t, int64(put["payment.events"]), group, `SELECT count(*) FROM dead_letters WHERE topic = 'payment.events'`)
	}
	for _, service := range []string{"inventory", "projection", "order"} {
		if err := plant.Clear(t.Context(), s.DSN[service]); err != nil {
			t.Fatal(err)
		}
	}

	s.must(t, old, "kill", "payment")
	l.waiting = s.placeAll(t, 5, ada, sku)
	const unpublished = `SELECT count(*) FROM outbox WHERE published_at IS NULL`
	eventually(t, 30*time.Second, func() string { return "the orders are published" }, func() bool { return s.query(t, "order", unpublished) == 0 })
	s.must(t, old, "kill", "broker")
	l.waiting = append(l.waiting, s.placeAll(t, 5, ada, sku)...)
	if n := s.query(t, "order", unpublished); n < 5 {
		t.Fatalf("%d rows wait for the relay, want 5 at least", n)
	}
	s.await(t, l.waiting, pending)
	for _, process := range []string{"order", "inventory", "postgres"} {
		s.must(t, old, "kill", process)
	}
	s.must(t, old, "down")
	return l
}

// takeOver finishes with this release what the release before has left. Topics that only the release
// before declares stay, and are no difference that counts.
func takeOver(t *testing.T, s *shop, now release, l left) {
	former := event.RetryTopic("order.notifications", "payment").Name
	if out := s.must(t, now, "topics", "diff"); !strings.Contains(out, former+": is not declared; it is empty") {
		t.Errorf("shop topics diff does not say that %s is left over and empty:\n%s", former, out)
	}
	s.await(t, l.waiting, delivered)
	for _, group := range verify.Readers("payment.events") {
		s.awaitCount(t, l.poisoned, group, `SELECT count(*) FROM dead_letters WHERE topic = 'payment.events'`)
	}
	s.must(t, now, "dlq", "discard", "--all", "--topic", "payment.events", "--reason", "no event", "--yes")
	payload, err := operators.OrderCreated(t.Context(), jsonhttp.New(s.URL["order"], nil), l.spoilt)
	if err != nil {
		t.Fatal(err)
	}
	fleet := operators.NewFleet(s.Operators, "upgrade")
	for _, name := range l.spoiltByWho {
		s.awaitCount(t, 1, name, openLetters)
		g, err := fleet.Group(name)
		if err != nil {
			t.Fatal(err)
		}
		letters, _, err := g.List(t.Context(), operators.Filter{Key: l.spoilt, Type: "OrderCreated"}, 0)
		if err != nil || len(letters) != 1 {
			t.Fatalf("%s has %d dead letters of order %s, want 1: %v", name, len(letters), l.spoilt, err)
		}
		edit := func(ctx context.Context, c *operators.Client) (operators.Detail, error) {
			return c.Edit(ctx, letters[0].ID, operators.Edit{Payload: payload, Note: "as the order service has it"})
		}
		if _, err := operators.Change(t.Context(), g, edit); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	t.Log("\n" + s.must(t, now, "dlq", "resubmit", "--all", "--reason", "mended", "--wait", "--timeout", "60s"))
	s.await(t, []string{l.dead}, delivered)
	s.await(t, []string{l.spoilt}, cancelled)
	s.verify(t, now)
}

// refused starts the release before on the data of this one. Its relays publish nothing, and a
// minute later, when no relay of this release can still run, its services say why. What they have
// accepted meanwhile is not lost.
func refused(t *testing.T, s *shop, old, now release) {
	s.must(t, now, "down")
	s.up(t, old)
	accepted := s.placeAll(t, 2, ada, sku)
	publishers := slices.DeleteFunc(eventshop.Publishers(), func(name string) bool { return !slices.Contains(old.services(), name) })
	for _, service := range publishers {
		// As if the minute had passed.
		s.exec(t, service, `UPDATE outbox_mode SET queue_since = queue_since - interval '1 minute';
			UPDATE outbox_relay SET expires_at = expires_at - interval '1 minute' WHERE queue`)
	}
	for _, service := range publishers {
		const sentence = "the outbox of this database belongs to a later release, whose relays do not run"
		said := ""
		eventually(t, 60*time.Second, func() string { return service + " is not ready and says that " + sentence + ": " + said }, func() bool {
			a, err := s.client.Send(t.Context(), "GET", s.URL[service]+"/readyz", "")
			said = string(a.Body)
			return err == nil && a.Status == 503 && strings.Contains(said, sentence)
		})
	}
	s.await(t, accepted, pending)
	if n := s.query(t, "order", `SELECT count(*) FROM outbox_queue`); n < 2 {
		t.Errorf("%d entries of the orders wait, want 2 at least", n)
	}
	s.must(t, old, "down")
	s.up(t, now)
	s.await(t, accepted, delivered)
	s.verify(t, now)
}

// back does what the refusal asks for: it migrates the outboxes of the release before down while no process runs. The
// release before then goes on with all that was unfinished, and this release takes over again.
func back(t *testing.T, s *shop, old, now release) {
	s.must(t, now, "kill", "payment")
	waiting := s.placeAll(t, 3, ada, sku)
	s.must(t, now, "down")
	s.must(t, now, "start", "postgres")
	down := ""
	for _, name := range []string{"00005_saga_style.sql", "00004_queue.sql"} {
		file, err := os.ReadFile(filepath.Join(now.root, "pkg", "outbox", "migrations", name))
		if err != nil {
			t.Fatal(err)
		}
		_, undo, found := strings.Cut(string(file), "-- +goose Down\n")
		if !found {
			t.Fatalf("%s cannot be undone", name)
		}
		down += undo
	}
	for _, service := range old.services() {
		eventually(t, 30*time.Second, func() string { return service + "'s relays have ended" }, func() bool {
			return s.query(t, service, `SELECT count(*) FROM outbox_relay WHERE queue AND expires_at > clock_timestamp()`) == 0
		})
		s.exec(t, service, "BEGIN; "+down+" DELETE FROM outbox_migrations WHERE version_id >= 4; COMMIT")
	}
	s.up(t, old)
	waiting = append(waiting, s.placeAll(t, 3, ada, sku)...)
	s.await(t, waiting, delivered)
	s.must(t, old, "kill", "payment")
	again := s.placeAll(t, 3, ada, sku)
	s.must(t, old, "down")
	s.up(t, now)
	s.await(t, slices.Concat(again, waiting), delivered)
	s.verify(t, now)
}
