package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
)

// startBehind returns a gateway and a client behind a breaker that opens at the second failure and
// stays open during the test.
func startBehind(t *testing.T) (*gatewaytest.Gateway, *gateway.Client, *breaker.Breaker) {
	t.Helper()
	g := gatewaytest.Start(t)
	b := breaker.New(breaker.Config{Name: "gateway", Failures: 2, OpenFor: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	return g, gateway.New(g.URL, 5*time.Second, b), b
}

func failures(t *testing.T, b *breaker.Breaker, want int) {
	t.Helper()
	if s := b.State(); s.Failures != want || s.State != breaker.Closed {
		t.Fatalf("breaker is %+v, want closed with %d failures", s, want)
	}
}

// TestEveryOperationGoesThroughTheBreaker: two failures of any operation open it for all
// operations.
func TestEveryOperationGoesThroughTheBreaker(t *testing.T) {
	t.Parallel()
	operations := map[string]func(*gateway.Client) (gateway.Answer, error){
		gatewaytest.Charge: charge, gatewaytest.Void: void, gatewaytest.Refund: refund,
	}
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, c, b := startBehind(t)
			for what := range operations {
				g.Fail(what, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
			}
			g.Fail(gatewaytest.Lookup, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
			expectKind(t, errs.Transient, operation, c)
			failures(t, b, 1) // one failure, although it looked up by key as well
			expectKind(t, errs.Transient, operation, c)
			g.Mend()
			asked := g.Calls(gatewaytest.Lookup)
			for what, refused := range operations {
				before := g.Calls(what)
				_, err := refused(c)
				wait, ok := errs.RetryAfter(err)
				if !gateway.IsRefused(err) || errs.KindOf(err) != errs.Transient || !ok || wait < 50*time.Minute {
					t.Errorf("%s: %v, wait %s", what, err, wait)
				}
				if err != nil && !strings.HasPrefix(err.Error(), what+" ") {
					t.Errorf("%s: the error does not say what was attempted: %v", what, err)
				}
				if g.Calls(what) != before || g.Calls(gatewaytest.Lookup) != asked {
					t.Errorf("%s: the gateway was asked", what)
				}
			}
			if c.Wait(0) < 50*time.Minute {
				t.Errorf("Wait = %s", c.Wait(0))
			}
		})
	}
}

// TestAnswersKeepTheBreakerClosed: that includes answers that were lost and found by key, declines,
// and refusals whose key had to be closed.
func TestAnswersKeepTheBreakerClosed(t *testing.T) {
	t.Parallel()
	g, c, b := startBehind(t)
	g.Fail(gatewaytest.Charge, gatewaytest.Fault{AnswerLost: true})
	expect(t, captured, charge, c)
	g.Fail(gatewaytest.Refund, gatewaytest.Fault{AnswerLost: true})
	for range 3 {
		if got, err := refund(c); err != nil || got.Outcome != gateway.Refunded {
			t.Fatal(got, err)
		}
	}
	for key, fault := range map[string]gatewaytest.Fault{
		"declined": {Decline: "stolen_card"}, "refused": {Status: http.StatusBadRequest}, "refused again": {Status: http.StatusNotFound},
	} {
		g.Fail(gatewaytest.Charge, fault)
		if got, err := c.Charge(context.Background(), key, request); err != nil || got.Outcome != gateway.Declined {
			t.Fatal(got, err)
		}
	}
	g.Mend()
	for range 3 { // violates the API, but the gateway answers
		_, err := c.Refund(context.Background(), "r", gateway.RefundRequest{ChargeKey: "nobody's", Amount: 1})
		if errs.KindOf(err) != errs.Internal {
			t.Fatal(err)
		}
	}
	failures(t, b, 0)
}

// TestTheProbeMayCloseAKey: a charge that the gateway refuses voids its key. When it is the probe,
// its own breaker must not refuse that void.
func TestTheProbeMayCloseAKey(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t)
	b := breaker.New(breaker.Config{Name: "gateway", Failures: 1, OpenFor: time.Nanosecond, Logger: slog.New(slog.DiscardHandler)})
	c := gateway.New(g.URL, 5*time.Second, b)
	g.Fail(gatewaytest.Charge, gatewaytest.Fault{Times: 1, Down: true})
	expectKind(t, errs.Transient, charge, c)
	if s := b.State(); s.State != breaker.Open {
		t.Fatalf("%+v", s)
	}
	g.Fail(gatewaytest.Charge, gatewaytest.Fault{Status: http.StatusBadRequest})
	if got, err := charge(c); err != nil || got.Outcome != gateway.Declined {
		t.Fatal(got, err)
	}
	failures(t, b, 0)
}

func TestACallerThatLeavesIsNoFault(t *testing.T) {
	t.Parallel()
	g, c, b := startBehind(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	g.Fail(gatewaytest.Charge, gatewaytest.Fault{Arrived: arrived, Release: release})
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-arrived; cancel() }()
		if _, err := c.Charge(ctx, key, request); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	failures(t, b, 0)
}
