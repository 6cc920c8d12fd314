package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// mail is a mail as the mailbox has it.
type mail struct{ To, Subject, Text string }

// mails returns the mails that have arrived about an order.
func (s *stack) mails(t testing.TB, orderID string) []mail {
	t.Helper()
	var page struct{ Mails []mail }
	a, err := send(t.Context(), http.MethodGet, s.URL["mailbox"]+"/v1/mails?order="+orderID, "")
	if err != nil {
		return nil
	}
	if err := json.Unmarshal(a.body, &page); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return page.Mails
}

// TestOrderServiceAway kills the order service while the notifications of its orders are not handled
// yet. The mails wait, because the service cannot be asked. The notification service is ready and
// spends no attempt. When the order service is back, each order gets one mail.
func TestOrderServiceAway(t *testing.T) {
	s := shared(t)
	sku := s.stock(t, "CALLBACK-1", 100)
	adm := s.admin(t)
	before := deadLetters(t, adm)
	s.must(t, "kill", "notification")
	t.Cleanup(func() { s.command("start", "notification") }) //nolint:errcheck // the next test brings up what is missing
	var orders []string
	for range 3 {
		orders = append(orders, s.place(t, "callback", sku, 1))
	}
	s.endOf(t, orders)
	eventually(t, time.Minute, "the order service has published everything", func() bool { return s.unpublished(t, "order") == 0 })
	s.must(t, "kill", "order")
	t.Cleanup(func() { s.command("start", "order") }) //nolint:errcheck // likewise
	s.must(t, "start", "notification")

	eventually(t, time.Minute, "the breaker around the order service opens", func() bool {
		a, err := send(t.Context(), http.MethodGet, s.URL["notification"]+"/metrics", "")
		return err == nil && strings.Contains(string(a.body), `eventshop_breaker_state{name="order"} 2`)
	})
	s.awaitReady(t, "notification")
	for _, id := range orders {
		if got := s.mails(t, id); len(got) != 0 {
			t.Errorf("order %s: %+v arrived, and the order service cannot be asked", id, got)
		}
	}
	s.must(t, "start", "order")
	for _, id := range orders {
		eventually(t, 2*time.Minute, "the mail about "+id, func() bool { return len(s.mails(t, id)) > 0 })
		if got := s.mails(t, id); len(got) != 1 {
			t.Errorf("order %s: %d mails arrived", id, len(got))
		}
	}
	if after := deadLetters(t, adm); after != before {
		t.Errorf("%d records became dead letters", after-before)
	}
	s.verify(t)
}
