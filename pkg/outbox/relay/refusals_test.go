package relay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

// API keys of the Kafka protocol.
const (
	metadataKey       = 3
	initProducerIDKey = 22
)

// impatient makes a relay report after a fraction of a second what it otherwise reports after some
// seconds, and shortens its pauses.
func impatient(r *Relay) {
	r.slow = 300 * time.Millisecond
	r.measureEvery = 50 * time.Millisecond
	r.flight.deferrals.refusesAllAfter = 300 * time.Millisecond
	r.flight.deferrals.pause = func(attempts int) time.Duration { return pause(min(attempts, 1)) }
}

// refusing makes the broker answer every request of a kind with an error while on is set.
func refusing(cluster *kfake.Cluster, key int16, refuse func(kmsg.Request) kmsg.Response) (on *atomic.Bool) {
	on = new(atomic.Bool)
	on.Store(true)
	cluster.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !on.Load() {
			return nil, nil, false
		}
		return refuse(req), nil, true
	})
	return on
}

// refusals returns the metrics of a name by their labels' values.
func refusals(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			all[strings.Join(labels, "/")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

// The broker accepts no record, each time for another reason. No record is lost or reordered. The
// relay reports the reason, and continues when the broker does.
func TestABrokerThatTakesNothing(t *testing.T) {
	t.Parallel()
	const atProducer, counted = false, true
	type kind struct {
		err     *kerr.Error
		counted bool // the client refuses as well; otherwise it retries by itself
	}
	for _, k := range []kind{
		{kerr.InvalidTimestamp, counted},
		{kerr.RecordListTooLarge, counted},
		{kerr.MessageTooLarge, counted},
		{kerr.TopicAuthorizationFailed, counted},
		{kerr.ClusterAuthorizationFailed, counted},
		{kerr.PolicyViolation, counted},
		{kerr.InvalidRecord, counted},
		{kerr.CorruptMessage, counted},
		{kerr.UnknownServerError, counted},
		{kerr.UnsupportedForMessageFormat, counted},
		{kerr.InvalidRequiredAcks, counted},
		{kerr.UnknownTopicOrPartition, counted},
		{kerr.NotEnoughReplicas, atProducer},
		{kerr.NotEnoughReplicasAfterAppend, atProducer},
		{kerr.RequestTimedOut, atProducer},
		{kerr.KafkaStorageError, atProducer},
		{kerr.LeaderNotAvailable, atProducer},
		{kerr.NotLeaderForPartition, atProducer},
		{kerr.ThrottlingQuotaExceeded, atProducer},
		{kerr.OutOfOrderSequenceNumber, atProducer},
		{kerr.UnknownProducerID, atProducer},
		{kerr.InvalidProducerEpoch, atProducer},
		{kerr.InvalidProducerIDMapping, atProducer},
	} {
		t.Run(k.err.Message, func(t *testing.T) {
			t.Parallel()
			cluster := kafkatest.StartCluster(t, testTopic)
			f := newFixture(t, cluster.ListenAddrs())
			on := refusing(cluster, produceKey, func(req kmsg.Request) kmsg.Response {
				return answer(req.(*kmsg.ProduceRequest), func([]byte) int16 { return k.err.Code })
			})
			f.takesNothing(t, on, k.err.Message, func(reg *prometheus.Registry, r *relay) {
				refused := func() float64 {
					return refusals(t, reg, "outbox_refusals_total")[k.err.Message+"/"+testTopic.Name]
				}
				if k.counted {
					// The client first retries some by itself, and the relay reports that
					// meanwhile.
					kafkatest.Eventually(t, "a refusal counted", func() bool { return refused() > 0 })
				} else if n := refused(); n > 0 {
					t.Errorf("%g refusals counted, want none", n)
				}
			})
		})
	}
}

// takesNothing appends while the broker accepts no record and expects the relay to report why. Then
// it makes the broker accept every record.
func (f *fixture) takesNothing(t *testing.T, on *atomic.Bool, why string, meanwhile func(*prometheus.Registry, *relay)) {
	t.Helper()
	reg := prometheus.NewRegistry()
	cfg := quick
	cfg.Registerer = reg
	cfg.KgoOpts = []kgo.Opt{kgo.MetadataMinAge(20 * time.Millisecond), kgo.ProduceRequestTimeout(100 * time.Millisecond), kgo.RequestTimeoutOverhead(time.Second), kgo.RequestRetries(2)}
	r := f.start(t, cfg, impatient)
	f.Append(t, outboxtest.Keys(60, 12)...)
	f.Out.Wake()
	metric := "outbox_refused_seconds"
	kafkatest.Eventually(t, "the relay to say what it waits for", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), why) && strings.Contains(err.Error(), testTopic.Name) &&
			strings.Contains(err.Error(), "60 rows wait") &&
			(refusals(t, reg, metric)[testTopic.Name] > 0 || refusals(t, reg, "outbox_unacknowledged_seconds")[""] > 0.1)
	})
	t.Log(r.Ready())
	if s := f.stats(t); s.Unpublished != 60 {
		t.Errorf("%d unpublished, want 60", s.Unpublished)
	}
	if meanwhile != nil {
		meanwhile(reg, r)
	}
	on.Store(false)
	f.awaitPublished(t)
	kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
	kafkatest.Eventually(t, "the metrics to say so", func() bool {
		return len(refusals(t, reg, metric)) == 0 && refusals(t, reg, "outbox_unacknowledged_seconds")[""] == 0
	})
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
	if d := f.stats(t); len(d.Refused) != 0 {
		t.Errorf("refused, after all is published: %v", d.Refused)
	}
}

// The broker refuses a producer its id. A client keeps a refusal for ever.
func TestABrokerThatRefusesProducerIDs(t *testing.T) {
	t.Parallel()
	for _, why := range []*kerr.Error{kerr.ClusterAuthorizationFailed, kerr.UnknownServerError, kerr.InvalidProducerEpoch, kerr.CoordinatorNotAvailable} {
		t.Run(why.Message, func(t *testing.T) {
			t.Parallel()
			cluster := kafkatest.StartCluster(t, testTopic)
			f := newFixture(t, cluster.ListenAddrs())
			on := refusing(cluster, initProducerIDKey, func(req kmsg.Request) kmsg.Response {
				resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
				resp.ErrorCode = why.Code
				return resp
			})
			f.takesNothing(t, on, why.Message, nil)
		})
	}
}

// The metadata deny the relay access to the topic.
func TestABrokerThatHidesTheTopic(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	why := kerr.TopicAuthorizationFailed
	on := refusing(cluster, metadataKey, func(kreq kmsg.Request) kmsg.Response {
		resp := kreq.ResponseKind().(*kmsg.MetadataResponse)
		host := strings.Split(f.brokers[0], ":")
		number, _ := strconv.Atoi(host[1])
		resp.Brokers = []kmsg.MetadataResponseBroker{{Host: host[0], Port: int32(number)}}
		for _, topic := range kreq.(*kmsg.MetadataRequest).Topics {
			resp.Topics = append(resp.Topics, kmsg.MetadataResponseTopic{Topic: topic.Topic, ErrorCode: why.Code})
		}
		return resp
	})
	f.takesNothing(t, on, why.Message, nil)
}

// The relay reports a broker that never answers. A record that the broker accepts late is accepted
// once.
func TestABrokerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	var mute atomic.Bool
	mute.Store(true)
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if mute.Load() {
			cluster.SleepControl(func() {
				for deadline := time.Now().Add(kafkatest.Patience); mute.Load() && time.Now().Before(deadline); {
					sleep(t.Context(), 10*time.Millisecond)
				}
			})
			return nil, errors.New("cut the connection"), true
		}
		return nil, nil, false
	})
	f.takesNothing(t, &mute, "has not acknowledged a record", nil)
}

// A topic is deleted and created again while a relay runs without a hold. The client does not adopt
// the new topic by itself.
func TestATopicMadeAgainWithoutAPause(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := f.start(t, quick, impatient)
	f.Append(t, outboxtest.Keys(60, 12)...)
	f.awaitPublished(t)
	topics := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
	if _, err := topics.DeleteTopic(t.Context(), testTopic.Name); err != nil {
		t.Fatal(err)
	}
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	f.Append(t, outboxtest.Keys(60, 12)...)
	f.awaitPublished(t)
	for key, got := range outboxtest.Versions(kafkatest.ReadAll(t, f.brokers, testTopic.Name)) {
		if fmt.Sprint(got) != "[6 7 8 9 10]" {
			t.Errorf("the new topic has of %s %v, want the later five in order", key, got)
		}
	}
	if err := r.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

// A topic is deleted, and created again much later.
func TestATopicThatIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := f.start(t, quick, impatient)
	f.Append(t, outboxtest.Keys(60, 12)...)
	f.awaitPublished(t)
	topics := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
	if _, err := topics.DeleteTopic(t.Context(), testTopic.Name); err != nil {
		t.Fatal(err)
	}
	f.Append(t, outboxtest.Keys(60, 12)...)
	kafkatest.Eventually(t, "the relay to say so", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "UNKNOWN_TOPIC") && strings.Contains(err.Error(), testTopic.Name)
	})
	kafkatest.CreateTopics(t, f.brokers, testTopic)
	f.awaitPublished(t)
	kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
	for key, got := range outboxtest.Versions(kafkatest.ReadAll(t, f.brokers, testTopic.Name)) {
		if fmt.Sprint(got) != "[6 7 8 9 10]" {
			t.Errorf("the new topic has of %s %v, want the later five in order", key, got)
		}
	}
}

// Operators see one record that the broker refuses, and the relay stays ready. The same is true for
// a row that cannot become a record.
func TestASingleRefusalIsShown(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	limit(t, cluster.ListenAddrs(), 200_000)
	f := newFixture(t, cluster.ListenAddrs())
	tx := f.Begin(t)
	f.Raws(t, tx, 300_000, "large")
	f.Raws(t, tx, 100, "large")
	for i, size := range []int{300_000, 100, 100} { // without a key they have no order
		raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: testTopic.Name, Payload: make([]byte, size+i)}
		if err := f.Out.AppendRaw(t.Context(), tx, raw); err != nil {
			t.Fatal(err)
		}
	}
	f.Insert(t, tx, "broken", "broken", "good")
	broken := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: testTopic.Name, Key: []byte("list"), Headers: []event.Header{{Key: "a"}}}
	if err := f.Out.AppendRaw(t.Context(), tx, broken); err != nil {
		t.Fatal(err)
	}
	outboxtest.Commit(t, tx)
	owner := f.Owner(t)
	for _, sql := range []string{
		`UPDATE outbox SET ce_time = 'yesterday' WHERE convert_from(key, 'UTF8') = 'broken' AND ce_aggregateversion = 1`,
		`UPDATE outbox SET headers = '"none"' WHERE convert_from(key, 'UTF8') = 'list'`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	reg := prometheus.NewRegistry()
	cfg := quick
	cfg.Registerer = reg
	cfg.KgoOpts = []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())} // sizes stay as they are
	r := f.start(t, cfg, impatient)
	kafkatest.Eventually(t, "the good one to be published, the others to be refused", func() bool {
		d := f.stats(t)
		return d.Unpublished == 6 && len(d.Refused) == 4
	})
	f.Append(t, "good")
	kafkatest.Eventually(t, "the topic to take a record after all refusals", func() bool { return f.stats(t).Unpublished == 6 })
	if err := r.Ready(); err != nil {
		t.Errorf("single records make the relay unready: %v", err)
	}
	for _, one := range f.stats(t).Refused {
		want := map[string]string{"large": "MESSAGE_TOO_LARGE", "broken": "ce_time", "list": "headers", "": "MESSAGE_TOO_LARGE"}[one.Key]
		if one.Topic != testTopic.Name || one.Whole || want == "" || !strings.Contains(one.Reason, want) || one.Attempts == 0 || one.Since.IsZero() || !one.NextTry.After(one.Since) {
			t.Errorf("refused: %+v, want the reason %q", one, want)
		}
	}
	counted := refusals(t, reg, "outbox_refusals_total")
	if counted["MESSAGE_TOO_LARGE/"+testTopic.Name] == 0 || counted["client/"+testTopic.Name] == 0 {
		t.Errorf("counted: %v", counted)
	}
	kafkatest.Eventually(t, "what is held, in the metrics", func() bool { return refusals(t, reg, "outbox_held_keys")[""] == 4 })

	limit(t, f.brokers, 1_048_588)
	for _, sql := range []string{
		`UPDATE outbox SET ce_time = '2026-01-01T00:00:00Z' WHERE ce_time = 'yesterday'`,
		`UPDATE outbox SET headers = NULL WHERE convert_from(key, 'UTF8') = 'list'`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// A topic that refuses the records of more keys than a read can exclude does not delay another
// topic.
func TestManyRefusedKeysOfOneTopic(t *testing.T) {
	t.Parallel()
	bad := event.Topic{Name: "bad", Partitions: 1}
	cluster := kafkatest.StartCluster(t, testTopic, bad)
	f := newFixture(t, cluster.ListenAddrs())
	on := new(atomic.Bool)
	on.Store(true)
	ids := map[[16]byte]bool{}
	for _, topic := range topicsOf(t, f.brokers) {
		if topic.Topic == bad.Name {
			ids[topic.ID] = true
		}
	}
	cluster.ControlKey(produceKey, func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.ProduceRequest)
		ill := func(t kmsg.ProduceRequestTopic) bool { return t.Topic == bad.Name || ids[t.TopicID] }
		for _, topic := range req.Topics {
			if on.Load() && ill(topic) {
				return answer(req, func([]byte) int16 { return kerr.InvalidRecord.Code }), nil, true
			}
		}
		return nil, nil, false
	})
	tx := f.Begin(t)
	const many = 200
	for i := range many {
		raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: bad.Name, Key: []byte(strconv.Itoa(i)), Payload: []byte("x")}
		if err := f.Out.AppendRaw(t.Context(), tx, raw); err != nil {
			t.Fatal(err)
		}
	}
	outboxtest.Commit(t, tx)
	cfg := quick
	cfg.MaxInFlight, cfg.BatchSize = 50, 25
	r := f.start(t, cfg, impatient, func(r *Relay) {
		r.flight.deferrals.pause = func(int) time.Duration { return time.Hour }
	})
	kafkatest.Eventually(t, "more keys to be held back than a read may take along", func() bool { return r.flight.deferredCount() > 50 })
	f.Append(t, outboxtest.Keys(100, 10)...)
	kafkatest.Eventually(t, "the other topic to be published", func() bool { return f.stats(t).Unpublished == many })
	kafkatest.Eventually(t, "the relay to name the topic", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "topic bad") && strings.Contains(err.Error(), "INVALID_RECORD")
	})
}

func topicsOf(t *testing.T, brokers []string) kadm.TopicDetails {
	t.Helper()
	topics, err := kadm.NewClient(kafkatest.NewClient(t, brokers)).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return topics
}
