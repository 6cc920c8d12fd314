package breaker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/breaker"
)

// TestWait: a caller in the background leaves the probe to others for a while, and probes when no
// other caller does.
func TestWait(t *testing.T) {
	const courtesy = time.Second
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		wait := func(want, polite time.Duration) {
			t.Helper()
			if got := b.Wait(0); got != want {
				t.Errorf("Wait(0) = %s, want %s", got, want)
			}
			if got := b.Wait(courtesy); got != polite {
				t.Errorf("Wait(%s) = %s, want %s", courtesy, got, polite)
			}
		}
		wait(0, 0)
		fail(t, b, 5)
		wait(openFor+time.Millisecond, openFor+time.Millisecond+courtesy)
		pass(openFor + time.Millisecond)
		wait(0, courtesy)
		pass(courtesy)
		wait(0, 0)
		expect(t, b, breaker.Open) // Wait changed nothing

		ctx, cancel := context.WithCancel(t.Context())
		_ = b.Do(ctx, func(ctx context.Context) error {
			wait(200*time.Millisecond, 200*time.Millisecond) // the probe is in progress
			cancel()
			return ctx.Err()
		})
		wait(0, courtesy) // the probe was cancelled, and another caller may probe
		pass(courtesy)
		wait(0, 0)
		call(t, b, nil)
		wait(0, 0)
	})
}

func TestSnapshotIsJSON(t *testing.T) {
	bubble(t, func(t *testing.T, b *breaker.Breaker) {
		fail(t, b, 5)
		opened := time.Now().UTC()
		pass(10 * time.Second)
		got, err := json.Marshal(b.State())
		if err != nil {
			t.Fatal(err)
		}
		want := `{"name":"gateway","state":"open","failures":5,"since":"` + opened.Format(time.RFC3339Nano) +
			`","retryAfterMs":20001,"lastFault":"dependency is down"}`
		if string(got) != want {
			t.Errorf("snapshot\n%s, want\n%s", got, want)
		}
	})
}

func TestMetricsAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		cfg := breaker.Config{Name: "carrier", Registerer: reg, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		b := breaker.New(cfg)
		cfg.Name = "carrier-feed"
		breaker.New(cfg) // two breakers of one process share a registry

		call(t, b, nil)
		fail(t, b, 5)
		for range 3 {
			call(t, b, nil) // refused
		}
		pass(openFor + time.Millisecond)
		fail(t, b, 1)
		pass(openFor + time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		_ = b.Do(ctx, func(ctx context.Context) error { cancel(); return ctx.Err() })
		want := map[string]float64{
			"breaker_calls_total carrier excluded": 1, "breaker_calls_total carrier fault": 6,
			"breaker_calls_total carrier refused": 3, "breaker_calls_total carrier success": 1,
			"breaker_state carrier":                            1,
			"breaker_transitions_total carrier closed":         0,
			"breaker_transitions_total carrier half-open":      2,
			"breaker_transitions_total carrier open":           2,
			"breaker_state carrier-feed":                       0,
			"breaker_calls_total carrier-feed excluded":        0,
			"breaker_calls_total carrier-feed fault":           0,
			"breaker_calls_total carrier-feed refused":         0,
			"breaker_calls_total carrier-feed success":         0,
			"breaker_transitions_total carrier-feed closed":    0,
			"breaker_transitions_total carrier-feed half-open": 0,
			"breaker_transitions_total carrier-feed open":      0,
		}
		if diff := cmp.Diff(want, gather(t, reg)); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
		// One line per transition, however many calls are refused.
		if n := strings.Count(log.String(), "\n"); n != 4 {
			t.Errorf("%d lines logged:\n%s", n, log.String())
		}
		for _, words := range []string{"breaker=carrier", "opened", "stays open", "half-open", "dependency is down"} {
			if !strings.Contains(log.String(), words) {
				t.Errorf("the log does not say %q:\n%s", words, log.String())
			}
		}
	})
}

// gather returns all metrics by name and label values.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}
