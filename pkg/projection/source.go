package projection

import (
	"cmp"
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

// source reads topics without a consumer group.
type source struct {
	client *kgo.Client
	names  map[uuid.UUID]string
	counts map[partition]bool // the partitions that there are
	ahead  map[partition][]*kgo.Record
	next   positions // behind the last record that was taken
	has    int       // records in ahead

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
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.cfg.Brokers...), kgo.ClientID(s.cfg.Group + ".filler"),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // never skips what is gone
		kgo.KeepControlRecords(),                    // so that a position can pass them, as the reader's does
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxPartitionBytes(fetchBytes),
	}, s.cfg.KgoOpts...)...)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "Kafka client")
	}
	names, starts, err := described(ctx, client, s.cfg.Topics)
	var committed positions
	if err == nil {
		err = complete(names, starts, from)
	}
	if err == nil {
		committed, err = committedBy(ctx, client, s.cfg.Group, names)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	src := &source{committed: committed, client: client, names: names, counts: map[partition]bool{}, ahead: map[partition][]*kgo.Record{}, next: positions{}}
	consume := map[string]map[int32]kgo.Offset{}
	for at := range starts {
		src.counts[at], src.next[at] = true, from[at]
		name := names[at.topic]
		if consume[name] == nil {
			consume[name] = map[int32]kgo.Offset{}
		}
		consume[name][at.number] = kgo.NewOffset().At(from[at])
	}
	client.AddConsumePartitions(consume)
	return src, nil
}

func (s *source) close() { s.client.Close() }

// changed reports whether the reader knows a partition of the topics that the source does not.
func (s *source) changed(reader positions) bool {
	for at := range reader {
		if _, known := s.names[at.topic]; known && !s.counts[at] {
			return true
		}
	}
	return false
}

// atHand is how many records at hand suffice while a partition has none.
const atHand = 50_000

// take returns up to most records below the bound, those of a partition in order and without a gap. Of
// several partitions it returns the oldest records first. So what belongs together is mostly in one set,
// although it is on several topics. It returns none when it has reached the bound. It waits for the broker
// as long as ctx lasts, and then returns what there is. While there is a set, it does not wait long for a
// partition that does not answer.
func (s *source) take(ctx context.Context, bound positions, most int) ([]*kgo.Record, error) {
	for {
		for s.waits(bound) && s.has < max(atHand, most) && ctx.Err() == nil {
			has, within, cancel := s.has, ctx, func() {}
			if has >= most {
				within, cancel = context.WithTimeout(ctx, 2*fetchWait)
			}
			err := s.poll(within)
			cancel()
			if err != nil {
				return nil, err
			}
			if s.has == has {
				break
			}
		}
		if taken := s.oldest(bound, most); len(taken) > 0 || s.next.behind(bound, s.counts) == 0 || ctx.Err() != nil {
			return taken, nil
		}
	}
}

// oldest takes up to most records below the bound from those at hand.
func (s *source) oldest(bound positions, most int) []*kgo.Record {
	type queue struct {
		at      partition
		records []*kgo.Record // below the bound
	}
	var queues []*queue
	for _, at := range s.sorted() {
		records := s.ahead[at]
		n, _ := slices.BinarySearchFunc(records, bound[at], func(r *kgo.Record, offset int64) int { return cmp.Compare(r.Offset, offset) })
		if n > 0 {
			queues = append(queues, &queue{at, records[:n]})
		}
	}
	var taken []*kgo.Record
	for len(queues) > 0 && len(taken) < most {
		first := 0
		for i, q := range queues {
			if q.records[0].Timestamp.Before(queues[first].records[0].Timestamp) {
				first = i
			}
		}
		q := queues[first]
		taken = append(taken, q.records[0])
		s.next[q.at], s.ahead[q.at], s.has = q.records[0].Offset+1, s.ahead[q.at][1:], s.has-1
		if q.records = q.records[1:]; len(q.records) == 0 {
			queues = slices.Delete(queues, first, first+1)
		}
	}
	return taken
}

// waits reports whether a partition below the bound has no record at hand.
func (s *source) waits(bound positions) bool {
	for at := range s.counts {
		if s.next[at] < bound[at] && len(s.ahead[at]) == 0 {
			return true
		}
	}
	return false
}

func (s *source) sorted() []partition {
	return slices.SortedFunc(func(yield func(partition) bool) {
		for at := range s.ahead {
			if !yield(at) {
				return
			}
		}
	}, func(a, b partition) int {
		return cmp.Or(slices.Compare(a.topic[:], b.topic[:]), cmp.Compare(a.number, b.number))
	})
}

func (s *source) poll(ctx context.Context) error {
	fetches := s.client.PollFetches(ctx)
	var failed error
	fetches.EachError(func(topic string, number int32, err error) {
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, kerr.OffsetOutOfRange):
			failed = errs.New(errs.Conflict, "%w: %s/%d lost records while they were read", errBeginning, topic, number)
		case failed == nil:
			failed = errs.New(errs.Transient, "read %s/%d: %w", topic, number, err)
		}
	})
	if failed != nil {
		return failed
	}
	for _, f := range fetches {
		for _, t := range f.Topics {
			for _, p := range t.Partitions {
				if len(p.Records) == 0 {
					continue
				}
				if _, known := s.names[uuid.UUID(t.TopicID)]; !known {
					return errs.New(errs.Transient, "topic %s was created again", t.Topic)
				}
				at := partition{uuid.UUID(t.TopicID), p.Partition}
				s.ahead[at] = append(s.ahead[at], p.Records...)
				s.has += len(p.Records)
			}
		}
	}
	return nil
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
