package main

import (
	"context"

	"eventshop.example/bench/report"
)

// benchmark is one name of the command line.
type benchmark struct {
	name  string
	about string
	when  when
	run   func(ctx context.Context, e *env, r *report.Result) error
}

// when says which runs without names include a benchmark.
type when int

const (
	always when = iota // every run
	slowly             // not with --quick
	named              // only by its name
)

// benchmarks returns all benchmarks, in the order in which they run.
func benchmarks() []benchmark {
	return []benchmark{
		{"sagas", "whole orders as fast as they are accepted, and the log that their rows cost at least", always, sagas},
		{"low", "whole orders at a fifth of what the shop sustains", always, low},
		{"styles", "orchestrated orders against choreographed ones, in one shop", always, styles},
		{"post", "POST /orders against the same statements in one pipeline, with as many connections", always, post},
		{"consumer", "inbox, effect and outbox by a consumer, against the same sets without Kafka and against a transaction per record", always, consume},
		{"growth", "the relay beside many published rows, a backlog, and old snapshots, against an empty outbox", always, growth},
		{"rebuild", "read models are filled from the topics, against consuming and copying the same, and against a transaction per event", always, rebuilding},
		{"drain", "the relay publishes a backlog, against reading, producing and the cheapest mark", slowly, drain},
		{"eventstore", "append and load, against plain INSERT and SELECT on the same table", slowly, store},
		{"states", "the state of a stream with snapshots, against folding the whole stream", slowly, states},
		{"rebuild-live", "a read model is filled after kill -9 in the middle, and while events are published and clients read", slowly, rebuildingLive},
		{"latency", "from accepted to CONFIRMED, hop by hop, at a fifth of what the shop sustains", slowly, late},
		{"parked", "order kept while records fail", slowly, failing},
		{"codec", "the codec of today beside the one before", slowly, codecs},
		{"sustained", "ten minutes at 70 % of saturation: backlog, latency, memory", named, sustained},
		{"notification", "mails by event notification with a callback, against mails by event-carried state transfer", named, notify},
		{"styles-down", "orders of both styles while the orchestrator, its database, or inventory is away for a minute", named, stylesDown},
		{"relays", "the polling relay beside Debezium; needs Java 17 and, the first time, Maven", named, both},
	}
}

func names() []string {
	var all []string
	for _, b := range benchmarks() {
		all = append(all, b.name)
	}
	return all
}

func (b benchmark) remark() string {
	switch b.when {
	case slowly:
		return " (not with --quick)"
	case named:
		return " (only by name)"
	}
	return ""
}

// chosen returns the benchmarks of a command line.
func (o options) chosen() []benchmark {
	var some []benchmark
	for _, b := range benchmarks() {
		included := b.when == always || b.when == slowly && !o.quick
		if len(o.names) > 0 {
			included = false
			for _, name := range o.names {
				included = included || name == b.name
			}
		}
		if included {
			some = append(some, b)
		}
	}
	return some
}
