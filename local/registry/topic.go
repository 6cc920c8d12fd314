package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/ops/topics"
	"eventshop.example/pkg/event"
)

// topicTimeout bounds one write. A registry that is not sure of a write ends; reading the topic
// again shows the outcome.
const topicTimeout = 15 * time.Second

// Topic is a journal's topic in Kafka.
type Topic struct {
	Brokers     []string // host:port
	Name        string   // created if missing, with one partition and unlimited retention
	Replication int16    // of a created topic; 0 is the cluster's default
}

// topicJournal is a topic of one partition, with one record per entry. A topic cannot be locked. If
// two registries write to it, the registry whose record is not at the expected offset has been
// overtaken, and fails. All readers accept its record if it follows from the records before it.
type topicJournal struct {
	*final
	client *kgo.Client
	topic  string
	next   int64 // offset of the next record if no other registry writes
}

// overtaken is an entry that does not follow from those before it.
type overtaken string

func (o overtaken) Error() string { return string(o) }

// openTopic passes every entry to replay and stops at its first error, except for entries that were
// overtaken. It waits for Kafka until ctx ends.
func openTopic(ctx context.Context, t Topic, replay func(entry) error) (_ *topicJournal, err error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(t.Brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.Name: {0: kgo.NewOffset().AtStart()}}),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.AllowIdempotentProduceCancellation(), // a write that times out ends this registry
	)
	if err != nil {
		return nil, fmt.Errorf("make a Kafka client: %w", err)
	}
	defer func() {
		if err != nil {
			client.Close()
		}
	}()
	// Not compacted: of two records that write the same version, compaction would keep the later
	// one.
	declared := event.Topic{Name: t.Name, Partitions: 1, Config: map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}}
	if err := topics.Create(ctx, client, []event.Topic{declared}, t.Replication); err != nil {
		return nil, err
	}
	end, err := endOf(ctx, client, t.Name)
	if err != nil {
		return nil, fmt.Errorf("look at topic %s: %w", t.Name, err)
	}
	j := &topicJournal{final: newFinal(), client: client, topic: t.Name}
	for j.next < end {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read topic %s: %w", t.Name, err)
		}
		for _, r := range fetches.Records() {
			if err := take(r, replay); err != nil {
				return nil, fmt.Errorf("topic %s, offset %d: %w", t.Name, r.Offset, err)
			}
			j.next = r.Offset + 1
		}
	}
	client.PurgeTopicsFromConsuming(t.Name)
	return j, nil
}

// endOf returns the offset after the last record. It waits until the topic, which may be new, has a
// leader.
func endOf(ctx context.Context, client *kgo.Client, topic string) (int64, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		offsets, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
		if err != nil {
			return 0, err
		}
		o, ok := offsets.Lookup(topic, 0)
		if n := len(offsets[topic]); ok && n > 1 {
			return 0, fmt.Errorf("it has %d partitions, and entries have no order", n)
		}
		if ok && o.Err == nil {
			return o.Offset, nil
		}
		if ok && !kerr.IsRetriable(o.Err) {
			return 0, o.Err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, errors.Join(o.Err, context.Cause(ctx))
		}
	}
}

func take(r *kgo.Record, replay func(entry) error) error {
	var e entry
	dec := json.NewDecoder(bytes.NewReader(r.Value))
	dec.DisallowUnknownFields() // a later version or another registry may have written it
	if err := dec.Decode(&e); err != nil {
		return fmt.Errorf("no entry of this registry: %w", err)
	}
	err := replay(e)
	var late overtaken
	if errors.As(err, &late) {
		slog.Warn("schema registry leaves out an entry that was overtaken",
			"topic", r.Topic, "offset", r.Offset, "reason", late.Error())
		return nil
	}
	return err
}

func (j *topicJournal) append(e entry) error {
	if err := j.failure(); err != nil {
		return fmt.Errorf("journal failed before: %w", err)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode journal entry: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), topicTimeout)
	defer cancel()
	r := &kgo.Record{Topic: j.topic, Key: []byte(e.Subject), Value: raw}
	if err := j.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return j.fail(fmt.Errorf("write to topic %s: %w", j.topic, err))
	}
	if r.Offset != j.next {
		return j.fail(fmt.Errorf("another registry writes to topic %s: offset %d, want %d", j.topic, r.Offset, j.next))
	}
	j.next++
	return nil
}

func (j *topicJournal) close() error {
	j.client.Close()
	return nil
}
