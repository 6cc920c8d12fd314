package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/retry"
)

// errBeginning is in the chain of an error about a topic that has lost records from its beginning.
var errBeginning = errors.New("a filling needs every record from offset 0")

const (
	// fetchBytes is how much of a partition one fetch returns, compressed: some hundred records, so that
	// those of all partitions fit into memory.
	fetchBytes = 64 << 10
	// fetchWait is how long the broker waits for records.
	fetchWait = 250 * time.Millisecond
)

// source reads topics without a consumer group. Each topic has a client of its own, which fetches when there
// is need: what is at hand of a topic does not grow with the records of another one.
type source struct {
	clients map[uuid.UUID]*kgo.Client
	names   map[uuid.UUID]string
	counts  map[partition]bool // the partitions that there are
	ahead   map[partition][]*kgo.Record
	next    positions // behind the last record that was taken
	has     int       // records in ahead

	committed positions // by the group, in Kafka, when the source was opened
}

// described returns the partitions of the topics, and the first offset of each.
func described(ctx context.Context, client *kgo.Client, topics []string) (names map[uuid.UUID]string, starts positions, err error) {
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(ctx, topics...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return nil, nil, errs.New(errs.Transient, "describe topics: %w", err)
	}
	offsets, err := admin.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return nil, nil, errs.New(errs.Transient, "find where topics begin: %w", err)
	}
	names, starts = map[uuid.UUID]string{}, positions{}
	for _, t := range details.Sorted() {
		names[uuid.UUID(t.ID)] = t.Topic
		for _, p := range t.Partitions.Sorted() {
			at, ok := offsets.Lookup(t.Topic, p.Partition)
			if !ok {
				return nil, nil, errs.New(errs.Transient, "find where topics begin: %s/%d is missing", t.Topic, p.Partition)
			}
			starts[partition{uuid.UUID(t.ID), p.Partition}] = at.Offset
		}
	}
	return names, starts, nil
}

// complete returns an error when a topic no longer has the records from the positions on.
func complete(names map[uuid.UUID]string, starts, from positions) error {
	var missing []string
	for at, start := range starts {
		if from[at] < start {
			missing = append(missing, fmt.Sprintf("%s/%d begins at offset %d, and offset %d is needed", names[at.topic], at.number, start, from[at]))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return errs.New(errs.Conflict, "%w: %s", errBeginning, missing[0])
}

// committedBy returns the offsets that a consumer group has committed in Kafka.
func committedBy(ctx context.Context, client *kgo.Client, group string, names map[uuid.UUID]string) (positions, error) {
	found, err := kadm.NewClient(client).FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		err = nil
	}
	if err != nil {
		return nil, errs.New(errs.Transient, "find the offsets of group %s: %w", group, err)
	}
	committed := positions{}
	for id, name := range names {
		for number, o := range found[name] {
			if o.Err == nil && o.At >= 0 {
				committed[partition{id, number}] = o.At
			}
		}
	}
	return committed, nil
}

// begins checks that all topics have every record from offset 0.
func (s *Set[F]) begins(ctx context.Context) error {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.cfg.Brokers...)}, s.cfg.KgoOpts...)...)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "Kafka client")
	}
	defer client.Close()
	names, starts, err := described(ctx, client, s.cfg.Topics)
	if err != nil {
		return err
	}
	return complete(names, starts, nil)
}

// open returns a source that continues at the positions.
func (s *Set[F]) open(ctx context.Context, from positions) (*source, error) {
	admin, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.cfg.Brokers...)}, s.cfg.KgoOpts...)...)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "Kafka client")
	}
	defer admin.Close()
	names, starts, err := described(ctx, admin, s.cfg.Topics)
	var committed positions
	if err == nil {
		err = complete(names, starts, from)
	}
	if err == nil {
		committed, err = committedBy(ctx, admin, s.cfg.Group, names)
	}
	if err != nil {
		return nil, err
	}
	src := &source{committed: committed, clients: map[uuid.UUID]*kgo.Client{}, names: names, counts: map[partition]bool{}, ahead: map[partition][]*kgo.Record{}, next: positions{}}
	consume := map[uuid.UUID]map[int32]kgo.Offset{}
	for at := range starts {
		src.counts[at], src.next[at] = true, from[at]
		if consume[at.topic] == nil {
			consume[at.topic] = map[int32]kgo.Offset{}
		}
		consume[at.topic][at.number] = kgo.NewOffset().At(from[at])
	}
	for topic, offsets := range consume {
		src.clients[topic], err = kgo.NewClient(append([]kgo.Opt{
			kgo.SeedBrokers(s.cfg.Brokers...), kgo.ClientID(s.cfg.Group + ".filler"),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{names[topic]: offsets}),
			kgo.ConsumeResetOffset(kgo.NoResetOffset()), // never skips what is gone
			kgo.KeepControlRecords(),                    // so that a position can pass them, as the reader's does
			kgo.FetchMaxWait(fetchWait),
			kgo.FetchMaxPartitionBytes(fetchBytes),
		}, s.cfg.KgoOpts...)...)
		if err != nil {
			delete(src.clients, topic)
			src.close()
			return nil, errs.Wrap(errs.Invalid, err, "Kafka client")
		}
	}
	return src, nil
}

func (s *source) close() {
	for _, client := range s.clients {
		client.Close()
	}
}

// changed reports whether the reader knows a partition of the topics that the source does not.
func (s *source) changed(reader positions) bool {
	for at := range reader {
		if _, known := s.names[at.topic]; known && !s.counts[at] {
			return true
		}
	}
	return false
}

// recordAt reads one record. ok is false when it is gone.
func (s *Set[F]) recordAt(ctx context.Context, at retry.Place) (r *kgo.Record, ok bool, err error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.cfg.Brokers...), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{at.Topic: {at.Partition: kgo.NewOffset().At(at.Offset)}}),
	}, s.cfg.KgoOpts...)...)
	if err != nil {
		return nil, false, errs.Wrap(errs.Invalid, err, "Kafka client")
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fetches := client.PollRecords(ctx, 1)
	if records := fetches.Records(); len(records) > 0 {
		return records[0], records[0].Offset == at.Offset, nil
	}
	if err := fetches.Err(); !errors.Is(err, kerr.OffsetOutOfRange) {
		return nil, false, errs.New(errs.Transient, "read the record again: %w", err)
	}
	return nil, false, nil
}

// original returns a record in the form of package retry.
func original(r *kgo.Record) retry.Record {
	headers := make([]event.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	return retry.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: event.StorableTime(r.Timestamp),
		Key: r.Key, Value: r.Value, Headers: headers,
	}
}

// kafkaRecord is the inverse of original.
func kafkaRecord(r retry.Record) *kgo.Record {
	k := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Time, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return k
}
