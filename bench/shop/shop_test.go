package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres/server"
)

// record is a record as the order service's relay publishes it.
func record(order, eventType string) *kgo.Record {
	e := event.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/eventshop/order", Type: eventType, Subject: order,
		AggregateVersion: 1, Time: time.Now().UTC(), ContentType: event.ContentTypeAvro,
	}
	r := &kgo.Record{Topic: events.TopicOrderEvents, Key: []byte(order)}
	for _, h := range e.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

func TestTheFollowerSeesEachOrderOnce(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.NewTopic(events.TopicOrderEvents, nil))
	kafkatest.Produce(t, brokers, record("a", "OrderCreated"), record("a", "OrderConfirmed")) // before it follows
	f, err := (&Stack{Kafka: brokers}).Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	kafkatest.Produce(t, brokers, record("a", "OrderConfirmed"), record("b", "OrderConfirmed"), record("b", "OrderShipped"),
		&kgo.Record{Topic: events.TopicOrderEvents, Key: []byte("c")}, record("a", "OrderDelivered"), record("b", "OrderDelivered"))
	var last int
	if err := f.AwaitDelivered(t.Context(), 2, func(_, delivered int) { last = delivered }); err != nil {
		t.Fatal(err)
	}
	confirmed, delivered := f.Counts()
	if confirmed != 2 || delivered != 2 || last != 2 {
		t.Errorf("%d confirmed, %d delivered, %d reported; want 2 of each", confirmed, delivered, last)
	}
	orders := []Placed{{ID: "a", Accepted: began}, {ID: "b", Accepted: began}, {ID: "c", Accepted: began}}
	if late := f.Latencies(orders); len(late) != 2 || late[1] <= 0 {
		t.Errorf("latencies %v, want two", late)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f, err := (&Stack{Kafka: kafkatest.Start(t, event.NewTopic(events.TopicOrderEvents, nil))}).Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.AwaitConfirmed(ctx, 1, func(int, int) {}); err == nil {
		t.Error("one order was confirmed, it says")
	}
}

// orders answers POST /orders. The first request of each key is refused because of overload.
type orders struct {
	mu   sync.Mutex
	keys map[string]int
	saga map[string]int // accepted orders by style
	bad  []string
}

func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Items       []struct{ SKU string }
		TotalAmount json.Number
		Saga        string
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Items) != 2 || body.Items[0].SKU == body.Items[1].SKU || key == "" {
		o.bad = append(o.bad, fmt.Sprintf("%v %+v", err, body))
	}
	if o.keys[key]++; o.keys[key] == 1 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	o.saga[body.Saga]++
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"orderId":%q}`, "order-"+key)
}

func TestPlacedOrdersHaveTwoItemsAndOutliveOverload(t *testing.T) {
	t.Parallel()
	served := &orders{keys: map[string]int{}, saga: map[string]int{}}
	server := httptest.NewServer(served)
	defer server.Close()
	s := &Stack{URLs: map[string]string{"order": server.URL}}
	noted := 0
	got, err := s.Place(t.Context(), Load{Orders: 25, Clients: 5}, func(n int) { noted = n })
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, o := range got.Orders {
		ids[o.ID] = true
		if !o.Accepted.After(o.Sent) {
			t.Errorf("accepted at %s, sent at %s", o.Accepted, o.Sent)
		}
	}
	if len(ids) != 25 || got.Refused != 25 || noted != 25 || len(served.bad) > 0 {
		t.Errorf("%d orders, %d refused, %d noted, bad requests %v", len(ids), got.Refused, noted, served.bad)
	}
}

func TestStylesComeInTurns(t *testing.T) {
	t.Parallel()
	served := &orders{keys: map[string]int{}, saga: map[string]int{}}
	server := httptest.NewServer(served)
	defer server.Close()
	s := &Stack{URLs: map[string]string{"order": server.URL}}
	for _, styles := range [][]event.Style{nil, {event.Choreographed, event.Orchestrated}} {
		got, err := s.Place(t.Context(), Load{Orders: 10, Clients: 2, Styles: styles}, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range got.Orders {
			if (o.Style == "") != (styles == nil) {
				t.Errorf("an order has the style %q", o.Style)
			}
		}
	}
	if served.saga[""] != 10 || served.saga["choreographed"] != 5 || served.saga["orchestrated"] != 5 {
		t.Errorf("requests by style: %v", served.saga)
	}
}

func TestAPaceIsKept(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"orderId":%q}`, r.Header.Get("Idempotency-Key"))
	}))
	defer server.Close()
	s := &Stack{URLs: map[string]string{"order": server.URL}}
	got, err := s.Place(t.Context(), Load{Orders: 20, Clients: 5, PerSecond: 100}, func(int) {})
	if err != nil || len(got.Orders) != 20 || got.Took < 200*time.Millisecond {
		t.Errorf("%d orders in %s, %v; want 20 in 200 ms or more", len(got.Orders), got.Took, err)
	}
}

func TestARefusedOrderEndsTheLoad(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}))
	defer server.Close()
	s := &Stack{URLs: map[string]string{"order": server.URL}}
	_, err := s.Place(t.Context(), Load{Orders: 10_000, Clients: 2}, func(int) {})
	if err == nil || !strings.Contains(err.Error(), "422") {
		t.Errorf("got %v", err)
	}
}

func TestReadFindsTheProcesses(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	for file, text := range map[string]string{
		"state.json":    `{"urls": {"order": "http://127.0.0.1:1"}, "kafka": ["127.0.0.1:2"], "ports": {"order": 1}}`,
		"run/order.pid": `{"pid": 41}`, "run/broker.pid": `{"pid": 42}`,
	} {
		path := filepath.Join(state, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &Stack{program: &Program{state: state}}
	if err := s.read(); err != nil {
		t.Fatal(err)
	}
	if s.URLs["order"] != "http://127.0.0.1:1" || s.Kafka[0] != "127.0.0.1:2" || s.PIDs["order"] != 41 || s.PIDs["broker"] != 42 {
		t.Errorf("got %+v", s)
	}
}

func TestCheckoutLeavesNothing(t *testing.T) {
	t.Parallel()
	repo := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo, "-c", "user.name=bench", "-c", "user.email=bench@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	for _, text := range []string{"old", "new"} {
		if err := os.WriteFile(filepath.Join(repo, "file"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", "file")
		git("commit", "-qm", text)
	}
	dir := filepath.Join(t.TempDir(), "worktree")
	remove, err := Checkout(t.Context(), repo, "HEAD~1", dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(b) != "old" {
		t.Errorf("the worktree has %q, %v", b, err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if list := git("worktree", "list"); strings.Contains(list, dir) {
		t.Errorf("the repository still knows the worktree:\n%s", list)
	}
	if _, err := Checkout(t.Context(), repo, "0123456", dir); err == nil || !strings.Contains(err.Error(), "0123456") {
		t.Errorf("a commit that is not there: %v", err)
	}
}

func TestAnErrorOfTheShopCommandHasItsOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shop := filepath.Join(dir, "shop")
	if err := os.WriteFile(shop, []byte("#!/bin/sh\necho I1 money is broken >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Stack{program: &Program{Root: dir, shop: shop, state: dir}}
	if err := s.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "I1 money") || !strings.Contains(err.Error(), "verify") {
		t.Errorf("got %v", err)
	}
}

// A shop that does not start leaves neither a server nor a panic.
func TestUpFailsWithTheOutputOfTheShopCommand(t *testing.T) {
	t.Parallel()
	if _, err := server.FindBinaries(t.Context()); err != nil && os.Getenv("CI") != "true" {
		t.Skipf("this test needs PostgreSQL: %v", err)
	}
	dir := t.TempDir()
	shop := filepath.Join(dir, "shop")
	if err := os.WriteFile(shop, []byte("#!/bin/sh\n[ $1 != up ] || { echo unknown flag; exit 1; }\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := (&Program{Root: dir, shop: shop, state: dir}).Up(t.Context())
	if err == nil || !strings.Contains(err.Error(), "unknown flag") {
		t.Errorf("got %v", err)
	}
}
