package e2e

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/pkg/events"
)

// limitBytes is more than the record of an order of one piece, and less than that of an order of a
// hundred SKUs.
const limitBytes = "2500"

// TestRecordsAboveTheLimit lowers the maximum record size of the topic of orders, as an operator
// might. The order with the larger event waits in the outbox. All others continue, including those
// that would have been in one batch with it. `shop topics` reports the difference and removes it.
func TestRecordsAboveTheLimit(t *testing.T) {
	s := shared(t)
	const stock = plenty
	sku := s.stock(t, "LIMIT-1", stock)
	adm := s.admin(t)
	t.Cleanup(func() { s.command("topics", "apply") }) //nolint:errcheck // after a failure; the test does it itself
	limit := limitBytes
	answers, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, events.TopicOrderEvents)
	for _, a := range answers {
		err = errors.Join(err, a.Err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.command("topics", "diff"); err == nil || !strings.Contains(out, "max.message.bytes") {
		t.Errorf("shop topics diff: %v\n%s", err, out)
	}

	l := s.startLoad(t, sku, 30, "limit-ada", "limit-bob")
	l.await(t, 20)
	placed := post(t, s.URL["order"]+"/orders", manySKUs(100), "Idempotency-Key", "limit-"+rand.Text())
	if placed.status != http.StatusCreated {
		t.Fatalf("place a large order: %d %s", placed.status, placed.body)
	}
	large := placed.field(t, "orderId")
	l.await(t, 60)
	orders := l.stop()
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	s.wantStock(t, sku, stock, len(orders))
	eventually(t, time.Minute, "the large order's event alone waits in the outbox", func() bool { return s.unpublished(t, "order") == 1 })
	if status := get(t, s.URL["order"]+"/orders/"+large).field(t, "status"); status != "PENDING" {
		t.Errorf("the large order is %s, and its first event is not published", status)
	}

	s.must(t, "topics", "apply")
	s.awaitStatus(t, large, "CANCELLED") // its SKUs are out of stock
	s.verify(t)
}

// manySKUs returns an order of n different SKUs that do not compress.
func manySKUs(n int) string {
	var items []string
	for range n {
		b := make([]byte, 25)
		rand.Read(b)
		items = append(items, fmt.Sprintf(`{"sku":%q,"quantity":1,"unitPrice":1.00}`, base32.StdEncoding.EncodeToString(b)))
	}
	return fmt.Sprintf(`{"customer":{"id":"limit-eve","name":"Ada Lovelace","email":"ada@example.com"},
		"shippingAddress":{"street":"123 Babbage Lane","city":"London","postalCode":"SW1A 1AA","country":"GB"},
		"items":[%s],"totalAmount":%d.00,"currency":"GBP"}`, strings.Join(items, ","), n)
}
