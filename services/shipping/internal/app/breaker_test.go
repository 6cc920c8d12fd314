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
	"eventshop.example/services/shipping/internal/shipping"
)

// logged keeps the log of goroutines that go on writing while it is read.
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

// The carrier is away: the feed is left alone, says so once and not at each interval, and
// is followed again after a probe.
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
	// Two faults opened it, and each further request was a probe.
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

// A feed that fails for ever keeps no parcel from being booked.
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

// A record whose call is refused writes nothing and says when to come again.
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
