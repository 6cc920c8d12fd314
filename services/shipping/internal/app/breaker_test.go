package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/shipping"
)

// logged holds the log of goroutines that still write while the test reads it.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// TestTrackingRestsWhileItsBreakerIsOpen: while the carrier is unavailable, the feed is not polled
// and the log has one line, not one per interval. After a probe the feed is followed again.
func TestTrackingRestsWhileItsBreakerIsOpen(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.carrier.Switch(carriertest.Switches{Status: 503})
	var log logged
	logger := slog.New(slog.NewTextHandler(&log, nil)) // level info, as in production
	b := patient()
	b.Feed = breaker.New(breaker.Config{Name: "carrier-feed", Failures: 2, OpenFor: 300 * time.Millisecond, Logger: logger})
	app := f.newAppBehind(b, logger)
	asked := len(f.carrier.Requests())

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Track(ctx, time.Millisecond) }()
	eventually(t, func() bool { return log.count("the probe failed") >= 2 })
	// Two failures opened the breaker, and each further request was a probe.
	requests, faults := len(f.carrier.Requests())-asked, log.count("tracking feed not applied")
	if probes := log.count("is half-open"); requests > 2+probes || faults > 2+probes {
		t.Errorf("%d requests and %d complaints with %d probes", requests, faults, probes)
	}
	f.carrier.Switch(carriertest.Switches{})
	eventually(t, func() bool { return f.row().State == string(shipping.Dispatched) })
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("Track = %v", err)
	}
	f.want(shipping.Dispatched, scheduled, dispatched)
}

// TestABrokenFeedStopsNoParcels: a feed that always fails does not prevent bookings.
func TestABrokenFeedStopsNoParcels(t *testing.T) {
	f := newFixture(t)
	quiet := slog.New(slog.DiscardHandler)
	b := carrier.Breakers{
		Parcels: breaker.New(breaker.Config{Name: "carrier", Failures: 1, OpenFor: time.Hour, Logger: quiet}),
		Feed:    breaker.New(breaker.Config{Name: "carrier-feed", Failures: 1, OpenFor: time.Hour, Logger: quiet}),
	}
	f.app = f.newAppBehind(b, quiet)
	f.carrier.Switch(carriertest.Switches{Status: 503})
	wantTransient(t, f.track())
	f.carrier.Switch(carriertest.Switches{})
	if err := f.track(); !carrier.IsRefused(err) {
		t.Fatalf("track = %v, want it refused", err)
	}
	f.do(f.orderCreated, f.inventoryReserved)
	f.want(shipping.Scheduled, scheduled)
}

// TestARefusedCallWritesNothing: a record whose call is refused writes nothing and carries the time
// to wait.
func TestARefusedCallWritesNothing(t *testing.T) {
	f := newFixture(t)
	b := patient()
	b.Parcels = breaker.New(breaker.Config{Name: "carrier", Failures: 1, OpenFor: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	f.app = f.newAppBehind(b, slog.New(slog.DiscardHandler))
	f.do(f.orderCreated)
	f.carrier.Switch(carriertest.Switches{Status: 503})
	wantTransient(t, f.inventoryReserved())
	f.carrier.Switch(carriertest.Switches{})
	for _, delivery := range []func() error{f.inventoryReserved, f.cancellationRequested} {
		err := delivery()
		wantTransient(t, err)
		if wait, ok := errs.RetryAfter(err); !ok || wait < 50*time.Minute {
			t.Errorf("%v, wait %s", err, wait)
		}
	}
	f.want(shipping.AwaitingReservation)
	if got := f.carrier.Status(Key(orderID)); got != "" {
		t.Errorf("carrier has %q", got)
	}
}
