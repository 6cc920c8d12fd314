package relay

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

// The metrics show the present state, in each state that the relay can have.
func TestRelayMetrics(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	let := make(chan struct{})
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-let })
		return nil, nil, false
	})
	f.Append(t, outboxtest.Keys(3, 3)...)
	if _, err := f.Owner(t).Exec(t.Context(), `UPDATE outbox SET created_at = now() - interval '1 hour' WHERE seq = 1`); err != nil {
		t.Fatal(err)
	}
	f.Append(t, outboxtest.Keys(57, 3)...)
	reg := prometheus.NewRegistry()
	cfg := quick
	cfg.Registerer = reg
	f.start(t, cfg, impatient)
	is := func(name string, test func(v float64) bool) {
		t.Helper()
		kafkatest.Eventually(t, name, func() bool {
			all := refusals(t, reg, "outbox_"+name)
			v, there := all[""]
			if !there {
				v, there = all[testTopic.Name]
			}
			return there && test(v)
		})
	}
	equal := func(want float64) func(float64) bool { return func(v float64) bool { return v == want } }
	is("unpublished_rows", equal(60))
	is("in_flight_rows", equal(60))
	is("leased_shards", equal(outbox.Shards))
	is("on_hold", equal(0))
	is("oldest_unpublished_seconds", func(v float64) bool { return v >= 3600 && v < 3700 })
	is("unacknowledged_seconds", func(v float64) bool { return v > 0.1 })
	close(let)
	is("unpublished_rows", equal(0))
	is("in_flight_rows", equal(0))
	is("oldest_unpublished_seconds", equal(0))
	is("unacknowledged_seconds", equal(0))
	is("published_total", equal(60))
	is("held_keys", equal(0))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "outbox_publish_seconds" {
			if h := family.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 60 || h.GetSampleSum() < 3600 {
				t.Errorf("publish_seconds: %d samples, %g s", h.GetSampleCount(), h.GetSampleSum())
			}
		}
	}
	if err := f.admin().Hold(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	is("on_hold", equal(1))
	is("leased_shards", equal(0))
	if err := f.admin().Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	is("on_hold", equal(0))
	is("leased_shards", equal(outbox.Shards))
}
