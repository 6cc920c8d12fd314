package relay

import (
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/outboxtest"
)

// logged is a log that a test can read.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) lines(with string) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, with) {
			all = append(all, line)
		}
	}
	return all
}

// limit lowers the topic's largest batch, as an operator may.
func limit(t *testing.T, brokers []string, bytes int) {
	t.Helper()
	value := strconv.Itoa(bytes)
	adm := kadm.NewClient(kafkatest.NewClient(t, brokers))
	answers, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, testTopic.Name)
	if err == nil {
		for _, a := range answers {
			err = errors.Join(err, a.Err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A topic accepts less than a batch may have. Small records are published at once, whatever else is
// on its way. A record that is itself too large delays only its key.
func TestATopicWithALowLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ limit, fits, tooLarge int }{
		"above the size of a batch": {200_000, 150_000, 300_000},
		"below the size of a batch": {20_000, 15_000, 30_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := kafkatest.StartCluster(t, testTopic)
			limit(t, cluster.ListenAddrs(), c.limit)
			f := newFixture(t, cluster.ListenAddrs())
			tx := f.Begin(t)
			const small = 2000
			f.Raws(t, tx, 300, outboxtest.Keys(small, small)...)
			f.Raws(t, tx, c.tooLarge, "bad")
			f.Raws(t, tx, 300, "bad")
			f.Raws(t, tx, c.fits, "good", "good", "fine")
			outboxtest.Commit(t, tx)
			began := time.Now()
			var log logged
			r := f.start(t, Config{
				PollEvery: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				KgoOpts: []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}, // sizes stay as they are
			}, impatient)
			kafkatest.Eventually(t, "everything but the key with the large record to be published", func() bool { return f.stats(t).Unpublished == 2 })
			t.Logf("%d records after %s", small+3, time.Since(began).Round(time.Millisecond))
			if err := r.Ready(); err != nil {
				t.Errorf("one record makes the relay unready: %v", err)
			}
			kafkatest.Eventually(t, "the large record to be refused", func() bool { return r.flight.deferredCount() == 1 })
			r.flight.mu.Lock()
			for key, d := range r.flight.deferrals.keys {
				if key.key != "bad" || !errors.Is(d.err, kerr.MessageTooLarge) {
					t.Errorf("held back: %v for %v", key, d.err)
				}
			}
			r.flight.mu.Unlock()

			for _, line := range log.lines("broker refused") {
				if !strings.Contains(line, " key=bad ") {
					t.Errorf("refused because of another record in its batch: %s", line)
				}
			}

			// The operator finds the key and restores the topic's limit.
			limit(t, f.brokers, 1_048_588)
			f.awaitPublished(t)
			last := map[string]int{}
			for _, rec := range kafkatest.ReadAll(t, f.brokers, testTopic.Name) {
				if string(rec.Key) == "bad" && len(rec.Value) == c.tooLarge && last["bad"] != 0 {
					t.Error("the large record came after the one behind it")
				}
				last[string(rec.Key)]++
			}
			if last["bad"] != 2 || last["good"] != 2 || len(last) != small+3 {
				t.Errorf("%d keys, %d records of bad, %d of good", len(last), last["bad"], last["good"])
			}
		})
	}
}

// A partition that accepts no records delays its own large records, and no others.
func TestAPartitionInTroubleHoldsUpItsOwn(t *testing.T) {
	t.Parallel()
	// Requests go to brokers: the refusing partition has a broker of its own.
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(testTopic.Partitions, testTopic.Name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	for p := range testTopic.Partitions {
		if err := cluster.MoveTopicPartition(testTopic.Name, p, min(p, 1)); err != nil {
			t.Fatal(err)
		}
	}
	var well atomic.Bool
	cluster.ControlKey(produceKey, func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.ProduceRequest)
		ill := func(p kmsg.ProduceRequestTopicPartition) bool { return p.Partition == 0 }
		if well.Load() || !slices.ContainsFunc(req.Topics[0].Partitions, ill) {
			return nil, nil, false
		}
		return answer(req, func([]byte) int16 { return kerr.NotEnoughReplicas.Code }), nil, true // the client retries these
	})
	f := newFixture(t, cluster.ListenAddrs())
	f.start(t, quick)
	tx := f.Begin(t)
	const large = 30
	f.Raws(t, tx, 2*batchBytes, outboxtest.Keys(large, large)...)
	outboxtest.Commit(t, tx)
	kafkatest.Eventually(t, "the other partitions to have theirs", func() bool {
		n := f.stats(t).Unpublished
		return n > 0 && n < large*2/3
	})
	well.Store(true)
	f.awaitPublished(t)
	if n := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); n != large {
		t.Errorf("%d records, want %d", n, large)
	}
}

// A hold also removes from the relay the records that wait for the single producer.
func TestAHoldStopsWhatIsSentAlone(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	silent(t, cluster)
	impatient := quick
	impatient.DrainTimeout = 100 * time.Millisecond
	r := f.start(t, impatient)
	tx := f.Begin(t)
	f.Raws(t, tx, 2*batchBytes, outboxtest.Keys(5, 5)...)
	outboxtest.Commit(t, tx)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 5 })
	if err := f.admin().Hold(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if rows, _, _, _ := r.flight.counts(); rows != 0 || len(r.producers.queue.clear()) != 0 {
		t.Errorf("%d rows in flight, some for the single producer", rows)
	}
	if s := f.stats(t); s.Unpublished != 5 {
		t.Errorf("%d unpublished, want 5", s.Unpublished)
	}
}

// When a broker refuses a batch because of its size, the relay sends each of its records in a batch
// of its own. It does not matter which error code the broker uses.
func TestWhatIsRefusedForItsCompanyIsSentAlone(t *testing.T) {
	t.Parallel()
	for _, why := range []*kerr.Error{kerr.MessageTooLarge, kerr.RecordListTooLarge} {
		t.Run(why.Message, func(t *testing.T) {
			t.Parallel()
			cluster := kafkatest.StartCluster(t, testTopic)
			cluster.ControlKey(produceKey, func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				req, shared := kreq.(*kmsg.ProduceRequest), false
				for _, topic := range req.Topics {
					for _, p := range topic.Partitions {
						var batch kmsg.RecordBatch
						if err := batch.ReadFrom(p.Records); err != nil {
							t.Error(err)
						}
						shared = shared || batch.NumRecords > 1
					}
				}
				if !shared {
					return nil, nil, false
				}
				return answer(req, func([]byte) int16 { return why.Code }), nil, true
			})
			f := newFixture(t, cluster.ListenAddrs())
			f.Append(t, outboxtest.Keys(60, 30)...) // before the relay, so that they share batches
			reg := prometheus.NewRegistry()
			cfg := quick
			cfg.Registerer = reg
			f.start(t, cfg)
			f.awaitPublished(t)
			if refused := refusals(t, reg, "outbox_refusals_total"); len(refused) != 0 {
				t.Errorf("counted as refused: %v", refused)
			}
			if n := f.verify(t); n != 0 {
				t.Errorf("%d repetitions", n)
			}
		})
	}
}
