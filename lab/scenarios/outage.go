package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/ops/operators"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/operator/operatorapi"
)

// gatewayDown makes charges fail until the breaker opens. From then on payment makes no calls, and
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
	s.say("all %d orders are accepted; payment's breaker is open after %d faults, its probe is due in %d ms", len(ids), b.Failures, b.RetryAfterMs)
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
	if lag < int64(len(ids)) { // other records may wait behind them
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

// outageCalls is more calls than the scenario makes.
const outageCalls = 1_000_000

// breaker waits for the gateway's breaker of one of payment's processes to reach a state.
func (s *shop) breaker(ctx context.Context, payment operators.Group, state operatorapi.BreakerState) (b operators.Breaker, err error) {
	err = eventually(ctx, "payment's breaker is "+string(state), func() (bool, error) {
		b, err = payment.Breaker(ctx, "gateway")
		return b.State == state, err
	})
	return b, err
}

// beforeProbe is when watching an open breaker ends, before its probe: the gateway has to be back
// by then, otherwise the orders wait for another round. With a longer pause the margin matters
// less.
func beforeProbe(pause time.Duration) time.Duration {
	return min(max(pause/10, 300*time.Millisecond), 3*time.Second)
}

// whileOpen counts the calls that reach the gateway while the breaker is open, and calls meanwhile
// once during that time. It does not count the probe: if a probe came in between, the count is
// repeated in the next open period.
func (s *shop) whileOpen(ctx context.Context, payment operators.Group, rule string, meanwhile func() error) (calls int, err error) {
	for done := false; ; done = true {
		opened, err := s.breaker(ctx, payment, "open")
		if err != nil {
			return 0, err
		}
		margin := beforeProbe(time.Duration(opened.RetryAfterMs) * time.Millisecond)
		before, err := s.settled(ctx, rule)
		if err == nil && !done {
			err = meanwhile()
		}
		if err != nil {
			return 0, err
		}
		var now operators.Breaker
		after := 0
		if err := eventually(ctx, "the breaker's time passes", func() (bool, error) {
			if after, err = s.calls(ctx, rule); err != nil { // before the breaker is read: its state applied then too
				return false, err
			}
			now, err = payment.Breaker(ctx, "gateway")
			return now.State != "open" || !now.Since.Equal(opened.Since) || now.RetryAfterMs <= margin.Milliseconds(), err
		}); err != nil {
			return 0, err
		}
		if now.State == "open" && now.Since.Equal(opened.Since) && now.RetryAfterMs > 0 {
			return after - before, nil
		}
	}
}

// calls returns how many calls a counting rule has matched at the gateway.
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

// settled is calls after the calls under way when the breaker opened have ended.
func (s *shop) settled(ctx context.Context, rule string) (n int, err error) {
	last := -1
	err = eventually(ctx, "calls under way end", func() (bool, error) {
		before := last
		last, err = s.calls(ctx, rule)
		return last == before, err
	})
	return last, err
}

// lag returns how many records payment has not read.
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
