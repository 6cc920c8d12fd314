package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// parcelSent is an event: parcels are the aggregates, and their ids are the keys.
type parcelSent struct {
	Parcel string `json:"parcel"`
}

func (parcelSent) EventType() string      { return "ParcelSent" }
func (parcelSent) AvroSchema() string     { return "" } // this example writes JSON
func (p parcelSent) AggregateKey() string { return p.Parcel }

// An event is written in the transaction of the change that it reports, and the relay publishes it.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pool, drop, err := pgtest.ExampleDB(ctx, outbox.Component())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "parcels"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()

	family := event.Family{Topic: "parcels", AggregateType: "Parcel", Namespace: "parcels.v1"}
	out := outbox.New(outbox.Config{
		Source: "/parcels",
		Types:  event.NewCatalogue(event.Describe[parcelSent](family)),
		Encode: func(_ context.Context, e event.Event) ([]byte, error) { return json.Marshal(e) },
	})
	publisher := relay.New(pool, out, relay.Config{Brokers: broker.ListenAddrs(), Logger: slog.New(slog.DiscardHandler)})
	stopped := make(chan error, 1)
	go func() { stopped <- publisher.Run(ctx) }()

	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE TABLE parcel AS SELECT 'p-1' AS id, 'sent' AS state`); err != nil { // the change
			return err
		}
		return out.Append(ctx, tx, outbox.Entry{Event: parcelSent{"p-1"}, Version: 1})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out.Wake()

	reader, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.ConsumeTopics("parcels"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reader.Close()
	for _, r := range reader.PollRecords(ctx, 1).Records() {
		fmt.Println(string(r.Key), string(r.Value))
		for _, h := range r.Headers {
			if h.Key == event.HeaderType || h.Key == event.HeaderAggregateVersion {
				fmt.Println(h.Key, string(h.Value))
			}
		}
	}
	cancel()
	if err := <-stopped; err != nil {
		fmt.Println(err)
	}
	// Output:
	// p-1 {"parcel":"p-1"}
	// ce_type ParcelSent
	// ce_aggregateversion 1
}
