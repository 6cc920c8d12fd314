package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// readTopics reads every topic from offset 0 to its present end: the catalogue's into Records, the
// groups' own into Retries and Copies.
func readTopics(ctx context.Context, src Sources, d *decoders, f *Facts) error {
	cl, err := src.Kafka.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	listed, err := adm.ListTopics(ctx)
	if err != nil {
		return src.kafkaAway(err)
	}
	if err := f.place(ctx, adm, listed); err != nil {
		return src.kafkaAway(err)
	}
	var names []string
	partitions := map[string]int{}
	for _, t := range listed.Names() {
		if !listed[t].IsInternal && !strings.HasPrefix(t, "_") { // heartbeats and Kafka Connect's own topics
			names = append(names, t)
			partitions[t] = len(listed[t].Partitions)
		}
	}
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return src.kafkaAway(err)
	}
	begins, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return src.kafkaAway(err)
	}
	starts := map[string]map[int32]kgo.Offset{}
	left := 0
	want := map[string]map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if first, _ := begins.Lookup(o.Topic, o.Partition); first.Offset >= o.Offset {
			return // empty, or emptied by retention: there is no record to wait for
		}
		if starts[o.Topic] == nil {
			starts[o.Topic], want[o.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		}
		starts[o.Topic][o.Partition] = kgo.NewOffset().AtStart()
		want[o.Topic][o.Partition] = o.Offset
		left++
	})
	if left == 0 {
		return nil
	}
	reader, err := src.Kafka.Client(kgo.ConsumePartitions(starts), kgo.KeepControlRecords()) // a transaction's may be the last of a partition
	if err != nil {
		return err
	}
	defer reader.Close()
	for left > 0 {
		fetches := reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors := fetches.Errors(); len(errors) > 0 {
			return fmt.Errorf("fetch %s: %w", errors[0].Topic, src.kafkaAway(errors[0].Err))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := want[r.Topic][r.Partition]
			if !open {
				return
			}
			switch {
			case r.Offset >= end, r.Attrs.IsControl():
			case own(r.Topic):
				f.sort(r.Topic, r.Key, r.Value, headersOf(r), r.Timestamp)
			default:
				service := producer(r.Topic)
				rec, err := recordOf(ctx, d, service, r)
				if err != nil {
					f.Undecoded = append(f.Undecoded, d.undecodedOf(rec, service, r.Value, err))
				}
				rec.Strayed = strayed(r, partitions[r.Topic])
				f.Records = append(f.Records, rec)
			}
			if r.Offset >= end-1 {
				delete(want[r.Topic], r.Partition)
				left--
			}
		})
	}
	slices.SortStableFunc(f.Records, func(a, b Record) int {
		switch {
		case a.Topic != b.Topic:
			if a.Topic < b.Topic {
				return -1
			}
			return 1
		case a.Partition != b.Partition:
			return int(a.Partition - b.Partition)
		default:
			return int(a.Offset - b.Offset)
		}
	})
	return nil
}

func headersOf(r *kgo.Record) []event.Header {
	hs := make([]event.Header, len(r.Headers))
	for i, h := range r.Headers {
		hs[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	return hs
}

// strayed reports whether a record is on another partition of its topic than its key's.
func strayed(r *kgo.Record, partitions int) bool {
	home := kgo.StickyKeyPartitioner(nil).ForTopic(r.Topic).Partition(&kgo.Record{Key: r.Key}, partitions)
	return len(r.Key) > 0 && home != int(r.Partition)
}

// recordOf reads a record as consumers do. It decodes the event with the registry of the service
// that wrote it. A record that is not an event keeps its place and has a zero id. The record's time
// is the one that services store. The error says why an event could not be decoded; the record then
// holds what could be read of it.
func recordOf(ctx context.Context, d *decoders, service string, r *kgo.Record) (Record, error) {
	hs := headersOf(r)
	rec := Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Time: event.StorableTime(r.Timestamp), Sum: sumOf(r.Key, r.Value, hs),
	}
	env, _, err := event.ReadEnvelope(hs, r.Timestamp) // as the services do: an invalid advisory header does not make it another event
	if err != nil {
		return rec, nil
	}
	rec.ID, rec.Type, rec.Version, rec.Style, rec.Causation = env.ID, env.Type, env.AggregateVersion, env.Style, env.CausationID
	t, ok := events.Catalogue().Lookup(env.Type)
	if !ok || t.Topic != r.Topic {
		return rec, nil
	}
	event, err := d.decode(ctx, service, t, r.Value)
	if err != nil {
		return rec, err
	}
	rec.Event = event
	return rec, nil
}
