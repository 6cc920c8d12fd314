package notification_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/notification"
	"eventshop.example/services/notification/internal/mailbox/mailboxtest"
	"eventshop.example/services/notification/internal/orders/orderstest"
)

// stack is the whole service as its main function runs it, with a broker, a database, a registry, an
// order service and a mailbox.
type stack struct {
	t       *testing.T
	cfg     notification.Config
	orders  *orderstest.Service
	mailbox *mailboxtest.Mailbox
	codec   *schema.Codec
	stop    context.CancelFunc
	ended   chan error
}

func newStack(t *testing.T) *stack {
	t.Helper()
	registry := schematest.Start(t)
	s := &stack{t: t, orders: orderstest.Start(t), mailbox: mailboxtest.Start(t), codec: registry.Codec(events.Catalogue())}
	db := pgtest.NewSeparate(t, notification.Components()...)
	db.Migrate(t)
	db.Check(t)
	s.cfg = notification.Config{
		Config: participant.Config{
			Addr: participanttest.Address(t), DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
			Brokers: kafkatest.Start(t, events.Topics()...), RegistryURL: registry.URL,
		},
		OrderURL: s.orders.URL, OrderTimeout: 5 * time.Second, MailboxURL: s.mailbox.URL, MailboxTimeout: 5 * time.Second,
		OrderBreaker: participant.Breaker{OpenFor: 100 * time.Millisecond},
	}
	return s
}

func (s *stack) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.stop, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- notification.Run(ctx, s.cfg) }()
	s.t.Cleanup(cancel)
	kafkatest.Eventually(s.t, "readiness", func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusOK
	})
}

func (s *stack) end() {
	s.t.Helper()
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Fatalf("Run = %v", err)
		}
	case <-time.After(30 * time.Second):
		s.t.Fatal("the service did not stop in 30 s")
	}
}

// get returns status 0 while the service does not listen.
func (s *stack) get(path string) (status int, body map[string]any) {
	s.t.Helper()
	res, err := http.Get("http://" + s.cfg.Addr + path)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		s.t.Fatalf("GET %s: answer is no JSON: %v", path, err)
	}
	return res.StatusCode, body
}

func (s *stack) metrics() string {
	s.t.Helper()
	res, err := http.Get("http://" + s.cfg.Addr + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *stack) counted(line string) {
	s.t.Helper()
	kafkatest.Eventually(s.t, line, func() bool { return strings.Contains(s.metrics(), "\n"+line+"\n") })
}

func (s *stack) waitFor(orderID, state string) map[string]any {
	s.t.Helper()
	var body map[string]any
	kafkatest.Eventually(s.t, orderID+" to be "+state, func() bool {
		var status int
		status, body = s.get("/mails/" + orderID)
		return status == http.StatusOK && body["status"] == state
	})
	return body
}

// place publishes what the order service publishes when it accepts an order.
func (s *stack) place(which ...string) string {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	s.orders.Put(id, fmt.Sprintf(`{"orderId":%q,"customer":{"id":"cust-7","name":"Ada","email":"ada@example.com"},
		"items":[{"sku":"WIDGET-01","quantity":2,"unitPrice":29.99}],"totalAmount":59.98,"currency":"GBP"}`, id))
	s.publish(id, which...)
	return id
}

func (s *stack) publish(id string, which ...string) {
	s.t.Helper()
	s.publishOf(event.Choreographed, id, which...)
}

// publishOf publishes events whose saga has a style.
func (s *stack) publishOf(style event.Style, id string, which ...string) {
	s.t.Helper()
	styled := func(e *event.Envelope) { e.Style = style }
	for _, name := range which {
		if name == "OrderPlaced" {
			kafkatest.Produce(s.t, s.cfg.Brokers, kafkatest.Record(s.t, s.codec, events.OrderPlaced{OrderID: id, OccurredAt: time.Now()}, styled))
			continue
		}
		kafkatest.Produce(s.t, s.cfg.Brokers, kafkatest.Record(s.t, s.codec, events.OrderCreated{
			OrderID: id, Customer: events.Customer{ID: "cust-7", Name: "Ada", Email: "ada@example.com"},
			Items:       []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}},
			TotalAmount: 5998, Currency: "GBP", ConfirmBy: time.Now().Add(time.Minute), SagaStyle: string(style), OccurredAt: time.Now(),
		}, styled))
	}
}

func mailAbout(id string) string {
	return "mail-" + id + " ada@example.com Your order " + id + "\nDear Ada,\n\nthank you for your order " + id +
		":\n\n  2 x WIDGET-01 at 29.99 GBP\n\nTotal: 59.98 GBP\n"
}

func TestAMailInEachStyle(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start() // notification is the default
	first := s.place("OrderCreated", "OrderPlaced")
	s.waitFor(first, "SENT")
	s.counted(`eventshop_mail_decisions_total{action="ignore",input="OrderCreatedLeftOut"} 1`)
	// The next order has only its first event when the style changes.
	between := s.place("OrderCreated")
	s.waitFor(between, "AWAITING_ORDER_PLACED")
	s.end()

	s.cfg.Style = "state"
	s.start()
	s.publish(between, "OrderPlaced")
	s.waitFor(between, "SENT")
	last := s.place("OrderPlaced", "OrderCreated")
	s.waitFor(last, "SENT")
	s.counted(`eventshop_mail_callbacks_total 1`)
	s.end()

	if diff := cmp.Diff([]string{mailAbout(first), mailAbout(between), mailAbout(last)}, s.mailbox.Arrived()); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
}

// TestAnOrchestratedOrderGetsAMail: how the saga is coordinated makes no difference to the mail, in each
// style of notification.
func TestAnOrchestratedOrderGetsAMail(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var want []string
	for _, style := range []string{"notification", "state"} {
		s.cfg.Style = style
		s.start()
		id := s.place()
		s.publishOf(event.Orchestrated, id, "OrderCreated", "OrderPlaced")
		s.waitFor(id, "SENT")
		want = append(want, mailAbout(id))
		s.end()
	}
	if diff := cmp.Diff(want, s.mailbox.Arrived()); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
}

// TestTheOrderServiceIsAway: notifications wait and none is lost, although more calls fail than a
// record may have attempts. The service stays ready.
func TestTheOrderServiceIsAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.cfg.Retry.Attempts = 2
	s.orders.Down(true)
	s.start()
	id := s.place("OrderCreated", "OrderPlaced")
	kafkatest.Eventually(t, "the breaker to open, and a probe after it", func() bool {
		return strings.Contains(s.metrics(), `eventshop_breaker_transitions_total{name="order",to="half-open"}`) && s.orders.Calls() > 6
	})
	if status, body := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("not ready while the order service is away: %v", body)
	}
	if got := s.mailbox.Arrived(); len(got) != 0 {
		t.Fatalf("arrived %v", got)
	}
	s.orders.Down(false)
	s.waitFor(id, "SENT")
	if diff := cmp.Diff([]string{mailAbout(id)}, s.mailbox.Arrived()); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
	s.end()
}

func TestReadAPI(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	id := s.place("OrderCreated", "OrderPlaced")
	s.waitFor(id, "SENT")
	_, body := s.get("/mails/" + strings.ToUpper(id))
	for _, name := range []string{"placedAt", "endedAt", "createdAt", "updatedAt"} {
		if at, err := time.Parse(time.RFC3339, fmt.Sprint(body[name])); err != nil || time.Since(at) > time.Hour {
			t.Errorf("%s is %v", name, body[name])
		}
		delete(body, name)
	}
	_, text, _ := strings.Cut(mailAbout(id), "\n")
	want := map[string]any{
		"orderId": id, "status": "SENT", "style": "notification", "attempts": 1.0, "to": "ada@example.com", "subject": "Your order " + id, "text": text,
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("mail (-want +got):\n%s", diff)
	}
	for path, want := range map[string]int{"/mails/" + uuid.NewString(): 404, "/mails/not-an-id": 400, "/letters": 404} {
		if status, problem := s.get(path); status != want || problem["status"] != float64(want) {
			t.Errorf("GET %s = %d %v, want %d", path, status, problem, want)
		}
	}
	s.end()
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	_, err := participant.FromEnv[notification.Config](func(name string) (string, bool) {
		return map[string]string{"ADDR": ":0", "KAFKA_BROKERS": "a:1,b:2", "ORDER_TIMEOUT": "soon", "MAILBOX_BREAKER_FAILURES": "0"}[name], true
	})
	for _, name := range []string{"DATABASE_URL", "SCHEMA_REGISTRY_URL", "ORDER_URL", "MAILBOX_URL", "ORDER_TIMEOUT", "MAILBOX_BREAKER_FAILURES"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
	_, err = participant.FromEnv[notification.Config](func(name string) (string, bool) {
		switch name {
		case "NOTIFICATION_STYLE":
			return "letter", true
		case "ADDR", "KAFKA_BROKERS", "DATABASE_URL", "SCHEMA_REGISTRY_URL", "ORDER_URL", "MAILBOX_URL":
			return "a:1", true
		}
		return "", false
	})
	if err == nil || !strings.Contains(err.Error(), `NOTIFICATION_STYLE must be notification or state, not "letter"`) {
		t.Errorf("error %v does not name the wrong style", err)
	}
}
