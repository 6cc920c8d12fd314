package demo

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/pkg/events"
)

// gatewayDown lets charges fail until the breaker opens: from then on nobody calls, and
// orders wait in Kafka.
func gatewayDown(ctx context.Context, s *shop, customer string) (string, error) {
	fast, err := s.quickParcel(ctx, customer)
	if err != nil {
		return "", err
	}
	defer fast() //nolint:errcheck // the rule names this scenario's customer only
	// The rule counts the calls that get through to the gateway.
	outage := "outage-" + customer
	remove, err := s.fault(ctx, s.Gateway, map[string]any{"id": outage, "down": true, "times": outageCalls})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // removed below on every good road
	var ids []string
	place := func(n int) error {
		for range n {
			id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	}
	if err := place(8); err != nil {
		return "", err
	}
	payment, err := s.operators("payment")
	if err != nil {
		return "", err
	}
	b, err := s.breaker(ctx, payment, "open")
	if err != nil {
		return "", err
	}
	got := "breaker open"
	s.say("all %d orders are accepted; payment's breaker is open after %d faults, its probe is due in %d ms", len(ids), b.Failures, b.RetryAfterMS)
	more := func() error { return place(2) }
	calls, err := s.whileOpen(ctx, payment, outage, more)
	if err != nil {
		return got, err
	}
	lag, err := s.lag(ctx)
	if err != nil {
		return got, err
	}
	got += fmt.Sprintf(", %d calls meanwhile", calls)
	s.say("2 more orders are accepted; %d calls have reached the gateway since, %d records wait in Kafka", calls, lag)
	if lag < int64(len(ids)) { // others may wait behind them
		got += fmt.Sprintf(", ONLY %d WAIT", lag)
	}
	if err := remove(); err != nil {
		return got, err
	}
	s.say("the gateway is back; the next probe closes the breaker")
	confirmed := 0
	for _, id := range ids {
		var status string
		if err := eventually(ctx, "order "+id+" goes on", func() (bool, error) {
			status, err = s.status(ctx, id)
			return slices.Contains([]string{"CONFIRMED", "SHIPPED", "DELIVERED", "CANCELLED"}, status), err
		}); err != nil {
			return got, err
		}
		if status != "CANCELLED" {
			confirmed++
		}
	}
	got += fmt.Sprintf(", %d of %d CONFIRMED", confirmed, len(ids))
	if _, err := s.breaker(ctx, payment, "closed"); err != nil {
		return got, err
	}
	s.say("the breaker is closed, all orders have gone on")
	once := 0
	for _, id := range ids {
		b, err := s.books(ctx, id)
		if err != nil {
			return got, err
		}
		if b.captures == 1 && b.net() == 2999 {
			once++
		}
	}
	return fmt.Sprintf("%s, %d paid once", got, once), nil
}

// outageCalls is more than anybody calls.
const outageCalls = 1_000_000

// breaker waits for the gateway's breaker of one of payment's processes to be in a state.
func (s *shop) breaker(ctx context.Context, payment ops.Group, state string) (b ops.Breaker, err error) {
	err = eventually(ctx, "payment's breaker is "+state, func() (bool, error) {
		b, err = payment.Breaker(ctx, "gateway")
		return b.State == state, err
	})
	return b, err
}

// beforeProbe is when watching an open breaker ends: the gateway has to be back by the
// time of the probe, else the orders wait for another round.
const beforeProbe = 300 * time.Millisecond

// whileOpen counts the calls that reach the gateway while the breaker is open, and has
// something done meanwhile, once. The probe is not counted: when it came in between, the
// next time that the breaker is open counts.
func (s *shop) whileOpen(ctx context.Context, payment ops.Group, rule string, meanwhile func() error) (calls int, err error) {
	for done := false; ; done = true {
		opened, err := s.breaker(ctx, payment, "open")
		if err != nil {
			return 0, err
		}
		before, err := s.settled(ctx, rule)
		if err == nil && !done {
			err = meanwhile()
		}
		if err != nil {
			return 0, err
		}
		var now ops.Breaker
		after := 0
		if err := eventually(ctx, "the breaker's time passes", func() (bool, error) {
			if after, err = s.calls(ctx, rule); err != nil { // before the look at the breaker: what it says held then too
				return false, err
			}
			now, err = payment.Breaker(ctx, "gateway")
			return now.State != "open" || !now.Since.Equal(opened.Since) || now.RetryAfterMS <= beforeProbe.Milliseconds(), err
		}); err != nil {
			return 0, err
		}
		if now.State == "open" && now.Since.Equal(opened.Since) && now.RetryAfterMS > 0 {
			return after - before, nil
		}
	}
}

// calls is how many calls a rule that counts has met at the gateway.
func (s *shop) calls(ctx context.Context, rule string) (int, error) {
	var list struct {
		Faults []struct {
			ID    string
			Times int
		}
	}
	if err := s.call(ctx, http.MethodGet, s.Gateway+"/faults", nil, &list); err != nil {
		return 0, err
	}
	for _, f := range list.Faults {
		if f.ID == rule {
			return outageCalls - f.Times, nil
		}
	}
	return 0, fmt.Errorf("the gateway has no rule %s", rule)
}

// settled is calls when those that were under way as the breaker opened have ended.
func (s *shop) settled(ctx context.Context, rule string) (n int, err error) {
	last := -1
	err = eventually(ctx, "calls under way end", func() (bool, error) {
		before := last
		last, err = s.calls(ctx, rule)
		return last == before, err
	})
	return last, err
}

// lag is how many records wait for payment.
func (s *shop) lag(ctx context.Context) (int64, error) {
	client, err := s.Kafka.Client()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	lags, err := kadm.NewClient(client).Lag(ctx, "payment")
	if err != nil {
		return 0, err
	}
	return lags["payment"].Lag.TotalByTopic()[events.TopicOrderEvents].Lag, lags.Error()
}
