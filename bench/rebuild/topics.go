package rebuild

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/infra"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// group is the consumer group of the projection service.
const group = "projection"

// Topics is a broker with histories of orders.
type Topics struct {
	Sums
	run   *infra.Run
	codec *schema.Codec
	ends  []end
}

// end is the end of a partition.
type end struct {
	topic     string
	id        uuid.UUID
	partition int32
	offset    int64
}

// read lists the topics that the projection service reads.
func read() []string {
	return []string{events.TopicOrderEvents, events.TopicPaymentEvents, events.TopicInventoryEvents, events.TopicShippingEvents}
}

// Fill starts a broker and publishes n events.
func Fill(ctx context.Context, in *infra.Infra, n int, note func(done int)) (t *Topics, err error) {
	topics := events.Topics()
	for _, name := range read() {
		topics = append(topics, event.RetryTopic(name, group), event.DeadLetterTopic(name, group))
	}
	run, err := in.NewRun(ctx, "", topics)
	if err != nil {
		return nil, err
	}
	t = &Topics{run: run, codec: in.Codec}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close(ctx))
		}
	}()
	client, err := kgo.NewClient(kgo.SeedBrokers(run.Brokers...))
	if err != nil {
		return t, err
	}
	defer client.Close()
	if err := t.produce(ctx, client, n, note); err != nil {
		return t, err
	}
	if t.ends, err = endsOf(ctx, client); err != nil {
		return t, err
	}
	return t, nil
}

// handle commits the ends of the partitions for the consumer of the service, as if it had handled all.
func (t *Topics) handle(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.run.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	var offsets kadm.Offsets
	for _, e := range t.ends {
		offsets.Add(kadm.Offset{Topic: e.topic, Partition: e.partition, At: e.offset, LeaderEpoch: -1})
	}
	committed, err := kadm.NewClient(client).CommitOffsets(ctx, group, offsets)
	return errors.Join(err, committed.Error())
}

// Brokers returns the addresses of the broker.
func (t *Topics) Brokers() []string { return t.run.Brokers }

// Close ends the broker.
func (t *Topics) Close(ctx context.Context) error { return t.run.Close(ctx) }

// produce publishes n further events.
func (t *Topics) produce(ctx context.Context, client *kgo.Client, n int, note func(done int)) error {
	const at = 5000
	began := time.Now().Add(-time.Duration(n) * time.Millisecond) // one per millisecond
	var records []*kgo.Record
	send := func() error {
		err := client.ProduceSync(ctx, records...).FirstErr()
		records = records[:0]
		note(int(t.Events))
		return err
	}
	for e, version := range Histories(n, int(t.Orders), &t.Sums) {
		r, err := Record(ctx, t.codec, e, version)
		if err != nil {
			return err
		}
		began = began.Add(time.Millisecond)
		r.Timestamp = began
		if records = append(records, r); len(records) == at {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// endsOf returns the ends of the partitions that the projection service reads.
func endsOf(ctx context.Context, client *kgo.Client) ([]end, error) {
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(ctx, read()...)
	if err = errors.Join(err, details.Error()); err != nil {
		return nil, err
	}
	listed, err := admin.ListEndOffsets(ctx, read()...)
	if err = errors.Join(err, listed.Error()); err != nil {
		return nil, err
	}
	var all []end
	listed.Each(func(o kadm.ListedOffset) {
		all = append(all, end{o.Topic, uuid.UUID(details[o.Topic].ID), o.Partition, o.Offset})
	})
	return all, nil
}

// Consume reads and decodes all records, as one client does, and returns how long that took.
func (t *Topics) Consume(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	client, err := kgo.NewClient(kgo.SeedBrokers(t.run.Brokers...), kgo.ConsumeTopics(read()...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	var n int64
	for n < t.Events {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, err
		}
		for _, r := range fetches.Records() {
			if err := t.decode(ctx, r); err != nil {
				return 0, fmt.Errorf("%s/%d/%d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			n++
		}
	}
	return time.Since(began), nil
}

func (t *Topics) decode(ctx context.Context, r *kgo.Record) error {
	headers := make([]event.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	envelope, _, err := event.ReadEnvelope(headers, r.Timestamp)
	if err != nil {
		return err
	}
	typ, ok := t.codec.Types().Lookup(envelope.Type)
	if !ok {
		return fmt.Errorf("no event is named %s", envelope.Type)
	}
	_, err = t.codec.Decode(ctx, typ, r.Value)
	return err
}

// forget deletes the consumer group of the service with its offsets.
func (t *Topics) forget(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.run.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	gone, err := kadm.NewClient(client).DeleteGroups(ctx, group)
	if err = errors.Join(err, gone.Error()); errors.Is(err, kerr.GroupIDNotFound) {
		return nil
	}
	return err
}

// atEnds returns the statement that sets the positions of the consumer behind all records.
func (t *Topics) atEnds() string {
	var rows []string
	for _, e := range t.ends {
		rows = append(rows, fmt.Sprintf("('%s', '%s', %d, '%s', %d)", group, e.id, e.partition, e.topic, e.offset))
	}
	slices.Sort(rows)
	return `INSERT INTO consumer_positions (consumer_group, topic_id, topic_partition, topic, next_offset) VALUES ` + strings.Join(rows, ", ")
}
