package fresh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/fresh"
)

// reader is a reader of two topics, as far as its positions show it, with a clock.
type reader struct {
	t       *testing.T
	brokers []string
	ids     kadm.TopicDetails
	lag     *fresh.Lag
	metrics *prometheus.Registry

	mu        sync.Mutex
	now       time.Time
	positions map[position.Partition]int64
	versions  []projection.Reach
	fails     error
	measured  int
}

func newReader(t *testing.T, parcels, trucks event.Topic) *reader {
	t.Helper()
	r := &reader{t: t, now: start, positions: map[position.Partition]int64{}, metrics: prometheus.NewRegistry()}
	r.brokers = kafkatest.Start(t, parcels, trucks)
	var err error
	if r.ids, err = kadm.NewClient(kafkatest.NewClient(t, r.brokers)).ListTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.lag = fresh.NewLag(fresh.LagConfig{
		Topics: []string{parcels.Name, trucks.Name}, Brokers: r.brokers, Registerer: r.metrics,
		Now: func() time.Time {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.now
		},
		Positions: func(context.Context) (map[position.Partition]int64, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.measured++
			return maps.Clone(r.positions), r.fails
		},
		Versions: func(context.Context) ([]projection.Reach, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.versions), nil
		},
	})
	return r
}

func (r *reader) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// is waits until the longest lag, and the metric of each topic, are as wanted.
func (r *reader) is(what string, longest time.Duration, topics ...string) {
	r.t.Helper()
	kafkatest.Eventually(r.t, what, func() bool {
		got, known := r.lag.Longest()
		families, err := r.metrics.Gather()
		if err != nil {
			r.t.Fatal(err)
		}
		var lines []string
		for _, family := range families {
			for _, m := range family.GetMetric() {
				line := family.GetName()
				for _, label := range m.GetLabel() {
					line += " " + label.GetValue()
				}
				lines = append(lines, fmt.Sprint(line, " ", m.GetGauge().GetValue()))
			}
		}
		return known && got == longest && slices.Equal(lines, topics)
	})
}

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// TestLag: the lag is the age of the oldest record that is not applied, and 0 when all are. The
// positions show what is applied, whichever process did it. While the lag cannot be measured, it
// grows.
func TestLag(t *testing.T) {
	t.Parallel()
	parcels, trucks := event.Topic{Name: "parcel.events", Partitions: 2}, event.Topic{Name: "truck.events", Partitions: 1}
	r := newReader(t, parcels, trucks)
	if _, known := r.lag.Longest(); known {
		t.Error("the lag is known before it is measured")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.lag.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	r.is("nothing published", 0, "read_model_lag_seconds parcel.events 0", "read_model_lag_seconds truck.events 0")

	// Published 30 s, 20 s and 10 s ago, and 5 s ago on the other partition.
	records := []*kgo.Record{}
	for i, ago := range []time.Duration{30, 20, 10} {
		records = append(records, &kgo.Record{Topic: parcels.Name, Partition: 1, Value: []byte{byte(i)}, Timestamp: start.Add(-ago * time.Second)})
	}
	records = append(records, &kgo.Record{Topic: parcels.Name, Partition: 0, Value: []byte("x"), Timestamp: start.Add(-5 * time.Second)})
	client := kafkatest.NewClient(t, r.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	none := "read_model_lag_seconds truck.events 0"
	at := func(number int32) position.Partition {
		return position.Partition{Topic: parcels.Name, TopicID: uuid.UUID(r.ids[parcels.Name].ID), Number: number}
	}
	r.is("nothing applied", 30*time.Second, "read_model_lag_seconds parcel.events 30", none)
	r.set(func() { r.positions[at(1)] = 2 })
	r.is("two applied", 10*time.Second, "read_model_lag_seconds parcel.events 10", none)
	r.set(func() { r.positions[at(1)] = 3 })
	r.is("one partition at its end", 5*time.Second, "read_model_lag_seconds parcel.events 5", none)
	r.set(func() { r.now = start.Add(time.Minute) })
	r.is("a minute later", 65*time.Second, "read_model_lag_seconds parcel.events 65", none)
	r.set(func() { r.positions[position.Partition{Topic: parcels.Name, TopicID: uuid.New()}] = 9 })
	measured := r.measurements()
	kafkatest.Eventually(t, "more measurements", func() bool { return r.measurements() > measured+1 })
	r.is("a position of a topic that was deleted", 65*time.Second, "read_model_lag_seconds parcel.events 65", none)
	r.set(func() { r.positions[at(0)] = 1 })
	r.is("all applied", 0, "read_model_lag_seconds parcel.events 0", none)

	// Each version of a projection: one that the reader feeds, and one that is filled and contains two records.
	r.set(func() {
		r.versions = []projection.Reach{
			{Projection: "parcels", Version: 1},
			{Projection: "parcels", Version: 2, Positions: map[position.Partition]int64{at(0): 1, at(1): 2}},
		}
	})
	r.is("a version that is filled", 0, "projection_lag_seconds parcels 1 0", "projection_lag_seconds parcels 2 70",
		"read_model_lag_seconds parcel.events 0", none)
	r.set(func() { r.versions[1].Positions = map[position.Partition]int64{} })
	r.is("a version that contains nothing", 0, "projection_lag_seconds parcels 1 0", "projection_lag_seconds parcels 2 90",
		"read_model_lag_seconds parcel.events 0", none)
	r.set(func() { r.versions, r.positions = r.versions[:1], map[position.Partition]int64{at(0): 1, at(1): 2} })
	r.is("a version that the reader feeds", 70*time.Second, "projection_lag_seconds parcels 1 70", "read_model_lag_seconds parcel.events 70", none)
	r.set(func() { r.versions, r.positions[at(1)] = nil, 3 })
	r.is("no versions", 0, "read_model_lag_seconds parcel.events 0", none)

	r.set(func() { r.fails = errors.New("no database") })
	measured = r.measurements()
	kafkatest.Eventually(t, "measurements that fail", func() bool { return r.measurements() > measured+1 })
	r.set(func() { r.now = r.now.Add(10 * time.Second) })
	r.is("not measured for 10 s", 10*time.Second, "read_model_lag_seconds parcel.events 10", "read_model_lag_seconds truck.events 10")
	r.set(func() { r.fails = nil })
	r.is("measured again", 0, "read_model_lag_seconds parcel.events 0", none)
}

func (r *reader) measurements() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.measured
}
