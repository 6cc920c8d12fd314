package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// exec runs a statement in a service's database.
func (s *shop) exec(t *testing.T, service, sql string, args ...any) {
	t.Helper()
	if _, err := s.pools[service].Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", service, err)
	}
}

// send puts an event into a service's outbox, not yet published.
func (s *shop) send(t *testing.T, service string) {
	t.Helper()
	s.exec(t, service, `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, ce_specversion)
		VALUES ($1, 0, 'order', 'o-1', 'OrderCreated', 'order.events', 'o-1', '1.0')`, uuid.Must(uuid.NewV7()))
}

func (s *shop) publish(t *testing.T, service string) {
	t.Helper()
	s.exec(t, service, `DELETE FROM outbox_queue`)
}

// TestEveryServiceIsRead: the facts include a fact of any database, and it changes the position.
func TestEveryServiceIsRead(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, service := range groups() {
		before, err := progress(t.Context(), s.conns)
		if err != nil {
			t.Fatal(err)
		}
		moved := func(what string) {
			t.Helper()
			after, err := progress(t.Context(), s.conns)
			if err != nil || after == before {
				t.Errorf("%s: %s is not noticed (%v)", service, what, err)
			}
			before = after
		}
		s.send(t, service)
		moved("an event")
		s.publish(t, service)
		moved("its publication")
		s.park(t, service, time.Hour)
		moved("a parked key")
		s.exec(t, service, `INSERT INTO inbox (consumer_group, message_id, event_type) VALUES ($1, $2, 'OrderCreated')`,
			service, uuid.Must(uuid.NewV7()))
	}
	out, err := outboxes(t.Context(), s.conns)
	if err != nil {
		t.Fatal(err)
	}
	in, err := inboxes(t.Context(), s.conns)
	if err != nil {
		t.Fatal(err)
	}
	failed, _, err := failures(t.Context(), s.conns, oneRegistry(s.codec))
	if err != nil {
		t.Fatal(err)
	}
	want, sent, received, parked := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for _, service := range groups() {
		want[service] = 1
	}
	for _, row := range out {
		sent[row.Service]++
	}
	for _, row := range in {
		received[row.Service]++
	}
	for _, row := range failed.ParkedKeys {
		parked[row.Service]++
	}
	for what, got := range map[string]map[string]int{"outboxes": sent, "inboxes": received, "parked keys": parked} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// park makes a key of a service wait for a retry after the given time.
func (s *shop) park(t *testing.T, service string, in time.Duration) {
	t.Helper()
	s.exec(t, service, `INSERT INTO parked_keys (consumer_group, topic, key, head, state, event_type, attempts, not_before, last_error)
		VALUES ($1, 'order.events', 'o-1', $2, 'retrying', 'OrderCreated', 1, now() + $3, 'not yet')`,
		service, uuid.Must(uuid.NewV7()), in)
}

// TestRestWaitsForEveryService: for its outbox, its due retries, and its groups.
func TestRestWaitsForEveryService(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	adm := kadm.NewClient(kafkatest.NewClient(t, s.brokers))
	// read makes a group read order.events up to an offset.
	read := func(group string, offset int64) {
		t.Helper()
		offsets := kadm.Offsets{}
		offsets.AddOffset(events.TopicOrderEvents, 0, offset, -1)
		if err := adm.CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for _, group := range groups() {
		all = append(all, group, consumer.RetryGroup(group))
	}
	for _, group := range all {
		read(group, 0)
	}
	expect := func(want bool, what string) {
		t.Helper()
		got, _, err := atRest(t.Context(), Sources{}, adm, s.conns, time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: at rest is %t", what, got)
		}
	}
	expect(true, "an empty shop")
	s.exec(t, mailer, `INSERT INTO mails (order_id, state, correlation_id, next_attempt_at, created_at, updated_at) VALUES ('o-1', 'TO_SEND', '', now(), now(), now())`)
	expect(false, "a mail is to be sent")
	s.exec(t, mailer, `UPDATE mails SET state = 'SENT', next_attempt_at = NULL, ended_at = now()`)
	expect(true, "it was sent")
	for _, service := range groups() {
		s.send(t, service)
		expect(false, service+" has an event to publish")
		s.publish(t, service)
		expect(true, service+" has published it")
		s.park(t, service, 0)
		expect(false, service+" has a retry that is due")
		s.exec(t, service, `UPDATE parked_keys SET not_before = now() + interval '1 hour'`)
		expect(true, service+" has a retry that nobody waits for")
		s.exec(t, service, `DELETE FROM parked_keys`)
	}
	kafkatest.Produce(t, s.brokers, &kgo.Record{Topic: events.TopicOrderEvents, Key: []byte("o-1")})
	for _, group := range all {
		expect(false, group+" has an event to read")
		read(group, 1)
	}
	expect(true, "all have read it")

	for version, typ := range []string{"OrderCreated", "OrderConfirmed", "OrderShipped", "OrderDelivered"} {
		s.exec(t, "order", `INSERT INTO events (stream_id, version, event_type, data) VALUES ('o-1', $1, $2, '{}')`, version+1, typ)
		expect(typ == "OrderDelivered", "an order behind "+typ)
	}
}

// TestTheLedgerIsReadToItsEnd: the ledger has several pages.
func TestTheLedgerIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	const entries, page = 7, 3
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		fmt.Fprint(w, `{"entries":[`)
		for seq := after + 1; seq <= min(after+page, entries); seq++ {
			if seq > after+1 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"seq":%d,"orderId":"o-%d","kind":"capture","currency":"GBP","amount":9007199254740993}`, seq, seq)
		}
		fmt.Fprint(w, `]}`)
	}))
	t.Cleanup(server.Close)
	got, err := ledger(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var want []LedgerEntry
	for seq := range entries {
		want = append(want, LedgerEntry{fmt.Sprintf("o-%d", seq+1), "capture", "GBP", 1<<53 + 1})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

// connect opens a database with some components' tables.
func connect(t *testing.T, components ...postgres.Component) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), pgtest.NewURL(t, components...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// TestOrdersAreReadExactly: every digit of an amount, every event, and the snapshots of both tables.
func TestOrdersAreReadExactly(t *testing.T) {
	t.Parallel()
	c := connect(t, eventstore.Component(), httpapi.IdempotencyComponent())
	const id = "01936f2e-7a10-7cc3-9d5e-0242ac120002"
	if _, err := c.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data) VALUES
		('`+id+`', 1, 'OrderCreated', '{"totalAmount": 9007199254740993, "currency": "GBP"}'), ('`+id+`', 2, 'OrderConfirmed', '{}')`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), `INSERT INTO snapshots (stream_id, version, state) VALUES
		('`+id+`', 2, '{"order": {"status": "CONFIRMED"}}')`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), `INSERT INTO stream_snapshots (stream_id, version, format, state, checksum) VALUES
		('`+id+`', 1, 2, '{"status": "PENDING"}', '')`); err != nil {
		t.Fatal(err)
	}
	got, err := orders(t.Context(), c)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	f := fold(got[0].Events)
	if got[0].ID != id || f.total != 1<<53+1 || f.status != "CONFIRMED" || !slices.Equal(got[0].Snapshots, []Snapshot{{1, "PENDING"}, {2, "CONFIRMED"}}) {
		t.Errorf("%+v, folded %+v", got[0], f)
	}
}

// TestStockIsNotBelieved: receipts are added up, whatever the stock's row has.
func TestStockIsNotBelieved(t *testing.T) {
	t.Parallel()
	c := connect(t, postgres.Component{Name: "inventory", FS: os.DirFS("../../services/inventory/migrations")})
	for _, sql := range []string{
		`INSERT INTO stock (sku, initial, restocked, available) VALUES ('A', 1, 9, 10), ('B', 2, 0, 2)`,
		`INSERT INTO receipts VALUES (gen_random_uuid(), 'A', 3, now()), (gen_random_uuid(), 'A', 4, now())`,
		`INSERT INTO reservations VALUES ('o-1', 'REJECTED', gen_random_uuid(), 1, NULL, now())`,
		`INSERT INTO reservation_items VALUES ('o-1', 'A', 11), ('o-1', 'B', 1)`,
	} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	stocks, err := stockRows(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []Stock{{SKU: "A", Initial: 1, Restocked: 9, Available: 10, Receipts: total(7)}, {SKU: "B", Initial: 2, Available: 2}}
	if diff := cmp.Diff(want, stocks); diff != "" {
		t.Errorf("stock (-want +got):\n%s", diff)
	}
	held, err := reservations(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Reservation{{"o-1", "REJECTED", map[string]int64{"A": 11, "B": 1}}}, held); diff != "" {
		t.Errorf("reservations (-want +got):\n%s", diff)
	}
	if r := stock(Facts{Stock: stocks, Reservations: held}); r.OK() {
		t.Error("two pieces came from nowhere, and nothing is found")
	}
}
