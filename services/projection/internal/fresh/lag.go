package fresh

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/position"
	"eventshop.example/pkg/projection"
)

const (
	// measureEvery is short compared with what people notice, and one measurement is two requests
	// to the broker and one query.
	measureEvery = time.Second
	// measureTimeout bounds one measurement.
	measureTimeout = 5 * time.Second
	// goodFor is how old a measurement may be before its age is added: two may fail.
	goodFor = 3 * measureEvery
	// fetchBytes is enough for a record or two per partition, of which only the first matters.
	fetchBytes = 16 << 10
)

// LagConfig configures Lag.
type LagConfig struct {
	Topics  []string
	Brokers []string
	KgoOpts []kgo.Opt
	// Positions returns how far the read models contain each partition, whichever process applied
	// its records.
	Positions func(ctx context.Context) (map[position.Partition]int64, error)
	// Versions returns how far each version of each projection is; nil: there are none.
	Versions   func(ctx context.Context) ([]projection.Reach, error)
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
	Registerer prometheus.Registerer
}

// Lag is how far the read models are behind their topics. Of one partition it is the age of the
// oldest record that is published and not yet applied, and 0 when all are applied. The age is the
// time of this process's clock minus the record's timestamp, which is of the clock of the process
// that published it. Of several partitions the lag is the longest. A record that failed and is
// parked counts as applied. A version of a projection that is being filled has a lag of its own; that of
// any other version is the lag of all topics.
//
// It is measured once per second. When that fails, the age of the last measurement is added to what
// it found: the lag is at most that.
type Lag struct {
	cfg    LagConfig
	latest atomic.Pointer[measured]
	topic  *prometheus.Desc
	of     *prometheus.Desc // a version
}

// measured is one measurement.
type measured struct {
	at       time.Time
	topics   map[string]time.Duration
	versions map[version]time.Duration
}

// version names a version of a projection.
type version struct {
	projection string
	number     int
}

// NewLag returns a Lag. It is unknown until [Lag.Run] has measured it.
func NewLag(cfg LagConfig) *Lag {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	l := &Lag{cfg: cfg}
	l.topic = described(prometheus.GaugeOpts{
		Name: "read_model_lag_seconds",
		Help: "Age of the oldest record of a topic that is published and not applied to the read models; 0 when all are.",
	}, "topic")
	l.of = described(prometheus.GaugeOpts{
		Name: "projection_lag_seconds",
		Help: "Age of the oldest published record that a version of a projection does not contain; 0 when it contains all.",
	}, "projection", "version")
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(l)
	}
	return l
}

func described(gauge prometheus.GaugeOpts, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(gauge.Name, gauge.Help, labels, nil)
}

// Describe implements prometheus.Collector.
func (l *Lag) Describe(descs chan<- *prometheus.Desc) { descs <- l.topic; descs <- l.of }

// Collect implements prometheus.Collector. An unknown lag has no value.
func (l *Lag) Collect(metrics chan<- prometheus.Metric) {
	m := l.latest.Load()
	if m == nil {
		return
	}
	for topic, lag := range m.topics {
		metrics <- prometheus.MustNewConstMetric(l.topic, prometheus.GaugeValue, l.now(m, lag).Seconds(), topic)
	}
	for v, lag := range m.versions {
		metrics <- prometheus.MustNewConstMetric(l.of, prometheus.GaugeValue, l.now(m, lag).Seconds(), v.projection, strconv.Itoa(v.number))
	}
}

// Longest returns the longest lag of all topics. known is false before the first measurement.
func (l *Lag) Longest() (lag time.Duration, known bool) {
	m := l.latest.Load()
	if m == nil {
		return 0, false
	}
	return l.now(m, longest(m.topics)), true
}

// now returns what a measured lag is at most by now.
func (l *Lag) now(m *measured, lag time.Duration) time.Duration {
	if age := l.cfg.Now().Sub(m.at); age > goodFor {
		return lag + age
	}
	return lag
}

// Run measures once per second until ctx is done. The first of several failures in a row is logged.
func (l *Lag) Run(ctx context.Context) error {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(l.cfg.Brokers...), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.FetchMaxBytes(1 << 20),
		kgo.MetadataMinAge(100 * time.Millisecond), // a partition is fetched only after a look at the metadata
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
	}, l.cfg.KgoOpts...)...)
	if err != nil {
		return fmt.Errorf("measure the lag: %w", err)
	}
	defer client.Close()
	ticker := time.NewTicker(measureEvery)
	defer ticker.Stop()
	failing := false
	for {
		m, err := l.measure(ctx, client)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			l.latest.Store(m)
		case !failing:
			l.cfg.Log.WarnContext(ctx, "the lag of the read models cannot be measured", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// measure asks for the ends of the partitions and then for the positions, so that what is applied
// in between does not count as missing.
func (l *Lag) measure(ctx context.Context, client *kgo.Client) (*measured, error) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx, l.cfg.Topics...)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, l.cfg.Topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list the ends of topics: %w", err)
	}
	at := l.cfg.Now()
	positions, err := l.cfg.Positions(ctx)
	if err != nil {
		return nil, err
	}
	m := &measured{at: at, versions: map[version]time.Duration{}}
	if m.topics, err = l.behind(ctx, client, topics, ends, positions, at); err != nil || l.cfg.Versions == nil {
		return m, err
	}
	versions, err := l.cfg.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		lags := m.topics
		if v.Positions != nil { // one that is being filled; each takes a request of its own
			if lags, err = l.behind(ctx, client, topics, ends, v.Positions, at); err != nil {
				return nil, err
			}
		}
		m.versions[version{v.Projection, v.Version}] = longest(lags)
	}
	return m, nil
}

// behind returns the age of the oldest record of each topic that is not behind the positions.
func (l *Lag) behind(ctx context.Context, client *kgo.Client, topics kadm.TopicDetails, ends kadm.ListedOffsets, positions map[position.Partition]int64, at time.Time) (map[string]time.Duration, error) {
	lags := map[string]time.Duration{}
	for _, topic := range l.cfg.Topics {
		lags[topic] = 0
	}
	missing := map[string]map[int32]kgo.Offset{}
	ends.Each(func(end kadm.ListedOffset) {
		p := position.Partition{Topic: end.Topic, TopicID: [16]byte(topics[end.Topic].ID), Number: end.Partition}
		if positions[p] >= end.Offset {
			return
		}
		if missing[end.Topic] == nil {
			missing[end.Topic] = map[int32]kgo.Offset{}
		}
		missing[end.Topic][end.Partition] = kgo.NewOffset().At(positions[p])
	})
	oldest, err := fetchFirst(ctx, client, missing)
	for topic, published := range oldest {
		lags[topic] = max(0, at.Sub(published))
	}
	return lags, err
}

func longest(lags map[string]time.Duration) (lag time.Duration) {
	for _, of := range lags {
		lag = max(lag, of)
	}
	return lag
}

// fetchFirst returns the earliest timestamp, by topic, of the first records at or behind the given
// offsets.
func fetchFirst(ctx context.Context, client *kgo.Client, at map[string]map[int32]kgo.Offset) (map[string]time.Time, error) {
	oldest := map[string]time.Time{}
	if len(at) == 0 {
		return oldest, nil
	}
	all := map[string][]int32{}
	left := 0
	for topic, partitions := range at {
		all[topic] = slices.Collect(maps.Keys(partitions))
		left += len(partitions)
	}
	client.AddConsumePartitions(at)
	defer client.RemoveConsumePartitions(all)
	found := map[string]map[int32]bool{}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil { // the client is closed, or ctx is done
			return nil, fmt.Errorf("fetch the first records that are not applied: %w", err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 || found[p.Topic][p.Partition] || !slices.Contains(all[p.Topic], p.Partition) {
				return
			}
			if found[p.Topic] == nil {
				found[p.Topic] = map[int32]bool{}
			}
			found[p.Topic][p.Partition] = true
			left--
			if first := p.Records[0].Timestamp; oldest[p.Topic].IsZero() || first.Before(oldest[p.Topic]) {
				oldest[p.Topic] = first
			}
		})
	}
	return oldest, nil
}
