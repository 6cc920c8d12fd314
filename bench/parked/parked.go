// Package parked measures what keeping order costs while records fail. It consumes the same records
// twice, once without failures and once with some that fail at their first attempt and some that
// always fail. It counts what matters to operators: lost records, records out of order, dead
// letters, and the throughput of one run compared with the other.
//
// Everything except PostgreSQL runs in this process: broker, registry, relay and consumer are those
// of the embedded shop. The database is durable. A run fails if a record is lost or out of order. It
// does not judge the figures.
package parked

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/infra"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
)

// Config is what is consumed. The zero value of Retry is not usable.
type Config struct {
	Records, Keys int
	Once, Always  float64 // shares of the records
	Retry         consumer.Retry
}

// Bench is shared by all runs: a database server, a registry, and the records. [New] creates it.
type Bench struct {
	cfg     Config
	infra   *infra.Infra
	records []*kgo.Record
	fate    map[string]fate // by "key/version"
}

// New starts what the runs need. dir is for the registry's data.
func New(ctx context.Context, dir string, cfg Config) (b *Bench, err error) {
	b = &Bench{cfg: cfg, fate: map[string]fate{}}
	if b.infra, err = infra.Open(ctx, dir, events.TypeOf[events.OrderDelivered]()); err != nil {
		return nil, err
	}
	return b, b.draw(ctx)
}

// Close ends everything.
func (b *Bench) Close() error { return b.infra.Close() }

// Result is the result of one run. Lost and Disorder are 0: [Bench.Run] fails otherwise.
type Result struct {
	Records                        int
	Took                           time.Duration
	Applied, Dead, Behind, Retries int
	Lost, Disorder                 int
}

// Throughput returns records per second, until every record was applied, given up or parked behind
// one that was.
func (r Result) Throughput() float64 { return float64(r.Records) / r.Took.Seconds() }

func (r Result) check() error {
	if r.Lost+r.Disorder > 0 {
		return fmt.Errorf("%d records lost, %d out of order", r.Lost, r.Disorder)
	}
	return nil
}
