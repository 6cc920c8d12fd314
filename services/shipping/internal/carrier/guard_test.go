package carrier_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
)

// behind returns a client whose breakers open at the second failure and stay open for openFor.
func behind(c *carriertest.Carrier, openFor time.Duration) (*carrier.Client, carrier.Breakers) {
	cfg := breaker.Config{Name: "carrier", Failures: 2, OpenFor: openFor, Logger: slog.New(slog.DiscardHandler)}
	b := carrier.Breakers{Parcels: breaker.New(cfg), Feed: breaker.New(cfg)}
	return carrier.New(c.URL, 10*time.Second, b), b
}

func operations() map[string]func(*carrier.Client) error {
	return map[string]func(*carrier.Client) error{
		"schedule": func(c *carrier.Client) error {
			_, err := c.Schedule(context.Background(), "k1", request)
			return err
		},
		"cancel": func(c *carrier.Client) error {
			_, err := c.Cancel(context.Background(), "k1", "o1", "c1")
			return err
		},
		"read": func(c *carrier.Client) error {
			_, err := c.Updates(context.Background(), 0, 10)
			return err
		},
	}
}

// TestEachRoadHasItsBreaker: two failures open the breaker for all operations that share it, and
// for no others.
func TestEachRoadHasItsBreaker(t *testing.T) {
	for name, operation := range operations() {
		t.Run(name, func(t *testing.T) {
			server := carriertest.Start(t)
			c, _ := behind(server, time.Hour)
			server.Switch(carriertest.Switches{Status: 503})
			for range 2 {
				if err := operation(c); errs.KindOf(err) != errs.Transient || carrier.IsRefused(err) {
					t.Fatalf("error %v, want a fault", err)
				}
			}
			server.Switch(carriertest.Switches{})
			for other, try := range operations() {
				asked := len(server.Requests())
				err := try(c)
				sameRoad := (other == "read") == (name == "read")
				if carrier.IsRefused(err) != sameRoad || (len(server.Requests()) == asked) != sameRoad {
					t.Errorf("%s: %v", other, err)
				}
				if !sameRoad {
					continue
				}
				if wait, ok := errs.RetryAfter(err); errs.KindOf(err) != errs.Transient || !ok || wait < 50*time.Minute {
					t.Errorf("%s: %v, wait %s", other, err, wait)
				}
				if !strings.HasPrefix(err.Error(), other+" ") {
					t.Errorf("%s: the error does not say what was attempted: %v", other, err)
				}
			}
		})
	}
}

// TestAnswersKeepTheBreakerClosed: that includes refusals and answers that were lost and found by
// key.
func TestAnswersKeepTheBreakerClosed(t *testing.T) {
	server := carriertest.Start(t)
	c, b := behind(server, time.Hour)
	for range 3 {
		server.Switch(carriertest.Switches{AnswerLost: 1})
		want(t, schedule(t, c), accepted)
	}
	for range 3 {
		server.Switch(carriertest.Switches{AnswerLost: 1})
		cancel(t, c)
	}
	server.Switch(carriertest.Switches{Refuse: "address_not_served"})
	for _, key := range []string{"k2", "k3", "k4"} {
		if a, err := c.Schedule(context.Background(), key, request); err != nil || a.Outcome != carrier.Refused {
			t.Fatalf("Schedule = %+v, %v", a, err)
		}
	}
	if s := b.Parcels.State(); s.State != breaker.Closed || s.Failures != 0 {
		t.Errorf("breaker is %+v", s)
	}
}

// TestTheProbeMayCloseAKey: a refusal without a record cancels its key. When it is the probe, its
// own breaker must not refuse that cancellation.
func TestTheProbeMayCloseAKey(t *testing.T) {
	server := carriertest.Start(t)
	c, b := behind(server, time.Nanosecond)
	server.Switch(carriertest.Switches{Down: true})
	for range 2 {
		if err := operations()["schedule"](c); errs.KindOf(err) != errs.Transient {
			t.Fatal(err)
		}
	}
	server.Switch(carriertest.Switches{Schedule: 400})
	if a := schedule(t, c); a.Outcome != carrier.Refused {
		t.Fatalf("Schedule = %+v", a)
	}
	if s := b.Parcels.State(); s.State != breaker.Closed {
		t.Errorf("breaker is %+v", s)
	}
}
