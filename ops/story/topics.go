package story

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
)

// margin is how far before the order's own time its records are looked for: record times are
// those of other clocks, which differ by seconds as a rule.
const margin = 15 * time.Minute

// fetchWait bounds how long a broker keeps a fetch for which it has nothing.
const fetchWait = 250 * time.Millisecond

// record is what a topic or an outbox has under the order's id.
type record struct {
	topic     string
	partition int32
	offset    int64
	time      time.Time
	headers   []event.Header
	value     []byte
	outbox    string // the service whose outbox it is from; "" when it is from the topic
	published bool   // of an outbox row; it lies on its topic, where that has not lost it
}

// topicReader reads the records of one key and goes on where it ended. It is not for concurrent use.
type topicReader struct {
	cluster kafka.Cluster
	topics  []string
	key     string

	client *kgo.Client
	adm    *kadm.Client
	at     map[string]map[int32]int64 // the next offset
	absent []string                   // topics that the cluster does not have
}

// close ends the reader's connections; it can be opened again.
func (r *topicReader) close() {
	if r.client != nil {
		r.client.Close()
		r.client = nil
	}
}

// open finds the key's partitions and where to begin: at the first record that is not older
// than from, or with a zero time at the first there is.
func (r *topicReader) open(ctx context.Context, from time.Time) (err error) {
	r.close()
	asking, err := r.cluster.Client()
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	defer asking.Close()
	adm := kadm.NewClient(asking)
	listed, err := adm.ListTopics(ctx, r.topics...)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	r.absent, r.at = nil, map[string]map[int32]int64{}
	var there []string
	for _, topic := range r.topics {
		if detail := listed[topic]; detail.Err != nil || len(detail.Partitions) == 0 {
			r.absent = append(r.absent, topic)
			continue
		}
		there = append(there, topic)
	}
	var begins kadm.ListedOffsets
	if from.IsZero() {
		begins, err = adm.ListStartOffsets(ctx, there...)
	} else {
		begins, err = adm.ListOffsetsAfterMilli(ctx, from.UnixMilli(), there...)
	}
	if err == nil {
		err = begins.Error()
	}
	if err != nil {
		return fmt.Errorf("find the offsets of %s: %w", from.UTC().Format(time.RFC3339), err)
	}
	starts := map[string]map[int32]kgo.Offset{}
	for _, topic := range there {
		starts[topic], r.at[topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		for _, p := range homes(topic, r.key, len(listed[topic].Partitions)) {
			begin, ok := begins.Lookup(topic, p)
			if !ok {
				return fmt.Errorf("find the offsets of %s: partition %d is missing", topic, p)
			}
			starts[topic][p] = kgo.NewOffset().At(begin.Offset)
			r.at[topic][p] = begin.Offset
		}
	}
	// Control records count: a transaction's may be the last of a partition. The reader knows where
	// the partitions end, so a fetch that a broker answers late, by the default of 5 s, only costs time.
	r.client, err = r.cluster.Client(kgo.ConsumePartitions(starts), kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait))
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	r.adm = kadm.NewClient(r.client)
	return nil
}

// homes lists the partitions that a key can lie on: that of the present count, and those of
// all counts since the declared one, because a topic that grows moves its keys.
func homes(topic, key string, partitions int) []int32 {
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	found := map[int32]bool{}
	for n := min(partitions, int(event.Partitions)); n <= partitions; n++ {
		found[int32(partitioner.Partition(&kgo.Record{Key: []byte(key)}, n))] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// read returns the key's records that have come since the last read, up to the partitions'
// ends as of now.
func (r *topicReader) read(ctx context.Context) ([]record, error) {
	ends, err := r.adm.ListEndOffsets(ctx, slices.Collect(maps.Keys(r.at))...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find the ends of the topics: %w", err)
	}
	behind := func() bool {
		for topic, partitions := range r.at {
			for p, next := range partitions {
				if end, ok := ends.Lookup(topic, p); ok && next < end.Offset {
					return true
				}
			}
		}
		return false
	}
	var out []record
	for behind() {
		fetches := r.client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return out, fmt.Errorf("read the topics: %w", err)
		}
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.Canceled) {
				return out, fmt.Errorf("read %s: %w", failed.Topic, failed.Err)
			}
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			r.at[rec.Topic][rec.Partition] = rec.Offset + 1
			if !rec.Attrs.IsControl() && string(rec.Key) == r.key {
				out = append(out, recordOf(rec))
			}
		})
	}
	return out, nil
}

func recordOf(rec *kgo.Record) record {
	out := record{topic: rec.Topic, partition: rec.Partition, offset: rec.Offset, time: event.StorableTime(rec.Timestamp), value: rec.Value}
	for _, h := range rec.Headers {
		out.headers = append(out.headers, event.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// retriesOf returns the group that a topic is the retry topic of.
func retriesOf(topic string) (group string, ok bool) {
	rest, ok := strings.CutSuffix(topic, ".retry")
	return rest[strings.LastIndex(rest, ".")+1:], ok
}
