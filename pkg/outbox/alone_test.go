package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/kafkatest"
)

// logged is a log to look into.
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

// limit lowers what the topic takes, as an operator may.
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

// raws appends records of so many bytes, one for each key, in one transaction.
func (f *fixture) raws(t *testing.T, tx pgx.Tx, size int, keys ...string) {
	t.Helper()
	for i, key := range keys {
		raw := Raw{ID: uuid.Must(uuid.NewV7()), Topic: testTopic.Name, Key: []byte(key), Payload: make([]byte, size)}
		copy(raw.Payload, fmt.Sprintf("%s/%d/", key, i))
		if err := f.out.AppendRaw(t.Context(), tx, raw); err != nil {
			t.Fatal(err)
		}
	}
}

// A topic takes less than a batch may have. What is small gets through at once, whatever
// else is on its way; what is too large by itself holds back its key only.
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
			tx := f.begin(t)
			const small = 2000
			f.raws(t, tx, 300, keys(small, small)...)
			f.raws(t, tx, c.tooLarge, "bad")
			f.raws(t, tx, 300, "bad")
			f.raws(t, tx, c.fits, "good", "good", "fine")
			commit(t, tx)
			began := time.Now()
			var log logged
			r := f.start(t, RelayConfig{
				PollEvery: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				KgoOpts: []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}, // sizes are what they are
			}, impatient)
			kafkatest.Eventually(t, "everything but the key with the large record to be published", func() bool { return f.stats(t).Unpublished == 2 })
			t.Logf("%d records after %s", small+3, time.Since(began).Round(time.Millisecond))
			if err := r.Ready(); err != nil {
				t.Errorf("one record makes the relay unready: %v", err)
			}
			kafkatest.Eventually(t, "the large record to be refused", func() bool { return r.flight.heldCount() == 1 })
			r.flight.mu.Lock()
			for lane, h := range r.flight.heldLanes {
				if lane.key != "bad" || !errors.Is(h.err, kerr.MessageTooLarge) {
					t.Errorf("held back: %v for %v", lane, h.err)
				}
			}
			r.flight.mu.Unlock()

			for _, line := range log.lines("broker refused") {
				if !strings.Contains(line, " key=bad ") {
					t.Errorf("refused for the company it was in: %s", line)
				}
			}

			// The operator finds the key and gives the topic its limit back.
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

// One partition that takes nothing holds up its own large records, and no others.
func TestAPartitionInTroubleHoldsUpItsOwn(t *testing.T) {
	t.Parallel()
	// Requests go to brokers: the partition in trouble has one for itself.
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
		return answer(req, func([]byte) int16 { return kerr.NotEnoughReplicas.Code }), nil, true // to be sent again
	})
	f := newFixture(t, cluster.ListenAddrs())
	f.start(t, quick)
	tx := f.begin(t)
	const large = 30
	f.raws(t, tx, 2*companyBytes, keys(large, large)...)
	commit(t, tx)
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

// A hold takes what waits to be sent alone from the relay, too.
func TestAHoldStopsWhatIsSentAlone(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	silent(t, cluster)
	impatient := quick
	impatient.DrainTimeout = 100 * time.Millisecond
	r := f.start(t, impatient)
	tx := f.begin(t)
	f.raws(t, tx, 2*companyBytes, keys(5, 5)...)
	commit(t, tx)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 5 })
	if err := f.out.Hold(t.Context(), f.pool, "x"); err != nil {
		t.Fatal(err)
	}
	if rows, _, _, _ := r.flight.counts(); rows != 0 || len(r.lone.clear()) != 0 {
		t.Errorf("%d rows in flight, some to be sent alone", rows)
	}
	if s := f.stats(t); s.Unpublished != 5 {
		t.Errorf("%d unpublished, want 5", s.Unpublished)
	}
}

// A broker that refuses a batch for its company gets each record of it alone. Which of its
// codes it uses does not matter.
func TestWhatIsRefusedForItsCompanyIsSentAlone(t *testing.T) {
	t.Parallel()
	for _, why := range []*kerr.Error{kerr.MessageTooLarge, kerr.RecordListTooLarge} {
		t.Run(why.Message, func(t *testing.T) {
			t.Parallel()
			cluster := kafkatest.StartCluster(t, testTopic)
			cluster.ControlKey(produceKey, func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				req, company := kreq.(*kmsg.ProduceRequest), false
				for _, topic := range req.Topics {
					for _, p := range topic.Partitions {
						var batch kmsg.RecordBatch
						if err := batch.ReadFrom(p.Records); err != nil {
							t.Error(err)
						}
						company = company || batch.NumRecords > 1
					}
				}
				if !company {
					return nil, nil, false
				}
				return answer(req, func([]byte) int16 { return why.Code }), nil, true
			})
			f := newFixture(t, cluster.ListenAddrs())
			f.append(t, keys(60, 30)...) // before the relay, so that they share batches
			reg := prometheus.NewRegistry()
			cfg := quick
			cfg.Registerer = reg
			f.start(t, cfg)
			f.awaitPublished(t)
			if refused := refusals(t, reg, "eventshop_outbox_refusals_total"); len(refused) != 0 {
				t.Errorf("counted as refused: %v", refused)
			}
			if n := f.verify(t); n != 0 {
				t.Errorf("%d repetitions", n)
			}
		})
	}
}
