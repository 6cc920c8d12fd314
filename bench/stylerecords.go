package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// amount is a number of records and their bytes: key, value and headers.
type amount struct{ records, bytes float64 }

// tally is what the topics have of the orders of one style.
type tally struct{ facts, commands, answers amount }

// topicsOfOrders returns the topics that an order's events and commands are on. The snapshots are left out:
// their topic is compacted, and they are the same in both styles.
func topicsOfOrders() []string {
	return []string{
		events.TopicOrderEvents, events.TopicPaymentEvents, events.TopicInventoryEvents, events.TopicShippingEvents,
		events.TopicOrderNotifications,
		events.TopicOrderCommands, events.TopicPaymentCommands, events.TopicInventoryCommands, events.TopicShippingCommands,
	}
}

// addRecords adds rows about the records of the orders, which must be delivered.
func addRecords(ctx context.Context, r *report.Result, s *shop.Stack, placed map[string][]shop.Placed) error {
	all, err := tallies(ctx, s, placed)
	if err != nil {
		return err
	}
	for style, t := range all {
		n := float64(len(placed[style]))
		r.Row(recordsRow, "per order", report.Count).Add(style, (t.facts.records+t.commands.records+t.answers.records)/n)
		r.Row(factsRow, "per order", report.Count).Add(style, t.facts.records/n)
		r.Row(commandsRow, "per order", report.Count).Add(style, t.commands.records/n)
		r.Row(answersRow, "per order", report.Count).Add(style, t.answers.records/n)
		r.Row(bytesRow, "per order", report.Count).Add(style, (t.facts.bytes+t.commands.bytes+t.answers.bytes)/n)
		r.Row("  of facts", "per order", report.Count).Add(style, t.facts.bytes/n)
		r.Row("  of commands", "per order", report.Count).Add(style, t.commands.bytes/n)
	}
	return nil
}

// tallies reads the topics from their beginnings to their present ends.
func tallies(ctx context.Context, s *shop.Stack, placed map[string][]shop.Placed) (map[string]*tally, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	styleOf, all := map[string]string{}, map[string]*tally{}
	for style, orders := range placed {
		all[style] = &tally{}
		for _, o := range orders {
			styleOf[o.ID] = style
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ConsumeTopics(topicsOfOrders()...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topicsOfOrders()...)
	if err := errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("find the ends of the topics: %w", err)
	}
	left := int64(0)
	ends.Each(func(end kadm.ListedOffset) { left += end.Offset })
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read the topics, %d records left: %w", left, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if end, _ := ends.Lookup(rec.Topic, rec.Partition); rec.Offset >= end.Offset {
				return
			}
			left--
			if style, ours := styleOf[string(rec.Key)]; ours {
				all[style].add(rec)
			}
		})
	}
	return all, nil
}

func (t *tally) add(rec *kgo.Record) {
	size, eventType := len(rec.Key)+len(rec.Value), ""
	for _, h := range rec.Headers {
		size += len(h.Key) + len(h.Value)
		if h.Key == event.HeaderType {
			eventType = string(h.Value)
		}
	}
	into := &t.facts
	switch {
	case strings.HasSuffix(rec.Topic, ".commands"):
		into = &t.commands
	case strings.HasSuffix(eventType, "CommandAnswered"):
		into = &t.answers
	}
	into.records++
	into.bytes += float64(size)
}
